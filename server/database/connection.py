"""What stores and flows see of a database: connections, transactions, savepoints. An engine implements these protocols:
SQLite in sqlite.py, and another one beside it. Nothing here names an engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

Row = dict[str, Any]
Parameters = Sequence[Any] | Mapping[str, Any]
T = TypeVar("T")


class Result(Protocol):
    """The outcome of one statement."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows as tuples."""


class Connection(Protocol):
    """A connection. Stores are handed one by the flow that opened the transaction."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> Result:
        """Execute one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Result:
        """Execute one statement for each sequence of parameters."""

    def rows(self, sql: str, parameters: Parameters = (), /) -> list[Row]:
        """All rows of a query."""

    def row(self, sql: str, parameters: Parameters = (), /) -> Row | None:
        """The only row of a query, or None."""

    def remaining_bytes(self) -> int:
        """How many bytes more the database may hold by its own bound, which only the writing connection knows."""


class Database(Hashable, Protocol):
    """A database. `read()` gives this thread's reading connection, `write()` the one transaction that may write.

    `group_commit()` does some work in a transaction together with whoever else waits to write at that moment.
    """

    def read(self) -> Connection:
        """This thread's reading connection, which sees everything committed and cannot write."""

    def write(self) -> AbstractContextManager[Connection]:
        """One durable transaction: everything in the block is stored, or nothing. Blocks do not nest."""

    def group_commit(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction of which others take part; return what it returned once that is on disk."""

    def close(self) -> None:
        """Close every connection."""


@contextmanager
def savepoint(w: Connection) -> Iterator[None]:
    """A part of a transaction that is undone alone when it fails."""
    w.execute("savepoint part")
    try:
        yield
    except BaseException:
        if w.in_transaction:  # A full disk may have ended the transaction, and with it every part.
            w.execute("rollback to part")
            w.execute("release part")
        raise
    w.execute("release part")
