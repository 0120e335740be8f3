"""Tests of power cuts: kills server and tablets at random moments under load, jumps their clocks, harms the database.

No receipted or sealed screening may be lost or stored twice. `make torture` kills and harms 200 times each, `make test`
kills 20 times and harms 4 times."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from conftest import World
from server import config, server_keys
from server.app import open_services
from server.cli.demo.server_process import ServerProcess, free_ports, is_healthy
from server.cli.demo.story import Demo, enrol_tablet, publish_form
from server.cli.terminal import now_ms
from server.config import ConfigError
from server.database.sqlite import SqliteDatabase
from server.flows.operations import integrity, scrub
from support.forked_processes import Workers
from support.hostile_server import assert_intact
from support.waiting import wait_until
from sync.durations import HOUR, YEAR
from sync.envelope.verify import envelope_id
from sync.tablet.client import Tablet

KILLS = int(os.environ.get("KILLS", "20"))
HARMS = int(os.environ.get("KILLS", "4"))
SCRUB_RUNS = 10
"""So many runs of the hourly job check more screenings than a fast machine stores here: 5,000 each."""
SEED = int(os.environ.get("SEED", "20261121"))
TABLETS = 2
# Clock errors after a start, in milliseconds. The server's clock jumps to 1970 and 2090. The tablets' clocks stay near
# the true time: when both clocks show that 30 days passed, a tablet may delete receipted screenings.
CLOCKS = (0, 0, HOUR, -HOUR)
SERVER_CLOCKS = (*CLOCKS, -57 * YEAR, 64 * YEAR)


@dataclass(frozen=True)
class Aftermath:
    """What the tablets' journals recorded before the kills, and what outboxes and database hold after them."""

    screened: frozenset[str]
    receipted: frozenset[str]
    kept: tuple[str, ...]
    stored: tuple[tuple[str, str, int, str], ...]  # jti, chain, seq, outcome
    work_list: tuple[str, ...]
    damaged: frozenset[str] = frozenset()

    def wrongs(self) -> list[str]:
        """Return the name of every broken promise."""
        times = Counter(jti for jti, _, _, _ in self.stored)
        places = Counter((chain, seq) for _, chain, seq, _ in self.stored)
        found = {
            "a receipt was given for something that is not stored": self.receipted - set(times),
            "a sealed screening is not on the server": self.screened - set(times),
            "the outbox lost a screening": self.screened - set(self.kept),
            "the outbox holds a screening twice": {jti for jti, count in Counter(self.kept).items() if count > 1},
            "a screening is stored twice": {jti for jti, count in times.items() if count > 1},
            "a number was used twice": {place for place, count in places.items() if count > 1},
            "a screening was not stored as such": {jti for jti, *_, outcome in self.stored if outcome != "stored"},
            "the work list has an item": set(self.work_list),
            "stored bytes are damaged": self.damaged,
        }
        return [wrong for wrong, about in found.items() if about]


