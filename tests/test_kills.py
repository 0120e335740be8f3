"""Power cuts and cut lines: server and tablet are killed twenty times, the wire is cut at every kind of place, and
nothing that was promised is lost or stored twice."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from client_material import FORM, STORY, Office, answers
from conftest import World
from intake_material import Field, served

from server.app import open_parts
from server.cli.process import ServerProcess, free_ports
from server.cli.story import Stage, enrol, publish
from server.cli.terminal import now_ms
from server.db import Db, rows
from sync.errors import SyncError
from sync.tablet import Tablet

# Who is killed is shuffled, when is drawn: the same twenty at each run, however the processes' own timing falls.
CHANCE = random.Random(20261121)
TARGETS = CHANCE.sample(["server"] * 8 + ["tablet"] * 7 + ["both"] * 5, k=20)
KILLS = [(target, CHANCE.uniform(0.0, 0.3)) for target in TARGETS]
PATIENCE = 30.0


@dataclass(frozen=True)
class Aftermath:
    """What was said before the kills, by the tablet's journal, and what is there after them, on both sides."""

    screened: frozenset[str]
    receipted: frozenset[str]
    kept: tuple[str, ...]
    stored: tuple[tuple[str, str, int, str], ...]  # jti, chain, seq, outcome
    work_list: tuple[str, ...]

    def wrongs(self) -> list[str]:
        """Every promise that was broken."""
        times = Counter(jti for jti, _, _, _ in self.stored)
        places = Counter((chain, seq) for _, chain, seq, _ in self.stored)
        found = {
            "a receipt was given for something that is not stored": self.receipted - set(times),
            "a sealed screening is not on the server": self.screened - set(times),
            "the outbox lost a screening": self.screened - set(self.kept),
            "the outbox holds a screening twice": {jti for jti, count in Counter(self.kept).items() if count > 1},
            "a screening is stored twice": {jti for jti, count in times.items() if count > 1},
            "a number was used twice": {place for place, count in places.items() if count > 1},
            "a screening was taken for something else": {
                jti for jti, *_, outcome in self.stored if outcome != "stored"
            },
            "somebody has to look at it": set(self.work_list),
        }
        return [wrong for wrong, about in found.items() if about]


class Journal:
    """What the tablet's process wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def said(self, word: str) -> list[list[str]]:
        """The lines that begin with `word`."""
        lines = (line.split() for line in self.path.read_text(encoding="ascii").splitlines())
        return [line for line in lines if line and line[0] == word]

    def await_more(self, word: str, than: int, tablet: subprocess.Popen[bytes]) -> None:
        """Wait until there are more such lines than that, so that a kill always interrupts work."""
        until = time.monotonic() + PATIENCE
        while len(self.said(word)) <= than:
            assert tablet.poll() is None, "the tablet's process ended by itself"
            assert time.monotonic() < until, f"the tablet does not get on: no new {word!r}"
            time.sleep(0.01)


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    """A running server with the form published and one certified tablet."""
    folder = world.data.parent
    stage = Stage(folder, ServerProcess(folder, *free_ports(2)), now_ms)
    stage.server.start()
    try:
        for step in (publish, enrol):
            list(step(stage))
        yield stage
    finally:
        stage.server.kill()


def start_tablet(stage: Stage, journal: Journal) -> subprocess.Popen[bytes]:
    """Start the tablet's process."""
    worker = Path(__file__).with_name("tablet_worker.py")
    return subprocess.Popen([sys.executable, str(worker), str(stage.tablet), str(journal.path)])


def kill_and_restart(stage: Stage, journal: Journal) -> None:
    """Carry out the kills, each only after new receipts show that the one before it has been got over."""
    tablet = start_tablet(stage, journal)
    try:
        for target, delay in KILLS:
            journal.await_more("receipted", len(journal.said("receipted")), tablet)
            time.sleep(delay)
            if target != "tablet":
                stage.server.kill()
            if target != "server":
                tablet.kill()
                tablet.wait()
                tablet = start_tablet(stage, journal)
            if target != "tablet":
                stage.server.start()
        journal.await_more("receipted", len(journal.said("receipted")), tablet)
    finally:
        tablet.kill()
        tablet.wait()


def look_at(stage: Stage, journal: Journal) -> Aftermath:
    """Let the tablet sync once more, then read journal, outbox and database."""
    with Tablet(stage.tablet) as survivor:
        survivor.sync()
        assert survivor.status().waiting == 0
        kept = survivor.outbox.kept()
    stage.server.kill()
    db = Db(stage.folder / "server" / "chaski.db")
    stored = rows(db.read(), "SELECT jti, chain, seq, outcome FROM envelopes")
    work_list = rows(db.read(), "SELECT kind FROM work_items")
    db.close()
    return Aftermath(
        screened=frozenset(line[1] for line in journal.said("kept")),
        receipted=frozenset(line[1] for line in journal.said("receipted")),
        kept=tuple(envelope.jti for envelope in kept),
        stored=tuple((row["jti"], row["chain"], row["seq"], row["outcome"]) for row in stored),
        work_list=tuple(item["kind"] for item in work_list),
    )


