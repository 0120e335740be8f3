"""Whether the server can do its work: store, and look after what is stored. Both doors tell it at /healthz, and metrics
are made of the same figures. It writes one small row at most every ten seconds, however often somebody asks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from server.config import Config
from server.database.connection import Database
from server.flows.operations import backup
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import gauges, jobs, meta
from server.store.gauges import WaitingReferrals
from server.store.jobs import JobRun

_WRITE_CHECK_EVERY = 10_000
_NEEDED_BYTES = 8 * 1024 * 1024  # the largest sync there is


@dataclass(frozen=True)
class HealthFigures:
    """What an operator sees: how much waits, how much is stored, how much room there is. Nothing names anybody."""

    queued: WaitingReferrals
    work: Mapping[str, int]
    events: int
    database: int
    log: int
    free: int
    runs: Mapping[str, JobRun]
    backup: int | None


def check_writable(db: Database, config: Config, *, now: int) -> None:
    """Write to the database, unless it was done just now, and see that there is room for a batch of envelopes.

    Raises what SQLite raises when it cannot be written; Problem `storage.full` before it comes to that.
    """
    last = meta.last_write_check(db.read())
    if last is not None and 0 <= now - last < _WRITE_CHECK_EVERY:
        return
    if shutil.disk_usage(config.data).free < _NEEDED_BYTES:
        raise Problem("storage.full")
    with db.write() as w:
        if w.remaining_bytes() < _NEEDED_BYTES:
            raise Problem("storage.full")
        meta.set_write_check(w, now)


def measure(db: Database, config: Config, keys: ServerKeys, *, now: int) -> HealthFigures:
    """Return the figures of this moment."""
    c = db.read()
    return HealthFigures(
        queued=gauges.count_waiting_referrals(c, now),
        work=gauges.count_open_items(c),
        events=gauges.count_status_events(c),
        database=config.database.stat().st_size,
        log=_file_size(config, "-wal"),
        free=shutil.disk_usage(config.data).free,
        runs=jobs.last_runs(c),
        backup=backup.last_backup_time(config.backup_folder, keys) if config.backup_folder else None,
    )


def _file_size(config: Config, suffix: str) -> int:
    path = config.database.with_name(config.database.name + suffix)
    return path.stat().st_size if path.exists() else 0
