"""Requests and responses of `POST /v1/sync` as values and as bytes (SPEC 11).

The tablet and the server's sync endpoint use it. A body is parsed only after its signature was verified over the bytes
as sent. It is never inflated past 8 MiB.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.documents.signed import Document, sign_bare, verify_bare
from sync.errors import SyncError
from sync.exchange.short_envelopes import read_envelopes, write_envelopes
from sync.exchange.short_receipts import rebuild_receipts, shorten_receipts
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import CODE, FORM_ID, HALF_ID, KID, SHA256_HEX, TEXT, JsonObject

PATH = "/v1/sync"
PROTOCOL = "chaski-1"
SIGNATURE_HEADER = "Chaski-Signature"
CONTENT_TYPE = "application/x-chaski"
REQUEST_TYP = "chaski-1/request+jws"
RESPONSE_TYP = "chaski-1/response+jws"
REFUSAL_TYP = "chaski-1/refusal+jws"
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_ENVELOPES = 500
MAX_ENDED = 64
MAX_REFUSED = 64
MAX_INVENTORY = 64
MAX_RECEIPTED = 64
MAX_RANGES = 64
GZIP_FROM_BYTES = 384
"""A shorter body stays plain: packing the response to one screening, about 350 bytes, costs more time than it saves."""
_HAVE = ("trust", "registry", "manifest", "orders")
STATUS = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True)
class Message:
    """A body as sent, and the value of its `Chaski-Signature` header."""

    body: bytes
    signature: str


@dataclass(frozen=True)
class Event:
    """A status change of a screening: the envelope's id, the referral's new status, the server's time in ms."""

    id: str
    status: str
    at: int


@dataclass(frozen=True)
class AuditRow:
    """The audit row of the newest receipts that a tablet holds: its number (0 = none), and its hash in 22 letters."""

    number: int = 0
    head: str = ""


NO_AUDIT_ROW = AuditRow()


@dataclass(frozen=True)
class Request:
    """A tablet's request. Every member except `n` and `at` is left out of the bytes if it is 0, empty or false.

    `is_short`: envelopes came in the short form, so the tablet reads receipts in the short form too (SPEC 11.4).
    """

    n: int
    at: int
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    orders: int = 0
    generation: str = ""
    cursor: int = 0
    pending: tuple[str, ...] = ()
    envelopes: tuple[bytes, ...] = ()
    inventory_digest: str = ""
    inventory: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, int] = field(default_factory=dict)
    budget: int = 0
    told: AuditRow = NO_AUDIT_ROW
    receipted: Mapping[str, int] = field(default_factory=dict)
    proof: str = ""
    is_short: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Response:
    """The server's response to request `n` of the tablet `dev`. `forms`: a stream of form versions, as base64url."""

    dev: str
    n: int
    at: int
    generation: str
    cursor: int = 0
    receipts: Document | None = None
    trust: tuple[Document, ...] = ()
    registry: Document | None = None
    manifest: Document | None = None
    forms: str = ""
    events: tuple[Event, ...] = ()
    orders: tuple[Document, ...] = ()
    seq: Mapping[str, int] = field(default_factory=dict)
    more: bool = False
    again: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    prove: bool = False


@dataclass(frozen=True)
class Refusal:
    """The refusal of a request's number: the last accepted number, and receipts for the envelopes of the request."""

    last: int
    receipts: Document | None


# Bodies


def _without_empty(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value}


def _pack(content: Mapping[str, Any], *, has_short_forms: bool = False) -> bytes:
    """Write canonical JSON; gzip it if that is shorter, without time or name: same value, same bytes.

    The letters of envelopes are random. `Z_FILTERED` takes no short match among them: it would cost more than they do.
    """
    plain = canonical(_without_empty({"protocol": PROTOCOL, **content}))
    if len(plain) < GZIP_FROM_BYTES:
        return plain
    # The window is at most as large as the body. Setting up the usual 32 KiB costs more than packing a response.
    window = 16 + min(15, len(plain).bit_length())
    strategy = zlib.Z_FILTERED if has_short_forms else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(9, zlib.DEFLATED, window, 9, strategy)
    packed = packer.compress(plain) + packer.flush()
    return min(plain, packed, key=len)


def plain_size(body: bytes) -> int:
    """Return the size of a body once it is inflated, as it says. Bytes that say another one are no gzip."""
    return int.from_bytes(body[-4:], "little") if body[:1] == b"\x1f" else len(body)


