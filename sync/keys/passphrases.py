"""Six Spanish words: as a fingerprint to compare by voice, and as a passphrase (SPEC 3.2, 3.3).

Clients, the key ceremony and key files use it. The serving process must never handle a passphrase; it only writes
fingerprint words.
"""

import secrets
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from mnemonic import Mnemonic

from sync.errors import SyncError
from sync.wire.encoding import b64u, unb64u

SALT_BYTES = 16
WORDS = tuple(unicodedata.normalize("NFC", word) for word in Mnemonic("spanish").wordlist)


@dataclass(frozen=True)
class DerivedKeys:
    """The two keys derived from a passphrase. `auth` is sent at sign-in; `lock` never leaves the person's machine."""

    auth: bytes = field(repr=False)
    lock: bytes = field(repr=False)


def six_words(bits: int) -> tuple[str, ...]:
    """Write 66 bits as six words of the list."""
    return tuple(WORDS[bits >> shift & 2047] for shift in range(55, -1, -11))


def generate_passphrase() -> str:
    """Draw six Spanish words (66 random bits)."""
    return " ".join(six_words(secrets.randbits(66)))


def normalize_phrase(phrase: str) -> bytes:
    """Normalize a phrase so that accents, capitals and spacing make no difference (SPEC 3.2)."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", phrase) if not unicodedata.combining(letter))
    return " ".join(plain.lower().split()).encode("utf-8")


@lru_cache(maxsize=32)
def derive_keys(phrase: str, salt: bytes) -> DerivedKeys:
    """Derive two keys from a passphrase with Argon2id: 64 MiB, 3 passes, 1 lane (SPEC 3.2).

    Results stay in a cache until the process ends. Sign-in and key unlocking need the same keys, and each derivation
    takes a quarter of a second. Raise SyncError `key.malformed` for a salt of another length, or
    `key.too_little_memory`.
    """
    if len(salt) != SALT_BYTES:
        raise SyncError("key.malformed", f"a salt has {SALT_BYTES} bytes")
    stretch = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536)
    try:
        master = stretch.derive(normalize_phrase(phrase))
    except MemoryError as error:
        raise SyncError(
            "key.too_little_memory",
            "a passphrase needs 64 MiB of free memory here: close other programs, or use another machine. "
            "The passphrase was not tried",
        ) from error
    auth, lock_key = (HKDFExpand(SHA256(), 32, b"chaski-1/" + use).derive(master) for use in (b"auth", b"lock"))
    return DerivedKeys(auth, lock_key)


def lock_secret(secret: bytes, lock_key: bytes, purpose: str) -> str:
    """Encrypt a secret with AES-256-GCM; only `unlock_secret` with the same purpose opens it."""
    nonce = secrets.token_bytes(12)
    return b64u(nonce + AESGCM(lock_key).encrypt(nonce, secret, purpose.encode()))


def unlock_secret(locked: str, lock_key: bytes, purpose: str) -> bytes:
    """Decrypt a result of `lock_secret`. Raise SyncError `key.wrong_passphrase` if the key or the purpose differs."""
    data = unb64u(locked)
    try:
        return AESGCM(lock_key).decrypt(data[:12], data[12:], purpose.encode())
    except (InvalidTag, ValueError) as wrong:
        raise SyncError("key.wrong_passphrase", "the passphrase does not open this, or it is damaged") from wrong
