"""Warns on the work list before the trust in force expires: a new one needs signatures of several roots.

A job calls it. Staff clients refuse a trust when their days of grace are over (SPEC 5.1); tablets never do.
"""

from __future__ import annotations

from server.database.connection import Connection, Database
from server.flows.trust import documents as trust_documents
from server.store import documents, worklist
from server.store.audit import SERVER
from sync.durations import DAY

KIND = "trust_expires"
WARN_DAYS = (90, 30, 7, 0)


def report_expiry(db: Database, *, now: int) -> int:
    """Open or update the one item while fewer than 90 days are left, else close it; return 1 for a warning, else 0.

    Its reason is the stage that was reached, in days, and the trust's number. An item that a person closed comes back
    with the next stage, and under the next trust.
    """
    with db.write() as w:
        reached = _stage(w, now)
        if reached is None:
            worklist.close_resolved(w, kind=KIND, dev="", by=SERVER, at=now)
            return 0
        number = trust_documents.trust_in_force(w).number
        worklist.add_item(w, kind=KIND, dev="", reason=f"days.{reached} trust.{number}", at=now)
    return 1


def time_left(c: Connection, now: int) -> int | None:
    """Return the milliseconds until the trust in force expires, negative afterwards; None before the founding."""
    if documents.get_newest(c, "trust") is None:
        return None
    return trust_documents.trust_in_force(c).expires - now


def _stage(c: Connection, now: int) -> int | None:
    left = time_left(c, now)
    return min((days for days in WARN_DAYS if left is not None and left <= days * DAY), default=None)
