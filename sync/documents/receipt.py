"""Receipts: the server's signed statement, for each envelope, of how it handled the envelope (SPEC 10).

The server signs receipts after the commit. A tablet deletes an envelope only after `accept` returned its receipt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u
from sync.wire.json_object import CODE, HALF_ID, KID, SHA256_HEX, JsonObject

TYP = "chaski-1/receipts+jws"
DONE = frozenset({"stored", "duplicate", "held", "fork", "conflict", "quarantined"})
OUTCOMES = DONE | {"rejected"}
_OUTCOME = re.compile("|".join(sorted(OUTCOMES)))
HEAD = re.compile(rf"|{SHA256_HEX.pattern}")


@dataclass(frozen=True)
class ReceiptItem:
    """The outcome of one envelope.

    `seq` is the envelope's own number, 0 if the server could not read it. `code` is the problem code of a rejected
    envelope.
    """

    id: str
    outcome: str
    seq: int = 0
    code: str = ""

    @property
    def done(self) -> bool:
        """Whether the tablet may count the envelope as delivered."""
        return self.outcome in DONE


@dataclass(frozen=True)
class Receipts:
    """The receipts for one request of one tablet. `number` and `head` are those of the last row of the server's audit
    chain at that time; an older server sent no number: 0."""

    dev: str
    n: int
    at: int
    generation: str
    head: str
    items: tuple[ReceiptItem, ...]
    number: int = 0


def make(
    key: SigningKey,
    *,
    dev: str,
    n: int,
    at: int,
    generation: str,
    head: str,
    items: Sequence[ReceiptItem],
    number: int = 0,
) -> Document:
    """Sign the receipts for request `n` of a tablet; `at` is the server's clock in milliseconds."""
    content = {
        "dev": dev,
        "n": n,
        "at": at,
        "generation": generation,
        "head": head,
        **({"number": number} if number else {}),
        "items": [write_item(item) for item in items],
    }
    return Document.of(content, TYP, key)


def write_item(item: ReceiptItem) -> dict[str, Any]:
    """Return an item as JSON, without members that say nothing."""
    return {name: value for name, value in vars(item).items() if value}


def read(document: Document, trust: Trust) -> Receipts:
    """Verify that a server of the trust signed these receipts, for any tablet and request; return them."""
    document.require(TYP, trust.servers)
    members = JsonObject(document.content, "receipts")
    return Receipts(
        members.text("dev", KID),
        members.integer("n", 1),
        members.integer("at"),
        members.text("generation", HALF_ID),
        members.text("head", HEAD),
        tuple(map(read_item, members.objects("items"))),
        members.integer("number", default=0),
    )


def shorten_head(head: str) -> str:
    """Return the first 16 bytes of an audit head as 22 letters: the form in which a tablet tells it back (SPEC
    11.1)."""
    return b64u(bytes.fromhex(head)[:16])


def accept(document: Document, trust: Trust, *, dev: str, n: int, generation: str | None = None) -> Receipts:
    """Verify that a server signed these receipts for this tablet and this request; return them.

    `generation` is the one in the response that contains them. Raise SyncError `receipt.other_device`, `receipt.stale`
    or `receipt.other_generation` if one differs.
    """
    receipts = read(document, trust)
    if receipts.dev != dev:
        raise SyncError("receipt.other_device", f"receipts for {receipts.dev}")
    if receipts.n != n:
        raise SyncError("receipt.stale", f"receipts for request {receipts.n}, not {n}")
    if generation not in (None, receipts.generation):
        raise SyncError("receipt.other_generation", "receipts and response are from two databases")
    return receipts


def read_item(entry: JsonObject) -> ReceiptItem:
    """Read one item of receipts. Raise SyncError `document.malformed` for an outcome that is not listed."""
    return ReceiptItem(
        entry.text("id", SHA256_HEX),
        entry.text("outcome", _OUTCOME),
        entry.integer("seq", default=0),
        entry.text("code", CODE, default=""),
    )
