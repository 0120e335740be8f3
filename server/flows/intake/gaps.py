"""Finds missing numbers in the tablets' chains and puts them on the work list.

A screening that never arrived may be a person without help. The sync request checks the chains of its envelopes. A job
checks all chains, and reports an old gap again as late. The work list holds at most one gap of a chain at a time: the
lowest one without a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.database.connection import Connection, Database
from server.flows.desks import tablet_budget
from server.store import chains, devices, meta, worklist
from server.store.audit import SERVER
from server.store.chains import Gap
from server.store.worklist import WorkItem
from sync.durations import DAY
from sync.exchange.messages import MAX_RANGES

# After this time (ms) a gap is not a batch still in transit, and a decision "found" has not come true.
LATE_AFTER = 3 * DAY
# Changed in one transaction: few enough that a sync at the same time is not delayed.
_CHAINS_AT_ONCE, _TABLETS_AT_ONCE = 50, 200
LATE = "late"
LOST, FOUND = "lost", "found"


def update_all_gaps(db: Database, *, now: int) -> int:
    """Update the gaps on the work list; return how many are late. Each late gap gets a mark there.

    A chain that shows more than its stored envelopes has lost some. It counts again from them.
    """
    _recompute_overstated(db)
    late, after = 0, chains.FIRST
    while found := chains.list_unfinished(db.read(), after=after, most=_CHAINS_AT_ONCE):
        with db.write() as w:
            late += sum(update_gap(w, dev, chain, now=now)[1] for dev, chain in found)
        after = found[-1]
    return late


def _recompute_overstated(db: Database) -> None:
    """Compare each chain with its stored envelopes. The queries are short, and write only where something is wrong."""
    after = chains.FIRST
    while found := chains.list_claims(db.read(), after=after, most=_CHAINS_AT_ONCE):
        for dev, chain in (name for name, claims_too_much in found if claims_too_much):
            with db.write() as w:
                chains.recompute_chain(w, dev, chain)
        after = found[-1][0]


def report_silent_tablets(db: Database, *, now: int, days: int) -> int:
    """Put each certified tablet that sent no request for `days` days on the work list; return how many there are."""
    count, after = 0, ""
    while found := devices.list_last_seen(db.read(), after=after, most=_TABLETS_AT_ONCE):
        silent = [(dev, last) for dev, last in found if devices.is_silent(last, now=now, days=days)]
        if silent:
            with db.write() as w:
                for dev, last in silent:
                    if devices.get_last_seen(w, dev) == last:  # It may have come meanwhile.
                        worklist.add_item(w, kind="silent", dev=dev, reason=f"since.{last}", at=now)
                        count += 1
        after = found[-1][0]
    return count


def record_left_chains(w: Connection, dev: str, ended: Mapping[str, int], *, now: int) -> None:
    """Store the chains that a tablet reports as left (SPEC 11.3 rule 7), and put each on the work list once."""
    for chain, written in ended.items():
        if tablet_budget.may_track(w, dev, chain, now=now) and chains.record_left_chain(w, dev, chain, written):
            worklist.add_item(w, kind="copied", dev=dev, chain=chain, at=now)


def list_lost(w: Connection, dev: str, receipted: Mapping[str, int], *, now: int) -> dict[str, list[Gap]]:
    """Return, by chain, the numbers that the server lacks up to the highest one that the tablet holds a receipt for.

    A chain that shows them shows gaps now; the caller then updates these chains. A number that the server never had
    changes nothing, since a tablet may lie; but in a database that went back it is a gap too: nothing else is left of
    a screening that its tablet has erased. At most MAX_RANGES ranges; the next sync asks for the rest.
    """
    lost: dict[str, list[Gap]] = {}
    for chain, last in receipted.items():
        room = MAX_RANGES - sum(map(len, lost.values()))
        if room and (missing := chains.list_missing(w, dev, chain, last)):
            chains.reopen_gaps(w, dev, chain, missing)
            if meta.left_generations(w) and tablet_budget.may_track(w, dev, chain, now=now):
                chains.promise(w, dev, chain, last)
            lost[chain] = missing[:room]
    return lost


def update_gap(
    w: Connection, dev: str, chain: str, arrived: Iterable[int] = (), *, now: int, may_have_items: bool = True
) -> tuple[int, bool]:
    """Update one chain with the numbers that arrived. Returns the number up to which no screening is missing, and True
    if its gap on the list is late.

    The age of a gap counts from the first item about it, whatever the decision on that item was. `may_have_items`:
    False if the caller knows that no item about this tablet is open.
    """
    reached, is_whole = chains.advance_chain(w, dev, chain, arrived)
    if is_whole and not may_have_items:
        return reached, False
    if is_whole:
        worklist.close_resolved(w, kind="gap", dev=dev, chain=chain, by=SERVER, at=now)
        return reached, False
    items = [(item, _read_gap(item)) for item in worklist.list_about_chain(w, kind="gap", dev=dev, chain=chain)]
    decided = [reported for item, reported in items if _is_decision_valid(item, now)]
    # A decision covers one gap at most: one more gap than decisions is enough to find the lowest without one.
    gaps = chains.list_gaps(w, dev, chain, most=len(decided) + 1)
    gap = next((each for each in gaps if not any(_covers(reported, each) for reported in decided)), None)
    if gap is None or any(item.closed is None and not _overlap(reported, gap) for item, reported in items):
        worklist.close_resolved(w, kind="gap", dev=dev, chain=chain, by=SERVER, at=now)
    if gap is None:
        return reached, False
    since = min(
        (item.opened for item, reported in items if _overlap(reported, gap)),
        default=now,
    )
    late = abs(now - since) >= LATE_AFTER  # A time far in the future also counts as old.
    reason = f"{LATE}.seq.{gap}" if late else f"seq.{gap}"
    worklist.add_item(w, kind="gap", dev=dev, chain=chain, reason=reason, at=now, since=worklist.EVERY_TIME)
    return reached, late


def _read_gap(item: WorkItem) -> Gap:
    first, _, last = item.reason.rpartition(".")[2].partition("-")
    return Gap(int(first), int(last or first))


def _is_decision_valid(item: WorkItem, now: int) -> bool:
    """Return True if a decision about a gap still counts. A gap decided as "found" is reported again if it is still
    there days later."""
    if item.decision == FOUND:
        return item.closed is not None and abs(now - item.closed) < LATE_AFTER
    return item.decision == LOST


def _overlap(one: Gap, other: Gap) -> bool:
    return one.first <= other.last and other.first <= one.last


def _covers(decided: Gap, gap: Gap) -> bool:
    # A gap with another end has no decision yet: screenings arrived inside it, or the tablet wrote more after it.
    return decided.last == gap.last and decided.first <= gap.first
