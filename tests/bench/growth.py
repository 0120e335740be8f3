"""What `make bench SCALE=1000000` measures: every job, list and figure of a server with so many stored screenings.

For each: CPU, and the longest time that it held the writer. Intake of one screening may cost a fifth more than with
10,000 stored ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

import pyrage

from bench.figure import Figure, median_ms
from bench.stored_screenings import StoredTablet, build, seal_next
from server import jobs, server_keys
from server.ceremony import founding
from server.config import Config
from server.database.connection import Connection
from server.database.sqlite import SqliteDatabase
from server.flows.desks import queues, routing, worklist
from server.flows.desks.routing import Rulebook
from server.flows.forms import inventory
from server.flows.intake import sync_group
from server.flows.operations import health, reports
from server.server_keys import ServerKeys
from server.store import meta, people, statuses
from server.store.people import StaffAccount
from support.databases import writing_connection
from sync.durations import DAY
from sync.exchange import messages
from sync.exchange.messages import Message, Request

NOW = 1_795_000_000_000
SMALL, TABLETS, SINGLES = 10_000, 5_009, 300
"""The screenings beside which intake is measured, the tablets of every database, the requests of one screening each."""
MOST_HELD, MOST_TIMES = 20, 1.2
"""Milliseconds that a job may hold the writer; how many times as much a screening may cost as among SMALL others."""


class TimedDatabase(SqliteDatabase):
    """A database that keeps the longest time (ms) that one transaction, or the merge of the log, held the writer."""

    longest = 0.0

    @contextmanager
    def write(self, *, patience: float | None = None) -> Iterator[Connection]:
        """Open a transaction as the server does, and time it with its commit."""
        with super().write(patience=patience) as w:
            begun = time.perf_counter()
            yield w
        self._keep(begun)

    def try_to_truncate_log(self) -> bool:
        """Empty the log as the server does, and time it."""
        begun = time.perf_counter()
        done = super().try_to_truncate_log()
        self._keep(begun)
        return done

    def _keep(self, begun: float) -> None:
        self.longest = max(self.longest, (time.perf_counter() - begun) * 1000)


@dataclass(frozen=True)
class GrownServer:
    """A founded server with stored screenings, and its tablets."""

    config: Config
    db: TimedDatabase
    tablets: Sequence[StoredTablet]

    @cached_property
    def keys(self) -> ServerKeys:
        """The server's keys."""
        return server_keys.load(self.config.keys)

    @cached_property
    def rulebook(self) -> Rulebook:
        """Its rules and deadlines."""
        return Rulebook(routing.read_rules(), self.config.deadline_hours)


