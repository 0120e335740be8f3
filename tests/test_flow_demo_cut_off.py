"""Tests of `chaski demo --keep` after an interruption at any moment.

The next call must begin the story again, report it, keep foreign files, and serve. A finished one keeps every byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import World
from server.cli.demo.server_process import free_ports
from server.database.sqlite import SqliteDatabase
from server.flows.operations.audit import verify_chain
from server.ports import why_no_port
from test_flow_sabotage import SABOTAGE
from test_server_taken_ports import chaski, line_of, state

PATIENCE = 240


class Demo:
    """Runs `chaski demo --keep` on a folder as a child process that a test can kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, free_ports(2)
        self.said = folder.with_name("said")
        self.running: subprocess.Popen[bytes] | None = None

    def begin(self, *, again: bool = False) -> None:
        """Start the demo after the earlier server has ended. With `again`, wait until it reports the restart."""
        self.wait_for(lambda: not any(why_no_port("127.0.0.1", port) for port in self.ports))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHASKI_")}
        ports = dict(zip(("CHASKI_TABLETS_PORT", "CHASKI_PEOPLE_PORT"), map(str, self.ports), strict=True))
        quick = {"PYTHONPATH": str(SABOTAGE), "QUICK_PASSPHRASES": "1"}
        with self.said.open("wb") as output:
            self.running = subprocess.Popen(
                [sys.executable, "-c", "from server.cli.main import main; main()", "demo", "--keep", str(self.folder)],
                env={**inherited, **ports, **quick, "COLUMNS": "300"},
                stdout=output,
                stderr=output,
            )
        if again:
            self.wait_for(lambda: f"The story in {self.folder} was cut off, so it begins again" in self.words())

    def words(self) -> str:
        """Return its output since the start."""
        return self.said.read_text(encoding="utf-8") if self.said.exists() else ""

    def wait_for(self, comes: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE
        while not comes():
            assert self.running is None or self.running.poll() is None, self.words()
            assert time.monotonic() < until, self.words()
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> int:
        """Send the signal `how`, wait, and return the exit code."""
        assert self.running is not None
        self.running.send_signal(how)
        code = self.running.wait(timeout=PATIENCE)
        self.running = None
        return code

    def serves(self) -> bool:
        return "Ctrl-C stops it" in self.words()

    def there(self, name: str) -> Callable[[], bool]:
        return (self.folder / name).exists


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path / "var")
    with ExitStack() as stack:
        stack.callback(lambda: made.running and made.end(signal.SIGKILL))
        yield made


@pytest.mark.timeout(900)
def test_an_interrupted_story_begins_again_and_a_finished_one_is_kept(demo: Demo) -> None:
    demo.folder.mkdir()
    (demo.folder / "mine.txt").write_text("mine", encoding="utf-8")
    moments: list[tuple[Callable[[], object], signal.Signals]] = [
        (demo.there("server/founding"), signal.SIGKILL),
        (demo.there("people/raiz-2/root.key"), signal.SIGKILL),
        (lambda: "\n4. " in demo.words(), signal.SIGTERM),
    ]
    for number, (moment, how) in enumerate(moments):
        demo.begin(again=number > 0)
        demo.wait_for(moment)
        assert demo.end(how) == (-how if how == signal.SIGKILL else 0)
        assert not demo.there("story-told")()
    assert "the next call begins it again" in demo.words()

    demo.begin(again=True)
    demo.wait_for(demo.there(f"cut-off-{len(moments)}"))  # It holds the folder now, and moved the former try aside.
    other = chaski(
        "demo", "--keep", demo.folder, **dict(zip(("TABLETS_PORT", "PEOPLE_PORT"), free_ports(2), strict=True))
    )
    assert f"another demo is at work in {demo.folder}" in line_of(other)
    demo.wait_for(demo.serves)
    assert "all held" in demo.words()
    pin = demo.words().split("--pin ")[1].split()[0]
    aside = sorted(demo.folder.glob("cut-off-*"))
    assert [path.name for path in aside] == [f"cut-off-{number}" for number in range(1, len(moments) + 1)]
    assert {path.name for path in aside[-1].iterdir()} >= {"server", "people", "log", "tablet"}
    assert (demo.folder / "mine.txt").read_text(encoding="utf-8") == "mine"
    before = trail(demo)
    demo.end(signal.SIGKILL)

    demo.begin()
    demo.wait_for(demo.serves)
    assert demo.words().split("--pin ")[1].split()[0] == pin
    assert "cut off" not in demo.words()
    assert trail(demo)[: len(before)] == before
    assert demo.end(signal.SIGINT) == 0
    assert "the data stays" in demo.words()


def trail(demo: Demo) -> list[tuple[object, ...]]:
    """Check the chain of the audit trail; return its rows."""
    db = SqliteDatabase(demo.folder / "server" / "chaski.db")
    assert verify_chain(db).broken_at is None
    rows = db.read().execute("select * from audit order by rowid").fetchall()
    db.close()
    return rows


@pytest.mark.parametrize("what", ["server", "people", "tablet"])
def test_a_folder_without_the_mark_of_a_demo_is_refused_and_unchanged(world: World, tmp_path: Path, what: str) -> None:
    folder = world.data.parent
    for name in {"server", "people"} - {what}:
        (folder / name).rename(tmp_path / name)
    (folder / what).mkdir(exist_ok=True)
    before = state(folder)
    ports = dict(zip(("TABLETS_PORT", "PEOPLE_PORT"), free_ports(2), strict=True))
    line = line_of(chaski("demo", "--keep", folder, **ports))
    assert f"{folder} holds {what}, and no demo was begun there" in line
    assert state(folder) == before
