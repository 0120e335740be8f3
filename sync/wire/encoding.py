"""base64url, strict JSON and canonical JSON (SPEC 2).

Each value has exactly one spelling here, so that hashes and signatures are unambiguous. All signed or hashed bytes come
from this module.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import rfc8785

from sync.errors import SyncError

MAX_INTEGER = 2**53 - 1
_NATURAL = re.compile(r"[0-9]{1,16}")
MAX_VALUES = 200_000
"""The maximum number of `[`, `{` and `,` in a JSON text: the characters that begin another value."""


def b64u(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


# Maps the letters of base64url to those of base64. The two letters `+` and `/` of base64 become invalid.
_STANDARD = bytes.maketrans(b"-_+/", b"+/**")


def unb64u(text: str | bytes) -> bytes:
    """Decode base64url. Raise SyncError `encoding.base64` for any spelling but the canonical one (SPEC 2.1)."""
    try:
        encoded = (text.encode("ascii") if isinstance(text, str) else text).translate(_STANDARD)
        data = binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except (binascii.Error, ValueError) as wrong:
        raise SyncError("encoding.base64", "not base64url") from wrong
    # The library still accepts padding and stray bits at the end. So the last letters are encoded again, unless they
    # stand for three whole bytes, as without padding and stray bits.
    whole = len(data) // 3
    rest = binascii.b2a_base64(data[whole * 3 :], newline=False).rstrip(b"=") if len(data) % 3 else b""
    if rest != encoded[whole * 4 :]:
        raise SyncError("encoding.base64", "not the canonical base64url of its bytes")
    return data


def natural(text: str) -> int:
    """Parse 1 to 16 ASCII digits as an integer. Raise ValueError for any other text.

    int() alone accepts `+1`, `1_0`, blanks and the digits of every script, and fails on 4,301 digits.
    """
    if not _NATURAL.fullmatch(text):
        raise ValueError("must be a whole number in plain digits")
    return int(text)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SyncError("encoding.duplicate_member", "a JSON object has the same member twice")
    return members


def _no_constant(name: str) -> Any:
    raise SyncError("encoding.json", f"{name} is not JSON")


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > MAX_INTEGER:
        raise SyncError("encoding.json", "an integer beyond 2^53 - 1")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise SyncError("encoding.json", "a number too large for a double")
    return number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_members_once, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite
)
_PLAIN = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def strict_value(data: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Parse one JSON value in UTF-8, in which no object has the same member twice (SPEC 2.2)."""
    if len(data) > max_values and sum(map(data.count, (b"[", b"{", b","))) > max_values:
        raise SyncError("encoding.json", "too many values for a JSON text of this size")
    try:
        value = _STRICT.decode(data.decode("utf-8"))
        if rb"\u" in data:
            _PLAIN.encode(value).encode("utf-8")  # An escape can write half a surrogate pair, which is not text.
        return value
    except (ValueError, RecursionError) as wrong:
        raise SyncError("encoding.json", "not JSON in UTF-8") from wrong


def strict_json(data: bytes) -> dict[str, Any]:
    """Parse one JSON object with the rules of `strict_value`."""
    content = strict_value(data)
    if not isinstance(content, dict):
        raise SyncError("encoding.json", "not a JSON object")
    return content


def canonical(content: Mapping[str, Any] | list[Any]) -> bytes:
    """Write a JSON object or array as RFC 8785 bytes."""
    value = content if isinstance(content, list) else dict(content)
    try:
        return _PLAIN.encode(value).encode() if _is_plain(value) else rfc8785.dumps(value)
    except (ValueError, RecursionError) as wrong:
        raise SyncError("encoding.json", "has no canonical JSON form") from wrong


def _is_plain(value: Any) -> bool:
    """Whether the standard library, which is ten times as fast, writes this value as RFC 8785 requires.

    It does for values without floats and with ASCII names only. RFC 8785 writes floats its own way and sorts names as
    UTF-16. Almost all signed values are plain.
    """
    kind = type(value)
    if kind is dict:
        if not all(type(name) is str and name.isascii() for name in value):
            return False
        value = value.values()
    elif kind is not list:
        return kind in (str, bool, type(None)) or (kind is int and -MAX_INTEGER <= value <= MAX_INTEGER)
    # Most are strings: a call for each would take most of the time.
    return all(type(each) is str or _is_plain(each) for each in value)
