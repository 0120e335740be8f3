"""Receipts: the server's signed word, per envelope, on what became of it (SPEC 10).

Made by the server after commit; a tablet lets go of an envelope only on a receipt that `accept` returned.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import CODE, HALF_ID, KID, SHA256_HEX, JsonObject

TYP = "chaski-1/receipts+jws"
DONE = frozenset({"stored", "duplicate", "held", "fork", "conflict", "quarantined"})
OUTCOMES = DONE | {"rejected"}
_OUTCOME = re.compile("|".join(sorted(OUTCOMES)))
_HEAD = re.compile(rf"|{SHA256_HEX.pattern}")


@dataclass(frozen=True)
class ReceiptItem:
    """What became of one envelope; `seq` is its own, 0 where it could not be read; `code` says what is wrong."""

    id: str
    outcome: str
    seq: int = 0
    code: str = ""

    @property
    def done(self) -> bool:
        """Say whether the tablet may count the envelope as delivered."""
        return self.outcome in DONE


@dataclass(frozen=True)
class Receipts:
    """The receipts for one request of one tablet; `head` is the server's audit chain at that moment."""

    dev: str
    n: int
    at: int
    generation: str
    head: str
    items: tuple[ReceiptItem, ...]


def make(
    key: SigningKey, *, dev: str, n: int, at: int, generation: str, head: str, items: Sequence[ReceiptItem]
) -> Document:
    """Sign the receipts for request `n` of a tablet."""
    content = {
        "dev": dev,
        "n": n,
        "at": at,
        "generation": generation,
        "head": head,
        "items": [_content(item) for item in items],
    }
    return Document.of(content, TYP, key)


def _content(item: ReceiptItem) -> dict[str, Any]:
    return {name: value for name, value in vars(item).items() if value}


def accept(document: Document, trust: Trust, *, dev: str, n: int, generation: str | None = None) -> Receipts:
    """Return the receipts, if a server signed them for this tablet and for this very request.

    `generation` is that of the response which brought them.
    """
    document.require(TYP, trust.servers)
    members = JsonObject(document.content, "receipts")
    receipts = Receipts(
        members.text("dev", KID),
        members.integer("n", 1),
        members.integer("at"),
        members.text("generation", HALF_ID),
        members.text("head", _HEAD),
        tuple(map(_item, members.objects("items"))),
    )
    if receipts.dev != dev:
        raise SyncError("receipt.other_device", f"receipts for {receipts.dev}")
    if receipts.n != n:
        raise SyncError("receipt.stale", f"receipts for request {receipts.n}, not {n}")
    if generation not in (None, receipts.generation):
        raise SyncError("receipt.other_generation", "receipts and answer are of two databases")
    return receipts


def _item(entry: JsonObject) -> ReceiptItem:
    return ReceiptItem(
        entry.text("id", SHA256_HEX),
        entry.text("outcome", _OUTCOME),
        entry.integer("seq", default=0),
        entry.text("code", CODE, default=""),
    )
