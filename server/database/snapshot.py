"""Copies a SQLite file during writes, and checks one. A copy is one consistent state, without deleted data. Backup,
restore and the checks for damage use it. Nothing here writes to a server's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import sqlite_utils

from server.database.connection import Connection
from server.database.copies import keep_copies
from server.database.form_migrations import migrations
from server.database.sqlite import SqliteConnection

# What reading a damaged file raises: a changed bit of the schema renames a column, or makes a message of SQLite that
# Python cannot decode; one in a row makes a null or a number of a text.
DAMAGE = (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError)
# The number of SQLite's virtual machine steps between two calls of `progress`.
_STEPS = 20_000


def max_copy_bytes(database: Path) -> int:
    """Return the largest possible size of a copy: the file plus its write-ahead log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def open_reading(database: Path) -> Iterator[SqliteConnection]:
    """Open a database that may be damaged, for reading only. A text that is not UTF-8 is read with its odd bytes."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reading:
        reading.execute("pragma temp_store=memory")
        reading.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        yield SqliteConnection(reading, database)


def copy_database(database: Path, into: Path, progress: Callable[[], None]) -> None:
    """Copy the database into an empty file in one read transaction. Writers continue; no transaction is copied in
    part.

    A damaged database is copied page by page as it is, because SQLite cannot read all of its rows.
    """
    with open_reading(database) as reading:
        reading.conn.set_progress_handler(progress, _STEPS)
        try:
            reading.execute("vacuum into ?", [str(into)])
        except DAMAGE as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            into.write_bytes(b"")
            with closing(sqlite3.connect(into)) as copied:
                reading.conn.backup(copied)


def find_faults(c: Connection, table: str | None = None) -> list[str]:
    """Return SQLite's findings about all tables or one: damaged pages, rows that differ from their copy in an index.
    Empty if the database is sound."""
    try:
        found = c.rows("pragma integrity_check(5)" if table is None else f'pragma integrity_check("{table}")')
    except DAMAGE as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:  # The caller bounds it.
            raise
        return [str(error)]
    return [str(item["integrity_check"]) for item in found if item["integrity_check"] != "ok"]


def find_strays(c: Connection) -> list[str]:
    """Return `table rowid` of each row whose parent is missing."""
    return sorted({f"{item['table']} {item['rowid']}" for item in c.rows("pragma foreign_key_check")})


def find_changed_schema(c: Connection) -> list[str]:
    """Return the names of tables, indexes and triggers that are missing or not as the migrations made them."""
    held = {(item["name"], item["sql"]) for item in c.rows("select name, sql from sqlite_master")}
    return sorted(name for name, sql in _expected_schema() - held)


def is_up_to_date(c: Connection) -> bool:
    """Return True if exactly the migrations of this program made the database."""
    made = {item["name"] for item in c.rows("select name from _sqlite_migrations")}
    return made == {step.name for step in migrations.pending(sqlite_utils.Database(memory=True))}


@cache
def _expected_schema() -> frozenset[tuple[str, str | None]]:
    fresh = sqlite_utils.Database(memory=True)
    migrations.apply(fresh)
    keep_copies(fresh.conn)
    return frozenset(fresh.execute("select name, sql from sqlite_master").fetchall())
