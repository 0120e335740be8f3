"""How much of people's attention one tablet may take: its open work items about screenings, and its tracked chains.

Beyond it, every screening is still stored, and the rest of the tablet share one item, `crowded`. Their own items follow
one by one as people decide. Without this, one copied key could hide everybody's work in a list of thousands. Each desk
always has a few places: what the key sends to other desks must not hide the screenings of this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.database.connection import Connection
from server.store import chains, keyrings, worklist
from server.store.audit import SERVER
from server.store.worklist import DeferredItem

OPEN_ITEMS = 50
"""The most open items about screenings of one tablet, for all desks together."""
DESK_SHARE = 10
"""A desk (each key of a keyring) always has a tenth of these places, whatever the others have."""
CHAINS = 64
"""The most chains of one tablet whose numbers the server watches. A copied or restored tablet begins a new one."""
CROWDED = "crowded"


def add_item(w: Connection, *, kind: str, dev: str, chain: str, envelope: str, kid: str, now: int) -> None:
    """Add an item about a screening that is sealed to the key `kid`, or defer it if its tablet has too many open
    ones."""
    if _room(w, dev) > 0 or (keyrings.find_keyring(w, kid) is not None and _room_of_desk(w, dev, kid) > 0):
        worklist.add_item(w, kind=kind, dev=dev, chain=chain, envelope=envelope, at=now)
        return
    worklist.defer_item(w, kind=kind, dev=dev, chain=chain, envelope=envelope, at=now)
    worklist.add_item(w, kind=CROWDED, dev=dev, reason="items", at=now, since=worklist.EVERY_TIME)


def _room(w: Connection, dev: str) -> int:
    return OPEN_ITEMS - worklist.count_open_of_tablet(w, dev, most=OPEN_ITEMS)


def _room_of_desk(w: Connection, dev: str, kid: str) -> int:
    most = max(OPEN_ITEMS // DESK_SHARE, 1)
    return most - worklist.count_open_of_tablet(w, dev, kid=kid, most=most)


def may_track(w: Connection, dev: str, chain: str, *, now: int) -> bool:
    """Return whether the server watches the numbers of this chain. The first chains of a tablet stay watched."""
    if chains.is_known(w, dev, chain) or chains.count_chains(w, dev) < CHAINS:
        return True
    worklist.add_item(w, kind=CROWDED, dev=dev, reason="chains", at=now, since=worklist.EVERY_TIME)
    return False


def bring_forward(w: Connection, dev: str, *, now: int) -> None:
    """Turn deferred items of a tablet into open ones, oldest first, as far as there is room. Call it after a
    decision."""
    _open(w, dev, worklist.take_deferred(w, dev, most=_room(w, dev)))
    for kid in worklist.list_deferred_keys(w, dev):
        _open(w, dev, worklist.take_deferred(w, dev, kid=kid, most=_room_of_desk(w, dev, kid)))
    if not worklist.has_deferred(w, dev) and chains.count_chains(w, dev) < CHAINS:
        worklist.close_resolved(w, kind=CROWDED, dev=dev, by=SERVER, at=now)


def _open(w: Connection, dev: str, items: Iterable[DeferredItem]) -> None:
    for item in items:
        worklist.add_item(w, kind=item.kind, dev=dev, chain=item.chain, envelope=item.envelope, at=item.opened)
