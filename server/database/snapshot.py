"""Copies a SQLite file during writes, and checks a copy. A copy is one consistent state, without deleted data. Backup
and restore use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from server.database.connection import Connection

# The number of SQLite's virtual machine steps between two calls of `progress`.
_STEPS = 20_000


def max_copy_bytes(database: Path) -> int:
    """Return the largest possible size of a copy: the file plus its write-ahead log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def copy_database(database: Path, into: Path, progress: Callable[[], None]) -> None:
    """Copy the database into an empty file in one read transaction. Writers continue; no transaction is copied in
    part."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reading:
        reading.set_progress_handler(progress, _STEPS)
        reading.execute("vacuum into ?", [str(into)])


def find_faults(c: Connection) -> list[str]:
    """Return SQLite's findings: damaged pages, and rows with a missing parent. Empty if the database is sound."""
    damage = [str(item["integrity_check"]) for item in c.rows("pragma integrity_check(5)")]
    strays = [f"{item['table']} refers to a missing {item['parent']}" for item in c.rows("pragma foreign_key_check")]
    return [each for each in damage if each != "ok"] + sorted(set(strays))