class Journal:
    """The file in which a tablet's process records its screenings and receipts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def said(self, word: str) -> list[list[str]]:
        """Return the words of each complete line that begins with `word`."""
        lines = (line.split() for line in self.path.read_text(encoding="ascii").splitlines(keepends=True))
        return [line for line in lines if line and line[0] == word]


@dataclass
class Struck:
    """Server and tablets under load. `strike` kills some of them and starts them with other clocks."""

    stage: Demo
    workers: Workers
    journals: list[Journal]
    chance: random.Random
    server: int = 0
    tablets: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    harms: Counter[str] = field(default_factory=Counter)

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.stage.server.folders[0]

    def folder(self, number: int) -> Path:
        """Return the folder of a tablet."""
        return self.stage.folder / f"tablet{number}"

    def start_server(self, clocks: Sequence[int] = SERVER_CLOCKS) -> None:
        """Start the server process with a random clock."""
        environment = {
            "CHASKI_DATA": str(self.data),
            "CHASKI_TABLETS_PORT": str(self.stage.server.tablets_port),
            "CHASKI_PEOPLE_PORT": str(self.stage.server.people_port),
            "CHASKI_PEOPLE_SECURE_COOKIE": "no",
            "CHASKI_LOG_LEVEL": "warning",
        }
        self.server = self.workers.serve(environment, clock=self.chance.choice(clocks))

    def start_tablet(self, number: int) -> None:
        """Start or restart a tablet's process with a random clock."""
        clock = self.chance.choice(CLOCKS)
        pid = self.workers.screen(self.folder(number), self.journals[number].path, clock=clock)
        self.tablets[number : number + 1] = [pid]

    def strike(self) -> None:
        """Kill the server, a tablet, or both, and restart them."""
        target = self.chance.choice(("server", "tablet", "both"))
        number = self.chance.randrange(TABLETS)
        if target != "tablet":
            self.workers.kill(self.server)
        if target != "server":
            self.workers.kill(self.tablets[number])
            self.start_tablet(number)
        if target != "tablet":
            self.start_server()
        self.kills[target] += 1

    def harm(self) -> None:
        """Kill the server, take the database back to an older state or spoil it, and restart the server."""
        harm = self.chance.choice(HARM)
        if harm is remove_file:
            self.remove_under_server()
        self.workers.kill(self.server)
        harm(self)
        self.harms[harm.__name__] += 1
        if self.is_mixed():
            self.harms["mixed"] += 1
            self.restore_by_hand()
        self.start_server((0,))
        wait_until(lambda: is_healthy(self.stage.server.tablets_url), "the server did not start again")

    def is_mixed(self) -> bool:
        """Return True if old and new pages stand side by side: the log was harmed just when a part of it was merged."""
        copied = self.stage.folder / "copied"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(self.data, copied)
        with closing(sqlite3.connect(copied / "chaski.db")) as c:
            try:
                return bool(c.execute("pragma integrity_check").fetchall() != [("ok",)])
            except sqlite3.DatabaseError:
                return True

    def restore_by_hand(self) -> None:
        """Put the newest copy in the place of a mixed database, as a person must. The server does not start with such a
        file, or `chaski check` names the damage."""
        settings = config.load({"CHASKI_DATA": str(self.data), "CHASKI_PEOPLE_SECURE_COOKIE": "no"})
        with suppress(ConfigError):
            open_services(settings).db.close()
            found = integrity.check_file(self.data / "chaski.db", keys={}, progress=lambda part: None)
            assert found.faults, "nothing names the damage"
        roll_back(self)

    def remove_under_server(self) -> None:
        """Remove the database until a tablet was refused, and put it back: nothing was promised meanwhile."""
        database, away = self.data / "chaski.db", self.data / "away.db"
        database.rename(away)
        refused = self.count_refused()
        wait_until(lambda: self.count_refused() > refused, "no tablet was refused")
        away.rename(database)

    def count_refused(self) -> int:
        """Return how often the server told the tablets that its files are gone."""
        return sum(line[1] == "storage.gone" for journal in self.journals for line in journal.said("cut"))

    def await_progress(self) -> None:
        """Wait until every tablet has new receipts, so that it has recovered from the last kill."""
        had = [len(journal.said("receipted")) for journal in self.journals]
        told = list(zip(self.journals, had, strict=True))
        wait_until(
            lambda: all(len(journal.said("receipted")) > count for journal, count in told),
            "the tablets got no new receipts",
        )


def take_snapshot(struck: Struck) -> None:
    """Keep the folder as it is, as a snapshot of the machine does; nothing else happens."""
    snapshot = struck.stage.folder / "snapshot"
    shutil.rmtree(snapshot, ignore_errors=True)
    shutil.copytree(struck.data, snapshot)


def roll_back(struck: Struck) -> None:
    """Put the last snapshot back, with its mark."""
    shutil.rmtree(struck.data)
    shutil.copytree(struck.stage.folder / "snapshot", struck.data)


def take_older_database(struck: Struck) -> None:
    """Put the database of the last snapshot back, and leave the mark."""
    for ending in ("", "-wal"):
        (struck.data / f"chaski.db{ending}").unlink(missing_ok=True)
        kept = struck.stage.folder / "snapshot" / f"chaski.db{ending}"
        if kept.exists():
            shutil.copy(kept, struck.data)


def rot_log(struck: Struck) -> None:
    """Flip one bit somewhere in the write-ahead log, if the new server has made one."""
    log = struck.data / "chaski.db-wal"
    if raw := bytearray(log.read_bytes() if log.exists() else b""):
        raw[struck.chance.randrange(len(raw))] ^= 1 << struck.chance.randrange(8)
        log.write_bytes(raw)


def cut_log(struck: Struck) -> None:
    """Cut the write-ahead log off somewhere."""
    log = struck.data / "chaski.db-wal"
    if log.exists():
        os.truncate(log, struck.chance.randrange(log.stat().st_size + 1))


def remove_log(struck: Struck) -> None:
    """Delete the write-ahead log."""
    (struck.data / "chaski.db-wal").unlink(missing_ok=True)


def remove_mark(struck: Struck) -> None:
    """Delete the mark beside the database."""
    (struck.data / "chaski.db.mark").unlink()


def rot_page(struck: Struck) -> None:
    """Flip one bit in a page that holds a stored screening, and let the hourly job find it, in one of its runs."""
    database = struck.data / "chaski.db"
    with closing(SqliteDatabase(database)) as db:
        db.truncate_log()
        bodies = [row["body"] for row in db.read().rows("select body from envelopes order by id")]
    body, content = struck.chance.choice(bodies), bytearray(database.read_bytes())
    place = -1
    while place < 0:  # These bytes may lie in two pages.
        start = struck.chance.randrange(len(body) - 32)
        place = content.find(body[start : start + 32])
    content[place] ^= 1 << struck.chance.randrange(7)
    database.write_bytes(content)
    keys = server_keys.load(struck.data / "keys").routes
    with closing(SqliteDatabase(database)) as db:
        assert any(scrub.scrub(db, database, keys=keys, now=now_ms()) for _ in range(SCRUB_RUNS))


