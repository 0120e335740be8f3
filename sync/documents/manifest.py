"""The manifest: the numbered, server-signed list of form versions in use and of route keys (SPEC 5.3).

Every tablet gets the same bytes. A tablet's id and region alone decide which entry applies to it, so a server cannot
choose versions for one tablet in secret.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.documents.signed import Document, require_not_older
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.keys.key_pairs import RoutePublicKey
from sync.wire.encoding import b64u, canonical, unb64u
from sync.wire.json_object import FORM_ID, KID, SHA256_HEX, TEXT, JsonObject

TYP = "chaski-1/manifest+jws"
_REGION = re.compile(r"[0-9]{2,6}")
PERMILLE = 1000


@dataclass(frozen=True)
class VersionEntry:
    """One version of a form and the ring of tablets that use it. A condition that is None does not narrow the ring."""

    sha: str
    regions: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None
    share_permille: int | None = None

    def applies_to(self, dev: str, region: str) -> bool:
        """Return whether a tablet is in the ring: every given condition must hold."""
        if self.regions is not None and not region.startswith(self.regions):
            return False
        if self.devices is not None and dev not in self.devices:
            return False
        return self.share_permille is None or _rollout_position(dev, self.sha) < self.share_permille


def _rollout_position(dev: str, sha: str) -> int:
    """Return a tablet's fixed position in the roll-out of a version, 0 to 999."""
    return int.from_bytes(hashlib.sha256(f"{dev}{sha}".encode()).digest()[:4]) % PERMILLE


@dataclass(frozen=True)
class RouteKeyEntry:
    """A key that routes are sealed to, and the time in milliseconds until which it is used."""

    key: RoutePublicKey
    until: int


@dataclass(frozen=True)
class Manifest:
    """The form versions in use, in the order in which a tablet tries them, and the route keys."""

    number: int
    forms: Mapping[str, tuple[VersionEntry, ...]]
    route_keys: tuple[RouteKeyEntry, ...]
    sha256: str

    def choose(self, form_id: str, dev: str, region: str) -> str | None:
        """Return the SHA-256 of the first version that applies to a tablet, or None."""
        return next((entry.sha for entry in self.forms.get(form_id, ()) if entry.applies_to(dev, region)), None)

    def list_for(self, dev: str, region: str) -> dict[str, str]:
        """Return the version of each form that applies to a tablet."""
        chosen = {form: self.choose(form, dev, region) for form in sorted(self.forms)}
        return {form: sha for form, sha in chosen.items() if sha}

    def route_key(self, now: int) -> RoutePublicKey:
        """Return the route key in force. If all are past, return the last one: expiry must not stop work."""
        return next((entry.key for entry in self.route_keys if entry.until > now), self.route_keys[-1].key)


def make(
    *, number: int, forms: Mapping[str, Sequence[VersionEntry]], route_keys: Sequence[RouteKeyEntry], issued: int
) -> bytes:
    """Write a manifest's payload for the server's signature; `issued` is in milliseconds."""
    return canonical(
        {
            "number": number,
            "issued": issued,
            "forms": {form_id: [_content(entry) for entry in entries] for form_id, entries in forms.items()},
            "route_keys": [{"key": b64u(entry.key.raw), "until": entry.until} for entry in route_keys],
        }
    )


def _content(entry: VersionEntry) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(entry).items()
        if value is not None
    }


def accept(document: Document, trust: Trust, held: Manifest | None) -> Manifest:
    """Verify that a server signed the manifest and that it is not older than the one held; return it."""
    document.require(TYP, trust.servers)
    offered = read(document)
    require_not_older("manifest", offered, held)
    return offered


def read(document: Document) -> Manifest:
    """Read the members without verifying a signature."""
    members = JsonObject(document.content, "manifest")
    forms = members.object("forms")
    route_keys = tuple(
        RouteKeyEntry(RoutePublicKey.from_raw(unb64u(entry.text("key", TEXT))), entry.integer("until"))
        for entry in members.objects("route_keys")
    )
    members.integer("issued")  # Only people use this time. It has no effect, but must be present.
    if not route_keys:
        raise SyncError("document.malformed", "manifest has no route key")
    return Manifest(
        members.integer("number", 1),
        {form_id: tuple(map(_entry, forms.objects(form_id))) for form_id in forms.names(FORM_ID)},
        route_keys,
        document.sha256,
    )


def _entry(entry: JsonObject) -> VersionEntry:
    return VersionEntry(
        entry.text("sha", SHA256_HEX),
        entry.texts("regions", _REGION) if entry.has("regions") else None,
        entry.texts("devices", KID) if entry.has("devices") else None,
        entry.integer("share_permille") if entry.has("share_permille") else None,
    )
