"""Our steps of HPKE for routes open what the library seals, and nothing else."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.envelope.route import SUITE
from sync.keys.hpke_opening import open_message
from sync.keys.key_pairs import RouteKey

KEY = RouteKey(bytes(range(32)))


@given(st.binary(max_size=400), st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_what_the_library_sealed_opens_to_the_same_bytes(plain: bytes, info: bytes) -> None:
    sealed = SUITE.encrypt(plain, KEY.public.hpke, info)
    assert open_message(sealed, KEY.hpke, KEY.public.raw, info) == plain
    assert SUITE.decrypt(sealed, KEY.hpke, info) == plain


@given(st.integers(0, 335), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_is_refused_as_by_the_library(place: int, change: int) -> None:
    sealed = bytearray(SUITE.encrypt(bytes(288), KEY.public.hpke, b"info"))
    sealed[place] ^= change
    # X25519 ignores the highest bit of the point, but the point's bytes enter the key.
    with pytest.raises(ValueError, match="not sealed"):
        open_message(bytes(sealed), KEY.hpke, KEY.public.raw, b"info")
    with pytest.raises(InvalidTag):
        SUITE.decrypt(bytes(sealed), KEY.hpke, b"info")


@pytest.mark.parametrize("size", [0, 1, 31, 32, 47])
def test_a_cut_message_and_a_point_of_small_order_are_refused(size: int) -> None:
    for message in (SUITE.encrypt(b"", KEY.public.hpke, b"")[:size], bytes(48)):
        with pytest.raises(ValueError, match=r"."):
            open_message(message, KEY.hpke, KEY.public.raw, b"")
