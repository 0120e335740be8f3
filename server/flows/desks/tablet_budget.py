"""How much of people's attention one tablet may take: its open work items about screenings, and its tracked chains.

Beyond it, every screening is still stored, and the rest of the tablet share one item, `crowded`. Their own items follow
one by one as people decide. Without this, one copied key could hide everybody's work in a list of thousands.
"""

from __future__ import annotations

from server.database.connection import Connection
from server.store import chains, worklist
from server.store.audit import SERVER

OPEN_ITEMS = 50
"""The most open items about screenings of one tablet."""
CHAINS = 64
"""The most chains of one tablet whose numbers the server watches. A copied or restored tablet begins a new one."""
CROWDED = "crowded"


def add_item(w: Connection, *, kind: str, dev: str, chain: str, envelope: str, now: int) -> None:
    """Add an item about a screening, or defer it if its tablet has too many open ones."""
    if worklist.count_open_of_tablet(w, dev, most=OPEN_ITEMS) < OPEN_ITEMS:
        worklist.add_item(w, kind=kind, dev=dev, chain=chain, envelope=envelope, at=now)
        return
    worklist.defer_item(w, kind=kind, dev=dev, chain=chain, envelope=envelope, at=now)
    worklist.add_item(w, kind=CROWDED, dev=dev, reason="items", at=now, again=True)


def may_track(w: Connection, dev: str, chain: str, *, now: int) -> bool:
    """Return whether the server watches the numbers of this chain. The first chains of a tablet stay watched."""
    if chains.is_known(w, dev, chain) or chains.count_chains(w, dev) < CHAINS:
        return True
    worklist.add_item(w, kind=CROWDED, dev=dev, reason="chains", at=now)
    return False


def bring_forward(w: Connection, dev: str, *, now: int) -> None:
    """Turn deferred items of a tablet into open ones, oldest first, as far as there is room. Call it after a
    decision."""
    room = OPEN_ITEMS - worklist.count_open_of_tablet(w, dev, most=OPEN_ITEMS)
    for item in worklist.take_deferred(w, dev, most=room) if room > 0 else ():
        worklist.add_item(w, kind=item.kind, dev=dev, chain=item.chain, envelope=item.envelope, at=item.opened)
    if not worklist.has_deferred(w, dev) and chains.count_chains(w, dev) < CHAINS:
        worklist.close_resolved(w, kind=CROWDED, dev=dev, by=SERVER, at=now)
