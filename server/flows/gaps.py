"""Watches the numbers of each tablet's chain between its syncs: a screening that never came may be a person lost.

Intake notices a gap when it happens; a job calls this, which tells it again once it is too old to be on its way.
"""

from __future__ import annotations

from server.db import Db
from server.store import gaps, worklist

DAY = 24 * 60 * 60 * 1000
LATE = "late"


def watch(db: Db, *, now: int, days: int) -> int:
    """Bring the work list's gaps up to date; return how many are older than some days, each marked as late there.

    A late gap comes back even where a person has put the young one aside: by then it is no longer on its way.
    """
    late = 0
    with db.write() as w:
        for dev, chain in gaps.filled(w):
            worklist.settle(w, kind="gap", dev=dev, chain=chain, by="server", at=now)
        for gap in gaps.every(w):
            is_late = gap.opened is not None and gap.opened <= now - days * DAY
            reason = f"{LATE}.seq.{gap.missing}" if is_late else f"seq.{gap.missing}"
            worklist.add(w, kind="gap", dev=gap.dev, chain=gap.chain, reason=reason, at=now)
            late += is_late
    return late
