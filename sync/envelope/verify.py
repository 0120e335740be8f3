"""Parsing an envelope and verifying its signature, both without any secret (SPEC 6).

Intake calls it for every envelope, the desk before it opens one, and the tablet's outbox.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sync.documents.signed import verify_bare
from sync.envelope.route import SEALED_BYTES
from sync.errors import SyncError
from sync.keys.key_pairs import VerifyKey
from sync.wire.encoding import MAX_INTEGER, canonical, strict_json, unb64u
from sync.wire.json_object import HALF_ID, KID, SHA256_HEX

ALG, ENC, ENVELOPE_TYP = "HPKE-9-KE", "A256GCM", "chaski-1+jwe"
SIGNATURE_TYP = "chaski-1/env+jws"
BLOCK_BYTES = 1024
MAX_CIPHERTEXT_BYTES = 256 * 1024
MAX_ENVELOPE_BYTES = 360_000
EK_BYTES, KEY_BYTES, IV_BYTES, TAG_BYTES, SIGNATURE_BYTES = 1120, 48, 12, 16, 64
_ROUTE = re.compile(rf"[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{{-(-SEALED_BYTES * 4 // 3)}}}")
_TEXTS = {
    "kid": KID,
    "jti": KID,
    "dev": KID,
    "chain": HALF_ID,
    "prev": re.compile(rf"|{SHA256_HEX.pattern}"),
    "route": _ROUTE,
}
_FIXED = {"alg": ALG, "enc": ENC, "typ": ENVELOPE_TYP}
_COUNTS = ("seq", "kseq")


@dataclass(frozen=True)
class ChainPosition:
    """An envelope's chain, its numbers and the identity of the envelope before it ('' for the first)."""

    chain: str
    seq: int
    kseq: int
    prev: str


@dataclass(frozen=True)
class Header:
    """The members of the protected header (SPEC 6.2): recipient, screening, device, position in the device's chain."""

    kid: str
    jti: str
    dev: str
    chain: str
    seq: int
    kseq: int
    prev: str
    route: str

    def to_bytes(self) -> bytes:
        """Write the protected header with its three fixed members."""
        return canonical({**_FIXED, **vars(self)})


@dataclass(frozen=True)
class Envelope:
    """One sealed screening: its exact bytes, its identity (their SHA-256) and its parts."""

    raw: bytes
    id: str
    header: Header
    protected: str
    ek: bytes
    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes
    signature: str

    @property
    def signed(self) -> bytes:
        """The bytes that the device signed: fields 1 to 6 with their dots."""
        return self.raw[: -len(self.signature) - 1]


def envelope_id(raw: bytes) -> str:
    """Return the identity of any bytes sent as an envelope, even if they cannot be parsed."""
    return hashlib.sha256(raw).hexdigest()


def parse_envelope(raw: bytes) -> Envelope:
    """Parse seven base64url fields. Raise SyncError for every length and member that SPEC 6 does not allow."""
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise SyncError("envelope.too_large", f"an envelope has at most {MAX_ENVELOPE_BYTES} bytes")
    fields = raw.split(b".")
    if len(fields) != 7:
        raise SyncError("envelope.malformed", "an envelope has seven fields")
    header, *parts, ciphertext, tag, signature = [unb64u(field) for field in fields]
    lengths = [len(part) for part in (*parts, tag, signature)]
    if lengths != [EK_BYTES, KEY_BYTES, IV_BYTES, TAG_BYTES, SIGNATURE_BYTES]:
        raise SyncError("envelope.malformed", "a field has the wrong length")
    if not ciphertext or len(ciphertext) % BLOCK_BYTES or len(ciphertext) > MAX_CIPHERTEXT_BYTES:
        raise SyncError("envelope.malformed", f"the ciphertext must be 1 to 256 times {BLOCK_BYTES} bytes")
    ek, encrypted_key, iv = parts
    return Envelope(
        raw,
        envelope_id(raw),
        _header(strict_json(header)),
        fields[0].decode(),
        ek,
        encrypted_key,
        iv,
        ciphertext,
        tag,
        fields[6].decode(),
    )


def _header(content: dict[str, Any]) -> Header:
    if set(content) != {*_FIXED, *_TEXTS, *_COUNTS}:
        raise SyncError("envelope.bad_header", "the header's members are not those of SPEC 6.2")
    for name, value in _FIXED.items():
        if content[name] != value:
            raise SyncError("envelope.bad_header", f"`{name}` must be {value}")
    for name, pattern in _TEXTS.items():
        if not isinstance(content[name], str) or not pattern.fullmatch(content[name]):
            raise SyncError("envelope.bad_header", f"`{name}` is malformed")
    for name in _COUNTS:
        if type(content[name]) is not int or not 1 <= content[name] <= MAX_INTEGER:
            raise SyncError("envelope.bad_header", f"`{name}` must count from 1")
    if content["kseq"] > content["seq"] or (content["seq"] == 1) != (content["prev"] == ""):
        raise SyncError("envelope.bad_header", "`seq`, `kseq` and `prev` contradict each other")
    return Header(**{name: content[name] for name in (*_TEXTS, *_COUNTS)})


def verify_envelope(envelope: Envelope, key: VerifyKey) -> None:
    """Raise SyncError unless `key` belongs to the device that the header names and that device signed the envelope."""
    if envelope.header.dev != key.kid:
        raise SyncError("envelope.wrong_device", f"made by {envelope.header.dev}, not by {key.kid}")
    try:
        verify_bare(envelope.signed, envelope.signature, key, SIGNATURE_TYP)
    except SyncError as wrong:
        raise SyncError("envelope.bad_signature", f"not signed by {key.kid}") from wrong
