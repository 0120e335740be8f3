"""The encodings of Ed25519 points that are refused as a public key or as the `R` of a signature (SPEC 3.1, 4.1), and
those of X25519 and ML-KEM-768 to which nothing can be sealed (SPEC 3.1).

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

# The u of the points of Curve25519 and its twist whose order divides 8, as bytes: any secret gives zero with them.
_SMALL_ORDER_U = frozenset(
    int.from_bytes(bytes.fromhex(u), "little")
    for u in (
        "0000000000000000000000000000000000000000000000000000000000000000",  # order 1 or 2
        "0100000000000000000000000000000000000000000000000000000000000000",  # order 4
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 4, twist
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",  # order 8
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",  # order 8
    )
)
_LATTICE_MODULUS = 3329
_LATTICE_BYTES = 1152


def is_usable_point(encoding: bytes) -> bool:
    """Whether 32 bytes are not refused: y is below 2^255 - 19 and not that of a point of small order.

    The sign bit does not matter. The only points that two sign bits encode have x = 0, and both are of small order.
    """
    y = int.from_bytes(encoding, "little") & _Y_BITS
    return y < _FIELD and y not in _SMALL_ORDER_Y


def is_usable_coordinate(encoding: bytes) -> bool:
    """Whether 32 bytes are an X25519 key to seal to: u is below 2^255 - 19 and not that of a point of small order."""
    u = int.from_bytes(encoding, "little") & _Y_BITS
    return u < _FIELD and u not in _SMALL_ORDER_U


def is_usable_lattice_key(encoding: bytes) -> bool:
    """Whether all numbers of an ML-KEM-768 encapsulation key, 12 bits each, are below its modulus (FIPS 203, 7.2)."""
    packed = encoding[:_LATTICE_BYTES]
    triples = (int.from_bytes(packed[at : at + 3], "little") for at in range(0, len(packed), 3))
    return all(each & 0xFFF < _LATTICE_MODULUS and each >> 12 < _LATTICE_MODULUS for each in triples)
