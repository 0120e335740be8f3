"""Forks servers and working tablets from one process that has imported everything, for tests that kill hundreds.

The process reads one JSON object a line and answers each with a line. `Workers` is its client.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Self

from server import app, config
from server.cli.demo.story import FORM, INTERVIEWEES, read_answers
from support.waiting import PATIENCE
from sync.errors import SyncError
from sync.tablet.client import Tablet


class Workers:
    """A process to fork from. `log` receives the output of its children."""

    def __init__(self, log: Path) -> None:
        self.main = subprocess.Popen(
            [sys.executable, "-m", "support.forked_processes", str(log)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *wrong: object) -> None:
        for pid in list(self.running):
            self.kill(pid)
        assert self.main.stdin is not None
        self.main.stdin.close()
        self.main.wait(timeout=PATIENCE)

    def _ask(self, **words: Any) -> int:
        assert self.main.stdin is not None
        assert self.main.stdout is not None
        self.main.stdin.write(json.dumps(words) + "\n")
        self.main.stdin.flush()
        return int(self.main.stdout.readline())

    def serve(self, environment: dict[str, str], *, clock: int) -> int:
        """Fork a server whose clock is off by `clock` milliseconds; return its process id."""
        return self._begin(do="serve", environment=environment, clock=clock)

    def screen(self, folder: Path, journal: Path, *, clock: int) -> int:
        """Fork a working tablet whose clock is off by `clock` milliseconds."""
        return self._begin(do="screen", folder=str(folder), journal=str(journal), clock=clock)

    def _begin(self, **words: Any) -> int:
        pid = self._ask(**words)
        self.running.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        """Kill a child as a power cut would. Fail the test if the child had ended by itself."""
        self.running.discard(pid)
        assert self._ask(do="kill", pid=pid) == signal.SIGKILL, "a process ended by itself: see its log"


def shifted_clock(by: int) -> Callable[[], int]:
    """A clock that is off by so many milliseconds, but never before 1 January 1970."""
    return lambda: max(1, app.clock() + by)


def screen_until_killed(folder: Path, journal: Path, clock: Callable[[], int]) -> None:
    """Screen and sync until killed.

    Each line of the journal is written to disk before the next step, so every recorded result was really returned.
    """
    with Tablet(folder, clock=clock) as tablet, journal.open("a", encoding="ascii") as book:

        def note(*words: str) -> None:
            book.write(" ".join(words) + "\n")
            book.flush()
            os.fsync(book.fileno())

        note("started")
        for number, person in enumerate(itertools.cycle(INTERVIEWEES)):
            note("kept", tablet.screen(FORM, read_answers(person), taken=date(2026, 11, 21)).jti)
            if number % 2:
                continue
            try:
                report = tablet.sync()
            except SyncError as error:
                if not error.code.startswith(("transport.", "storage.")):
                    raise
                note("cut", error.code)
                time.sleep(0.02)
                continue
            for receipt in report.receipts:
                note("receipted", receipt.jti, receipt.outcome)


def run_child(asked: dict[str, Any]) -> None:
    """Run the child program that the request names."""
    clock = shifted_clock(asked["clock"])
    if asked["do"] == "serve":
        app.serve(config.load(asked["environment"]), clock)
    else:
        screen_until_killed(Path(asked["folder"]), Path(asked["journal"]), clock)


def fork_child(asked: dict[str, Any], log: str) -> int:
    """Start a child whose output goes to the log."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with open(log, "ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.close(0)
        run_child(asked)
    finally:
        traceback.print_exc()  # A kill leaves no traceback. For any other end the log shows the cause.
        os._exit(1)


def kill_child(pid: int) -> int:
    """Kill a child; return the number of the signal that ended it, 0 = none."""
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] & 0x7F


def main(log: str) -> None:
    """Answer requests until standard input is closed."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(kill_child(asked["pid"]) if asked["do"] == "kill" else fork_child(asked, log), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
