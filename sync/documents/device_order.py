"""What a registrar orders one tablet to do (SPEC 5.6); made by `chaski tablets`, accepted by the server and the tablet.

An order is a document like a certificate: whoever carries it out checks first who signed it and for whom it is.
"""

import re
from dataclasses import dataclass

from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import KID, JsonObject

TYP = "chaski-1/order+jws"
REVOKE, WIPE = "revoke", "wipe"
_ORDER = re.compile(f"{REVOKE}|{WIPE}")


@dataclass(frozen=True)
class DeviceOrder:
    """What tablet `dev` is to do; `number` counts from 1 for each tablet."""

    dev: str
    number: int
    issued: int
    order: str


def make(registrar: SigningKey, *, dev: str, number: int, issued: int, order: str) -> Document:
    """Sign an order, `revoke` or `wipe`; `issued` in milliseconds."""
    return Document.of({"dev": dev, "number": number, "issued": issued, "order": order}, TYP, registrar)


def accept(document: Document, trust: Trust, dev: str | None = None) -> DeviceOrder:
    """Return the order that a document states; `dev` is the tablet it must be for."""
    document.require(TYP, trust.registrars)
    members = JsonObject(document.content, "order")
    order = DeviceOrder(
        members.text("dev", KID),
        members.integer("number", 1),
        members.integer("issued"),
        members.text("order", _ORDER),
    )
    if dev not in (None, order.dev):
        raise SyncError("order.wrong_device", f"an order for {order.dev}")
    return order
