"""Erases the routes of screenings after the work on them has ended. A job calls it.

The sealed envelope stays, and so do the statistics, which identify no person.
"""

from __future__ import annotations

from server.database.connection import Database
from server.store import audit, envelopes
from sync.durations import DAY

# Erased per transaction: small enough that a sync at the same time is not delayed.
_AT_ONCE = 1000


def erase_routes(db: Database, *, now: int, days: int) -> int:
    """Erase the routes of screenings whose referrals were closed `days` days ago; return how many.

    For a screening without a referral the days count from its arrival. A screening that waits for a person's decision
    keeps its route.
    """
    total = 0
    while True:
        with db.write() as w:
            erased = envelopes.erase_routes(w, before=now - days * DAY, most=_AT_ONCE)
            if erased:
                count = {"count": erased}
                audit.append(w, at=now, action="routes.erased", actor=audit.SERVER, subject="routes", detail=count)
        total += erased
        if erased < _AT_ONCE:
            return total
