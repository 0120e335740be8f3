"""The server's one SQLite file: one writing connection per process, one reading connection per thread; opening it
applies migrations.

Flows open transactions here and pass the connection to stores. This module must not hold SQL other than pragmas.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from server.database.connection import (
    WRITE_PATIENCE,
    Connection,
    DatabaseBusyError,
    DatabaseGoneError,
    Parameters,
    Row,
    Space,
    savepoint,
)
from server.database.copies import keep_copies
from server.database.form_migrations import migrations
from sync.file_identity import SqliteFiles

T = TypeVar("T")

# How long a statement waits for a lock (ms); how long the merge of the log is tried, and the pause between two tries
# (seconds).
_PATIENCE_MS, _MERGE_PATIENCE, _MERGE_PAUSE = 10_000, 0.5, 0.02
# The most bytes that a request stores after it asked for the space: its body of 8 MiB, and indexes.
_MOST_AT_ONCE = 32 * 2**20
# synchronous=FULL: a receipt is a promise that outlives a power cut. temp_store=MEMORY: no temporary file anywhere.
_PRAGMAS = (
    f"busy_timeout={_PATIENCE_MS}",  # While it opens; afterwards each write says how long it waits.
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "temp_store=MEMORY",
    "recursive_triggers=ON",
    f"journal_size_limit={4 * 2**20}",
)


class SqliteConnection:
    """One connection to a SQLite file; outside a transaction each statement commits by itself.

    `most_bytes`: the limit of the file and its log; 0 = the disk alone.
    """

    most_bytes = 0
    _patience = _PATIENCE_MS
    _space, _answers_left, _measured = Space(0, 0), 0, 0.0

    def __init__(self, conn: sqlite3.Connection, path: Path) -> None:
        self.conn, self._path, self._log, self._folder = conn, path, log_of(path), path.parent

    @cached_property
    def _page_bytes(self) -> int:
        return int(self.conn.execute("PRAGMA page_size").fetchone()[0])

    @property
    def in_transaction(self) -> bool:
        """Return True if a transaction is open."""
        return self.conn.in_transaction

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:
        """Execute one statement."""
        return self.conn.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:
        """Execute one statement for each sequence of parameters."""
        return self.conn.executemany(sql, parameters)

    def rows(self, sql: str, parameters: Parameters = (), /) -> list[Row]:
        """Return all rows of a query, read to the end. An open iterator would keep a read transaction open."""
        cursor = self.conn.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor]

    def row(self, sql: str, parameters: Parameters = (), /) -> Row | None:
        """Return the only row of a query, or None."""
        return next(iter(self.rows(sql, parameters)), None)

    def commit(self) -> None:
        """Commit the open transaction. Does nothing if there is none."""
        self.conn.commit()

    def rollback(self) -> None:
        """Roll the open transaction back. Does nothing if there is none."""
        self.conn.rollback()

    def space(self) -> Space:
        """Return the space that the database may use, its log included. Only the writing connection knows its limit.

        It is measured anew each second, because other programs fill the disk too, and after so many calls as could
        store a hundredth of what was left.
        """
        self._answers_left -= 1
        if self._answers_left < 0 or time.monotonic() >= self._measured + 1:
            self._space, self._measured = self._measure_space(), time.monotonic()
            self._answers_left = self._space.left // (100 * _MOST_AT_ONCE)
        return self._space

    def _measure_space(self) -> Space:
        used = _size_of(self._path) + _size_of(self._log)
        whole = used + shutil.disk_usage(self._folder).free
        if self.most_bytes:
            whole = min(whole, self.most_bytes)
        (unused,) = self.execute("PRAGMA freelist_count").fetchone()
        return Space(whole, whole - used + unused * self._page_bytes)

    def limit(self, most_bytes: int) -> None:
        """Let the file and its log not grow above a limit; 0 = the disk alone limits them."""
        self.most_bytes, self._answers_left = most_bytes, 0
        if most_bytes:
            self.execute(f"PRAGMA max_page_count={most_bytes // self._page_bytes}")

    def wait_for_locks(self, milliseconds: int) -> None:
        """Let each statement wait so long for a lock."""
        if milliseconds != self._patience:
            self.execute(f"PRAGMA busy_timeout={milliseconds}")
            self._patience = milliseconds


class SqliteDatabase:
    """The database in one SQLite file; implements `connection.Database`."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        max_mib: int = 0,
        on_commit: Callable[[Connection], Callable[[], None]] = lambda connection: lambda: None,
    ) -> None:
        """Open the file and apply the migrations. Only with `create` a missing file is created.

        Above `max_mib` MiB (0 = no limit), log included, a transaction fails as on a full disk. `on_commit` is called
        at the end of each transaction, inside it; what it returns is called after the commit, before the caller of
        `write` or `group_commit` continues. Raises sqlite3.DatabaseError if the file is missing or not a database, or
        if a newer program made it.
        """
        self._path = path
        self._on_commit = on_commit
        self._lock = threading.RLock()
        self._writer = _connect(path, "rwc" if create else "rw")
        self._local = threading.local()
        self._readers: list[SqliteConnection] = []
        self._changed = threading.Condition()
        self._waiting: list[tuple[Callable[[Connection], Any], Future[Any]]] = []
        self._has_leader = False
        self._stuck = False
        path.chmod(0o600)
        _refuse_newer(self._writer)
        migrations.apply(sqlite_utils.Database(self._writer.conn))
        keep_copies(self._writer.conn)
        self._writer.limit(max_mib * 2**20)
        # After the first read the write-ahead log and its index exist.
        self._files = SqliteFiles(path)

    @contextmanager
    def write(self, *, patience: float | None = None) -> Iterator[Connection]:
        """Open a durable transaction: all changes in the block are stored, or none. Blocks do not nest.

        Raises DatabaseBusyError if another writer, in this process or another, does not end within `patience` seconds
        (None: WRITE_PATIENCE). BEGIN IMMEDIATE takes the write lock at once. A deferred transaction could fail with
        "database is locked" when it starts to write after another writer. Raises DatabaseGoneError as
        `require_place` does, after the commit.
        """
        # After one writer waited in vain, the next ones do not wait: their threads must answer other requests.
        wait = 0.0 if self._stuck else WRITE_PATIENCE if patience is None else patience
        if not self._lock.acquire(timeout=wait):
            self._stuck = self._stuck or wait >= WRITE_PATIENCE
            raise DatabaseBusyError
        try:
            self._writer.rollback()  # The rollback before may have failed; then no write would work.
            self._refuse_full_log()
            self._begin(wait)
            try:
                yield self._writer
                after_commit = self._on_commit(self._writer)
                self._writer.commit()
            except BaseException:
                self._writer.rollback()
                raise
            self.require_place()
            after_commit()
        finally:
            self._lock.release()

    def _begin(self, wait: float) -> None:
        self._writer.wait_for_locks(int(wait * 1000))
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            self._stuck = self._stuck or wait >= WRITE_PATIENCE
            raise DatabaseBusyError from error
        self._stuck = False

    def merge_log(self) -> None:
        """Merge the write-ahead log into the file as far as no reader needs it. A reading connection does it, while
        others write; otherwise a commit does it, when the log is long."""
        self.read().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def truncate_log(self) -> bool:
        """Merge the write-ahead log into the file and empty it, so that deleted rows are in neither.

        Tries for half a second, and lets writers work between two tries. Returns False if a reader still needs it.
        """
        until = time.monotonic() + _MERGE_PATIENCE
        self.merge_log()
        while not self.try_to_truncate_log():
            if time.monotonic() >= until:
                return False
            time.sleep(_MERGE_PAUSE)
        return True

    def try_to_truncate_log(self) -> bool:
        """Empty the log if no reader needs it now. Writers wait meanwhile."""
        with self._lock:
            self._writer.wait_for_locks(0)
            return not self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    def _refuse_full_log(self) -> None:
        """Raise SQLite's error for a full disk if file and log are above the limit. A reader that never ends keeps the
        log from being merged, and the limit of pages does not count the log."""
        if self._is_above_limit() and not (self.truncate_log() and not self._is_above_limit()):
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full

    def _is_above_limit(self) -> bool:
        return 0 < self._writer.most_bytes < _size_of(self._path) + _size_of(log_of(self._path))

    def require_place(self) -> None:
        """Raise DatabaseGoneError unless the path leads to the open file and its write-ahead log.

        A file that was moved or replaced still takes commits, but no later start of the server reads them.
        """
        if not self._files.are_in_place():
            raise DatabaseGoneError(f"{self._path} is not the open database any more")

    def group_commit(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction shared with other callers. Returns its result after the commit.

        One commit costs the same for one caller or many (group commit). The first caller leads: it runs the work of all
        callers that arrived during the commit before. Work that fails rolls back alone. A failed commit fails for all,
        unless a damaged page is the cause, which one of them read: then each has a transaction of its own.
        A caller that no leader takes within twice WRITE_PATIENCE leaves with DatabaseBusyError.
        """
        future: Future[T] = Future()
        own = work, future
        with self._changed:
            self._waiting.append(own)
            in_time = self._changed.wait_for(lambda: future.done() or not self._has_leader, 2 * WRITE_PATIENCE)
            if not in_time and own in self._waiting:
                self._waiting.remove(own)
                raise DatabaseBusyError
            self._changed.wait_for(lambda: future.done() or not self._has_leader)
            if future.done():
                return future.result()
            batch, self._waiting, self._has_leader = self._waiting, [], True
        try:
            self._run_batch(batch)
        finally:
            for _, waiting in batch:  # A caller is taken once: without a result it would wait for ever.
                if not waiting.done():
                    waiting.set_exception(RuntimeError("the outcome was lost"))
            with self._changed:
                self._has_leader = False
                self._changed.notify_all()
        return future.result()

    def _run_batch(self, batch: Sequence[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        try:
            with self.write() as w:
                outcomes = [_attempt(w, work) for work, _ in batch]
        except BaseException as error:
            if len(batch) > 1 and isinstance(error, sqlite3.Error) and is_damage(error):
                for each in batch:
                    with suppress(Exception):  # Its caller gets it.
                        self._run_batch([each])
                return
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
        """Return how many callers wait for the transaction that commits now."""
        return len(self._waiting)

    def read(self) -> Connection:
        """Return this thread's reading connection. It sees everything committed and cannot write."""
        connection: SqliteConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            self.require_place()
            connection = _connect(self._path, "rw")
            connection.conn.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            self._readers.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection. SQLite then merges the write-ahead log into the file."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.conn.close()


def is_damage(error: Exception) -> bool:
    """Return True if a page or a text is not as SQLite wrote it. It commits nothing of a transaction that met such a
    page."""
    is_page = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return is_page or (isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error))


def log_of(database: Path) -> Path:
    """Return the path of a database's write-ahead log. The file exists only while the database is open."""
    return database.with_name(f"{database.name}-wal")


def _size_of(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0


def _refuse_newer(connection: SqliteConnection) -> None:
    # Its tables may have a meaning that this program does not know. Writing to them could destroy data.
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


def _connect(path: Path, mode: str) -> SqliteConnection:
    """Connect to a file; `mode` is SQLite's "rw" or, to create a missing file, "rwc"."""
    address = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=10, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return SqliteConnection(connection, path)
