"""Erases the routes of screenings after the work on them has ended. A job calls it.

The sealed envelope stays, and so do the statistics, which identify no person.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.database.connection import Database
from server.store import audit, envelopes
from sync.durations import DAY

# Read at once, and erased in one transaction: few enough that a sync at the same time is not delayed.
_READ_AT_ONCE, _ERASED_AT_ONCE = 1000, 200


def erase_routes(db: Database, *, now: int, days: int) -> int:
    """Erase the routes of screenings whose referrals were closed `days` days ago; return how many.

    For a screening without a referral the days count from its arrival. A screening that waits for a person's decision
    keeps its route. Readers find the candidates; each write judges them again.
    """
    total, after, before = 0, envelopes.FIRST, now - days * DAY
    while found := envelopes.list_old_routes(db.read(), before=before, after=after, most=_READ_AT_ONCE):
        over = [place.number for place, is_over in found if is_over]
        for start in range(0, len(over), _ERASED_AT_ONCE):
            total += _erase_slice(db, over[start : start + _ERASED_AT_ONCE], before=before, now=now)
            db.merge_log()
        after = found[-1][0]
    return total


def _erase_slice(db: Database, numbers: Sequence[int], *, before: int, now: int) -> int:
    with db.write() as w:
        erased = envelopes.erase_routes(w, numbers, before=before)
        if erased:
            count = {"count": erased}
            audit.append(w, at=now, action="routes.erased", actor=audit.SERVER, subject="routes", detail=count)
    return erased
