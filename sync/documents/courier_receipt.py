"""Receipts that a courier carries to a tablet: the server's signed statement for envelopes that came in a courier file
(SPEC 11.5).

They answer no request of the tablet, so no number of a request protects from old ones: their generation does. The
server signs them after the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sync.documents.receipt import HEAD, ReceiptItem, read_item, write_item
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import HALF_ID, KID, JsonObject

TYP = "chaski-1/courier+jws"
MAX_LEFT = 1_000


@dataclass(frozen=True)
class CourierReceipts:
    """Receipts for envelopes of one tablet. `left`: the generations that the server's database left before this one.
    `number` and `head` are those of the last row of its audit chain."""

    dev: str
    at: int
    generation: str
    left: tuple[str, ...]
    head: str
    number: int
    items: tuple[ReceiptItem, ...]

    def begins_generation(self, held: str) -> bool:
        """Return whether they are of a later generation than the one that the tablet holds ('' = none yet).

        Raise SyncError `receipt.other_generation` if they are of another one that does not follow from it: they may be
        older than a restore, and then the server may have lost what they receipt.
        """
        if held in ("", self.generation):
            return False
        if held in self.left:
            return True
        raise SyncError("receipt.other_generation", "receipts of a database that this tablet does not know as newer")


def make(key: SigningKey, receipts: CourierReceipts) -> Document:
    """Sign the receipts of one tablet."""
    content = {
        "dev": receipts.dev,
        "at": receipts.at,
        "generation": receipts.generation,
        **({"left": list(receipts.left)} if receipts.left else {}),
        "head": receipts.head,
        "number": receipts.number,
        "items": [write_item(item) for item in receipts.items],
    }
    return Document.of(content, TYP, key)


def read(document: Document, trust: Trust) -> CourierReceipts:
    """Verify that a server of the trust signed these receipts, for any tablet; return them."""
    document.require(TYP, trust.servers)
    members = JsonObject(document.content, "courier receipts")
    return CourierReceipts(
        members.text("dev", KID),
        members.integer("at"),
        members.text("generation", HALF_ID),
        members.texts("left", HALF_ID, MAX_LEFT),
        members.text("head", HEAD),
        members.integer("number", default=0),
        tuple(map(read_item, members.objects("items"))),
    )


def accept(document: Document, trust: Trust, *, dev: str) -> CourierReceipts:
    """Verify that a server signed these receipts for this tablet; return them. `begins_generation` says whether they
    count. Raise SyncError `receipt.other_device` for another tablet's."""
    receipts = read(document, trust)
    if receipts.dev != dev:
        raise SyncError("receipt.other_device", f"receipts for {receipts.dev}")
    return receipts


def is_for(document: Document, dev: str) -> bool:
    """Return whether a document claims to be for this tablet, before any signature is verified."""
    return document.content.get("dev") == dev


def limit_left(generations: Sequence[str]) -> tuple[str, ...]:
    """Return the generations that receipts name as left: those of the protocol's form, at most 1,000."""
    return tuple(sorted(each for each in generations if HALF_ID.fullmatch(each)))[:MAX_LEFT]