def remove_file(struck: Struck) -> None:
    """Nothing more: the file was away while the server ran."""


HARM = (take_snapshot, roll_back, take_older_database, rot_log, rot_page, cut_log, remove_log, remove_mark, remove_file)


@pytest.fixture
def struck(world: World) -> Iterator[Struck]:
    """A published form, certified tablets, and a process that forks the workers."""
    folder = world.data.parent
    stage = Demo(folder, ServerProcess(folder, *free_ports(2)), now_ms, world.pin)
    stage.server.start()
    try:
        list(publish_form(stage))
        for number in range(TABLETS):
            list(enrol_tablet(stage))
            stage.tablet.rename(folder / f"tablet{number}")
    finally:
        stage.server.kill()
    journals = [Journal(folder / f"journal{number}") for number in range(TABLETS)]
    with Workers(folder / "log" / "workers.log") as workers:
        yield Struck(stage, workers, journals, random.Random(SEED))


def look_at(struck: Struck) -> Aftermath:
    """Sync each tablet once more, then read journals, outboxes and database."""
    kept: list[str] = []
    struck.stage.server.start()
    for number in range(TABLETS):
        with Tablet(struck.folder(number)) as survivor:
            survivor.sync()
            assert survivor.status().waiting == 0
            kept += [envelope.jti for envelope in survivor.outbox.envelopes.list_stored()]
    struck.stage.server.kill()
    database = struck.stage.server.folders[0] / "chaski.db"
    assert_intact(database)
    db = SqliteDatabase(database)
    stored = db.read().rows("SELECT id, body, jti, chain, seq, outcome FROM envelopes")
    work_list = db.read().rows("SELECT kind FROM work_items WHERE closed IS NULL")
    db.close()
    return Aftermath(
        screened=frozenset(line[1] for journal in struck.journals for line in journal.said("kept")),
        receipted=frozenset(line[1] for journal in struck.journals for line in journal.said("receipted")),
        kept=tuple(kept),
        stored=tuple((row["jti"], row["chain"], row["seq"], row["outcome"]) for row in stored),
        work_list=tuple(item["kind"] for item in work_list),
        damaged=frozenset(row["id"] for row in stored if envelope_id(row["body"]) != row["id"]),
    )


@pytest.mark.timeout(max(600, 12 * KILLS))
def test_random_kills_of_server_and_tablets_lose_no_screening_and_store_none_twice(struck: Struck) -> None:
    print(f"SEED={SEED} KILLS={KILLS}")
    struck.start_server()
    for number in range(TABLETS):
        struck.start_tablet(number)
    struck.await_progress()
    for number in range(KILLS):
        time.sleep(struck.chance.uniform(0.0, 0.3))
        struck.strike()
        if number % 4 == 3:
            struck.await_progress()
    struck.await_progress()
    for pid in (struck.server, *struck.tablets):
        struck.workers.kill(pid)
    after = look_at(struck)
    cut = sum(len(journal.said("cut")) for journal in struck.journals)
    print(f"{dict(struck.kills)}: {len(after.screened)} screenings, {len(after.receipted)} receipted, {cut} syncs cut")
    assert after.wrongs() == []
    # The kills interrupted real work: there were receipts between kills, and interrupted requests.
    assert len(after.receipted) > KILLS
    assert len(struck.kills) == 3
    assert cut, "no kill of the server interrupted a request"


@pytest.mark.timeout(max(600, 20 * HARMS))
def test_random_harm_to_the_database_loses_no_screening_and_stores_none_twice(struck: Struck) -> None:
    print(f"SEED={SEED} HARMS={HARMS}")
    SqliteDatabase(struck.data / "chaski.db").close()  # Merges the log: form and tablets must not stand in it alone.
    take_snapshot(struck)
    struck.start_server((0,))
    for number in range(TABLETS):
        struck.start_tablet(number)
    for _ in range(HARMS):
        struck.await_progress()
        struck.harm()
    struck.await_progress()
    for pid in (struck.server, *struck.tablets):
        struck.workers.kill(pid)
    after = look_at(struck)
    told = set(after.work_list)
    print(f"{dict(struck.harms)}: {len(after.screened)} screenings, {len(after.receipted)} receipted, told: {told}")
    assert replace(after, work_list=()).wrongs() == []
    assert told <= {"went_back", "ahead", "rollout"}, "no gap, no fork, nothing held"
    assert len(after.receipted) > HARMS


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
        ({"stored": (GOOD.stored[0], ("b", "chain", 2, "fork"))}, "a screening was not stored as such"),
        ({"work_list": ("gap",)}, "the work list has an item"),
        ({"damaged": frozenset({"a"})}, "stored bytes are damaged"),
    ],
)
def test_the_check_after_the_kills_detects_each_broken_promise(change: dict[str, object], wrong: str) -> None:
    assert GOOD.wrongs() == []
    assert replace(GOOD, **change).wrongs() == [wrong]  # type: ignore[arg-type]