def test_twenty_kills_of_server_and_tablet_lose_no_screening_and_store_none_twice(stage: Stage, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    kill_and_restart(stage, journal)
    after = look_at(stage, journal)
    assert after.wrongs() == []
    # It was real work that was interrupted: receipts came between any two kills, and requests were cut off.
    assert len(after.receipted) > len(KILLS)
    assert len(journal.said("started")) == 1 + sum(target != "server" for target, _ in KILLS)
    assert journal.said("cut"), "no kill of the server met a tablet that was talking to it"


GOOD = Aftermath(
    screened=frozenset({"a", "b"}),
    receipted=frozenset({"a"}),
    kept=("a", "b"),
    stored=(("a", "chain", 1, "stored"), ("b", "chain", 2, "stored")),
    work_list=(),
)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"receipted": frozenset({"a", "c"})}, "a receipt was given for something that is not stored"),
        ({"screened": frozenset({"a", "b", "c"}), "kept": ("a", "b", "c")}, "a sealed screening is not on the server"),
        ({"kept": ("a",)}, "the outbox lost a screening"),
        ({"kept": ("a", "b", "b")}, "the outbox holds a screening twice"),
        ({"stored": (*GOOD.stored, ("b", "chain", 3, "stored"))}, "a screening is stored twice"),
        ({"stored": (GOOD.stored[0], ("b", "chain", 1, "stored"))}, "a number was used twice"),
        ({"stored": (GOOD.stored[0], ("b", "chain", 2, "fork"))}, "a screening was taken for something else"),
        ({"work_list": ("gap",)}, "somebody has to look at it"),
    ],
)
def test_the_look_after_the_kills_would_see_each_broken_promise(change: dict[str, object], wrong: str) -> None:
    assert GOOD.wrongs() == []
    assert replace(GOOD, **change).wrongs() == [wrong]  # type: ignore[arg-type]


# Bytes after which the wire is cut: a question has about 3,000 of them, an answer about 700.
CUTS = [("up", 1), ("up", 100), ("up", 1_000), ("up", 2_500), ("down", 1), ("down", 60), ("down", 300), ("down", 400)]


class Shears:
    """Passes bytes between tablet and server, and cuts the wire for good after so many bytes one way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.up = self.down = sys.maxsize
        self.cuts = 0
        self.listening = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """The address that the tablet is told."""
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        """Take one connection after the other, until the listening socket is closed."""
        while True:
            try:
                tablet, _ = self.listening.accept()
            except OSError:
                return
            with tablet, socket.create_connection(("127.0.0.1", self.port)) as server:
                back = threading.Thread(target=self._pass, args=(server, tablet, self.down))
                back.start()
                self._pass(tablet, server, self.up)
                back.join()

    def _pass(self, source: socket.socket, target: socket.socket, budget: int) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data[:budget])
                budget -= len(data)
                if budget <= 0:
                    self.cuts += 1
                    break
        except OSError:
            pass  # The other direction was cut: so is this one.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@contextmanager
def shears(port: int) -> Iterator[Shears]:
    """Put shears in front of a port."""
    made = Shears(port)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.listening.shutdown(socket.SHUT_RDWR)
        made.listening.close()
        thread.join()


def test_a_line_cut_anywhere_in_question_or_answer_loses_nothing_and_stores_nothing_twice(
    world: World, tmp_path: Path
) -> None:
    """Cut in the head and in the body, both ways; each time the next sync puts everything right."""
    field = Field(world, open_parts(world.config), "")
    with served(field) as (tablets, people), shears(tablets) as wire:
        office = Office(field, wire, f"http://127.0.0.1:{people}", tmp_path)  # type: ignore[arg-type]
        office.publish()
        screened: list[str] = []
        with office.tablet() as tablet:
            for way, place in CUTS:
                reconnect(tablet)
                setattr(wire, way, place)
                screened.append(tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20)).jti)
                # A head that ends early can look like a whole answer; what it lacks then is the signature.
                with pytest.raises(SyncError, match=r"transport\.broken|exchange\.(bad_signature|malformed)"):
                    tablet.sync()
                wire.up = wire.down = sys.maxsize
                reconnect(tablet)
                report = tablet.sync()
                assert report.waiting == 0
                assert [receipt.jti for receipt in report.receipts] == [screened[-1]]
        assert wire.cuts == len(CUTS)
        assert office.stored() == screened
        assert field.rows("SELECT kind FROM work_items") == []


def reconnect(tablet: Tablet) -> None:
    """Begin with a new connection, as after a walk to another hill."""
    tablet.transport.close()
    vars(tablet).pop("transport", None)
