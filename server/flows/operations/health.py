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
from server.store.gauges import Queued
from server.store.jobs import Run

_PULSE_MS = 10_000
_ROOM = 8 * 1024 * 1024  # the largest sync there is


@dataclass(frozen=True)
class Figures:
    """What an operator sees: how much waits, how much is stored, how much room there is. Nothing names anybody."""

    queued: Queued
    work: Mapping[str, int]
    events: int
    database: int
    log: int
    free: int
    runs: Mapping[str, Run]
    backup: int | None


def beat(db: Database, config: Config, *, now: int) -> None:
    """Write to the database, unless it was done just now, and see that there is room for a batch of envelopes.

    Raises what SQLite raises when it cannot be written; Problem `storage.full` before it comes to that.
    """
    last = meta.pulse(db.read())
    if last is not None and 0 <= now - last < _PULSE_MS:
        return
    if shutil.disk_usage(config.data).free < _ROOM:
        raise Problem("storage.full")
    with db.write() as w:
        if w.remaining_bytes() < _ROOM:
            raise Problem("storage.full")
        meta.set_pulse(w, now)


def figures(db: Database, config: Config, keys: ServerKeys, *, now: int) -> Figures:
    """Return the figures of this moment."""
    c = db.read()
    return Figures(
        queued=gauges.queued(c, now),
        work=gauges.work(c),
        events=gauges.events(c),
        database=config.database.stat().st_size,
        log=_size(config, "-wal"),
        free=shutil.disk_usage(config.data).free,
        runs=jobs.last(c),
        backup=backup.newest(config.backup_folder, keys) if config.backup_folder else None,
    )


def _size(config: Config, suffix: str) -> int:
    path = config.database.with_name(config.database.name + suffix)
    return path.stat().st_size if path.exists() else 0
