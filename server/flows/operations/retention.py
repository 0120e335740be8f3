"""Forgets what the server could read of a screening once nobody works on it any longer. A job calls it.

The envelope stays, sealed as it came; so do the counts of the statistics, which name nobody.
"""

from __future__ import annotations

from server.database.connection import Database
from server.store import audit, envelopes
from sync.durations import DAY

# Erased in one transaction: few enough that a tablet that syncs meanwhile does not notice.
_AT_ONCE = 1000


def erase_routes(db: Database, *, now: int, days: int) -> int:
    """Erase the routes of screenings whose referrals have been closed for some days; return how many there were.

    A screening that opened no referral is as good as closed when it arrives; one that a person still has to decide
    about keeps its route.
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
