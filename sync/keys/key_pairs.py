"""Key pairs and their ids (SPEC 3.1), for tablet, desk, server and command line.

A private key is stored as its seed. It must not appear in a repr, a log or an error.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Self

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError

from sync.errors import SyncError
from sync.keys.curve_points import is_usable_coordinate, is_usable_lattice_key, is_usable_point
from sync.keys.passphrases import six_words
from sync.wire.encoding import b64u

MLKEM_PUBLIC_BYTES = 1184
SEAL_PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + 32
SIGNATURE_BYTES = 64


def key_id(public: bytes) -> str:
    """Return a public key's id: the first 16 bytes of its SHA-256 as 22 letters of base64url (SPEC 3.1)."""
    return b64u(hashlib.sha256(public).digest()[:16])


def _require_length(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise SyncError("key.malformed", f"expected {length} bytes, not {len(data)}")
    return bytes(data)


@dataclass(frozen=True)
class PublicKey:
    """The public bytes of a key, and the id that follows from them."""

    LENGTH: ClassVar[int] = 32
    raw: bytes

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Read public bytes from another party. Raise SyncError `key.malformed` for another length."""
        return cls(_require_length(raw, cls.LENGTH))

    @cached_property
    def kid(self) -> str:
        """The key's id. A device's id is the id of its key."""
        return key_id(self.raw)


@dataclass(frozen=True)
class SecretKey:
    """A key pair, stored as the 32 secret bytes from which it is computed."""

    KIND: ClassVar[str]
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Generate a new key pair."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        """Make a key pair from the 32 secret bytes."""
        return cls(_require_length(secret, 32))


class VerifyKey(PublicKey):
    """An Ed25519 public key."""

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Read public bytes from another party. Raise SyncError `key.malformed` for a point that proves nothing."""
        key = super().from_raw(raw)
        if not is_usable_point(key.raw):
            raise SyncError("key.malformed", "a signing key that is not canonical, or of small order")
        return key

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise SyncError `signed.bad_signature` unless this key signed the data."""
        try:
            if len(signature) != SIGNATURE_BYTES:  # libsodium takes both in one piece.
                raise BadSignatureError
            sodium.crypto_sign_open(signature + data, self.raw)
        except BadSignatureError as wrong:
            raise SyncError("signed.bad_signature", f"not signed by {self.kid}") from wrong
        if not is_usable_point(signature[:32]):
            raise SyncError(
                "signed.bad_signature", "the first half is a point that is not canonical, or of small order"
            )

    def words(self) -> tuple[str, ...]:
        """Return the six Spanish words (66 bits of the key's SHA-256) that people compare by voice (SPEC 3.3)."""
        return six_words(int.from_bytes(hashlib.sha256(self.raw).digest()[:9]) >> 6)


class SigningKey(SecretKey):
    """An Ed25519 key pair."""

    KIND = "signing"

    @cached_property
    def _pair(self) -> tuple[bytes, bytes]:
        """The public half, and both halves as libsodium signs with them."""
        public, both = sodium.crypto_sign_seed_keypair(self.secret)
        return public, both

    @cached_property
    def public(self) -> VerifyKey:
        """The public half."""
        return VerifyKey(self._pair[0])

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid

    def sign(self, data: bytes) -> bytes:
        """Sign data. The result has 64 bytes and is the same each time."""
        return bytes(sodium.crypto_sign(data, self._pair[1])[:SIGNATURE_BYTES])


class SealPublicKey(PublicKey):
    """A public key to seal to: ML-KEM-768 (1,184 bytes), then X25519 (32 bytes)."""

    LENGTH = SEAL_PUBLIC_BYTES

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Read public bytes from another party. Raise SyncError `key.malformed` for a key that nothing is sealed to."""
        key = super().from_raw(raw)
        lattice, curve = key.raw[:MLKEM_PUBLIC_BYTES], key.raw[MLKEM_PUBLIC_BYTES:]
        if not (is_usable_lattice_key(lattice) and is_usable_coordinate(curve)):
            raise SyncError("key.malformed", "a seal key that is not canonical, or of small order")
        return key

    @cached_property
    def sha256(self) -> str:
        """The hash under which clients fetch the key."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def hpke(self) -> hpke.MLKEM768X25519PublicKey:
        """The same key as an object of the `cryptography` library."""
        try:
            lattice = MLKEM768PublicKey.from_public_bytes(self.raw[:MLKEM_PUBLIC_BYTES])
        except ValueError as wrong:
            raise SyncError("key.malformed", "not an ML-KEM-768 key") from wrong
        return hpke.MLKEM768X25519PublicKey(lattice, X25519PublicKey.from_public_bytes(self.raw[MLKEM_PUBLIC_BYTES:]))


class SealKey(SecretKey):
    """An MLKEM768-X25519 key pair. The secret is a seed; SHAKE256 expands it to both halves (SPEC 3.1)."""

    KIND = "seal"

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Make a key pair from the 32-byte seed."""
        return cls.from_secret(seed)

    @property
    def seed(self) -> bytes:
        """The secret under its usual name."""
        return self.secret

    @cached_property
    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        stretched = hashlib.shake_256(self.secret).digest(96)
        return (
            MLKEM768PrivateKey.from_seed_bytes(stretched[:64]),
            X25519PrivateKey.from_private_bytes(stretched[64:]),
        )

    @cached_property
    def hpke(self) -> hpke.MLKEM768X25519PrivateKey:
        """The same key as an object of the `cryptography` library."""
        return hpke.MLKEM768X25519PrivateKey(*self._halves)

    @cached_property
    def public(self) -> SealPublicKey:
        """The public half."""
        lattice, curve = self._halves
        return SealPublicKey(lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid


class RoutePublicKey(PublicKey):
    """An X25519 public key that routes are sealed to."""

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Read public bytes from another party. Raise SyncError `key.malformed` for a key that nothing is sealed to."""
        key = super().from_raw(raw)
        if not is_usable_coordinate(key.raw):
            raise SyncError("key.malformed", "a route key that is not canonical, or of small order")
        return key

    @cached_property
    def hpke(self) -> X25519PublicKey:
        """The same key as an object of the `cryptography` library."""
        return X25519PublicKey.from_public_bytes(self.raw)


class RouteKey(SecretKey):
    """The server's X25519 key pair for one epoch of routes. It opens routes and nothing else."""

    KIND = "route"

    @cached_property
    def hpke(self) -> X25519PrivateKey:
        """The same key as an object of the `cryptography` library."""
        return X25519PrivateKey.from_private_bytes(self.secret)

    @cached_property
    def public(self) -> RoutePublicKey:
        """The public half."""
        return RoutePublicKey(self.hpke.public_key().public_bytes_raw())

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid
