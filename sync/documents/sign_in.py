"""Staff sign-in (SPEC 5.9): the server's signed challenge, and the proof with which a person answers it.

The server proves itself first, for the address that the client dialled. The person's `auth` never travels: her proof is
worth nothing without the hash of `auth` that the server stores, and for no other challenge. It is the exchange of SCRAM
(RFC 5802, section 3), with Argon2id before it.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Self

from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.durations import MINUTE
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.wire.encoding import b64u, unb64u
from sync.wire.json_object import KID, SHA256_HEX, TEXT, JsonObject

TYP = "chaski-1/session+jws"
LIFE = 2 * MINUTE
"""How long the server takes an answer to its challenge, in milliseconds by its own clock."""
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes as base64url.


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What the server signs: the client's nonce, address and login, two salts, its trust's hash, its clock (ms).

    `salt` is for Argon2id (SPEC 3.2), `auth_salt` for the hash of `auth` that the server stores. An empty login asks
    the server for its proof alone.
    """

    nonce: str
    url: str
    login: str
    salt: bytes
    auth_salt: bytes
    trust: str
    at: int

    def sign(self, server: SigningKey) -> Document:
        """Write and sign it."""
        return Document.of({**vars(self), "salt": b64u(self.salt), "auth_salt": b64u(self.auth_salt)}, TYP, server)

    @classmethod
    def _read(cls, document: Document) -> Self:
        members = JsonObject(document.content, "challenge")
        return cls(
            nonce=members.text("nonce", SECRET),
            url=members.text("url", TEXT),
            login=members.text("login", TEXT),
            trust=members.text("trust", SHA256_HEX),
            at=members.integer("at"),
            salt=unb64u(members.text("salt", KID)),
            auth_salt=unb64u(members.text("auth_salt", KID)),
        )


def new_nonce() -> str:
    """Draw a nonce, which no server can have signed before."""
    return b64u(secrets.token_bytes(32))


def accept(document: Document, trust: Trust, *, nonce: str, url: str, login: str) -> Challenge:
    """Verify, as a client, that a server of the trust signed this challenge for this very sign-in.

    `url` is the origin that the client dialled. Raise SyncError `session.wrong_challenge`, `session.wrong_address` (a
    relay stands between) or `session.other_trust`.
    """
    document.require(TYP, trust.servers)
    challenge = Challenge._read(document)
    if (challenge.nonce, challenge.login) != (nonce, login):
        raise SyncError("session.wrong_challenge", "the server's proof is for another sign-in")
    if challenge.url != url:
        raise SyncError(
            "session.wrong_address", f"the server proved itself as {challenge.url}, but {url} was dialled: a relay"
        )
    if challenge.trust != trust.sha256:
        raise SyncError("session.other_trust", "the server works by another trust than it hands out; try again")
    return challenge


def accept_returned(document: Document, server: VerifyKey, *, now: int) -> Challenge:
    """Verify, as the server, a challenge of its own that comes back. Raise SyncError `session.challenge_expired`."""
    document.require(TYP, {server.kid: server})
    challenge = Challenge._read(document)
    if not 0 <= now - challenge.at <= LIFE:
        raise SyncError("session.challenge_expired", "the sign-in took too long; sign in again")
    return challenge


def hash_auth(auth: bytes, auth_salt: bytes) -> bytes:
    """Hash `auth` as the server stores it. It is 32 bytes out of Argon2id, so one HMAC-SHA-256 is enough here."""
    return hmac.digest(auth_salt, auth, "sha256")


def prove(auth: bytes, challenge: Document, auth_salt: bytes) -> str:
    """Return the proof of `auth` for one challenge: base64url of `auth` XOR a mask that only the server can compute."""
    return b64u(_xor(auth, _mask(hash_auth(auth, auth_salt), challenge)))


def open_proof(proof: str, challenge: Document, auth_hash: bytes) -> bytes:
    """Return the `auth` of a proof. The caller compares its hash with the stored one."""
    return _xor(unb64u(proof), _mask(auth_hash, challenge))


def _mask(auth_hash: bytes, challenge: Document) -> bytes:
    return hmac.digest(auth_hash, challenge.payload, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
