"""What `make bench` measures of a database that intake has filled: a page of a queue, and the checks for damage."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bench import raw_limits
from bench.figure import Figure, least_seconds, limit_ms
from bench.server import BenchSite, cpu_seconds, sign_in
from server import server_keys
from server.cli.terminal import now_ms
from server.database import snapshot
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit, integrity, scrub
from server.store.audit import iterate_rows

PAGES = 50
"""Pages of one measurement: the operating system counts CPU in hundredths of a second."""


def upkeep(site: BenchSite, quick: bool) -> Iterator[Figure]:
    """A page of the longest queue, verifying the audit trail, checking everything, and one run of the scrub job."""
    yield _queue_page(site, PAGES // 10 if quick else PAGES)
    copy = raw_limits.snapshot(site.server.folders[0] / "chaski.db", site.folder / "checked.db")
    keys = server_keys.load(site.server.folders[0] / "keys").routes
    with snapshot.open_reading(copy) as c:
        verified = _seconds(lambda: audit.verify(c))
        hashed = least_seconds(lambda: [hashlib.sha256(repr(row).encode()) for row in iterate_rows(c)])
    yield Figure("audit.verify", "verifying the audit trail", verified, "s", None, hashed, "one SHA-256 of each row")
    checked = _seconds(lambda: integrity.check_file(copy, keys=keys, progress=lambda part: None))
    limit_is = "SQLite's own check, and one SHA-256 of each envelope"
    yield Figure("database.check", "checking the whole database", checked, "s", None, _check_bare(copy), limit_is)
    with closing(SqliteDatabase(copy)) as db:
        taken = _seconds(lambda: scrub.scrub(db, copy, keys=keys, now=now_ms()))
    yield Figure("database.scrub", "one run of the scrub job", taken, "s")


def _seconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def _queue_page(site: BenchSite, times: int) -> Figure:
    """The server's CPU for the first page of its longest queue, HTTP included."""
    with closing(sqlite3.connect(f"file:{site.server.folders[0] / 'chaski.db'}?mode=ro", uri=True)) as c:
        queue, mode, length = c.execute(
            "select queue, mode, count(*) as length from referrals where state <> 'closed' group by queue, mode"
            " order by length desc"
        ).fetchone()
        (login,) = c.execute(
            "select login from people p join memberships m on m.person = p.id join queue_groups g on g.desk_group ="
            " m.desk_group where g.queue = ?",
            [queue],
        ).fetchone()
        bare = (
            "select * from referrals r join envelopes e on e.id = r.envelope join routes t on t.envelope = r.envelope"
            " where r.queue = ? and r.mode = ? and r.state <> 'closed'"
            " order by r.deadline, r.arrival limit 100"
        )
        limit = limit_ms(lambda _: c.execute(bare, [queue, mode]).fetchall(), [0], times, time.process_time)
    with sign_in(site, login) as desk:
        address = f"/v1/queues/{queue}?mode={mode}"
        desk.get(address)
        before = cpu_seconds(site.pid)
        for _ in range(times):
            desk.get(address)
        after = cpu_seconds(site.pid)
    used = None if before is None or after is None else (after - before) * 1000 / times
    about = f"a page of a queue with {length:,} open referrals, server's CPU"
    return Figure("queue.page", about, used, "ms", 20, limit, "bare SQLite, the same rows")


def _check_bare(database: Path) -> float:
    """Seconds of SQLite's own check, and of one SHA-256 over each stored body."""

    def read_all() -> None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as c:
            c.execute("pragma integrity_check").fetchall()
            for (body,) in c.execute("select body from envelopes"):
                hashlib.sha256(body).digest()

    return least_seconds(read_all)
