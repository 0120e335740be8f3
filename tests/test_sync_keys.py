"""Tests of keys, passphrases and key files."""

import json
import subprocess
import sys
import unicodedata

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from sync.documents.signed import Document
from sync.envelope import seal, verify
from sync.envelope.content import Content, Context
from sync.envelope.route import Route, open_route
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.keys import key_files, passphrases
from sync.keys.curve_points import is_usable_point
from sync.keys.key_pairs import RouteKey, RoutePublicKey, SealKey, SealPublicKey, SigningKey, VerifyKey
from sync.wire.encoding import b64u, unb64u
from vector_makers.curve_points import FIELD, curve_cases, refused_encodings, small_order_points
from vector_makers.form_selection import BAD_ROUTE_KEYS

PHRASE = "ábaco abdomen abeja abierto abogado abono"


def refused(code, act, *args):
    with pytest.raises(SyncError) as wrong:
        act(*args)
    assert wrong.value.code == code


@pytest.mark.parametrize("kind", [SigningKey, SealKey, RouteKey])
def test_a_key_file_gives_back_its_key_to_its_owner_only(tmp_path, kind):
    key, path = kind.generate(), tmp_path / "key"
    key_files.save_secret(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(path.read_text())) == {"kid", "kind", "secret"}
    assert key_files.load_secret(path, kind) == key
    refused("key.file_exists", key_files.save_secret, path, key)
    path.chmod(0o640)
    refused("key.file_readable_by_others", key_files.load_secret, path, kind)


def test_a_locked_key_file_needs_its_passphrase_and_reveals_nothing_without(tmp_path):
    key, path = SigningKey.generate(), tmp_path / "key"
    key_files.save_secret(path, key, PHRASE)
    assert b64u(key.secret) not in path.read_text()
    assert key_files.load_secret(path, SigningKey, PHRASE.upper()) == key
    refused("key.locked", key_files.load_secret, path, SigningKey)
    refused("key.wrong_passphrase", key_files.load_secret, path, SigningKey, PHRASE + " abono")
    refused("key.wrong_kind", key_files.load_secret, path, SealKey, PHRASE)


@pytest.mark.parametrize("spare", [10, 20])
@pytest.mark.parametrize("words", [PHRASE, "other words"])
def test_too_little_memory_for_a_passphrase_is_told_as_such(tmp_path, words, spare):
    path = tmp_path / "key"
    key_files.save_secret(path, SigningKey.generate(), PHRASE)
    program = (
        "import resource, sys; from pathlib import Path; from sync.keys.key_files import load_secret;"
        "from sync.keys.key_pairs import SigningKey;"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]) * 2**20, resource.RLIM_INFINITY));"
        "load_secret(Path(sys.argv[1]), SigningKey, sys.argv[2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, words, str(spare)], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].startswith("sync.errors.SyncError: key.too_little_memory: "), done.stderr
    assert "64 MiB" in done.stderr.splitlines()[-1]


def test_a_key_file_whose_secret_was_exchanged_is_refused(tmp_path):
    path = tmp_path / "key"
    key_files.save_secret(path, SigningKey(b"a" * 32))
    content = json.loads(path.read_text()) | {"secret": b64u(b"b" * 32)}
    path.write_text(json.dumps(content))
    refused("key.malformed", key_files.load_secret, path, SigningKey)
    path.write_text(json.dumps(content | {"secret": "AAAA"}))
    refused("key.malformed", key_files.load_secret, path, SigningKey)


@given(st.binary(max_size=40), st.text(max_size=10))
def test_a_locked_secret_opens_for_its_purpose_only(secret, purpose):
    locked = passphrases.lock_secret(secret, b"k" * 32, purpose)
    assert passphrases.unlock_secret(locked, b"k" * 32, purpose) == secret
    refused("key.wrong_passphrase", passphrases.unlock_secret, locked, b"k" * 32, purpose + "x")
    refused("key.wrong_passphrase", passphrases.unlock_secret, locked, b"l" * 32, purpose)
    refused("key.wrong_passphrase", passphrases.unlock_secret, "AAAA", b"k" * 32, purpose)


