"""Stores arriving envelopes although a page of the database is damaged. The sync request and the courier call it.

A transaction that has read a damaged page cannot be committed: SQLite refuses all else that it wrote, too. So it runs
again without the envelopes whose stored rows cannot be read. One bad page must not keep other screenings out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from server.database.connection import Connection, Database
from server.flows import damage
from server.flows.damage import Fault
from server.flows.intake.envelopes import NOT_STORED, ParsedEnvelope
from server.store import envelopes

T = TypeVar("T")


def commit(db: Database, ids: Sequence[str], work: Callable[[Connection, Collection[str] | None], T], *, now: int) -> T:
    """Run `work` in a transaction shared with others, and return its result after the commit.

    If a damaged page ends the transaction, `work` runs a second time. It gets None in the first run; in the second one,
    those of the envelopes `ids` that cannot be read: it must leave them out, and must not look for losses. They are put
    on the work list. Raises the error of the second run.
    """
    try:
        return db.group_commit(lambda w: work(w, None))
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
    unreadable = [id_ for id_ in ids if not _is_readable(db.read(), id_)]
    damage.report_faults(db, [Fault("envelope.changed", id_) for id_ in unreadable], now=now)
    return db.group_commit(lambda w: work(w, unreadable))


def leave_out(arrivals: Iterable[ParsedEnvelope], unreadable: Collection[str]) -> list[ParsedEnvelope]:
    """Return the arrivals, those of `unreadable` as rejected: they stay on their tablet."""
    return [
        replace(each, envelope=None, route=None, code=NOT_STORED) if each.id in unreadable else each
        for each in arrivals
    ]


def _is_readable(c: Connection, id_: str) -> bool:
    try:
        envelopes.get_envelope(c, id_)
        envelopes.get_body(c, id_)
    except sqlite3.DatabaseError:
        return False
    return True
