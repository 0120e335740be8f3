"""The trust document: the root-signed lists of the keys that may sign other documents (SPEC 5.1).

Every verification of a signature starts from it. Numbers, not dates, decide which of two is newer, and no reader goes
back to an older one. Expiry must not stop work on a tablet.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sync.documents.signed import Document, require_not_older
from sync.durations import DAY
from sync.errors import SyncError
from sync.keys.key_pairs import VerifyKey
from sync.wire.encoding import b64u, canonical, unb64u
from sync.wire.json_object import NAME, SHA256_HEX, TEXT, JsonObject

TYP = "chaski-1/trust+jws"
STAFF_GRACE = 45 * DAY
"""How long (ms) staff clients work with an expired trust, marked as such (SPEC 5.1)."""


@dataclass(frozen=True)
class Signer:
    """An author's or a reviewer's key, and the opaque id of the person it belongs to, never a name."""

    key: VerifyKey
    person: str


@dataclass(frozen=True)
class Trust:
    """The keys of each role by kid. `issued` and `expires` are in milliseconds."""

    number: int
    demo: bool
    roots: Mapping[str, VerifyKey]
    threshold: int
    registrars: Mapping[str, VerifyKey]
    authors: Mapping[str, Signer]
    reviewers: Mapping[str, Signer]
    servers: Mapping[str, VerifyKey]
    issued: int
    expires: int
    sha256: str

    @property
    def pin(self) -> str:
        """The pin of these roots, as an invitation contains it."""
        return pin_of(list(self.roots.values()), self.threshold)

    def is_expired(self, now: int) -> bool:
        """Whether this trust has expired, so that people need a warning; `now` is in milliseconds."""
        return now > self.expires

    def require_current(self, now: int) -> None:
        """Raise SyncError `trust.expired` when the grace of staff clients, which are online, is over.

        Tablets never ask. Until then a staff client works, and shows `is_expired` to its user.
        """
        if now > self.expires + STAFF_GRACE:
            raise SyncError("trust.expired", f"trust {self.number} is too old for staff work")


def pin_of(roots: Sequence[VerifyKey], threshold: int) -> str:
    """Return the hex SHA-256 over label, threshold and the sorted root keys (SPEC 5.1)."""
    return hashlib.sha256(
        b"chaski-1/roots" + threshold.to_bytes(1) + b"".join(sorted(key.raw for key in roots))
    ).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TrustContent:
    """The members of a new trust document; times in milliseconds."""

    number: int
    demo: bool
    roots: Sequence[VerifyKey]
    threshold: int
    registrars: Sequence[VerifyKey]
    authors: Sequence[Signer]
    reviewers: Sequence[Signer]
    servers: Sequence[VerifyKey]
    issued: int
    expires: int

    def to_payload(self) -> bytes:
        """Write the document's payload for the signatures of the roots."""
        return canonical(
            {
                "number": self.number,
                "demo": self.demo,
                "threshold": self.threshold,
                "issued": self.issued,
                "expires": self.expires,
                **{
                    name: [b64u(key.raw) for key in keys]
                    for name, keys in (
                        ("roots", self.roots),
                        ("registrars", self.registrars),
                        ("servers", self.servers),
                    )
                },
                **{
                    name: [{"key": b64u(signer.key.raw), "person": signer.person} for signer in signers]
                    for name, signers in (("authors", self.authors), ("reviewers", self.reviewers))
                },
            }
        )


def accept(document: Document, held: Trust | None, pin: str) -> Trust:
    """Verify a trust against the trust held, or against the pin if none is held; return it.

    An expired trust is accepted: staff clients call `require_current` as well.
    """
    offered = read(document)
    document.require(TYP, offered.roots, offered.threshold)
    if held is None:
        if offered.pin != pin:
            raise SyncError(
                "trust.wrong_pin",
                "the pin and this server name different roots: the pin is another server's, or the server is false",
            )
    else:
        _require_successor(document, offered, held)
    return offered


def accept_chain(documents: Sequence[Document], held: Trust | None, pin: str) -> Trust:
    """Accept trusts in rising order, one after the other; return the last. The roots of each one sign the next."""
    first, *later = documents
    accepted = accept(first, held, pin)
    for document in later:
        accepted = accept(document, accepted, pin)
    return accepted


def reopen(document: Document) -> Trust:
    """Verify a trust that this reader has accepted before and stored; return it.

    Its own roots decide. The pin by which the first trust was accepted says nothing about it: roots change (SPEC 5.1).
    """
    return accept(document, None, read(document).pin)


def read_pin(text: str) -> str:
    """Parse a pin that a person typed from paper: 64 hex digits. Groups and capitals are allowed."""
    pin = "".join(text.split()).lower()
    if not SHA256_HEX.fullmatch(pin):
        raise SyncError("trust.bad_pin", f"a pin has 64 digits 0-9 a-f, but this has {len(pin)} characters")
    return pin


def _require_successor(document: Document, offered: Trust, held: Trust) -> None:
    require_not_older("trust", offered, held)
    if offered.demo != held.demo:
        raise SyncError("trust.demo_changed", "a demo trust cannot follow a real one, nor a real one a demo")
    document.require(TYP, held.roots, held.threshold)


def read(document: Document) -> Trust:
    """Read the members without verifying a signature."""
    members = JsonObject(document.content, "trust")
    roots = _keys(members, "roots")
    threshold = members.integer("threshold", 1)
    if threshold > len(roots):
        raise SyncError("document.malformed", "trust needs more root signatures than there are roots")
    authors, reviewers = _signers(members, "authors"), _signers(members, "reviewers")
    if any(authors[kid] != reviewers[kid] for kid in authors.keys() & reviewers.keys()):
        raise SyncError("document.malformed", "trust gives a key to two persons, as author and as reviewer")
    return Trust(
        number=members.integer("number", 1),
        demo=members.flag("demo"),
        roots=roots,
        threshold=threshold,
        registrars=_keys(members, "registrars"),
        authors=authors,
        reviewers=reviewers,
        servers=_keys(members, "servers"),
        issued=members.integer("issued"),
        expires=members.integer("expires"),
        sha256=document.sha256,
    )


def _key(text: str) -> VerifyKey:
    return VerifyKey.from_raw(unb64u(text))


def _keys(members: JsonObject, name: str) -> dict[str, VerifyKey]:
    texts = members.texts(name, TEXT)
    if len(set(texts)) != len(texts):
        raise SyncError("document.malformed", f"trust names one of the {name} twice")
    return {key.kid: key for key in map(_key, texts)}


def _signers(members: JsonObject, name: str) -> dict[str, Signer]:
    signers_by_kid: dict[str, Signer] = {}
    for entry in members.objects(name):
        signer = Signer(_key(entry.text("key", TEXT)), entry.text("person", NAME))
        if signers_by_kid.setdefault(signer.key.kid, signer) != signer:
            raise SyncError("document.malformed", f"trust gives one of the {name}' keys to two persons")
    return signers_by_kid


def keys_of(signers: Mapping[str, Signer]) -> dict[str, VerifyKey]:
    """Return the keys of authors or reviewers without the persons."""
    return {kid: signer.key for kid, signer in signers.items()}
