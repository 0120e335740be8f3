"""Signatures and signed documents (SPEC 4): detached JWS with Ed25519, and JSON documents with several signatures.

This is the only place that signs and verifies. Every kind of object has its own `typ`, so a signature is never valid
for another kind.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol, Self

from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.wire.encoding import b64u, canonical, strict_json, unb64u

ALG = "Ed25519"
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_SIGNATURES = 16


@lru_cache(maxsize=4096)
def _protected(kid: str, typ: str) -> str:
    """Return the only allowed header for a kid and a typ (SPEC 4.1), as base64url."""
    return b64u(canonical({"alg": ALG, "kid": kid, "typ": typ}))


def _signing_input(payload: bytes, kid: str, typ: str) -> bytes:
    return b"%s.%s" % (_protected(kid, typ).encode(), base64.urlsafe_b64encode(payload).rstrip(b"="))


def sign_bare(payload: bytes, key: SigningKey, typ: str) -> str:
    """Return only the signature, for places where kid and typ, and so the header, are known (SPEC 4.2)."""
    return b64u(key.sign(_signing_input(payload, key.kid, typ)))


def verify_bare(payload: bytes, signature: str, key: VerifyKey, typ: str) -> None:
    """Raise SyncError unless the key signed these bytes with this `typ`. Every verification calls this function."""
    key.verify(unb64u(signature), _signing_input(payload, key.kid, typ))


def sign(payload: bytes, key: SigningKey, typ: str) -> str:
    """Return a detached JWS, `protected..signature`."""
    return detached_jws(key.kid, typ, sign_bare(payload, key, typ))


def detached_jws(kid: str, typ: str, signature: str) -> str:
    """Return the JWS that a bare signature belongs to."""
    return f"{_protected(kid, typ)}..{signature}"


def verify(payload: bytes, jws: str, typ: str, keys: Mapping[str, VerifyKey]) -> str:
    """Return the signer's kid. Raise SyncError unless one of `keys` signed these bytes with this `typ`."""
    kid = read_signer(jws, typ)
    if kid not in keys:
        raise SyncError("signed.unknown_signer", f"{kid} may not sign {typ}")
    verify_bare(payload, jws.rpartition(".")[2], keys[kid], typ)
    return kid


def read_signer(jws: str, typ: str) -> str:
    """Return the kid from the protected header, which must be exactly the one of SPEC 4.1."""
    protected, *rest = jws.split(".")
    if len(rest) != 2 or rest[0]:
        raise SyncError("signed.malformed", "not a detached JWS")
    header = strict_json(unb64u(protected))
    if len(unb64u(rest[1])) != 64:
        raise SyncError("signed.malformed", "a signature has 64 bytes")
    if set(header) != {"alg", "kid", "typ"}:
        raise SyncError("signed.forbidden_header", "the header must be alg, kid and typ")
    if header["alg"] != ALG:
        raise SyncError("signed.wrong_alg", f"only {ALG} is accepted")
    if header["typ"] != typ:
        raise SyncError("signed.wrong_typ", f"signed as {header['typ']}, not as {typ}")
    if not isinstance(header["kid"], str) or canonical(header) != unb64u(protected):
        raise SyncError("signed.malformed", "the header is not canonical")
    return header["kid"]


@dataclass(frozen=True)
class Document:
    """Signed JSON: a canonical payload, kept and sent as these exact bytes, with detached JWS over it."""

    payload: bytes
    signatures: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: Mapping[str, Any], typ: str, *signers: SigningKey) -> Self:
        """Write and sign a document."""
        payload = canonical(content)
        made = cls(payload, tuple(sign(payload, key, typ) for key in signers))
        vars(made)["content"] = dict(content)  # So `content` need not parse it.
        return made

    @classmethod
    def parse(cls, data: bytes, *, least: int = 1) -> Self:
        """Parse `payload LF jws LF jws ...`. Callers must not trust the content before `require`.

        `least` is the minimum number of signatures. It is 0 for a document that its first signer has not signed yet.
        """
        if len(data) > MAX_DOCUMENT_BYTES:
            raise SyncError("signed.too_large", f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
        payload, *lines = data.split(b"\n")
        if not least <= len(lines) <= MAX_SIGNATURES or not b"".join(lines).isascii():
            raise SyncError("signed.malformed", f"a document has {least} to {MAX_SIGNATURES} signature lines")
        if canonical(strict_json(payload)) != payload:
            raise SyncError("signed.not_canonical", "the payload is not RFC 8785 JSON")
        return cls(payload, tuple(line.decode("ascii") for line in lines))

    def to_bytes(self) -> bytes:
        """Write the document as it is stored and sent."""
        return b"\n".join([self.payload, *(line.encode("ascii") for line in self.signatures)])

    def signed_by(self, key: SigningKey, typ: str) -> "Document":
        """Return the document with one more signature."""
        return Document(self.payload, (*self.signatures, sign(self.payload, key, typ)))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The payload as JSON. Verify the signatures first."""
        return strict_json(self.payload)

    @cached_property
    def sha256(self) -> str:
        """The payload's SHA-256, which identifies the document."""
        return hashlib.sha256(self.payload).hexdigest()

    def require(self, typ: str, keys: Mapping[str, VerifyKey], threshold: int = 1) -> set[str]:
        """Return the kids that signed; at least `threshold` distinct keys of `keys` must have signed (SPEC 4.3).

        Signatures by other keys are ignored, since a document may be signed for two audiences. A wrong signature under
        the kid of one of `keys`, another typ or a malformed header rejects the whole document.
        """
        signers = {kid for jws in self.signatures if (kid := read_signer(jws, typ)) in keys}
        for jws in self.signatures:
            if read_signer(jws, typ) in signers:
                verify(self.payload, jws, typ, keys)
        if len(signers) < threshold:
            raise SyncError("signed.too_few", f"{len(signers)} of {threshold} keys signed this {typ}")
        return signers


class NumberedDocument(Protocol):
    """The number and hash of a document that replaces older ones."""

    @property
    def number(self) -> int:
        """Rises with every change."""

    @property
    def sha256(self) -> str:
        """The payload's SHA-256."""


def require_not_older(noun: str, offered: NumberedDocument, held: NumberedDocument | None) -> None:
    """Raise SyncError if a document is older than the one held, or differs under the same number (SPEC 4.5)."""
    if held is None:
        return
    if offered.number < held.number:
        raise SyncError("document.rolled_back", f"{noun} {offered.number} after {held.number}")
    if offered.number == held.number and offered.sha256 != held.sha256:
        raise SyncError("document.same_number", f"two different {noun} documents have number {held.number}")
