"""The request and the answer of `POST /v1/courier` as bytes (SPEC 11.5).

A courier has no key, so nothing is signed but the receipts inside. A request is never compressed: the server must not
inflate the bytes of a stranger.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.messages import MAX_BODY_BYTES, MAX_ENVELOPES, PROTOCOL
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import CODE, HALF_ID, SHA256_HEX, TEXT, JsonObject

PATH = "/v1/courier"


@dataclass(frozen=True)
class RejectedEnvelope:
    """An envelope that the server did not store, and the problem code that says why."""

    id: str
    code: str


@dataclass(frozen=True)
class CourierAnswer:
    """The server's answer: the generation of its database, receipts by tablet, and what it did not store.

    An envelope that is in neither was not looked at. The courier sends it again.
    """

    generation: str
    receipts: tuple[Document, ...]
    rejected: tuple[RejectedEnvelope, ...]


def write_request(envelopes: Sequence[bytes]) -> bytes:
    """Write a request with these envelopes; without any it asks for the generation."""
    return canonical({"protocol": PROTOCOL, "envelopes": [raw.decode("ascii") for raw in envelopes]})


def read_request(body: bytes) -> tuple[bytes, ...]:
    """Read a request; return the envelopes, which are not parsed here."""
    if len(body) > MAX_BODY_BYTES:
        raise SyncError("exchange.too_large", f"a body has at most {MAX_BODY_BYTES} bytes")
    content = strict_json(body)
    if content.get("protocol") != PROTOCOL:
        raise SyncError("exchange.wrong_protocol", f"the protocol must be {PROTOCOL}")
    texts = JsonObject(content, "courier request").texts("envelopes", TEXT, MAX_ENVELOPES)
    return tuple(text.encode("utf-8") for text in texts)


def read_answer(body: bytes) -> CourierAnswer:
    """Read an answer. The receipts are parsed, and not verified."""
    members = JsonObject(strict_json(body), "courier answer")
    rejected = members.objects("rejected")
    return CourierAnswer(
        members.text("generation", HALF_ID),
        tuple(Document.parse(text.encode("utf-8")) for text in members.texts("receipts", TEXT, MAX_ENVELOPES)),
        tuple(RejectedEnvelope(each.text("id", SHA256_HEX), each.text("code", CODE)) for each in rejected),
    )
