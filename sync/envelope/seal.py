"""Encryption of screenings and of keyring seeds (SPEC 8 and 9).

The tablet, the coordinator's client and the keyring commands call it. The server must never call it.
"""

import secrets
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sync.documents.signed import sign_bare
from sync.envelope.content import Content
from sync.envelope.route import Route, seal_route
from sync.envelope.verify import (
    BLOCK_BYTES,
    EK_BYTES,
    ENC,
    MAX_CIPHERTEXT_BYTES,
    SIGNATURE_TYP,
    ChainPosition,
    Envelope,
    Header,
)
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, RoutePublicKey, SealKey, SealPublicKey, SigningKey
from sync.wire.encoding import b64u, unb64u

SUITE = Suite(KEM.MLKEM768_X25519, KDF.SHAKE256, AEAD.AES_256_GCM)
MAX_CONTENT_BYTES = 1024 * 1024
LENGTH_BYTES = 4
DICTIONARY = (
    "".join(f"</g{n}><g{n + 1}>" for n in range(1, 20))
    + "<score><outcome>positive</outcome><tier>T1</tier><urgency>prompt</urgency>"
    + "<queue_kinds>protection</queue_kinds></score></data>"
    + 'no</yes</no_answer does_not_know</{"sha":""}\n<data id="pe_" version="2026'
).encode()
"""The preset dictionary of SPEC 8.2. It saves up to 140 bytes of an interview; the context costs about 70."""
_RAW_DEFLATE = -15


def new_screening_id() -> str:
    """Draw the 128 random bits that name a screening."""
    return b64u(secrets.token_bytes(16))


def new_chain_id() -> str:
    """Draw the 64 random bits that name a chain of one device's envelopes."""
    return b64u(secrets.token_bytes(8))


# Keys sealed to a key


def _info(extra: str) -> bytes:
    return b"JOSE-HPKE rcpt\xff" + ENC.encode() + b"\xff" + extra.encode()


def _seal_key(secret: bytes, to: SealPublicKey, extra: str) -> bytes:
    try:
        return SUITE.encrypt(secret, to.hpke, _info(extra))
    except ValueError as wrong:
        raise SyncError("key.malformed", f"{to.kid} cannot be used to seal") from wrong


def _open_key(sealed: bytes, key: SealKey, extra: str) -> bytes:
    try:
        return SUITE.decrypt(sealed, key.hpke, _info(extra))
    except (InvalidTag, ValueError) as wrong:
        raise SyncError("seal.unopenable", "not sealed to this key for this purpose") from wrong


def wrap_seed(seed: bytes, member: SealPublicKey, *, keyring: str, epoch: int, member_id: str) -> str:
    """Seal a keyring's 32-byte seed to one of its members (SPEC 9)."""
    return b64u(_seal_key(seed, member, f"chaski-1/wrap/{keyring}/{epoch}/{member_id}"))


def unwrap_seed(wrapped: str, member: SealKey, *, keyring: str, epoch: int, member_id: str) -> SealKey:
    """Open a keyring's seed as the member it was wrapped to."""
    return SealKey.from_seed(_open_key(unb64u(wrapped), member, f"chaski-1/wrap/{keyring}/{epoch}/{member_id}"))


# Screenings


def seal_envelope(
    content: Content,
    *,
    to: SealPublicKey,
    route: Route,
    route_key: RoutePublicKey,
    device: SigningKey,
    jti: str,
    position: ChainPosition,
    bucket: int,
) -> bytes:
    """Seal a pruned instance and its context to a keyring and sign them; return the envelope's bytes (SPEC 8.1)."""
    sealed_route = _seal_route(route, route_key, jti)
    header = Header(to.kid, jti, device.kid, **vars(position), route=sealed_route)
    content_key, iv = secrets.token_bytes(32), secrets.token_bytes(12)
    protected = b64u(header.to_bytes())
    plaintext = pack_plaintext(content.to_bytes(), bucket)
    sealed_key = _seal_key(content_key, to, _purpose(header))
    ciphertext = AESGCM(content_key).encrypt(iv, plaintext, protected.encode())
    parts = (sealed_key[:EK_BYTES], sealed_key[EK_BYTES:], iv, ciphertext[:-16], ciphertext[-16:])
    signed = ".".join([protected, *(b64u(part) for part in parts)]).encode()
    return signed + b"." + sign_bare(signed, device, SIGNATURE_TYP).encode()


