"""Tests of one sync round trip: reading returns what was written, it binds both sides, and it stays small."""

import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.documents import receipt
from sync.documents.signed import Document, sign_bare
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition, envelope_id
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import Event, Message, Request, Response
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.wire.encoding import b64u

DEVICE, SERVER, STRANGER = SigningKey(b"d" * 32), SigningKey(b"s" * 32), SigningKey(b"x" * 32)
SERVERS = {SERVER.kid: SERVER.public}
NOW = 1_795_300_000_000
COUNTS = st.integers(0, 2**53 - 1)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
HALF_IDS = st.binary(min_size=8, max_size=8).map(b64u)
DOCUMENTS = st.none() | st.builds(lambda number: Document.of({"number": number}, "t", SERVER), COUNTS)
SOME = st.lists(DOCUMENTS.filter(bool), max_size=2).map(tuple)
REQUESTS = st.builds(
    Request,
    n=st.integers(1, 2**53 - 1),
    at=COUNTS,
    trust=COUNTS,
    registry=COUNTS,
    manifest=COUNTS,
    generation=st.just("") | HALF_IDS,
    cursor=COUNTS,
    pending=st.lists(HASHES, max_size=5).map(tuple),
    envelopes=st.lists(st.text(st.characters(codec="ascii")).map(str.encode), max_size=5).map(tuple),
    inventory_digest=st.just("") | st.binary(min_size=16, max_size=16).map(b64u),
    inventory=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True), HASHES, max_size=3),
    refused=st.dictionaries(HASHES, st.from_regex(r"[a-z_]{1,20}(\.[a-z0-9_]{1,20}){0,2}", fullmatch=True), max_size=3),
    ended=st.dictionaries(HALF_IDS, st.integers(1, 2**53 - 1), max_size=3),
    budget=COUNTS,
)
EVENTS = st.builds(Event, HASHES, st.from_regex(r"[a-z_]{1,32}", fullmatch=True), COUNTS)
RESPONSES = st.builds(
    Response,
    dev=st.just(DEVICE.kid),
    n=st.just(12),
    at=COUNTS,
    generation=HALF_IDS,
    cursor=COUNTS,
    receipts=DOCUMENTS,
    trust=SOME,
    registry=DOCUMENTS,
    manifest=DOCUMENTS,
    events=st.lists(EVENTS, max_size=3).map(tuple),
    orders=SOME,
    seq=st.dictionaries(HALF_IDS, COUNTS, max_size=3),
    more=st.booleans(),
)
RESPONSE = Response(DEVICE.kid, 12, NOW, "A" * 11)


def sent(body, key=DEVICE):
    return Message(body, f"{key.kid}.{sign_bare(body, key, messages.REQUEST_TYP)}")


def code_of(message, key=DEVICE):
    with pytest.raises(SyncError) as wrong:
        messages.read_request(message, key.public)
    return wrong.value.code


@settings(max_examples=60)
@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request_):
    message = messages.write_request(request_, DEVICE)
    assert messages.claimed_signer(message.signature) == DEVICE.kid
    assert messages.read_request(message, DEVICE.public) == request_
    assert messages.write_request(request_, DEVICE) == message


@settings(max_examples=60)
@given(RESPONSES)
def test_a_response_is_read_as_it_was_written(response):
    message = messages.write_response(response, SERVER)
    assert messages.read_response(message, SERVERS, dev=DEVICE.kid, n=12) == response


