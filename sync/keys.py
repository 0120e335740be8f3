"""Encodings, key pairs, passphrases and key files (SPEC 2 and 3), for tablet, desk, server and command line alike.

Private keys are kept as their seeds and never appear in a repr, a log or an error.
"""

import base64
import binascii
import hashlib
import json
import os
import secrets
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import rfc8785
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from mnemonic import Mnemonic

from sync.errors import SyncError

MLKEM_PUBLIC_BYTES = 1184
SEAL_PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + 32
SALT_BYTES = 16
WORDS = tuple(unicodedata.normalize("NFC", word) for word in Mnemonic("spanish").wordlist)


# Encodings


def b64u(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str | bytes) -> bytes:
    """Decode base64url; only the one canonical spelling of some bytes is accepted (SPEC 2.1)."""
    try:
        encoded = text.encode("ascii") if isinstance(text, str) else text
        # b64decode skips foreign letters unless told otherwise, and forgives stray trailing bits: hence the way back.
        data = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise SyncError("encoding.base64", "not base64url") from wrong
    if base64.urlsafe_b64encode(data).rstrip(b"=") != encoded:
        raise SyncError("encoding.base64", "not the canonical base64url of its bytes")
    return data


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SyncError("encoding.duplicate_member", "a JSON object has the same member twice")
    return members


def _no_constant(name: str) -> Any:
    raise SyncError("encoding.json", f"{name} is not JSON")


def strict_value(data: bytes) -> Any:
    """Read one JSON value in UTF-8, in which no object has the same member twice (SPEC 2.2)."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_members_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as wrong:
        raise SyncError("encoding.json", "not JSON in UTF-8") from wrong


def strict_json(data: bytes) -> dict[str, Any]:
    """Read one JSON object as `strict_value` does."""
    content = strict_value(data)
    if not isinstance(content, dict):
        raise SyncError("encoding.json", "not a JSON object")
    return content


def canonical(content: Mapping[str, Any] | list[Any]) -> bytes:
    """Write a JSON object or array as RFC 8785 bytes."""
    try:
        return rfc8785.dumps(content if isinstance(content, list) else dict(content))
    except (ValueError, RecursionError) as wrong:
        raise SyncError("encoding.json", "has no canonical JSON form") from wrong


def key_id(public: bytes) -> str:
    """Name a public key: the first 16 bytes of its SHA-256, 22 letters long (SPEC 3.1)."""
    return b64u(hashlib.sha256(public).digest()[:16])


# Key pairs


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise SyncError("key.malformed", f"{length} bytes were expected, not {len(data)}")
    return bytes(data)


@dataclass(frozen=True)
class PublicKey:
    """The public bytes of a key, which give it its id."""

    LENGTH: ClassVar[int] = 32
    raw: bytes

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Take the public bytes that somebody sent."""
        return cls(_exactly(raw, cls.LENGTH))

    @cached_property
    def kid(self) -> str:
        """The key's id; a device's key gives the device its id."""
        return key_id(self.raw)


@dataclass(frozen=True)
class SecretKey:
    """A key pair, kept as the 32 secret bytes that it is made from."""

    KIND: ClassVar[str]
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key pair."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        """Take the 32 secret bytes."""
        return cls(_exactly(secret, 32))


class VerifyKey(PublicKey):
    """An Ed25519 public key."""

    @cached_property
    def _public(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise unless this key signed the data."""
        try:
            self._public.verify(signature, data)
        except InvalidSignature as wrong:
            raise SyncError("signed.bad_signature", f"not signed by {self.kid}") from wrong

    def words(self) -> tuple[str, ...]:
        """Return six Spanish words (66 bits of the key's SHA-256) to compare by voice (SPEC 3.3)."""
        return _six_words(int.from_bytes(hashlib.sha256(self.raw).digest()[:9]) >> 6)


class SigningKey(SecretKey):
    """An Ed25519 key pair."""

    KIND = "signing"

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)

    @cached_property
    def public(self) -> VerifyKey:
        """The public half."""
        return VerifyKey(self._private.public_key().public_bytes_raw())

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid

    def sign(self, data: bytes) -> bytes:
        """Sign; the result is 64 bytes and the same each time."""
        return self._private.sign(data)