def unpack_body(body: bytes, where: str) -> JsonObject:
    """Parse a body. Its first byte says whether it is gzip. Inflation stops at the limit."""
    if body[:1] == b"\x1f":
        inflater = zlib.decompressobj(31)
        try:
            body = inflater.decompress(body, MAX_BODY_BYTES + 1)
        except zlib.error as wrong:
            raise SyncError("exchange.malformed", "not gzip") from wrong
        if len(body) <= MAX_BODY_BYTES and (not inflater.eof or inflater.unused_data):
            raise SyncError("exchange.malformed", "not one whole gzip member")
    if len(body) > MAX_BODY_BYTES:
        raise SyncError("exchange.too_large", f"a body has at most {MAX_BODY_BYTES} bytes")
    content = strict_json(body)
    if content.get("protocol") != PROTOCOL:
        raise SyncError("exchange.wrong_protocol", f"the protocol must be {PROTOCOL}")
    return JsonObject(content, where)


# Signatures


def _sign(body: bytes, key: SigningKey, typ: str) -> Message:
    return Message(body, f"{key.kid}.{sign_bare(body, key, typ)}")


def claimed_signer(signature: str) -> str:
    """Return the kid that a `Chaski-Signature` claims. Only `read_request` and `read_response` prove it."""
    kid, _, rest = signature.partition(".")
    if not KID.fullmatch(kid) or not rest:
        raise SyncError("exchange.malformed", f"{SIGNATURE_HEADER} must be kid.signature")
    return kid


def _verify(message: Message, typ: str, keys: Mapping[str, VerifyKey]) -> None:
    kid = claimed_signer(message.signature)
    if kid not in keys:
        raise SyncError("exchange.unknown_signer", kid)
    try:
        verify_bare(message.body, message.signature[len(kid) + 1 :], keys[kid], typ)
    except SyncError as wrong:
        raise SyncError("exchange.bad_signature", f"not signed by {kid}") from wrong


# Requests


def write_request(request: Request, device: SigningKey) -> Message:
    """Write and sign a tablet's request."""
    have = _without_empty({name: getattr(request, name) for name in _HAVE})
    envelopes = write_envelopes(request.envelopes, device.kid)
    content = {
        "n": request.n,
        "at": request.at,
        "have": have,
        "generation": request.generation,
        "cursor": request.cursor,
        "pending": list(request.pending),
        "envelopes": envelopes,
        "inventory_digest": request.inventory_digest,
        "inventory": dict(request.inventory),
        "refused": dict(request.refused),
        "ended": dict(request.ended),
        "budget": request.budget,
        "told": vars(request.told) if request.told.number else {},
        "receipted": dict(request.receipted),
        "proof": request.proof,
    }
    return _sign(_pack(content, has_short_forms=_has_objects(envelopes)), device, REQUEST_TYP)


def read_request(message: Message, device: VerifyKey) -> Request:
    """Verify that the tablet signed these bytes and parse them. Envelopes are not parsed here."""
    if len(message.body) > MAX_BODY_BYTES:
        raise SyncError("exchange.too_large", f"a body has at most {MAX_BODY_BYTES} bytes")
    _verify(message, REQUEST_TYP, {device.kid: device})
    members = unpack_body(message.body, "request")
    have, elements = members.object("have"), members.array("envelopes", MAX_ENVELOPES)
    return Request(
        n=members.integer("n", 1),
        at=members.integer("at", default=0),
        **{name: have.integer(name, default=0) for name in _HAVE},
        generation=members.text("generation", HALF_ID, default=""),
        cursor=members.integer("cursor", default=0),
        pending=members.texts("pending", SHA256_HEX, MAX_ENVELOPES),
        # Each entry gets its own receipt whatever it contains, so one broken envelope does not affect the others.
        envelopes=read_envelopes(elements, device.kid),
        inventory_digest=members.text("inventory_digest", KID, default=""),
        inventory=limit_inventory(_read_inventory(members.object("inventory"))),
        refused=_read_refused(members.object("refused")),
        ended=_read_chains(members.object("ended"), MAX_ENDED),
        budget=members.integer("budget", default=0),
        told=_read_told(members.object("told")),
        receipted=_read_chains(members.object("receipted"), MAX_RECEIPTED),
        proof=members.text("proof", TEXT, default=""),
        is_short=_has_objects(elements),
    )


def _has_objects(elements: Sequence[Any]) -> bool:
    return any(type(element) is dict for element in elements)


