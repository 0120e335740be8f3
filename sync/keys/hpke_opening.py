"""Opening of HPKE messages for X25519 keys (RFC 9180: base mode, HKDF-SHA256, AES-256-GCM), for intake's routes.

The library that seals them opens them too, but computes the public key anew for each message: twice the time. Intake
opens one for every screening.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENC_BYTES = 32
_KEM = b"HPKE-v1KEM\x00\x20"  # DHKEM(X25519, HKDF-SHA256), RFC 9180, 4.1 and 7.1.
_SUITE = b"HPKE-v1HPKE\x00\x20\x00\x01\x00\x02"  # The same, HKDF-SHA256, AES-256-GCM, RFC 9180, 5.1.


def _extract(salt: bytes, prefix: bytes, label: bytes, secret: bytes = b"") -> bytes:
    return hmac.digest(salt or bytes(32), prefix + label + secret, "sha256")


def _expand(secret: bytes, prefix: bytes, label: bytes, info: bytes, size: int) -> bytes:
    # At most 32 bytes: the first block of HKDF-Expand.
    return hmac.digest(secret, size.to_bytes(2) + prefix + label + info + b"\x01", "sha256")[:size]


_NO_PSK = b"\x00" + _extract(b"", _SUITE, b"psk_id_hash")


def open_message(message: bytes, key: X25519PrivateKey, public: bytes, info: bytes) -> bytes:
    """Open `enc || ciphertext` with a key and its public bytes. Raise ValueError if it was not sealed to this key with
    this info."""
    enc = message[:ENC_BYTES]
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    secret = _expand(_extract(b"", _KEM, b"eae_prk", shared), _KEM, b"shared_secret", enc + public, 32)
    context = _NO_PSK + _extract(b"", _SUITE, b"info_hash", info)
    scheduled = _extract(secret, _SUITE, b"secret")
    nonce = _expand(scheduled, _SUITE, b"base_nonce", context, 12)
    try:
        return AESGCM(_expand(scheduled, _SUITE, b"key", context, 32)).decrypt(nonce, message[ENC_BYTES:], b"")
    except InvalidTag as wrong:
        raise ValueError("not sealed to this key with this info") from wrong
