"""Six Spanish words: to compare two keys by voice, and as a passphrase that locks a person's secrets (SPEC 3.2, 3.3).

Called by clients, by the ceremony and for key files. The serving process must never see a phrase; it spells words only.
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
    """What a passphrase becomes: `auth` is sent to sign in, `lock` never leaves the person's machine."""

    auth: bytes = field(repr=False)
    lock: bytes = field(repr=False)


def six_words(bits: int) -> tuple[str, ...]:
    """Spell 66 bits as six words of the list."""
    return tuple(WORDS[bits >> shift & 2047] for shift in range(55, -1, -11))


def generate_passphrase() -> str:
    """Draw six Spanish words (66 random bits)."""
    return " ".join(six_words(secrets.randbits(66)))


def normalize_phrase(phrase: str) -> bytes:
    """Reduce a phrase to what matters: accents, capitals and spacing are never the reason of a refusal (SPEC 3.2)."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", phrase) if not unicodedata.combining(letter))
    return " ".join(plain.lower().split()).encode("utf-8")


@lru_cache(maxsize=32)
def derive_keys(phrase: str, salt: bytes) -> DerivedKeys:
    """Stretch a passphrase (Argon2id, 64 MiB, 3 passes, 1 lane) and part it in two (SPEC 3.2).

    Kept for the life of the process: a person signs in and opens her key with one passphrase, a quarter second each.
    """
    if len(salt) != SALT_BYTES:
        raise SyncError("key.malformed", f"a salt has {SALT_BYTES} bytes")
    master = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536).derive(normalize_phrase(phrase))
    auth, lock_key = (HKDFExpand(SHA256(), 32, b"chaski-1/" + use).derive(master) for use in (b"auth", b"lock"))
    return DerivedKeys(auth, lock_key)


def lock_secret(secret: bytes, lock_key: bytes, purpose: str) -> str:
    """Lock a secret with AES-256-GCM; it opens only for the purpose it was locked for."""
    nonce = secrets.token_bytes(12)
    return b64u(nonce + AESGCM(lock_key).encrypt(nonce, secret, purpose.encode()))


def unlock_secret(locked: str, lock_key: bytes, purpose: str) -> bytes:
    """Undo `lock`."""
    data = unb64u(locked)
    try:
        return AESGCM(lock_key).decrypt(data[:12], data[12:], purpose.encode())
    except (InvalidTag, ValueError) as wrong:
        raise SyncError("key.wrong_passphrase", "the passphrase does not open this") from wrong
