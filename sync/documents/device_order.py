"""A registrar's order to one tablet: wipe or revoke (SPEC 5.6).

`chaski tablets` makes it. The server and the tablet verify its signer and its tablet before they act on it.
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
    """An order for the tablet `dev`. `number` counts from 1 for each tablet; `issued` is in milliseconds."""

    dev: str
    number: int
    issued: int
    order: str


def make(registrar: SigningKey, *, dev: str, number: int, issued: int, order: str) -> Document:
    """Sign an order, `revoke` or `wipe`; `issued` is in milliseconds."""
    return Document.of({"dev": dev, "number": number, "issued": issued, "order": order}, TYP, registrar)


def accept(document: Document, trust: Trust, dev: str | None = None) -> DeviceOrder:
    """Verify a signed order and return it; `dev` is the tablet that it must name."""
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