def growth(folder: Path, scale: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Build two servers, one with SMALL and one with `scale` screenings; measure intake in both, all else in the large
    one."""
    tablets = min(TABLETS, scale // 2)
    small = found_server(folder / "small", min(SMALL, scale), tablets, say)
    large = found_server(folder / "large", scale, tablets, say)
    say(f"pushing into a server with {scale:,} screenings, and into one with {SMALL:,}")
    yield _intake(small, large, scale)
    small.db.close()
    say(f"running jobs and reading lists beside {scale:,} screenings")
    yield from _read_lists(large)
    yield from _run_jobs(large, folder)
    large.db.close()


def found_server(folder: Path, screenings: int, tablets: int, say: Callable[[str], None]) -> GrownServer:
    """Found a demo server and fill it. While it is filled, it does not wait for the disk."""
    founded = NOW - 401 * DAY
    made = founding.create_demo_server(folder / "server", folder / "people", now=founded, progress=lambda step: None)
    made.db.close()
    db = TimedDatabase(made.config.database)
    writer = writing_connection(db)
    for pragma in ("synchronous=off", "cache_size=-400000", "wal_autocheckpoint=50000"):
        writer.execute(f"pragma {pragma}")
    stored = build(db, screenings, tablets, now=NOW, progress=say)
    for pragma in ("synchronous=full", "cache_size=-2000", "wal_autocheckpoint=1000"):
        writer.execute(f"pragma {pragma}")
    db.truncate_log()
    return GrownServer(replace(made.config, backup_folder=None), db, stored)


def _intake(small: GrownServer, large: GrownServer, scale: int) -> Figure:
    """The server's CPU for one screening in one request, in the large database beside the small one, in turn: the
    machine's speed changes. Neither waits for the disk, which would cost the CPU of reading ahead."""
    for server in (small, large):
        _read_once(server.config.database)
    pairs = [
        (_push_single(small, number), _push_single(large, number)) for number in range(min(SINGLES, len(small.tablets)))
    ]
    costs = [median(taken) for taken in zip(*pairs, strict=True)]
    about = f"intake of one screening, {scale:,} stored by {min(SMALL, scale):,} stored"
    return Figure("growth.intake", about, costs[1] / costs[0], "x", MOST_TIMES, costs[0], "CPU of the small one in ms")


def _read_once(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        while opened.read(2**20):
            pass


def _push_single(server: GrownServer, number: int) -> float:
    """Return the CPU milliseconds of a request with one screening from the tablet of this number."""
    message = _write_request(server, server.tablets[number])
    begun = time.process_time()
    (answer,) = sync_group.answer_group(server.db, [message], keys=server.keys, rulebook=server.rulebook, now=NOW)
    used = (time.process_time() - begun) * 1000
    items = answer.items if answer else ()
    if [item.outcome for item in items] not in (["stored"], ["held"]):
        raise RuntimeError(f"a screening was answered with {items}")
    return used


def _write_request(server: GrownServer, tablet: StoredTablet) -> Message:
    """Write the request of a tablet that has everything the server had for it, but one screening more."""
    held, c = {"trust": 1, "registry": 1, "manifest": 1}, server.db.read()
    known = {"generation": meta.get_generation(c), "cursor": statuses.last_cursor(c)}
    request = Request(n=2, at=NOW, envelopes=(seal_next(c, tablet),), **held, **known)  # type: ignore[arg-type]
    return messages.write_request(request, tablet.key)


def _read_lists(server: GrownServer) -> Iterator[Figure]:
    """Wall milliseconds of the first and of a late page of each list, of the figures for operators, of reports."""
    for name, read in list_reads(server).items():
        taken = median_ms(lambda asked: asked(), [read], 5)
        yield Figure(f"growth.{name}", f"reading {name.replace('_', ' ')}", taken, "ms")


def list_reads(server: GrownServer) -> dict[str, Callable[[], object]]:
    """Return, by name, what the endpoints read that list or count what grows."""
    db, config, keys = server.db, server.config, server.keys
    desk, national = (_find_person(db.read(), group) for group in ("17-protection", "national"))
    queue = "17-protection"
    late = queues.list_referrals(db, desk, queue, mode="field", most=500)[-1][0].id
    (last,) = db.read().execute("select max(id) from work_items").fetchone()
    (rows,) = db.read().execute("select max(number) from audit").fetchone()
    middle = server.tablets[len(server.tablets) // 2].key.kid
    return {
        "queue_counts": lambda: queues.count_queues(db, national, mode="field", now=NOW),
        "queue": lambda: queues.list_referrals(db, desk, queue, mode="field", most=101),
        "queue_late": lambda: queues.list_referrals(db, desk, queue, mode="field", after=late, most=101),
        "work_list": lambda: worklist.list_items(db, national, kept=False, most=101),
        "work_list_of_a_desk": lambda: worklist.list_items(db, desk, kept=False, after=last // 2, most=101),
        "kept_apart": lambda: worklist.list_items(db, national, kept=True, most=101),
        "kept_apart_of_a_desk": lambda: worklist.list_items(db, desk, kept=True, after=last // 2, most=101),
        "work_item": lambda: worklist.get_item(db, national, last),
        "tablets": lambda: reports.list_tablets(db, most=101),
        "tablets_late": lambda: reports.list_tablets(db, after=middle, most=101),
        "audit": lambda: reports.read_audit(db, after=rows // 2),
        "metrics": lambda: health.measure(db, config, keys, now=NOW),
        "inventory": lambda: inventory.take_inventory(db, region=None, silent_days=7, now=NOW),
    }


def _find_person(c: Connection, group: str) -> StaffAccount:
    (id_,) = c.execute("select person from memberships where desk_group = ? limit 1", [group]).fetchone()
    found = people.get_account(c, id_)
    assert found is not None
    return found


def _run_jobs(server: GrownServer, folder: Path) -> Iterator[Figure]:
    """CPU of each job's run, and the longest time that it held the writer."""
    (folder / "backups").mkdir()
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    config = replace(server.config, backup_folder=folder / "backups", backup_recipient=recipient)
    for job in jobs.JOBS:
        server.db.longest, begun = 0.0, time.process_time()
        done = jobs.run_job(job, server.db, config, NOW)
        used = time.process_time() - begun
        yield Figure(f"growth.{job.name}.cpu", f"job {job.name}, CPU of a run that changed {done:,}", used, "s")
        about = f"    the longest time that {job.name} held the writer"
        yield Figure(f"growth.{job.name}.held", about, server.db.longest, "ms", MOST_HELD)