def limit_inventory(inventory: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an inventory (form id -> SHA-256) that counts: its first forms (SPEC 11.3 rule 9)."""
    return dict(sorted(inventory.items())[:MAX_INVENTORY])


def _read_inventory(members: JsonObject) -> dict[str, str]:
    return {form: members.text(form, SHA256_HEX) for form in members.names(FORM_ID)}


def _read_refused(members: JsonObject) -> dict[str, str]:
    versions = members.names(SHA256_HEX)
    if len(versions) > MAX_REFUSED:
        raise SyncError("document.malformed", f"request: more than {MAX_REFUSED} versions in refused")
    return {sha: members.text(sha, CODE) for sha in versions}


def _read_chains(members: JsonObject, maximum: int) -> dict[str, int]:
    chains = members.names(HALF_ID)
    if len(chains) > maximum:
        raise SyncError("document.malformed", f"request: more than {maximum} chains in an object")
    return {chain: members.integer(chain, 1) for chain in chains}


def _read_told(members: JsonObject) -> AuditRow:
    return AuditRow(members.integer("number", 1), members.text("head", KID)) if members.names(TEXT) else NO_AUDIT_ROW


# Responses


def _text(document: Document | None) -> str:
    return document.to_bytes().decode("utf-8") if document else ""


def write_response(response: Response, server: SigningKey, request: Request | None = None) -> Message:
    """Write and sign the server's response. It names the tablet and the request, so it cannot answer another one.

    `request`: the one that it answers. If it has short forms, so has the response.
    """
    content: dict[str, Any] = {
        "dev": response.dev,
        "n": response.n,
        "at": response.at,
        "generation": response.generation,
        "cursor": response.cursor,
        "receipts": _text(response.receipts),
        "trust": [_text(document) for document in response.trust],
        "registry": _text(response.registry),
        "manifest": _text(response.manifest),
        "forms": response.forms,
        "events": [vars(event) for event in response.events],
        "orders": [_text(document) for document in response.orders],
        "seq": dict(response.seq),
        "more": response.more,
        "again": {chain: [list(each) for each in ranges] for chain, ranges in response.again.items()},
        "prove": response.prove,
    }
    if response.receipts is not None and request is not None and request.is_short:
        short = shorten_receipts(response.receipts, content, server.kid, len(request.envelopes))
        content |= {"receipts": short} if short else {}
    return _sign(_pack(content), server, RESPONSE_TYP)


def read_response(
    message: Message, servers: Mapping[str, VerifyKey], *, dev: str, n: int, envelopes: Sequence[bytes] = ()
) -> Response:
    """Verify that a server signed these bytes as the response to request `n` of the tablet `dev`, and parse them.

    `envelopes`: those of the request. Receipts in the short form refer to them.
    """
    _verify(message, RESPONSE_TYP, servers)
    members = unpack_body(message.body, "response")
    if members.text("dev", KID) != dev or members.integer("n", 1) != n:
        raise SyncError("exchange.wrong_answer", "this is the response to another request")
    seq, generation = members.object("seq"), members.text("generation", HALF_ID)
    named: dict[str, Any] = {"dev": dev, "n": n, "at": members.integer("at", default=0), "generation": generation}
    return Response(
        **named,
        cursor=members.integer("cursor", default=0),
        receipts=_read_receipts(members, named, claimed_signer(message.signature), envelopes),
        trust=_documents(members, "trust"),
        registry=_document(members, "registry"),
        manifest=_document(members, "manifest"),
        forms=members.text("forms", TEXT, default=""),
        events=tuple(
            Event(entry.text("id", SHA256_HEX), entry.text("status", STATUS), entry.integer("at"))
            for entry in members.objects("events")
        ),
        orders=_documents(members, "orders"),
        seq={chain: seq.integer(chain) for chain in seq.names(HALF_ID)},
        more=members.flag("more"),
        again=_read_again(members.object("again")),
        prove=members.flag("prove"),
    )


def _read_receipts(
    members: JsonObject, named: Mapping[str, Any], kid: str, envelopes: Sequence[bytes]
) -> Document | None:
    if members.is_object("receipts"):
        return rebuild_receipts(members.object("receipts"), named, kid, envelopes)
    return _document(members, "receipts")


def _read_again(members: JsonObject) -> dict[str, tuple[tuple[int, int], ...]]:
    return {chain: members.pairs(chain, MAX_RANGES) for chain in members.names(HALF_ID)}


# Refusals


def write_refusal(problem: Mapping[str, Any], server: SigningKey) -> Message:
    """Sign the problem that refuses a request number.

    `dev` and `n` name the request, `last` is the last one accepted, `receipts` are those of its envelopes.
    """
    return _sign(canonical(problem), server, REFUSAL_TYP)


def read_refusal(message: Message, servers: Mapping[str, VerifyKey], *, dev: str, n: int) -> Refusal:
    """Verify that a server refused the number of request `n` of tablet `dev`. The receipts are parsed only."""
    _verify(message, REFUSAL_TYP, servers)
    members = JsonObject(strict_json(message.body), "refusal")
    if members.text("dev", KID) != dev or members.integer("n", 1) != n:
        raise SyncError("exchange.wrong_answer", "this is the refusal of another request")
    return Refusal(members.integer("last"), _document(members, "receipts"))


# Documents in a response


def _parsed(text: str) -> Document:
    return Document.parse(text.encode("utf-8"))


def _document(members: JsonObject, name: str) -> Document | None:
    text = members.text(name, TEXT, default="")
    return _parsed(text) if text else None


def _documents(members: JsonObject, name: str) -> tuple[Document, ...]:
    return tuple(map(_parsed, members.texts(name, TEXT)))
