"""A database as a whole file: copied while others write to it, and looked through before a copy of it is served. Backup
and restore use it. A copy is one moment of the database, with nothing of what was deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from server.database.sqlite import Connection, row, rows

# How many of SQLite's steps pass between two calls of `progress`.
_STEPS = 20_000


@dataclass(frozen=True)
class Holdings:
    """How much is in a database."""

    envelopes: int
    tablets: int
    people: int
    form_versions: int


def size(database: Path) -> int:
    """The most bytes that a copy can need: the file, and what is still in its write-ahead log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def copy(database: Path, into: Path, progress: Callable[[], None]) -> None:
    """Copy the database into an empty file in one reading transaction: writers go on, and none is half in it."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reading:
        reading.set_progress_handler(progress, _STEPS)
        reading.execute("vacuum into ?", [str(into)])


def faults(c: Connection) -> list[str]:
    """What SQLite finds wrong with a database: damaged pages, rows that refer to none. Empty: nothing."""
    damage = [str(item["integrity_check"]) for item in rows(c, "pragma integrity_check(5)")]
    strays = [f"{item['table']} refers to a missing {item['parent']}" for item in rows(c, "pragma foreign_key_check")]
    return [each for each in damage if each != "ok"] + sorted(set(strays))


def holdings(c: Connection) -> Holdings:
    """Count what people ask for first."""
    counts = row(
        c,
        "select (select count(*) from envelopes) as envelopes, (select count(*) from devices) as tablets,"
        " (select count(*) from people) as people,"
        " (select count(*) from versions where state in ('published', 'closing', 'retired')) as form_versions",
    )
    assert counts is not None
    return Holdings(**counts)


def newest_time(c: Connection) -> int:
    """The newest time in a database, by the clock of the server that wrote it (milliseconds)."""
    found = row(
        c,
        "select max(at) as at from (select max(at) as at from audit union all select max(received) from documents"
        " union all select max(received) from envelopes union all select max(seen) from devices)",
    )
    return int(found["at"]) if found and found["at"] else 0


def renew(w: Connection, *, generation: str) -> None:
    """Give the database a new name, and end what belonged to the lost one: sessions, tokens and open enrolment codes.

    A token that was revoked after the copy was made would open the door again.
    """
    w.execute("update meta set value = ? where name = 'generation'", [generation])
    w.execute("delete from sessions")
    w.execute("delete from tokens")
    w.execute("update enrolment_codes set expires = 0 where used is null")
