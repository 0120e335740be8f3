"""The one SQLite file behind the server: one writer for the whole process, one reader per thread, migrated when opened.
Flows take their transactions from it; stores get the connection handed in. It holds no SQL beyond pragmas."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from server.database.connection import Connection, Parameters, Row, savepoint
from server.database.form_migrations import migrations

T = TypeVar("T")

# synchronous=FULL: a receipt is a promise that outlives a power cut. temp_store=MEMORY: no temporary file anywhere.
_PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "temp_store=MEMORY",
    "recursive_triggers=ON",
)


class SqliteConnection:
    """One connection to a SQLite file; outside a transaction each statement commits by itself."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.conn.in_transaction

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:
        """Execute one statement."""
        return self.conn.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:
        """Execute one statement for each sequence of parameters."""
        return self.conn.executemany(sql, parameters)

    def rows(self, sql: str, parameters: Parameters = (), /) -> list[Row]:
        """All rows of a query, read to the end: a forgotten iterator would keep a reading transaction open."""
        cursor = self.conn.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor]

    def row(self, sql: str, parameters: Parameters = (), /) -> Row | None:
        """The only row of a query, or None."""
        return next(iter(self.rows(sql, parameters)), None)

    def commit(self) -> None:
        """Commit the open transaction; nothing happens when there is none."""
        self.conn.commit()

    def rollback(self) -> None:
        """Roll the open transaction back; nothing happens when there is none."""
        self.conn.rollback()

    def remaining_bytes(self) -> int:
        """How many bytes more the database may hold by its own bound, which only the writing connection knows."""
        names = ("page_size", "max_page_count", "page_count", "freelist_count")
        size, most, used, free = (int(self.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        return size * (most - used + free)


class SqliteDatabase:
    """The database in one SQLite file; implements `connection.Database`."""

    def __init__(self, path: Path, *, max_mib: int = 0) -> None:
        """Open the file, make it when there is none, and bring its tables up to date.

        Past `max_mib` (0: no bound) a transaction fails as on a full disk. sqlite3.DatabaseError for a file that is
        no database, and for one that a newer program made.
        """
        self._path = path
        self._lock = threading.RLock()
        self._writer = _connect(path)
        self._local = threading.local()
        self._readers: list[SqliteConnection] = []
        self._changed = threading.Condition()
        self._waiting: list[tuple[Callable[[Connection], Any], Future[Any]]] = []
        self._has_leader = False
        path.chmod(0o600)
        _refuse_newer(self._writer)
        migrations.apply(sqlite_utils.Database(self._writer.conn))
        if max_mib:
            (page,) = self._writer.execute("PRAGMA page_size").fetchone()
            self._writer.execute(f"PRAGMA max_page_count={max_mib * 2**20 // page}")

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

    def group_commit(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction of which others take part; return what it returned once that is on disk.

        A commit costs as much for one as for many (group commit): the first to come leads, and carries out the work of
        all who came while the one before was writing. Work that fails is undone alone; a failed commit fails for all.
        """
        future: Future[T] = Future()
        with self._changed:
            self._waiting.append((work, future))
            self._changed.wait_for(lambda: future.done() or not self._has_leader)
            if future.done():
                return future.result()
            batch, self._waiting, self._has_leader = self._waiting, [], True
        try:
            self._run_batch(batch)
        finally:
            with self._changed:
                self._has_leader = False
                self._changed.notify_all()
        return future.result()

    def _run_batch(self, batch: Sequence[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        try:
            with self.write() as w:
                outcomes = [_attempt(w, work) for work, _ in batch]
        except BaseException as error:
            for _, waiting in batch:
                waiting.set_exception(error)
            raise
        for (_, waiting), (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                waiting.set_result(result)
            else:
                waiting.set_exception(failure)

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for the transaction that is being written."""
        return len(self._waiting)

    def read(self) -> Connection:
        """This thread's reading connection, which sees everything committed and cannot write."""
        connection: SqliteConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self._path)
            connection.conn.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            self._readers.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection; the write-ahead log is folded into the file."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.conn.close()


def _refuse_newer(connection: SqliteConnection) -> None:
    # Its tables may mean what this program does not know: writing to them could lose what stands in them.
    known = {step.name for step in migrations.pending(sqlite_utils.Database(memory=True))}
    newer = [step.name for step in migrations.applied(sqlite_utils.Database(connection.conn)) if step.name not in known]
    if newer:
        raise sqlite3.DatabaseError(f"a newer Chaski made it ({', '.join(newer)}); update the program")


def _attempt(w: Connection, work: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    try:
        with savepoint(w):
            return work(w), None
    except Exception as error:
        if not w.in_transaction:
            raise
        return None, error


def _connect(path: Path) -> SqliteConnection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=10, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return SqliteConnection(connection)
