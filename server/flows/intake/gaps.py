"""Watches the numbers of each tablet's chains: a screening that never came may be a person lost. The exchange calls it
for the chains that a request touches, a job for all of them, to tell a gap again that is too old to be on its way.

The work list has one gap of a chain at a time: the lowest about which nobody has decided.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.database.connection import Connection, Database
from server.store import chains, devices, worklist
from server.store.audit import SERVER
from server.store.chains import Gap
from server.store.worklist import WorkItem
from sync.durations import DAY

# A gap this old is no longer a batch on its way, and "found" has not come true.
LATE_AFTER = 3 * DAY
LATE = "late"
LOST, FOUND = "lost", "found"


def update_all_gaps(db: Database, *, now: int) -> int:
    """Bring the work list's gaps up to date; return how many are late, each marked so there."""
    with db.write() as w:
        return sum(update_gap(w, dev, chain, now=now)[1] for dev, chain in chains.list_unfinished(w))


def report_silent_tablets(db: Database, *, now: int, days: int) -> int:
    """Put each certified tablet on the work list that was not heard from for some days; return how many there are."""
    with db.write() as w:
        silent = devices.list_silent(w, now - days * DAY, now + DAY)
        for dev, since in silent:
            worklist.add_item(w, kind="silent", dev=dev, reason=f"since.{since}", at=now)
    return len(silent)


def record_left_chains(w: Connection, dev: str, ended: Mapping[str, int], *, now: int) -> None:
    """Note the chains that a tablet says it left (SPEC 11.3 rule 7), and put each on the work list once."""
    for chain, written in ended.items():
        if chains.record_left_chain(w, dev, chain, written):
            worklist.add_item(w, kind="copied", dev=dev, chain=chain, at=now)


def update_gap(w: Connection, dev: str, chain: str, *, now: int) -> tuple[int, bool]:
    """Bring one chain up to date; return the number up to which it is whole, and whether its gap on the list is late.

    A gap is as old as the first item ever that told of it, whatever was decided about that one.
    """
    reached, gaps = chains.advance_chain(w, dev, chain)
    items = (
        [(item, _read_gap(item)) for item in worklist.list_about_chain(w, kind="gap", dev=dev, chain=chain)]
        if gaps
        else []
    )
    decided = [reported for item, reported in items if _is_decision_valid(item, now)]
    gap = next((each for each in gaps if not any(_covers(reported, each) for reported in decided)), None)
    if gap is None or any(item.closed is None and reported.last != gap.last for item, reported in items):
        worklist.close_resolved(w, kind="gap", dev=dev, chain=chain, by=SERVER, at=now)
    if gap is None:
        return reached, False
    since = min(
        (item.opened for item, reported in items if reported.first <= gap.last and gap.first <= reported.last),
        default=now,
    )
    late = abs(now - since) >= LATE_AFTER  # What was told under a clock far ahead is old too.
    reason = f"{LATE}.seq.{gap}" if late else f"seq.{gap}"
    worklist.add_item(w, kind="gap", dev=dev, chain=chain, reason=reason, at=now, again=True)
    return reached, late


def _read_gap(item: WorkItem) -> Gap:
    first, _, last = item.reason.rpartition(".")[2].partition("-")
    return Gap(int(first), int(last or first))


def _is_decision_valid(item: WorkItem, now: int) -> bool:
    """Whether a decision about a gap counts: what was said to be found, and is not here days later, is told again."""
    if item.decision == FOUND:
        return item.closed is not None and abs(now - item.closed) < LATE_AFTER
    return item.decision == LOST


def _covers(decided: Gap, gap: Gap) -> bool:
    # Of a gap that ends elsewhere nobody has decided: screenings have arrived inside it, or more were written after it.
    return decided.last == gap.last and decided.first <= gap.first
