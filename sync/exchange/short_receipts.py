"""The short form of receipts in a sync response (SPEC 11.4): it leaves out what request and response say already.

`sync.exchange.messages` uses it. The reader rebuilds the bytes that the server signed. It verifies nothing: the tablet
accepts the rebuilt document like one that came whole.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sync.documents.receipt import OUTCOMES, TYP
from sync.documents.signed import Document, detached_jws
from sync.errors import SyncError
from sync.exchange.short_envelopes import read_number
from sync.wire.encoding import canonical
from sync.wire.json_object import SIGNATURE, TEXT, JsonObject

_FOLLOWS = ("dev", "n", "at", "generation")
"""The members of receipts that are those of the response."""
_ITEM = {"id", "outcome", "seq"}


def shorten_receipts(document: Document, response: Mapping[str, Any], kid: str, count: int) -> dict[str, Any] | None:
    """Return the short form of receipts that the server `kid` signed, or None if they have none.

    The first `count` items are about the envelopes of the request, in their order. One that was not rejected is written
    as its outcome alone.
    """
    content = document.content
    jws = document.signatures[0]
    signature = jws.rpartition(".")[2]
    same = all(content.get(name) == response[name] for name in _FOLLOWS)
    if not same or document.signatures != (detached_jws(kid, TYP, signature),) or not count:
        return None
    items = content["items"]
    first = [item["outcome"] if item.keys() == _ITEM else item for item in items[:count]]
    said = {"head": content["head"], "number": content.get("number", 0)}
    return {name: value for name, value in said.items() if value} | {
        "items": [*first, *items[count:]],
        "signature": signature,
    }


def rebuild_receipts(
    members: JsonObject, response: Mapping[str, Any], kid: str, envelopes: Sequence[bytes]
) -> Document:
    """Return the receipts that the server `kid` signed, from their short form in its response to these envelopes."""
    number = members.integer("number", default=0)
    content = {
        **response,
        "head": members.text("head", TEXT, default=""),
        **({"number": number} if number else {}),
        "items": [_rebuild_item(item, at, envelopes) for at, item in enumerate(members.array("items"))],
    }
    rebuilt = Document(canonical(content), (detached_jws(kid, TYP, members.text("signature", SIGNATURE)),))
    return Document.parse(rebuilt.to_bytes())


def _rebuild_item(item: Any, at: int, envelopes: Sequence[bytes]) -> Any:
    if type(item) is not str:
        return item
    if item not in OUTCOMES or at >= len(envelopes) or not (seq := read_number(envelopes[at])):
        raise SyncError("document.malformed", "receipts: no envelope of the request has this outcome")
    return {"id": hashlib.sha256(envelopes[at]).hexdigest(), "outcome": item, "seq": seq}
