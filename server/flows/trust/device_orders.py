"""A registrar's orders to one tablet (SPEC 5.6): taken in, told with every answer until the tablet says they are done.

The people's door calls `give`, the exchange the rest. The server checks orders and passes them on; it can make none.
"""

from __future__ import annotations

from contextlib import suppress

from server.database.connection import Connection, Database
from server.flows.trust import documents as publishing
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import audit, devices, orders
from sync.documents import device_order as order
from sync.documents.device_order import Order
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError

MOST_ORDERS = 10_000  # Nobody orders one tablet so often. A thief who names more must not use up the numbers of orders.


def give(db: Database, body: bytes, trust: Trust, dev: str, *, actor: str, now: int) -> Order:
    """Take in an order for tablet `dev`; one that revokes counts from this moment, wherever the tablet is."""
    given = order.accept(Document.parse(body), trust, dev)
    with db.write() as w:
        device = devices.get(w, dev)
        if device is None:
            raise Problem("device.not_found", dev)
        if device.state == "pending":
            raise Problem("device.not_certified", dev)
        last = max(device.orders, orders.last(w, dev))
        if given.number <= last:
            raise Problem("order.number_used", f"{dev}: {last}", last=last)
        orders.add(w, dev=dev, number=given.number, kind=given.order, body=body, at=now, by=actor)
        publishing.settle_ahead(w, dev, now=now)
        _note(w, "order.given", actor, given.dev, given.number, given.order, now)
        if given.order == order.REVOKE:
            enrolment.revoke(w, [dev], actor=actor, now=now)
    return given


def hear(w: Connection, dev: str, number: int, *, now: int) -> None:
    """Note what a tablet says it has carried out: of its orders, all up to a number."""
    done = orders.outstanding(w, dev, number)
    orders.carry_out(w, dev, number, at=now)
    if number <= MOST_ORDERS:
        orders.told(w, dev, number)
    for each in done:
        _note(w, "order.carried_out", dev, dev, each.number, each.kind, now)
        if each.kind == order.WIPE:
            devices.take_stock(w, dev, {}, at=now)


def due(w: Connection, dev: str, number: int) -> tuple[Document, ...]:
    """Return a tablet's orders above the number it named, as far as the trust in force still stands behind them."""
    waiting = [Document.parse(each.body) for each in orders.above(w, dev, number)]
    if not waiting:
        return ()
    trust = publishing.trust_in_force(w)
    return tuple(document for document in waiting if _stands(document, trust))


def _stands(document: Document, trust: Trust) -> bool:
    # A registrar who was replaced: the tablet would refuse her order. It stays on the list until another gives it anew.
    with suppress(SyncError):
        order.accept(document, trust)
        return True
    return False


def _note(w: Connection, action: str, actor: str, dev: str, number: int, kind: str, now: int) -> None:
    audit.append(w, at=now, action=action, actor=actor, subject=dev, detail={"number": number, "order": kind})
