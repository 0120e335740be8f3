"""The registry: the registrar-signed list of keyrings, desks and revoked tablets (SPEC 5.2).

The tablet reads from it which keyring to seal to. The server and the desk read from it which tablets are revoked and
which keys exist.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sync.documents.signed import Document, require_not_older
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import SealPublicKey
from sync.wire.encoding import b64u, canonical
from sync.wire.json_object import KID, NAME, SHA256_HEX, JsonObject

TYP = "chaski-1/registry+jws"
NATIONAL = "national"
# A restored server may have forgotten at most this many numbers of a registry or trust (SPEC 11.3).
MAX_FORGOTTEN_NUMBERS = 1_000
MAX_KEYS = 64
"""The most keys in one request."""
KINDS = ("child", "protection", "labour")
_SITE = re.compile(r"[0-9]{0,6}")
_KIND = re.compile("|".join(KINDS))


@dataclass(frozen=True)
class Keyring:
    """One epoch of a desk group's key pair. The public key has 1,216 bytes, so clients fetch it by its hash."""

    id: str
    epoch: int
    kid: str
    key_sha256: str

    @classmethod
    def of(cls, keyring_id: str, epoch: int, public: SealPublicKey) -> "Keyring":
        """Return the registry entry for a keyring's public key."""
        return cls(keyring_id, epoch, public.kid, public.sha256)

    def public(self, raw: bytes) -> SealPublicKey:
        """Return the fetched public key. Raise SyncError `registry.wrong_key` if the registry names another one."""
        key = SealPublicKey.from_raw(raw)
        if key.sha256 != self.key_sha256:
            raise SyncError("registry.wrong_key", f"not the key of {self.id}, epoch {self.epoch}")
        return key


@dataclass(frozen=True)
class Desk:
    """The keyring for one site (a prefix of INEI district codes) and one kind of work."""

    site: str
    kind: str
    keyring: str


@dataclass(frozen=True)
class Registry:
    """The keyrings in use, the desks, and the revoked tablets."""

    number: int
    keyrings: Mapping[str, Keyring]
    desks: tuple[Desk, ...]
    revoked: frozenset[str]
    sha256: str

    def keyring_for(self, ubigeo: str, kind: str) -> Keyring:
        """Return the keyring of the desk with the longest site that contains the place, else the national one.

        `ubigeo` is INEI's code of a district, a province or a region, or empty (SPEC 5.2). The protection desk also
        takes review work and work that belongs to no queue.
        """
        wanted = kind if kind in KINDS else "protection"
        near = [desk for desk in self.desks if desk.kind == wanted and ubigeo.startswith(desk.site)]
        chosen = max(near, key=lambda desk: len(desk.site), default=None)
        return self.keyrings[chosen.keyring if chosen else NATIONAL]

    def keyrings_near(self, region: str) -> dict[str, Keyring]:
        """Return by id the keyrings whose keys a tablet of this region must have before it works (SPEC 5.2).

        They are those of the desks that serve the region, a part of it, or a larger area, and the national one.
        """
        near = {desk.keyring for desk in self.desks if region.startswith(desk.site) or desk.site.startswith(region)}
        return {name: self.keyrings[name] for name in sorted(near | {NATIONAL})}

    def keyring_on_board(self, ubigeo: str, kind: str, hashes: Collection[str]) -> Keyring:
        """Return the keyring to seal to, by a tablet that has only the keys with these hashes (SPEC 5.2)."""
        chosen = self.keyring_for(ubigeo, kind)
        return chosen if chosen.key_sha256 in hashes else self.keyrings[NATIONAL]


def sealed_to(queue_kinds: Collection[str]) -> str:
    """Return the one kind of desk that a screening is sealed to. A child's goes always to the child desk (SPEC 5.2)."""
    if "child" in queue_kinds:
        return "child"
    return "labour" if set(queue_kinds) == {"labour"} else "protection"


def differences(before: Registry, after: Registry) -> list[str]:
    """Return what changed between two registries, one line for each keyring, desk and tablet, for people to read."""
    lists = zip(_entries(before), _entries(after), strict=True)
    return [line for (noun, old), (_, new) in lists for line in _changes(noun, old, new)]


def _entries(known: Registry) -> list[tuple[str, dict[str, str]]]:
    return [
        ("keyring", {name: f"epoch {ring.epoch}, key {ring.kid}" for name, ring in known.keyrings.items()}),
        ("desk", {f"{desk.site or '-'} {desk.kind}": desk.keyring for desk in known.desks}),
        ("revoked tablet", dict.fromkeys(known.revoked, "")),
    ]


def _changes(noun: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    named = sorted({name for name in before.keys() | after.keys() if before.get(name) != after.get(name)})
    marks = {(True, True): "~", (True, False): "-", (False, True): "+"}
    return [f"{marks[name in before, name in after]} {noun} {name} {after.get(name, '')}".rstrip() for name in named]


def make(
    *, number: int, keyrings: Sequence[Keyring], desks: Sequence[Desk], revoked: Collection[str], issued: int
) -> bytes:
    """Write a registry's payload for a registrar's signature; `issued` is in milliseconds."""
    return canonical(
        {
            "number": number,
            "issued": issued,
            "keyrings": [vars(keyring) for keyring in keyrings],
            "desks": [vars(desk) for desk in desks],
            "revoked": sorted(revoked),
        }
    )


def accept(document: Document, trust: Trust, held: Registry | None) -> Registry:
    """Verify that a registrar signed the registry and that it is not older than the one held; return it."""
    document.require(TYP, trust.registrars)
    offered = read(document)
    require_not_older("registry", offered, held)
    return offered


def read(document: Document) -> Registry:
    """Read the members without verifying a signature."""
    members = JsonObject(document.content, "registry")
    listed = [_keyring(entry) for entry in members.objects("keyrings")]
    keyrings = {keyring.id: keyring for keyring in listed}
    desks = tuple(
        Desk(entry.text("site", _SITE), entry.text("kind", _KIND), entry.text("keyring", NAME))
        for entry in members.objects("desks")
    )
    members.integer("issued")  # Only people use this time. It has no effect, but must be present.
    if not {NATIONAL, *(desk.keyring for desk in desks)} <= set(keyrings):
        raise SyncError("document.malformed", "registry lacks the national keyring or that of a desk")
    if len(keyrings) != len(listed):
        raise SyncError("document.malformed", "registry lists a keyring twice")
    if len({(desk.site, desk.kind) for desk in desks}) != len(desks):
        raise SyncError("document.malformed", "registry gives one desk two keyrings")
    return Registry(
        members.integer("number", 1), keyrings, desks, frozenset(members.texts("revoked", KID)), document.sha256
    )


def _keyring(entry: JsonObject) -> Keyring:
    keyring = Keyring(
        entry.text("id", NAME), entry.integer("epoch", 1), entry.text("kid", KID), entry.text("key_sha256", SHA256_HEX)
    )
    if keyring.kid != b64u(bytes.fromhex(keyring.key_sha256)[:16]):
        raise SyncError("document.malformed", f"registry: kid and hash of {keyring.id} belong to different keys")
    return keyring
