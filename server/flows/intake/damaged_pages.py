"""Stores arriving envelopes although a page of the database is damaged. The sync request and the courier call it.

A transaction that has read a damaged page cannot be committed: SQLite refuses all else that it wrote, too. So it runs
again without the envelopes that a bad page concerns: their stored rows cannot be read, or a new row cannot be entered
into an index. One bad page must not keep other screenings out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from server.database.connection import Connection, Database
from server.database.sqlite import is_damage
from server.flows import damage
from server.flows.damage import Fault
from server.flows.intake.envelopes import NOT_STORED, ParsedEnvelope
from server.store import envelopes

T = TypeVar("T")
Work = Callable[[Connection, Collection[str] | None], T]


def commit(db: Database, ids: Sequence[str], work: Work[T], *, now: int) -> T:
    """Run `work` in a transaction shared with others, and return its result after the commit.

    If a damaged page ends the transaction, `work` runs again. It gets None in the first run; then those of the
    envelopes `ids` that a damaged page concerns. It must leave them out, and skip losses and status events. The damage
    is put on the work list. Raises the error of the last run.
    """
    try:
        return db.group_commit(lambda w: work(w, None))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    concerned = _find_concerned(db, set(ids), work)
    codes = {id_: "pages.damaged" if _is_readable(db.read(), id_) else "envelope.changed" for id_ in concerned}
    faults = [Fault(code, id_) for id_, code in sorted(codes.items())] or [Fault("pages.damaged", "intake")]
    with suppress(sqlite3.DatabaseError):  # The work list may be what is damaged. The log has the error in any case.
        damage.report_faults(db, faults, now=now)
    return db.group_commit(lambda w: work(w, concerned))


def _find_concerned(db: Database, ids: set[str], work: Work[object]) -> set[str]:
    """Return the envelopes with which `work` meets a damaged page; none if it meets one without any. It tries them by
    halves beside those that have proved good, and changes nothing."""
    if not _is_unharmed(db, work, ids):
        return set()
    good, groups = set[str](), [sorted(ids)]
    while groups:
        group = groups.pop()
        if _is_unharmed(db, work, ids - good.union(group)):
            good |= {*group}
        elif len(group) > 1:
            groups += [group[len(group) // 2 :], group[: len(group) // 2]]
    return ids - good


class _DoneError(Exception):
    """Ends a transaction whose changes are not wanted."""


def _is_unharmed(db: Database, work: Work[object], left_out: Collection[str]) -> bool:
    # Each trial has a transaction of its own: after a damaged page all else in a transaction fails, too.
    try:
        with suppress(_DoneError), db.write() as w:
            work(w, left_out)
            raise _DoneError
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return False
    return True


def leave_out(arrivals: Iterable[ParsedEnvelope], ids: Collection[str]) -> list[ParsedEnvelope]:
    """Return the arrivals, those among `ids` as rejected: they stay on their tablet."""
    return [replace(each, envelope=None, route=None, code=NOT_STORED) if each.id in ids else each for each in arrivals]


def _is_readable(c: Connection, id_: str) -> bool:
    try:
        envelopes.get_envelope(c, id_)
        envelopes.get_body(c, id_)
    except sqlite3.DatabaseError:
        return False
    return True