class SealPublic(PublicKey):
    """A public key to seal to: ML-KEM-768 (1,184 bytes), then X25519 (32 bytes)."""

    LENGTH = SEAL_PUBLIC_BYTES

    @cached_property
    def sha256(self) -> str:
        """The name under which the key is fetched."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def hpke(self) -> hpke.MLKEM768X25519PublicKey:
        """The same key as `cryptography` wants it."""
        try:
            lattice = MLKEM768PublicKey.from_public_bytes(self.raw[:MLKEM_PUBLIC_BYTES])
        except ValueError as wrong:
            raise SyncError("key.malformed", "not an ML-KEM-768 key") from wrong
        return hpke.MLKEM768X25519PublicKey(lattice, X25519PublicKey.from_public_bytes(self.raw[MLKEM_PUBLIC_BYTES:]))


class SealKey(SecretKey):
    """An MLKEM768-X25519 key pair; the secret is a seed, of which SHAKE256 makes both halves (SPEC 3.1)."""

    KIND = "seal"

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Take the 32-byte seed."""
        return cls.from_secret(seed)

    @property
    def seed(self) -> bytes:
        """The secret, by its proper name."""
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
        """The same key as `cryptography` wants it."""
        return hpke.MLKEM768X25519PrivateKey(*self._halves)

    @cached_property
    def public(self) -> SealPublic:
        """The public half."""
        lattice, curve = self._halves
        return SealPublic(lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid


class RoutePublic(PublicKey):
    """An X25519 public key that routes are sealed to."""

    @cached_property
    def hpke(self) -> X25519PublicKey:
        """The same key as `cryptography` wants it."""
        return X25519PublicKey.from_public_bytes(self.raw)


class RouteKey(SecretKey):
    """The server's X25519 key pair for one epoch of routes; it opens routes and nothing else."""

    KIND = "route"

    @cached_property
    def hpke(self) -> X25519PrivateKey:
        """The same key as `cryptography` wants it."""
        return X25519PrivateKey.from_private_bytes(self.secret)

    @cached_property
    def public(self) -> RoutePublic:
        """The public half."""
        return RoutePublic(self.hpke.public_key().public_bytes_raw())

    @property
    def kid(self) -> str:
        """The public half's id."""
        return self.public.kid


# Passphrases


@dataclass(frozen=True)
class Derived:
    """What a passphrase becomes: `auth` is sent to sign in, `lock` never leaves the person's machine."""

    auth: bytes = field(repr=False)
    lock: bytes = field(repr=False)


def _six_words(bits: int) -> tuple[str, ...]:
    return tuple(WORDS[bits >> shift & 2047] for shift in range(55, -1, -11))


def passphrase() -> str:
    """Draw six Spanish words (66 random bits)."""
    return " ".join(_six_words(secrets.randbits(66)))


def spoken(phrase: str) -> bytes:
    """Reduce a phrase to what matters: accents, capitals and spacing are never the reason of a refusal (SPEC 3.2)."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", phrase) if not unicodedata.combining(letter))
    return " ".join(plain.lower().split()).encode("utf-8")


def derive(phrase: str, salt: bytes) -> Derived:
    """Stretch a passphrase (Argon2id, 64 MiB, 3 passes, 1 lane) and part it in two (SPEC 3.2)."""
    _exactly(salt, SALT_BYTES)
    master = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536).derive(spoken(phrase))
    auth, lock_key = (HKDFExpand(SHA256(), 32, b"chaski-1/" + use).derive(master) for use in (b"auth", b"lock"))
    return Derived(auth, lock_key)


def lock(secret: bytes, lock_key: bytes, purpose: str) -> str:
    """Lock a secret with AES-256-GCM; it opens only for the purpose it was locked for."""
    nonce = secrets.token_bytes(12)
    return b64u(nonce + AESGCM(lock_key).encrypt(nonce, secret, purpose.encode()))


def unlock(locked: str, lock_key: bytes, purpose: str) -> bytes:
    """Undo `lock`."""
    data = unb64u(locked)
    try:
        return AESGCM(lock_key).decrypt(data[:12], data[12:], purpose.encode())
    except (InvalidTag, ValueError) as wrong:
        raise SyncError("key.wrong_passphrase", "the passphrase does not open this") from wrong


# Key files

Secret = TypeVar("Secret", SigningKey, SealKey, RouteKey)


def save_secret(path: Path, key: SigningKey | SealKey | RouteKey, phrase: str | None = None) -> None:
    """Write a new key file that only its owner may read, locked if there is a passphrase; never over another one."""
    content: dict[str, Any] = {"kid": key.kid, "kind": key.KIND}
    if phrase is None:
        content["secret"] = b64u(key.secret)
    else:
        salt = secrets.token_bytes(SALT_BYTES)
        content["salt"] = b64u(salt)
        content["locked"] = lock(key.secret, derive(phrase, salt).lock, f"{key.KIND}/{key.kid}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as wrong:
        raise SyncError("key.file_exists", f"{path} is there already") from wrong
    with os.fdopen(descriptor, "wb") as file:
        file.write(canonical(content) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def load_secret(path: Path, kind: type[Secret], phrase: str | None = None) -> Secret:
    """Read a key file of the kind that is wanted; refuse one that others may read (SPEC 3.4)."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SyncError("key.file_readable_by_others", f"{path}: run chmod 600 on it")
    content = strict_json(path.read_bytes())
    if content.get("kind") != kind.KIND or not isinstance(content.get("kid"), str):
        raise SyncError("key.wrong_kind", f"{path} holds no {kind.KIND} key")
    key = kind(_exactly(_secret_of(content, path, phrase), 32))
    if key.kid != content["kid"]:
        raise SyncError("key.malformed", f"{path}: the secret is not that of {content['kid']}")
    return key


def _secret_of(content: dict[str, Any], path: Path, phrase: str | None) -> bytes:
    if "locked" not in content:
        return unb64u(str(content.get("secret", "")))
    if phrase is None:
        raise SyncError("key.locked", f"{path} needs a passphrase")
    lock_key = derive(phrase, unb64u(str(content.get("salt", "")))).lock
    return unlock(str(content["locked"]), lock_key, f"{content['kind']}/{content['kid']}")
