"""Health checks: can the server store screenings, and do its jobs run? Both APIs return the result at /healthz, and the
metrics use the same figures.

It writes one small row at most every ten seconds, however many requests arrive.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from server.config import Config
from server.database.connection import Database
from server.flows import damage
from server.flows.operations import backup
from server.flows.trust import expiry
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import envelopes, gauges, jobs, meta
from server.store.gauges import WaitingReferrals
from server.store.jobs import JobRun

_WRITE_CHECK_EVERY = 10_000
PATIENCE = 1.0  # Seconds: a monitor gets its answer while a writer holds the database.
_NEEDED_BYTES = 8 * 1024 * 1024  # the largest sync there is


@dataclass(frozen=True)
class HealthFigures:
    """Figures for operators: how much waits, how much is stored, how much space is free. They identify no person or
    tablet."""

    queued: WaitingReferrals
    work: Mapping[str, int]
    events: int
    database: int
    log: int
    free: int
    runs: Mapping[str, JobRun]
    backup: int | None
    damaged: int
    trust_left: int | None


def check_writable(db: Database, config: Config, *, now: int) -> None:
    """Write to the database unless the last check is recent, and check the free space for a batch of envelopes.

    Raises SQLite's own error if the database is not writable, DatabaseBusyError if another writer holds it for more
    than a second, DatabaseGoneError if the next start would open another one, and Problem `storage.full` before space
    runs out.
    """
    db.require_place()
    last = meta.last_write_check(db.read())
    if last is not None and 0 <= now - last < _WRITE_CHECK_EVERY:
        return
    if shutil.disk_usage(config.data).free < _NEEDED_BYTES:
        raise Problem("storage.full")
    with db.write(patience=PATIENCE) as w:
        if w.space().left < _NEEDED_BYTES:
            raise Problem("storage.full")
        meta.set_write_check(w, now)


def measure(db: Database, config: Config, keys: ServerKeys, *, now: int) -> HealthFigures:
    """Return the current figures."""
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
        damaged=envelopes.count_damaged(c),
        trust_left=expiry.time_left(c, now),
    )


def is_damaged(db: Database) -> bool:
    """Return True if the server knows of damage in its database. It goes on storing screenings."""
    c = db.read()
    return gauges.has_open_item(c, damage.KIND) or envelopes.has_damaged(c)


def _file_size(config: Config, suffix: str) -> int:
    path = config.database.with_name(config.database.name + suffix)
    return path.stat().st_size if path.exists() else 0
