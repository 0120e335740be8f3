"""The readers of the protocol as functions of any bytes, for the fuzzer and for the replay of its corpus.

What stands behind a signature is signed here with the vectors' keys, or no fuzzer would ever see the other side of it.
Each function checks a round trip where there is one, and lets SyncError pass: that is what the readers promise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import rfc8785

from sync.documents import bundle, courier_receipt, device_order, enrolment, manifest, receipt, registry, trust
from sync.documents.signed import Document, sign_bare
from sync.envelope import seal
from sync.envelope.content import Content
from sync.envelope.route import PLAIN_BYTES, SUITE, open_route, seal_route
from sync.envelope.verify import SIGNATURE_TYP, envelope_id, parse_envelope, verify_envelope
from sync.exchange import codings, courier_messages, messages
from sync.exchange.bundle_stream import StreamReader
from sync.exchange.courier_bundle import Unread, read_envelopes, read_receipts, receipts_line
from sync.exchange.messages import Message
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical, strict_json, strict_value, unb64u
from vector_makers.fixed_inputs import (
    AUTHOR,
    DEVICE,
    JTI,
    KEYRING,
    REGISTRAR,
    REVIEWER,
    ROOTS,
    ROUTE_KEY,
    SERVER,
    TRUST,
)

PIN = trust.read(TRUST).pin
HELD = trust.accept(TRUST, None, PIN)
SERVERS = {SERVER.kid: SERVER.public}


def base64(data: bytes) -> None:
    assert b64u(unb64u(data)).encode() == data


def json(data: bytes) -> None:
    content = strict_json(data)
    written = canonical(content)
    assert written == rfc8785.dumps(content)
    assert canonical(strict_json(written)) == written


def document(data: bytes) -> None:
    read = Document.parse(data)
    assert read.to_bytes() == data
    read.require(trust.TYP, {key.kid: key.public for key in ROOTS}, 2)


# Envelopes


def sealed(data: bytes) -> None:
    """Any bytes as an envelope, all the way to the coordinator's screen."""
    read = parse_envelope(data)
    assert envelope_id(read.raw) == read.id
    verify_envelope(read, DEVICE.public)
    seal.open_envelope(read, KEYRING)


def around(header: bytes) -> bytes:
    """An envelope whose header is these bytes, rightly signed; nothing in it can be opened."""
    parts = (header, bytes(1120), bytes(48), bytes(12), bytes(1024), bytes(16))
    signed = ".".join(map(b64u, parts)).encode()
    return signed + b"." + sign_bare(signed, DEVICE, SIGNATURE_TYP).encode()


def header(data: bytes) -> None:
    """A header of a tablet that signs whatever it likes."""
    read = parse_envelope(around(data))
    assert parse_envelope(around(read.header.to_bytes())).header == read.header
    verify_envelope(read, DEVICE.public)
    open_route(read.header.route, {ROUTE_KEY.kid: ROUTE_KEY}, read.header.jti)


def route_content(data: bytes) -> None:
    """A route that was rightly sealed, whatever it says."""
    text = data.ljust(PLAIN_BYTES, b"\0")
    kid = ROUTE_KEY.kid
    said = b64u(SUITE.encrypt(text, ROUTE_KEY.public.hpke, f"chaski-1/route/{JTI}/{kid}".encode()))
    read = open_route(f"{kid}.{said}", {kid: ROUTE_KEY}, JTI)
    assert open_route(seal_route(read, ROUTE_KEY.public, JTI), {kid: ROUTE_KEY}, JTI) == read


def plaintext(data: bytes) -> None:
    """What was sealed, as the desk takes it apart; an even first byte gives it the right length in front."""
    body = data[1:]
    content = seal.unpack_plaintext(body if data[:1] and data[0] % 2 else len(body).to_bytes(4) + body)
    assert seal.unpack_plaintext(seal.pack_plaintext(content, 1024)) == content
    assert Content.from_bytes(content).to_bytes() == content


# The exchange


def signed(data: bytes, key: SigningKey, typ: str) -> Message:
    """A body that its sender rightly signed."""
    return Message(data, f"{key.kid}.{sign_bare(data, key, typ)}")


def request(data: bytes) -> None:
    read = messages.read_request(signed(data, DEVICE, messages.REQUEST_TYP), DEVICE.public)
    if all(raw.isascii() for raw in read.envelopes):
        assert messages.read_request(messages.write_request(read, DEVICE), DEVICE.public) == read


def response(data: bytes) -> None:
    read = messages.read_response(signed(data, SERVER, messages.RESPONSE_TYP), SERVERS, dev=DEVICE.kid, n=12)
    again = messages.read_response(messages.write_response(read, SERVER), SERVERS, dev=DEVICE.kid, n=12)
    assert again == read


def refusal(data: bytes) -> None:
    last = messages.read_refusal(signed(data, SERVER, messages.REFUSAL_TYP), SERVERS, dev=DEVICE.kid, n=12).last
    assert last >= 0


def signature(data: bytes) -> None:
    """The header beside a body, as a web server hands it over."""
    messages.read_request(Message(b"{}", data.decode("latin-1")), DEVICE.public)


