"""Copies a SQLite file while others write to it, and checks a copy. A copy is one moment of the database,
with nothing of what was deleted. Backup and restore use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from server.database.connection import Connection

# How many of SQLite's steps pass between two calls of `progress`.
_STEPS = 20_000


def max_copy_bytes(database: Path) -> int:
    """The most bytes that a copy can need: the file, and what is still in its write-ahead log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def copy_database(database: Path, into: Path, progress: Callable[[], None]) -> None:
    """Copy the database into an empty file in one reading transaction: writers go on, and none is half in it."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reading:
        reading.set_progress_handler(progress, _STEPS)
        reading.execute("vacuum into ?", [str(into)])


def find_faults(c: Connection) -> list[str]:
    """What SQLite finds wrong with a database: damaged pages, rows that refer to none. Empty: nothing."""
    damage = [str(item["integrity_check"]) for item in c.rows("pragma integrity_check(5)")]
    strays = [f"{item['table']} refers to a missing {item['parent']}" for item in c.rows("pragma foreign_key_check")]
    return [each for each in damage if each != "ok"] + sorted(set(strays))
