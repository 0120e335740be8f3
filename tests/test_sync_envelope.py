"""Tests of envelopes and routes: the right key opens what was sealed; other keys and changed bytes are rejected."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.envelope import seal
from sync.envelope.content import Content
from sync.envelope.route import AUTHOR_FIELDS, PLAIN_BYTES, VOCABULARY, Route, open_route, seal_route
from sync.envelope.verify import envelope_id, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import RoutePublicKey, SealPublicKey
from sync.wire.encoding import canonical
from vector_makers.fixed_inputs import CONTEXT, DEVICE, KEYRING, OTHER_KEYRING, ROUTE_KEY, STRANGER, sealed


def drawn(name):
    if name == "queue_kinds":
        return st.sets(st.sampled_from(sorted(VOCABULARY[name]))).map(lambda kinds: tuple(sorted(kinds)))
    if name == "taken":
        return st.dates().map(lambda day: day.isoformat())
    allowed = VOCABULARY[name]
    return (
        st.sampled_from(sorted(allowed)) if isinstance(allowed, frozenset) else st.from_regex(allowed, fullmatch=True)
    )


ROUTES = st.builds(Route, **{name: st.none() | drawn(name) for name in VOCABULARY})


@settings(max_examples=60)
@given(st.binary(max_size=5000), ROUTES)
def test_the_right_keys_open_exactly_what_was_sealed(instance, said):
    read = parse_envelope(sealed(instance, said))
    verify_envelope(read, DEVICE.public)
    assert seal.open_envelope(read, KEYRING) == Content(instance, CONTEXT)
    assert open_route(read.header.route, {ROUTE_KEY.kid: ROUTE_KEY}, read.header.jti) == said
    assert len(read.ciphertext) % 1024 == 0


@settings(max_examples=200)
@given(st.data())
def test_any_flipped_bit_of_an_envelope_is_refused(data):
    good = sealed()
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SyncError):
        verify_envelope(parse_envelope(bytes(bad)), DEVICE.public)


@settings(max_examples=30)
@given(st.data())
def test_even_its_own_device_cannot_change_what_was_sealed(data):
    """The signature is not checked here: the encryption alone must bind header and ciphertext."""
    parsed = parse_envelope(sealed())
    name = data.draw(st.sampled_from(["ek", "encrypted_key", "iv", "ciphertext", "tag"]))
    part = bytearray(getattr(parsed, name))
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1
    with pytest.raises(SyncError, match=r"seal\.unopenable"):
        seal.open_envelope(replace(parsed, **{name: bytes(part)}), KEYRING)
    with pytest.raises(SyncError, match=r"seal\.unopenable"):
        seal.open_envelope(replace(parsed, protected=parsed.protected[:-1]), KEYRING)


@given(st.binary(max_size=60))
def test_every_wrong_envelope_is_refused_by_name_and_still_has_an_identity(raw):
    with pytest.raises(SyncError):
        parse_envelope(raw)
    assert len(envelope_id(raw)) == 64


def test_another_desk_cannot_open_a_screening():
    with pytest.raises(SyncError, match=r"seal\.wrong_recipient"):
        seal.open_envelope(parse_envelope(sealed()), OTHER_KEYRING)


def test_an_envelope_of_another_device_is_not_this_ones():
    with pytest.raises(SyncError, match=r"envelope\.wrong_device"):
        verify_envelope(parse_envelope(sealed()), STRANGER.public)


def test_a_second_envelope_names_the_first():
    first = parse_envelope(sealed())
    second = parse_envelope(sealed(jti="K" * 21 + "A", seq=2, prev=first.id))
    assert second.header.prev == first.id
    with pytest.raises(SyncError, match=r"envelope\.bad_header"):
        parse_envelope(sealed(seq=2, prev=""))


def test_sizes_show_the_bucket_and_nothing_else():
    assert len({len(sealed(b"x" * length)) for length in (0, 10, 20_000)}) == 1
    assert len(parse_envelope(sealed(bucket=2048)).ciphertext) == 2048
    with pytest.raises(SyncError, match=r"seal\.bad_bucket"):
        sealed(bucket=1000)


def test_sealed_routes_have_one_length_for_any_content():
    longest = {
        name: sorted(allowed) if name == "queue_kinds" else max(allowed, key=len)
        for name, allowed in VOCABULARY.items()
        if isinstance(allowed, frozenset)
    }
    longest |= {"form": "f" * 40, "sha": "a" * 64, "province": "1702", "taken": "2026-11-21"}
    assert len(canonical([longest[name] for name in VOCABULARY])) <= PLAIN_BYTES
    full = Route.from_content(longest)
    assert len(seal_route(full, ROUTE_KEY.public, "j")) == len(seal_route(Route(), ROUTE_KEY.public, "j"))


@pytest.mark.parametrize(
    "content",
    [
        {"nombre": "x"},
        {"tier": "T5"},
        {"province": "17025"},
        {"province": "١٧٠٢"},
        {"taken": "2026-02-30"},
        {"taken": 20261121},
        {"queue_kinds": "child"},
        {"queue_kinds": ["child", "child"]},
        {"queue_kinds": [1]},
        {"sex": ["male"]},
    ],
)
def test_a_route_with_a_value_outside_the_vocabulary_is_refused(content):
    with pytest.raises(SyncError, match=r"route\."):
        Route.from_content(content)


def test_a_form_may_set_only_the_route_fields_that_a_person_answers():
    assert set(AUTHOR_FIELDS) == {"province", "age_band", "sex", "sector", "consent", "lang"}
    assert AUTHOR_FIELDS["sex"] == VOCABULARY["sex"]
    assert AUTHOR_FIELDS["province"] == frozenset()


def test_a_wrapped_keyring_opens_for_its_member_epoch_and_name_only():
    where = {"keyring": "17-child", "epoch": 1, "member_id": "m"}
    wrapped = seal.wrap_seed(KEYRING.seed, OTHER_KEYRING.public, **where)
    assert seal.unwrap_seed(wrapped, OTHER_KEYRING, **where) == KEYRING
    for wrong in ({"keyring": "21-child"}, {"epoch": 2}, {"member_id": "n"}):
        with pytest.raises(SyncError, match=r"seal\.unopenable"):
            seal.unwrap_seed(wrapped, OTHER_KEYRING, **{**where, **wrong})
    with pytest.raises(SyncError, match=r"seal\.unopenable"):
        seal.unwrap_seed(wrapped, KEYRING, **where)


def test_a_key_that_nobody_could_open_with_is_refused_before_anything_is_sealed():
    with pytest.raises(SyncError, match=r"key\.malformed"):
        seal_route(Route(), RoutePublicKey(bytes(32)), "J" * 21 + "A")
    with pytest.raises(SyncError, match=r"key\.malformed"):
        seal.wrap_seed(
            KEYRING.seed, SealPublicKey(KEYRING.public.raw[:-32] + bytes(32)), keyring="a", epoch=1, member_id="m"
        )
    with pytest.raises(SyncError, match=r"key\.malformed"):
        seal.wrap_seed(KEYRING.seed, SealPublicKey(b"\xff" * 1216), keyring="a", epoch=1, member_id="m")
