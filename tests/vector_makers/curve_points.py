"""The vectors of Ed25519 points that are refused, computed from the curve itself (RFC 8032, 5.1).

Each key comes with a signature that needs no secret, and each R with a signature that a careless reader accepts.
"""

import hashlib
from collections.abc import Iterator
from math import gcd

from sync.documents.signed import Document
from sync.keys.key_pairs import SigningKey, key_id
from sync.wire.encoding import b64u, canonical
from vector_makers.fixed_inputs import REGISTRAR, STRANGER, Case, case, text

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
PLAIN_TYP = "chaski-1/example+jws"
PAYLOAD = b'{"a":1}'
Point = tuple[int, int]
_D = -121665 * pow(121666, -1, FIELD) % FIELD
_NEUTRAL = (0, 1)


def _add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    both = _D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + both, -1, FIELD)
    y = (y1 * y2 + x1 * x2) * pow(1 - both, -1, FIELD)
    return x % FIELD, y % FIELD


def _multiply(factor: int, point: Point) -> Point:
    total = _NEUTRAL
    while factor:
        total = _add(total, point) if factor & 1 else total
        point, factor = _add(point, point), factor >> 1
    return total


def _points() -> Iterator[Point]:
    """Yield points of the curve, by rising y."""
    for y in range(2, FIELD):
        square = (y * y - 1) * pow(_D * y * y + 1, -1, FIELD) % FIELD
        root = pow(square, (FIELD + 3) // 8, FIELD)
        for x in (root, root * pow(2, (FIELD - 1) // 4, FIELD) % FIELD):
            if x * x % FIELD == square:
                yield x, y


def small_order_points() -> dict[Point, int]:
    """Return the points whose order divides 8, with their orders."""
    for point in _points():
        torsion = _multiply(ORDER, point)
        multiples = [_multiply(times, torsion) for times in range(1, 9)]
        if multiples.index(_NEUTRAL) == 7:  # It generates all eight.
            return {each: 8 // gcd(8, times) for times, each in enumerate(multiples, 1)}
    raise AssertionError("the curve has points of order 8")


def refused_encodings() -> dict[str, bytes]:
    """Return every encoding of a point of small order, and two other encodings that are not canonical, by name."""
    # Two points differ in the sign of x alone, so their y is one.
    distinct = sorted({(order, y) for (_, y), order in small_order_points().items()})
    ys = {
        f"order_{order}{'b' if at and distinct[at - 1][0] == order else ''}": y
        for at, (order, y) in enumerate(distinct)
    }
    ys |= {f"field_plus_{y}": FIELD + y for y in (0, 1, 3, 18)}
    return {
        f"{name}{suffix}": (y | sign << 255).to_bytes(32, "little")
        for name, y in sorted(ys.items())
        for suffix, sign in (("", 0), ("_signed", 1))
    }


def _scalar(key: SigningKey) -> int:
    """Return a signing key's secret scalar (RFC 8032, 5.1.5)."""
    number = int.from_bytes(hashlib.sha512(key.secret).digest()[:32], "little")
    return number & ~7 & (2**254 - 1) | 2**254


def _document(kid: str, r: bytes, s: int) -> Document:
    return Document(PAYLOAD, (f"{_header(kid)}..{b64u(r + (s % ORDER).to_bytes(32, 'little'))}",))


def _header(kid: str) -> str:
    return b64u(canonical({"alg": "Ed25519", "kid": kid, "typ": PLAIN_TYP}))


def _check(expect: str, about: str, document: Document, key: bytes) -> Case:
    given = {"document": text(document), "typ": PLAIN_TYP, "keys": [b64u(key)], "threshold": 1}
    return case("document", expect, about, given)


def curve_cases() -> dict[str, Case]:
    """Return two cases for each encoding: as a public key, and as R."""
    cases = {}
    for name, encoding in refused_encodings().items():
        # S B = R + k A holds for any k while k A is neutral, so R = S B is enough and no secret is used.
        without_secret = _document(key_id(encoding), STRANGER.public.raw, _scalar(STRANGER))
        cases[f"key_{name}"] = _check("key.malformed", f"A public key: {name}.", without_secret, encoding)
        signed = encoding + REGISTRAR.public.raw + f"{_header(REGISTRAR.kid)}.{b64u(PAYLOAD)}".encode()
        k = int.from_bytes(hashlib.sha512(signed).digest(), "little")
        cheat = _document(REGISTRAR.kid, encoding, k * _scalar(REGISTRAR))
        cases[f"r_{name}"] = _check("signed.bad_signature", f"An R: {name}.", cheat, REGISTRAR.public.raw)
    return cases
