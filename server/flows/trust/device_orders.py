"""A registrar's orders to one tablet (SPEC 5.6). The server sends them with every answer until the tablet reports them
done.

The staff API calls `accept_order`, the sync request the rest. The server verifies orders and passes them on; it must
not make any.
"""

from __future__ import annotations

from contextlib import suppress

from server.database.connection import Connection, Database
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.flows.trust.numbers import refuse_far_number
from server.problems import Problem
from server.store import audit, devices, orders
from sync.documents import device_order
from sync.documents.device_order import DeviceOrder
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError

MOST_ORDERS = 10_000  # No tablet gets this many. A thief who reports more must not use up the order numbers.


def accept_order(db: Database, body: bytes, trust: Trust, dev: str, *, actor: str, now: int) -> DeviceOrder:
    """Verify and store an order for tablet `dev`. A revocation takes effect now, even if the tablet is offline."""
    given = device_order.accept(Document.parse(body), trust, dev)
    with db.write() as w:
        device = devices.get_device(w, dev)
        if device is None:
            raise Problem("device.not_found", dev)
        if device.state == "pending":
            raise Problem("device.not_certified", dev)
        if any(each.body == body for each in orders.list_above(w, dev, given.number - 1)):  # Its answer got lost.
            return given
        last = max(device.orders, orders.last_number(w, dev))
        if given.number <= last:
            raise Problem("order.number_used", f"{dev}: {last}", last=last)
        refuse_far_number("order", given.number, last)
        orders.add_order(w, dev=dev, number=given.number, kind=given.order, body=body, at=now, by=actor)
        trust_documents.resolve_ahead(w, dev, now=now)
        _audit(w, "order.given", actor, given.dev, given.number, given.order, now)
        if given.order == device_order.REVOKE:
            enrolment.revoke_devices(w, [dev], actor=actor, now=now)
    return given


def record_carried_out(w: Connection, dev: str, number: int, *, now: int) -> None:
    """Store the number up to which a tablet reports its orders as carried out."""
    done = orders.list_outstanding(w, dev, number)
    orders.mark_carried_out(w, dev, number, at=now)
    if number <= MOST_ORDERS:
        orders.record_reported_number(w, dev, number)
    for each in done:
        _audit(w, "order.carried_out", dev, dev, each.number, each.kind, now)
        if each.kind == device_order.WIPE:
            devices.replace_inventory(w, dev, {}, at=now)


def list_due(w: Connection, dev: str, number: int) -> tuple[Document, ...]:
    """Return a tablet's orders above its number, as far as the trust in force still accepts their signatures."""
    waiting = [Document.parse(each.body) for each in orders.list_above(w, dev, number)]
    if not waiting:
        return ()
    trust = trust_documents.trust_in_force(w)
    return tuple(document for document in waiting if _is_still_valid(document, trust))


def _is_still_valid(document: Document, trust: Trust) -> bool:
    # The registrar was replaced, so the tablet would reject her order. It stays listed until the new registrar repeats
    # it.
    with suppress(SyncError):
        device_order.accept(document, trust)
        return True
    return False


def _audit(w: Connection, action: str, actor: str, dev: str, number: int, kind: str, now: int) -> None:
    audit.append(w, at=now, action=action, actor=actor, subject=dev, detail={"number": number, "order": kind})
