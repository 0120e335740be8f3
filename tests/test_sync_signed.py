"""Tests of documents: reading returns what was signed, and every other input is rejected with a code."""

import json
from contextlib import suppress

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OKPKey

from sync.documents import signed
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.wire.encoding import b64u, canonical, strict_json, unb64u

TYP = "chaski-1/example+jws"
KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
KEYS = {KEY.kid: KEY.public, OTHER.kid: OTHER.public}
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=4)


@given(OBJECTS)
def test_parsing_returns_the_document_that_was_signed(content):
    document = Document.parse(Document.of(content, TYP, KEY, OTHER).to_bytes())
    assert document.require(TYP, KEYS, 2) == set(KEYS)
    assert document.content == content


@settings(max_examples=200)
@given(st.data())
def test_any_flipped_bit_of_a_document_is_refused(data):
    good = Document.of({"number": 7, "persona": "p-ñ"}, TYP, KEY).to_bytes()
    place, bit = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 7))
    bad = bytearray(good)
    bad[place] ^= 1 << bit
    with pytest.raises(SyncError):
        Document.parse(bytes(bad)).require(TYP, KEYS)


@given(st.binary())
def test_base64url_has_one_spelling(data):
    text = b64u(data)
    assert unb64u(text) == data
    for spelling in (text + "=", text + "\n", " " + text, text + "A" * 4 + "!"):
        with pytest.raises(SyncError, match=r"encoding\.base64"):
            unb64u(spelling)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_a_document_or_refused_with_a_code(data):
    with suppress(SyncError):  # Any other exception would be a crash in a tablet or a server.
        Document.parse(data)


@given(st.binary(min_size=1, max_size=300))  # To joserfc, a detached JWS over nothing looks attached.
def test_any_jose_library_reads_our_signatures_and_we_read_its(payload):
    ours, public = signed.sign(payload, KEY, TYP), {"kty": "OKP", "crv": "Ed25519", "x": b64u(KEY.public.raw)}
    jws.deserialize_compact(ours, OKPKey.import_key(public), algorithms=["Ed25519"], payload=payload)
    private = OKPKey.import_key({**public, "d": b64u(KEY.secret)})
    header = {"alg": "Ed25519", "kid": KEY.kid, "typ": TYP}
    theirs = jws.detach_content(jws.serialize_compact(header, payload, private, algorithms=["Ed25519"]))
    assert theirs == ours
    assert signed.verify(payload, theirs, TYP, KEYS) == KEY.kid
    signed.verify_bare(payload, signed.sign_bare(payload, KEY, TYP), KEY.public, TYP)


ANY_LEAVES = LEAVES | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text()
ANY_VALUES = st.recursive(
    ANY_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@settings(max_examples=300)
@given(st.lists(ANY_VALUES, max_size=3) | st.dictionaries(st.text(), ANY_VALUES, max_size=4))
def test_canonical_json_is_that_of_the_rfc8785_library_whatever_is_written(content):
    try:
        expected = rfc8785.dumps(content)
    except ValueError:
        with pytest.raises(SyncError, match=r"encoding\.json"):
            canonical(content)
    else:
        assert canonical(content) == expected


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":NaN}', '{"a":1}x', "[1]", '{"a":1e999}', '{"a":"\\ud800"}', "\ufeff{}"]
)
def test_json_that_readers_disagree_about_is_refused(text):
    with pytest.raises(SyncError):
        canonical(strict_json(text.encode("utf-8")))


def test_a_document_may_wait_for_its_signatures():
    waiting = Document(b'{"a":1}')
    with pytest.raises(SyncError, match=r"signed\.malformed"):
        Document.parse(waiting.to_bytes())
    assert Document.parse(waiting.to_bytes(), least=0).signed_by(KEY, TYP).require(TYP, KEYS) == {KEY.kid}


def test_the_header_of_a_signature_is_exactly_the_one_of_the_spec():
    header = unb64u(signed.sign(b"x", KEY, TYP).split(".")[0])
    assert header == canonical({"alg": "Ed25519", "kid": KEY.kid, "typ": TYP})
    assert json.loads(header)["kid"] == KEY.public.kid