def invitation(data: bytes) -> None:
    read = enrolment.Invitation.parse(data.decode("utf-8", "replace"))
    assert enrolment.Invitation.parse(read.to_text()) == read


# Form versions


def stream(data: bytes) -> None:
    """The stream of a false server, cut in two: its pieces are the same in whatever parts it arrives."""
    wanted, half = {"a" * 64, "b" * 64}, len(data) // 2
    whole, parts = StreamReader.of(wanted), StreamReader.of(wanted)
    pieces = list(whole.feed(data))
    assert pieces == [*parts.feed(data[:half]), *parts.feed(data[half:])]
    assert b"".join(piece.to_bytes() for piece in pieces if not piece.code) or not any(piece.body for piece in pieces)
    whole.require_end()


def coding(data: bytes) -> None:
    """A body in a coding of the first byte's choice: it never becomes longer than allowed."""
    kind = (codings.GZIP, codings.ZSTD, codings.DCZ)[data[0] % 3] if data else codings.PLAIN
    dictionary = codings.starter_dictionary()[:4096] if kind == codings.DCZ else b""
    head = codings.DCZ_MAGIC + hashlib.sha256(dictionary).digest() if kind == codings.DCZ else b""
    plain = codings.decode(head + data[1:], kind, most=100_000, dictionary=dictionary)
    assert len(plain) <= 100_000
    assert codings.decode(codings.encode(plain, codings.GZIP), codings.GZIP, most=len(plain)) == plain


# Couriers


def courier_file(data: bytes) -> None:
    """Any file on a stick. What was read of it and is written again is read as the same."""
    carried = list(read_envelopes(BytesIO(data), Unread()))
    told = list(read_receipts(BytesIO(data), Unread()))
    again = b"".join([each.to_line() for each in carried] + [receipts_line(each) for each in told])
    if again:
        unread = Unread()
        assert list(read_envelopes(BytesIO(again), unread)) == carried
        assert list(read_receipts(BytesIO(again), Unread())) == told
        assert not unread.damaged


def courier_request(data: bytes) -> None:
    """The request of a stranger."""
    read = courier_messages.read_request(data)
    if all(raw.isascii() for raw in read):
        assert courier_messages.read_request(courier_messages.write_request(read)) == read


def courier_answer(data: bytes) -> None:
    """The answer of a false server."""
    courier_messages.read_answer(data)


def courier_receipts(signed_one: Document) -> None:
    read = courier_receipt.accept(signed_one, HELD, dev=DEVICE.kid)
    assert courier_receipt.read(courier_receipt.make(SERVER, read), HELD) == read
    read.begins_generation("AAAAAAAAAAA")


# Signed documents


def payload(typ: str, accept: Callable[[Document], Any], *keys: SigningKey) -> Callable[[bytes], None]:
    """A reader of documents that the right people signed, whatever they say."""

    def read(data: bytes) -> None:
        content = strict_value(data)
        written = canonical(content) if isinstance(content, dict | list) else data
        accept(Document(written, tuple(key_signed(written, key, typ) for key in keys)))

    return read


def key_signed(written: bytes, key: SigningKey, typ: str) -> str:
    return Document(written).signed_by(key, typ).signatures[0]


def held_trust(signed_one: Document) -> None:
    trust.accept(signed_one, HELD, PIN)
    trust.reopen(signed_one).require_current(1)


def choosing(signed_one: Document) -> None:
    read = manifest.accept(signed_one, HELD, None)
    for form in read.forms:
        read.choose(form, DEVICE.kid, "170201")
    read.route_key(1_795_300_000_000)


def finding(signed_one: Document) -> None:
    read = registry.accept(signed_one, HELD, None)
    assert read.keyring_for("170201", "labour").id in read.keyrings


READERS: dict[str, Callable[[bytes], None]] = {
    "base64": base64,
    "json": json,
    "document": document,
    "envelope": sealed,
    "envelope_header": header,
    "route": route_content,
    "plaintext": plaintext,
    "request": request,
    "response": response,
    "refusal": refusal,
    "signature": signature,
    "invitation": invitation,
    "trust": payload(trust.TYP, held_trust, *ROOTS[:2]),
    "registry": payload(registry.TYP, finding, REGISTRAR),
    "manifest": payload(manifest.TYP, choosing, SERVER),
    "bundle": payload(bundle.TYP, lambda made: bundle.accept(made, HELD), AUTHOR, REVIEWER),
    "enrolment": payload(enrolment.REQUEST_TYP, enrolment.accept_enrolment_request, DEVICE),
    "certificate": payload(enrolment.CERTIFICATE_TYP, lambda made: enrolment.accept_certificate(made, HELD), REGISTRAR),
    "receipts": payload(receipt.TYP, lambda made: receipt.accept(made, HELD, dev=DEVICE.kid, n=12), SERVER),
    "stream": stream,
    "coding": coding,
    "courier_file": courier_file,
    "courier_request": courier_request,
    "courier_answer": courier_answer,
    "courier_receipts": payload(courier_receipt.TYP, courier_receipts, SERVER),
    "order": payload(device_order.TYP, lambda made: device_order.accept(made, HELD), REGISTRAR),
}