def test_passphrases_are_six_words_that_may_be_typed_without_accents():
    phrases = {passphrases.generate_passphrase() for _ in range(20)}
    assert len(phrases) == 20
    assert all(len(phrase.split()) == 6 and set(phrase.split()) <= set(passphrases.WORDS) for phrase in phrases)
    assert len(set(map(passphrases.normalize_phrase, passphrases.WORDS))) == 2048
    for spelling in (PHRASE, PHRASE.upper(), unicodedata.normalize("NFD", PHRASE), f"  {PHRASE.replace('á', 'a')}\n"):
        assert passphrases.normalize_phrase(spelling) == b"abaco abdomen abeja abierto abogado abono"


def test_no_secret_shows_in_a_repr():
    secret = b"s" * 32
    for key in (SigningKey(secret), SealKey(secret), RouteKey(secret), passphrases.DerivedKeys(secret, secret)):
        assert "ss" not in repr(key)


def test_another_key_has_other_words():
    words = SigningKey(b"a" * 32).public.words()
    assert len(words) == 6
    assert set(words) <= set(passphrases.WORDS)
    assert words != SigningKey(b"b" * 32).public.words()


def test_the_refused_keys_are_those_of_small_order_and_no_others():
    small = {y for _, y in small_order_points()}
    assert len(small_order_points()) == 8
    assert small == {y for y in (*range(100), *small, *(FIELD - y for y in range(1, 100))) if not usable(y)}
    for encoding in refused_encodings().values():
        refused("key.malformed", VerifyKey.from_raw, encoding)
    assert [usable(FIELD + more) for more in range(19)] == [False] * 19
    for _ in range(50):
        key = SigningKey.generate()
        assert VerifyKey.from_raw(key.public.raw) == key.public
        key.public.verify(key.sign(b"a"), b"a")


def usable(y: int) -> bool:
    return all(is_usable_point((y | sign << 255).to_bytes(32, "little")) for sign in (0, 1))


def test_a_key_that_needs_no_secret_would_pass_the_library_alone():
    """Otherwise the vectors of small order would prove nothing."""
    case = curve_cases()["key_order_1"]["given"]
    document = Document.parse(case["document"].encode())
    key = VerifyKey(unb64u(case["keys"][0]))
    protected, _, signature = document.signatures[0].partition("..")
    Ed25519PublicKey.from_public_bytes(key.raw).verify(
        unb64u(signature), f"{protected}.{b64u(document.payload)}".encode()
    )
    refused("key.malformed", VerifyKey.from_raw, key.raw)


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), bytes(31) + b"\x80"], ids=["zero", "one", "high bit"])
def test_a_bad_route_key_stops_no_interview_and_only_hides_its_route(key):
    content, ring, device = Content(b"<data/>", Context("0" * 64)), SealKey.generate(), SigningKey.generate()
    said = {"device": device, "jti": "J" * 22, "position": ChainPosition("C" * 11, 1, 1, ""), "bucket": 1024}
    body = seal.seal_envelope(content, to=ring.public, route=Route(), route_key=RoutePublicKey(key), **said)
    envelope = verify.parse_envelope(body)
    assert seal.open_envelope(envelope, ring) == content
    refused("route.unknown_key", open_route, envelope.header.route, {}, "J" * 22)


def test_an_x25519_key_that_gives_zero_with_a_secret_is_refused():
    for raw in map(bytes.fromhex, (each for _, _, each in BAD_ROUTE_KEYS)):
        refused("key.malformed", RoutePublicKey.from_raw, raw)
        refused("key.malformed", SealPublicKey.from_raw, SealKey.generate().public.raw[:1184] + raw)
    for _ in range(20):
        assert RoutePublicKey.from_raw(RouteKey.generate().public.raw)
        assert SealPublicKey.from_raw(SealKey.generate().public.raw)
