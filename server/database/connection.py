"""Protocols of the database for stores and flows: connections, transactions, savepoints. sqlite.py implements them;
another engine could too. This module must not name an engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Row = dict[str, Any]
Parameters = Sequence[Any] | Mapping[str, Any]
T = TypeVar("T")
WRITE_PATIENCE = 5.0
"""Seconds that a writer waits for the one before it. Longer waits would take all threads that answer requests."""


class DatabaseBusyError(Exception):
    """Another writer holds the database for too long. Nothing was changed; the caller may try again."""


class DatabaseGoneError(Exception):
    """The database's name no longer leads to the open file: it was moved, replaced or deleted. What was committed into
    it must not be promised to anyone, because the next start opens another file."""


class DatabaseDamagedError(Exception):
    """A fact that each database has is missing or damaged, and nothing can be promised without it. Names the fact."""


@dataclass(frozen=True)
class Space:
    """`whole`: how many bytes the database may use, by its limit and by what the disk has free; `left` of them."""

    whole: int
    left: int


class Result(Protocol):
    """The outcome of one statement."""

    @property
    def rowcount(self) -> int:
        """Return how many rows the statement changed."""

    @property
    def lastrowid(self) -> int | None:
        """Return the number of the row that the statement inserted."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows as tuples."""


class Connection(Protocol):
    """A connection. The flow that opened the transaction passes it to the stores."""

    @property
    def in_transaction(self) -> bool:
        """Return True if a transaction is open."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> Result:
        """Execute one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Result:
        """Execute one statement for each sequence of parameters."""

    def rows(self, sql: str, parameters: Parameters = (), /) -> list[Row]:
        """Return all rows of a query."""

    def row(self, sql: str, parameters: Parameters = (), /) -> Row | None:
        """Return the only row of a query, or None."""

    def space(self) -> Space:
        """Return the space that the database may use. Only the writing connection knows its limit."""


class Database(Hashable, Protocol):
    """A database. `read()` returns this thread's reading connection; `write()` opens the only transaction that may
    write.

    `group_commit()` runs work in one transaction together with other waiting writers.
    """

    def read(self) -> Connection:
        """Return this thread's reading connection. It sees everything committed and cannot write."""

    def write(self, *, patience: float | None = None) -> AbstractContextManager[Connection]:
        """Open a durable transaction: all changes in the block are stored, or none. Blocks do not nest.

        Raises DatabaseBusyError if another writer does not end within `patience` seconds (None: WRITE_PATIENCE), and
        DatabaseGoneError after the commit if the next start would open another file.
        """

    def require_place(self) -> None:
        """Raise DatabaseGoneError if the next start would open another file than the open one."""

    def group_commit(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction shared with other callers. Returns its result after the commit.

        Raises DatabaseBusyError if other writers do not end in time.
        """

    def merge_log(self) -> None:
        """Do now, beside writers, what a later commit would have to do with what is written. For jobs that write much:
        otherwise a tablet waits for it."""

    def truncate_log(self) -> bool:
        """Remove deleted rows from the engine's log too. Returns False if a reader still needs it: try again later."""

    def close(self) -> None:
        """Close every connection."""


@contextmanager
def savepoint(w: Connection) -> Iterator[None]:
    """Open a part of a transaction that rolls back alone if it fails."""
    w.execute("savepoint part")
    try:
        yield
    except BaseException:
        if w.in_transaction:  # A full disk may have ended the transaction with all its savepoints.
            w.execute("rollback to part")
            w.execute("release part")
        raise
    w.execute("release part")