@settings(max_examples=100)
@given(st.data())
def test_any_flipped_bit_of_a_request_is_refused(data):
    good = messages.write_request(Request(n=1, at=NOW, pending=("ab" * 32,) * 9), DEVICE)
    body = bytearray(good.body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert code_of(Message(bytes(body), good.signature)) == "exchange.bad_signature"


def test_an_answer_to_another_tablet_or_request_is_refused():
    answer = messages.write_response(Response(DEVICE.kid, 12, NOW, "A" * 11), SERVER)
    for dev, n in ((STRANGER.kid, 12), (DEVICE.kid, 13)):
        with pytest.raises(SyncError, match=r"exchange\.wrong_answer"):
            messages.read_response(answer, SERVERS, dev=dev, n=n)
    with pytest.raises(SyncError, match=r"exchange\.unknown_signer"):
        messages.read_response(answer, {}, dev=DEVICE.kid, n=12)


def test_a_request_is_not_accepted_as_a_response():
    asked = messages.write_request(Request(n=12, at=NOW), SERVER)
    with pytest.raises(SyncError, match=r"exchange\.bad_signature"):
        messages.read_response(asked, SERVERS, dev=DEVICE.kid, n=12)


REFUSED = {"code": "sync.number_used", "status": 409, "dev": DEVICE.kid, "n": 12, "last": 40}


def refusal_code(message, dev=DEVICE.kid, n=12):
    with pytest.raises(SyncError) as wrong:
        messages.read_refusal(message, SERVERS, dev=dev, n=n)
    return wrong.value.code


def test_a_refused_number_counts_only_if_a_server_signed_it_for_this_request():
    message = messages.write_refusal(REFUSED, SERVER)
    assert messages.read_refusal(message, SERVERS, dev=DEVICE.kid, n=12).last == 40
    assert refusal_code(message, n=13) == refusal_code(message, dev=STRANGER.kid) == "exchange.wrong_answer"
    assert refusal_code(Message(message.body, "")) == "exchange.malformed"
    assert refusal_code(messages.write_refusal(REFUSED, STRANGER)) == "exchange.unknown_signer"
    assert refusal_code(Message(message.body.replace(b"40", b"41"), message.signature)) == "exchange.bad_signature"
    assert refusal_code(messages.write_response(RESPONSE, SERVER)) == "exchange.bad_signature", "another typ"
    assert refusal_code(messages.write_refusal({**REFUSED, "last": "40"}, SERVER)) == "document.malformed"


def test_a_request_names_at_most_64_ended_chains_and_each_has_a_number():
    for ended in ({f"{number:011}": 1 for number in range(65)}, {"A" * 11: 0}, {"A": 1}):
        assert code_of(messages.write_request(Request(n=1, at=1, ended=ended), DEVICE)) == "document.malformed"


def test_a_gzip_bomb_stops_at_the_limit():
    packed = messages.zlib.compress(b" " * 200_000_000, 1, wbits=31)
    assert code_of(sent(packed)) == "exchange.too_large"
    assert code_of(sent(b"{" * (messages.MAX_BODY_BYTES + 1))) == "exchange.too_large"


def test_small_bytes_do_not_become_large_values():
    packed = messages.zlib.compress(b'{"x":[' + b"[]," * 2_790_000 + b"1]}", 9, wbits=31)
    assert len(packed) < 10_000
    tracemalloc.start()
    assert code_of(sent(packed)) == "encoding.json"
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * messages.MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "encoding.json"),
        (b"\x1f\x8b", "exchange.malformed"),
        (messages.zlib.compress(b"{}", wbits=31)[:-1], "exchange.malformed"),
        (messages.zlib.compress(b"{}", wbits=31) + b"x", "exchange.malformed"),
        (b'{"n":1,"at":1}', "exchange.wrong_protocol"),
        (b'{"protocol":"chaski-1","n":0,"at":1}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":true,"at":1}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1.0,"at":1}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1,"at":1,"envelopes":{}}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1,"at":1,"pending":["x"]}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1,"at":1,"have":[]}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1,"at":1,"inventory":{"../x":"y"}}', "document.malformed"),
        (b'{"protocol":"chaski-1","n":1,"n":2,"at":1}', "encoding.duplicate_member"),
        (b'{"protocol":"chaski-1","n":1,"at":1,"envelopes":[' + b'"",' * 500 + b'""]}', "document.malformed"),
    ],
)
def test_a_malformed_request_is_refused_with_its_code(body, code):
    assert code_of(sent(body)) == code


