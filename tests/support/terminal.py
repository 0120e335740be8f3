"""A simulated inspector at a real terminal: types, reads the page on the screen, and can kill the program."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from calendar import monthrange
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from screening_forms.engine.evaluator import Engine
from screening_forms.engine.xform_reader import Node
from support.waiting import PATIENCE

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
ESCAPES = re.compile(r"\x1b(?:\[[?0-9;]*[A-Za-z]|[=>])")
END = "Terminó la conversación."
MORE = re.compile(r"\(\d+ de \d+\) (?:Enter|Antes)")
GONE = "\x1b[?1049l"


class Commands:
    """The process that runs commands in terminals. It starts once, so commands need not import everything again."""

    def __init__(self) -> None:
        worker = Path(__file__).with_name("terminal_worker.py")
        self._worker = subprocess.Popen(
            [sys.executable, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **told: Any) -> int:
        """Send a request to the worker; return the number in its answer."""
        assert self._worker.stdin
        assert self._worker.stdout
        self._worker.stdin.write(json.dumps(told) + "\n")
        self._worker.stdin.flush()
        return int(self._worker.stdout.readline())

    def close(self) -> None:
        """End the worker."""
        self._worker.communicate()


def is_whole_month(page: str) -> bool:
    """True if a page shows a calendar up to the last day of its month. A terminal passes a page on in pieces."""
    found = re.match(r"(\d\d)/(\d{4})\n", page)
    return found is not None and page.split()[-1] == str(monthrange(int(found[2]), int(found[1]))[1])


class Inspector:
    """One command at one terminal."""

    def __init__(
        self, commands: Commands, *args: object, columns: int = 80, lines: int = 24, idle: float = 300
    ) -> None:
        self._commands = commands
        self._master, self._slave = pty.openpty()
        self._set_size(columns, lines)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.written = ""  # everything written to the terminal
        self.process = commands.ask(tty=os.ttyname(self._slave), args=[str(arg) for arg in args], idle=idle)
        os.set_blocking(self._master, False)

    @property
    def page(self) -> str:
        """The text on the screen."""
        return ESCAPES.sub("", self.written.rpartition(CLEAR)[2]).replace("\r\n", "\n")

    @property
    def words(self) -> str:
        """The text on the screen as one line, words separated by blanks."""
        return " ".join(self.page.split())

    def see(self, end: str = "> ", after: int = -1) -> str:
        """Wait for a page that begins after `after` characters of output and ends with `end`; return it."""
        return self._wait(lambda: self.written.endswith(f"\r\n{end}"), after)

    def see_calendar(self, after: int = -1) -> str:
        """Wait for the page that hides the screen, written after `after` characters of output; return it."""
        return self._wait(lambda: is_whole_month(self.page), after)

    def resize(self, columns: int, lines: int) -> str:
        """Change the size of the window; return the page that is drawn again."""
        before = len(self.written) - 1
        self._set_size(columns, lines)
        return self._wait(lambda: "\r\n> " in self.written.rpartition(CLEAR)[2], before)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_to_end(self) -> str:
        """Press Enter until the last part of the page is on the screen; return its text, the head once."""
        parts, head = [], self.page.splitlines()
        while found := MORE.search(self.page):
            parts.append(self.page[: found.start()])
            self.type("")
        same = (first == now for first, now in zip(head, self.page.splitlines(), strict=False))
        again = len([*takewhile(bool, same)]) if parts else 0  # The head stands on every part.
        last = "\n".join(self.page.splitlines()[again:])
        return "\n".join([*parts[:1], *("\n".join(each.splitlines()[again:]) for each in parts[1:]), last])

    def type(self, line: str) -> str:
        """Type a line; return the next page, or the last text on the screen if the command ends."""
        before = len(self.written) - 1
        self.send(f"{line}\r")
        return self.see(after=before)

    def see_typed(self, text: str) -> str:
        """Wait until the prompt shows this text and nothing else; return the page."""
        return self._wait(lambda: self.written.endswith(f"> {text}"), -1)

    def press(self, key: str) -> str:
        """Press the key that hides the screen or shows it again; return the text on the screen."""
        before = len(self.written) - 1
        self.send(key)
        return self.see(after=before) if is_whole_month(self.page) else self.see_calendar(before)

    def send(self, keys: str) -> None:
        """Press keys without waiting."""
        os.write(self._master, keys.encode())

    @property
    def flags(self) -> tuple[int, int, int, int]:
        """The terminal's flags: input, output, control, local."""
        found = termios.tcgetattr(self._master)
        return found[0], found[1], found[2], found[3]

    def see_text(self, text: str) -> None:
        """Wait until a command without pages has written this text."""
        until = time.monotonic() + PATIENCE
        while text not in self.written:
            assert time.monotonic() < until, f"{text} does not follow: {self.written}"
            self._read()

    def stop_output(self) -> None:
        """Stop the terminal's output, as another program can."""
        termios.tcflow(self._slave, termios.TCOOFF)

    def allow_ctrl_s(self) -> None:
        """Let Ctrl-S stop the output again, as another program can."""
        flags = termios.tcgetattr(self._slave)
        flags[0] |= termios.IXON
        termios.tcsetattr(self._slave, termios.TCSANOW, flags)

    def end(self, number: int) -> None:
        """End the command with a signal, as a closing session does."""
        os.kill(self.process, number)

    def kill(self) -> None:
        """Kill the command, as a power cut would."""
        self.end(signal.SIGKILL)
        assert self.leave() == -signal.SIGKILL

    def seal(self) -> int:
        """Seal from the end page without opening the outcome; return the exit code."""
        self.type("sellar")
        self.type("")
        return self.leave()

    def leave(self) -> int:
        """Wait for the command's end; return its exit code."""
        os.close(self._slave)
        code = self._commands.ask(wait=self.process)
        with suppress(OSError):  # The terminal closes when its last command ends.
            while True:
                self._read()
        os.close(self._master)
        return code

    def _wait(self, is_complete: Callable[[], bool], after: int) -> str:
        """Read until a page that begins after `after` characters is complete, or the command ends; return the page."""
        until = time.monotonic() + PATIENCE
        while GONE not in self.written and (self.written.rfind(CLEAR) <= after or not is_complete()):
            assert time.monotonic() < until, f"nothing follows: {self.page}"
            self._read()
        return self.page

    def _read(self) -> None:
        if select.select([self._master], [], [], 0.05)[0]:
            self.written += self._decoder.decode(os.read(self._master, 65536))


