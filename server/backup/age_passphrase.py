"""Locks and unlocks a small age file with a passphrase, as https://age-encryption.org/v1 says (its scrypt recipient).

`pyrage` measures the machine's speed at each call. It chooses the strength of a new file by that moment, and on a busy
machine it refuses files that it made itself. Here the strength is fixed, and each refusal has its own reason.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import textwrap

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from server.backup.archive import BackupError
from sync.errors import SyncError

WORK_FACTOR = 18
"""log2 of scrypt's cost for a new file: 256 MiB of memory and about a second. The age program uses the same."""
MOST_WORK = 22
"""The highest work factor that is tried: 4 GiB of memory. The age program has the same limit."""
MOST_BYTES = 64 * 1024
"""The longest plaintext. The payload of a longer one has several chunks, which a key file never needs."""

_VERSION, _LABEL = b"age-encryption.org/v1\n", b"age-encryption.org/v1/scrypt"
_BEGIN, _END = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
_HEADER = re.compile(
    re.escape(_VERSION) + rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n---(?= )"
)
_MAC_LENGTH = len(" \n") + 43  # 32 bytes in Base64 without padding.
_NONCE_LENGTH = 16
_ONLY_CHUNK = bytes(11) + b"\1"  # The nonce of a payload's chunk 0 that is also the last one.
_NO_NONCE = bytes(12)  # Each wrapping key is used once.


def lock(content: bytes, passphrase: str, *, work_factor: int = WORK_FACTOR) -> bytes:
    """Return `content`, at most MOST_BYTES, as an armored age file. `work_factor`: log2 of scrypt's cost."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"a locked file holds at most {MOST_BYTES} bytes")
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(_NONCE_LENGTH)
    wrapped = ChaCha20Poly1305(_stretch(passphrase, salt, work_factor)).encrypt(_NO_NONCE, file_key, None)
    header = b"%s-> scrypt %s %d\n%s\n---" % (_VERSION, _encode(salt), work_factor, _encode(wrapped))
    payload = ChaCha20Poly1305(_derive(file_key, nonce, b"payload")).encrypt(_ONLY_CHUNK, content, None)
    return _armor(header + b" " + _encode(_mac(file_key, header)) + b"\n" + nonce + payload)


def unlock(file: bytes, passphrase: str) -> bytes:
    """Return the content of an age file, armored or not.

    Raises SyncError `key.wrong_passphrase` (damage of the head's salt, work factor or wrapped key can look the same),
    or BackupError: `backup.no_key` if this is no such file or a damaged one,
    `backup.key_too_costly` if its work factor is above MOST_WORK or needs more memory than this machine gives.
    """
    binary = _unarmor(file)
    found = _HEADER.match(binary)
    if not found:
        raise BackupError("backup.no_key", "this is not an age file that a passphrase locks, or its head is damaged")
    salt, wrapped = _decode(found[1]), _decode(found[3])
    if (_encode(salt), _encode(wrapped)) != (found[1], found[3]):  # Bits that no writer of Base64 leaves there.
        raise _damaged()
    try:
        file_key = ChaCha20Poly1305(_stretch(passphrase, salt, int(found[2]))).decrypt(_NO_NONCE, wrapped, None)
    except InvalidTag as error:
        raise SyncError(
            "key.wrong_passphrase",
            "the passphrase does not open the backup key, or the head of its file is damaged: if the words are right, "
            "use your second copy of it",
        ) from error
    mac, body = binary[found.end() :][:_MAC_LENGTH], binary[found.end() + _MAC_LENGTH :]
    if not hmac.compare_digest(mac, b" " + _encode(_mac(file_key, found[0])) + b"\n"):
        raise _damaged()
    try:
        key = ChaCha20Poly1305(_derive(file_key, body[:_NONCE_LENGTH], b"payload"))
        return key.decrypt(_ONLY_CHUNK, body[_NONCE_LENGTH:], None)
    except InvalidTag as error:
        raise _damaged() from error


def _stretch(passphrase: str, salt: bytes, work_factor: int) -> bytes:
    """Derive the key that wraps the file key: scrypt with r = 8, p = 1, so 1024 bytes of memory for each step."""
    if work_factor > MOST_WORK:
        raise _too_costly(work_factor)
    try:
        return Scrypt(_LABEL + salt, 32, n=2**work_factor, r=8, p=1).derive(passphrase.encode())
    except MemoryError as error:
        raise _too_costly(work_factor) from error


def _derive(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(file_key)


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derive(file_key, b"", b"header"), header, "sha256")


def _encode(raw: bytes) -> bytes:
    return base64.b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def _armor(binary: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(binary).decode(), 64)
    return b"\n".join([_BEGIN, *(line.encode() for line in lines), _END, b""])


def _unarmor(file: bytes) -> bytes:
    """Return the binary form. Line ends of other systems, and blank lines around the armor, are allowed."""
    text = file.strip()
    if not text.startswith(_BEGIN):
        return file
    body = text.removeprefix(_BEGIN).removesuffix(_END)
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise _damaged() from error


def _damaged() -> BackupError:
    return BackupError("backup.no_key", "the file of the backup key is damaged: use your second copy of it")


def _too_costly(work_factor: int) -> BackupError:
    return BackupError(
        "backup.key_too_costly",
        f"the file needs {_memory(work_factor)} of memory to unlock (work factor {work_factor}), and this machine or "
        f"`chaski` gives no more than {_memory(MOST_WORK)}: run this where there is as much, or unlock the file with "
        "`age -d` and give the unlocked file (chmod 600) as --identity. The passphrase was not tried",
    )


def _memory(work_factor: int) -> str:
    """Return the memory that scrypt takes, in words: 1024 bytes for each of 2**work_factor steps."""
    return f"{2 ** (work_factor - 20):,} GiB" if work_factor >= 20 else f"{2**work_factor // 1024:,} MiB"
