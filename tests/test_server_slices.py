"""No job holds the writer for long, however much there is to do: each transaction changes few rows, in few steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bench.stored_screenings import StoredTablet, build
from conftest import FOUNDED, World
from server import jobs
from server.database.connection import Connection
from server.database.sqlite import SqliteDatabase, log_of
from server.flows.desks import referrals
from server.store import chains, sessions, worklist
from server.store import referrals as referral_store
from support.databases import writing_connection
from sync.durations import DAY, HOUR

NOW = FOUNDED + 500 * DAY
SCREENINGS, TABLETS = 1_500, 450
MOST_ROWS = 1_000
"""Rows that one transaction of a job may change: index entries besides, it takes some milliseconds."""
MOST_STEPS = 100
"""Thousands of steps of SQLite's machine in one transaction: some milliseconds too."""


class CountingDatabase(SqliteDatabase):
    """A database that counts the changed rows and SQLite's steps (in thousands) of each transaction, and then the bytes
    of its log."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rows: list[int] = []
        self.steps: list[int] = []
        self.logs: list[int] = []
        self.log = log_of(path)

    @contextmanager
    def write(self, *, patience: float | None = None) -> Iterator[Connection]:
        """Open a transaction as the server does, and count."""
        with super().write(patience=patience) as w:
            conn, steps = w.conn, [0]  # type: ignore[attr-defined]
            before = conn.total_changes
            conn.set_progress_handler(lambda: steps.append(0), 1_000)
            yield w
            conn.set_progress_handler(None, 0)
            self.rows.append(conn.total_changes - before)
            self.steps.append(len(steps) - 1)
        self.logs.append(self.log.stat().st_size)


@pytest.fixture(name="db", scope="module")
def filled_database(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountingDatabase]:
    """A server with more of everything than a job does at once."""
    copy = tmp_path_factory.mktemp("slices") / "chaski.db"
    with closing(SqliteDatabase(founded_world.config.database)) as source:
        writing_connection(source).execute("vacuum into ?", [str(copy)])
    with closing(CountingDatabase(copy)) as db:
        writing_connection(db).execute("pragma synchronous = off")
        tablets = build(db, SCREENINGS, TABLETS, now=NOW)
        _add_work(db, tablets)
        yield db


def _add_work(db: SqliteDatabase, tablets: list[StoredTablet]) -> None:
    (person,) = db.read().execute("select id from people limit 1").fetchone()
    waiting = db.read().execute("select id from referrals where state = 'waiting' limit 130").fetchall()
    for (id_,) in waiting:
        referrals.claim_referral(db, id_, person, now=NOW, lease_minutes=1)
    with db.write() as w:
        for tablet in tablets:
            chains.promise(w, tablet.key.kid, tablet.chain, tablet.seq + 2)
            worklist.add_item(w, kind="ahead", dev=tablet.key.kid, reason="trust.1", at=NOW)
        for number in range(900):
            sessions.record_failure(w, login=f"{number}", address="192.0.2.1", at=NOW - 2 * DAY)


def run_job(db: CountingDatabase, name: str, world: World, *, at: int) -> int:
    """Run a job as the scheduler does; forget what was counted before."""
    for counted in (db.rows, db.steps, db.logs):
        counted.clear()
    assert db.truncate_log()
    job = next(job for job in jobs.JOBS if job.name == name)
    return jobs.run_job(job, db, world.config, at)


@pytest.mark.parametrize(
    ("name", "done"),
    [("leases", 130), ("silence", 450), ("gaps", 0), ("trust", 0), ("routes", 1_100), ("sign_ins", 900), ("scrub", 0)],
)
def test_no_transaction_of_a_job_changes_many_rows(
    db: CountingDatabase, founded_world: World, name: str, done: int
) -> None:
    assert run_job(db, name, founded_world, at=NOW + 40 * DAY) >= done
    assert max(db.rows) <= MOST_ROWS
    assert max(db.steps) <= MOST_STEPS
    assert len(db.rows) > done / MOST_ROWS
    if name == "routes":  # Each part is merged beside the writers, so that no commit has to merge much.
        assert max(db.logs) < 2 * db.logs[0]


def test_the_gaps_of_all_tablets_are_on_the_list_after_a_run_in_slices(
    db: CountingDatabase, founded_world: World
) -> None:
    run_job(db, "gaps", founded_world, at=NOW)
    found = worklist.list_open(db.read(), kind="gap")
    assert len(found) == TABLETS
    assert run_job(db, "gaps", founded_world, at=NOW + 4 * DAY) == TABLETS


def test_counting_a_long_queue_ends_early(db: CountingDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    c, queue = db.read(), "17-protection"
    whole = referral_store.count_open(c, [queue], "field", now=NOW)[queue]
    assert whole["waiting"] > 3
    monkeypatch.setattr(referral_store, "MOST_COUNTED", 3)
    assert referral_store.count_open(c, [queue], "field", now=NOW)[queue]["waiting"] == 3


def test_a_second_run_of_a_job_finds_nothing_left_to_do(db: CountingDatabase, founded_world: World) -> None:
    for name in ("leases", "routes", "sign_ins"):
        run_job(db, name, founded_world, at=NOW + 50 * DAY)
        assert run_job(db, name, founded_world, at=NOW + 50 * DAY + HOUR) == 0