def test_one_broken_envelope_does_not_affect_the_others():
    body = '{"protocol":"chaski-1","n":1,"at":1,"envelopes":["roto","ñ","\\u0000"]}'.encode()
    read = messages.read_request(sent(body), DEVICE.public)
    assert len({envelope_id(raw) for raw in read.envelopes}) == 3


def test_members_of_a_later_protocol_are_ignored():
    body = b'{"protocol":"chaski-1","n":1,"at":1,"later":[1]}'
    assert messages.read_request(sent(body), DEVICE.public) == Request(n=1, at=1)


def test_a_sync_with_nothing_new_fits_in_a_thousand_bytes_with_its_heads():
    up = messages.write_request(
        Request(
            n=123_456,
            at=NOW,
            trust=12,
            registry=1234,
            manifest=NOW // 1000,
            generation="A" * 11,
            cursor=1_234_567,
            inventory_digest="A" * 22,
        ),
        DEVICE,
    )
    down = messages.write_response(
        Response(DEVICE.kid, 123_456, NOW, "A" * 11, cursor=1_234_567, seq={"A" * 11: 12_345}), SERVER
    )
    request_head = (
        f"POST {messages.PATH} HTTP/1.1\r\nHost: chaski.ejemplo.gob.pe\r\nContent-Type: {messages.CONTENT_TYPE}\r\n"
        f"Content-Length: {len(up.body)}\r\n{messages.SIGNATURE_HEADER}: {up.signature}\r\n\r\n"
    )
    response_head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {messages.CONTENT_TYPE}\r\nContent-Length: {len(down.body)}\r\n"
        "Date: Sat, 21 Nov 2026 18:00:00 GMT\r\n"
        f"{messages.SIGNATURE_HEADER}: {down.signature}\r\n\r\n"
    )
    assert len(request_head) + len(up.body) <= 550
    assert len(response_head) + len(down.body) <= 450


def sealed(count):
    """Envelopes of one tablet, one after the other."""
    keyring, route_key, raws = SealKey(b"k" * 32), RouteKey(b"r" * 32), []
    for number in range(1, count + 1):
        raws.append(
            seal.seal_envelope(
                Content(os.urandom(900), Context("ab" * 32)),
                to=keyring.public,
                route=Route(form="pe_laboral_adulto", sha="ab" * 32, province="1702"),
                route_key=route_key.public,
                device=DEVICE,
                jti=seal.new_screening_id(),
                position=ChainPosition(
                    chain="A" * 11, seq=number, kseq=number, prev=envelope_id(raws[-1]) if raws else ""
                ),
                bucket=1024,
            )
        )
    return raws


def answer_to(asked):
    """The response of a server that stores each envelope of a request."""
    read = messages.read_request(messages.write_request(asked, DEVICE), DEVICE.public)
    items = [receipt.ReceiptItem(envelope_id(raw), "stored", number) for number, raw in enumerate(asked.envelopes, 1)]
    word = receipt.make(SERVER, dev=DEVICE.kid, n=1, at=NOW, generation="A" * 11, head="ab" * 32, items=items)
    return messages.write_response(Response(DEVICE.kid, 1, NOW, "A" * 11, receipts=word), SERVER, read)


def test_ten_screenings_and_their_receipts_fit_in_28_kilobytes():
    asked = Request(n=1, at=NOW, envelopes=tuple(sealed(10)))
    up = messages.write_request(asked, DEVICE)
    assert messages.read_request(up, DEVICE.public) == asked
    # The heads, one signature in each, take 480 bytes more.
    assert len(up.body) + len(answer_to(asked).body) <= 27_500


@pytest.mark.parametrize(("count", "packed"), [(1, False), (10, True), (30, True)])
def test_the_answer_to_one_screening_is_plain_and_that_to_many_is_packed(count, packed):
    body = answer_to(Request(n=1, at=NOW, envelopes=tuple(sealed(count)))).body
    assert body.startswith(b"\x1f") == packed
    assert len(body) < 384