@cache
def _labels(engine: Engine, language: str) -> dict[str, Node]:
    return {" ".join(node.label[language].removeprefix("[borrador] ").split()): node for node in engine.questions}


def question_on_page(engine: Engine, inspector: Inspector, language: str = "es") -> Node:
    """Return the question on the page, after reading it to its end."""
    words, labels = " ".join(inspector.read_to_end().split()), _labels(engine, language)
    found = [label for label in labels if label in words]
    assert found, inspector.page
    return labels[max(found, key=len)]


def keys_for(engine: Engine, node: Node, given: Mapping[str, Any]) -> str:
    """Return the input for a question's answer in `given`, which is in the answer files' format."""
    answer = given.get(node.name)
    if node.type in ("note", "acknowledge"):
        return "ok" if answer else ""
    if not answer:
        return "-"
    if not node.choices:
        return str(answer)
    so_far = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}
    codes = [choice.code for choice in engine.offered_choices(node, engine.drop_invalid(so_far))]
    return " ".join(str(codes.index(code) + 1) for code in (answer if isinstance(answer, list) else [answer]))


def answer_all(engine: Engine, inspector: Inspector, given: Mapping[str, Any], language: str = "es") -> None:
    """Answer every question until the end page appears."""
    while END not in inspector.page:
        inspector.type(keys_for(engine, question_on_page(engine, inspector, language), given))
