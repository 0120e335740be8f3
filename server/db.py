"""The one SQLite file behind the server: one writer for the whole process, one reader per thread, migrated when opened.
Flows take their transactions from it; stores get the connection handed in. It holds no SQL beyond pragmas."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlite_utils

from server.migrations import migrations

Connection = sqlite_utils.Database
Row = dict[str, Any]

# synchronous=FULL: a receipt is a promise that outlives a power cut. temp_store=MEMORY: no temporary file anywhere.
_PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "temp_store=MEMORY",
)


class Db:
    """The database. `read()` gives this thread's reading connection, `write()` the one transaction that may write."""

    def __init__(self, path: Path) -> None:
        """Open the file, make it when there is none, and bring its tables up to date."""
        self._path = path
        self._lock = threading.RLock()
        self._writer = _connect(path)
        self._local = threading.local()
        self._readers: list[Connection] = []
        path.chmod(0o600)
        migrations.apply(self._writer)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One durable transaction: everything in the block is stored, or nothing. Blocks do not nest.

        BEGIN IMMEDIATE takes the write lock at once; a deferred transaction would fail with "database is locked" when
        it turns from reading to writing behind another writer.
        """
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.commit()
            except BaseException:
                self._writer.rollback()
                raise

    def read(self) -> Connection:
        """This thread's reading connection, which sees everything committed and cannot write."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self._path)
            connection.conn.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._lock:
                self._readers.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection; the write-ahead log is folded into the file."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()


def rows(connection: Connection, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
    """All rows of a query. Read to the end, so that no reading transaction stays open behind a forgotten iterator.

    Not sqlite-utils' own `query`, which puts two savepoint statements around each read.
    """
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, found, strict=True)) for found in cursor]


def row(connection: Connection, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Row | None:
    """The only row of a query, or None."""
    return next(iter(rows(connection, sql, parameters)), None)


def _connect(path: Path) -> Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=10)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return Connection(connection)
