"""The encodings of Ed25519 points that are refused as a public key or as the `R` of a signature (SPEC 3.1, 4.1).

For a public key of small order, anyone can make a signature without a secret, and libraries differ in what they accept.
"""

_FIELD = 2**255 - 19
_Y_BITS = 2**255 - 1

# The y of the eight points whose order divides 8, as bytes. The points are those of the curve multiplied by the order
# of its large subgroup; tests/vector_makers/curve_points.py computes them.
_SMALL_ORDER_Y = frozenset(
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "0100000000000000000000000000000000000000000000000000000000000000",  # order 1
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
        "0000000000000000000000000000000000000000000000000000000000000000",  # order 4
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
    )
)


def is_usable_point(encoding: bytes) -> bool:
    """Whether 32 bytes are not refused: y is below 2^255 - 19 and not that of a point of small order.

    The sign bit does not matter. The only points that two sign bits encode have x = 0, and both are of small order.
    """
    y = int.from_bytes(encoding, "little") & _Y_BITS
    return y < _FIELD and y not in _SMALL_ORDER_Y