def _seal_route(route: Route, key: RoutePublicKey, jti: str) -> str:
    """Seal the route, or seal it to a key that is thrown away: a bad route key stops no interview (SPEC 7.2)."""
    try:
        return seal_route(route, key, jti)
    except SyncError as wrong:
        if wrong.code != "key.malformed":
            raise
        return seal_route(route, RouteKey.generate().public, jti)


def open_envelope(envelope: Envelope, secret: SealKey) -> Content:
    """Open an envelope with its keyring's secret; return instance and context (SPEC 8.3).

    `sync.envelope.verify` checks the signature.
    """
    if envelope.header.kid != secret.kid:
        raise SyncError("seal.wrong_recipient", f"sealed to {envelope.header.kid}, not to {secret.kid}")
    content_key = _open_key(envelope.ek + envelope.encrypted_key, secret, _purpose(envelope.header))
    try:
        plain = AESGCM(content_key).decrypt(
            envelope.iv, envelope.ciphertext + envelope.tag, envelope.protected.encode()
        )
    except (InvalidTag, ValueError) as wrong:
        raise SyncError("seal.unopenable", "header or ciphertext was changed after sealing") from wrong
    return Content.from_bytes(unpack_plaintext(plain))


def _purpose(header: Header) -> str:
    return f"chaski-1/env/{header.jti}/{header.kid}"


# The plaintext


def pack_plaintext(content: bytes, bucket: int) -> bytes:
    """Deflate the content, put its length in front, pad with zeros: the size shows only the bucket (SPEC 8.2)."""
    if bucket <= 0 or bucket % BLOCK_BYTES:
        raise SyncError("seal.bad_bucket", f"a bucket is a multiple of {BLOCK_BYTES} bytes")
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, zdict=DICTIONARY)
    packed = packer.compress(content) + packer.flush()
    plain = len(packed).to_bytes(LENGTH_BYTES) + packed
    while bucket < len(plain):
        bucket *= 2
    if bucket > MAX_CIPHERTEXT_BYTES or len(content) > MAX_CONTENT_BYTES:
        raise SyncError("seal.too_large", "the screening is larger than any form can produce")
    return plain.ljust(bucket, b"\0")


def unpack_plaintext(plain: bytes) -> bytes:
    """Return the content of a plaintext. Every byte must be exactly as `pack_plaintext` writes it.

    What older tablets sealed refers to no dictionary, so it is read in the same way.
    """
    length, rest = int.from_bytes(plain[:LENGTH_BYTES]), plain[LENGTH_BYTES:]
    if length > len(rest):
        raise SyncError("seal.truncated", "the length in front is larger than the data that follows")
    if any(rest[length:]):
        raise SyncError("seal.nonzero_padding", "the padding must be zeros")
    inflater = zlib.decompressobj(_RAW_DEFLATE, zdict=DICTIONARY)
    try:
        content = inflater.decompress(rest[:length], MAX_CONTENT_BYTES + 1)
    except zlib.error as wrong:
        raise SyncError("seal.truncated", "not a deflate stream") from wrong
    if len(content) > MAX_CONTENT_BYTES:
        raise SyncError("seal.too_large", f"inflates to more than {MAX_CONTENT_BYTES} bytes")
    if not inflater.eof:
        raise SyncError("seal.truncated", "the deflate stream ends too early")
    if inflater.unused_data:
        raise SyncError("seal.trailing_data", "there are bytes after the deflate stream")
    return content
