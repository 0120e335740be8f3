"""What a staff client has accepted under one pin, in a file: newest trust, registry and manifest, last audit head.

A server that was taken over may answer with older documents. A client that forgot them at every start would believe it
(SPEC 4.5). The file holds public documents only. A file that cannot be read is an error, never an empty memory.

Its name is the pin. After a change of roots people type the new pin. Its file then carries on from those whose trust
has that pin.
"""

import fcntl
import functools
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sync import atomic_file
from sync.documents import manifest, registry, trust
from sync.documents.manifest import Manifest
from sync.documents.registry import Registry
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.wire.encoding import canonical, strict_json
from sync.wire.json_object import KID, SHA256_HEX, TEXT, JsonObject

KINDS = ("trust", "registry", "manifest")


@dataclass(frozen=True)
class AuditHead:
    """The number and hash of a row of a server's audit; number 0 before the first."""

    number: int
    hash: str


@dataclass(frozen=True)
class KnownDocuments:
    """The newest accepted documents; None where none was accepted yet. `audit` is the head that was told last.

    `revoked` are all tablets that any accepted registry revoked. A newer registry without them removes none here.
    """

    trust: Document | None = None
    registry: Document | None = None
    manifest: Document | None = None
    audit: AuditHead | None = None
    revoked: frozenset[str] = frozenset()

    def read_trust(self) -> Trust | None:
        """Return the trust, verified by its own roots."""
        return trust.reopen(self.trust) if self.trust else None

    def read_registry(self) -> Registry | None:
        """Return the registry. It was verified when it was accepted; its signer may have left since."""
        return registry.read(self.registry) if self.registry else None

    def read_manifest(self) -> Manifest | None:
        """Return the manifest, as `read_registry` does."""
        return manifest.read(self.manifest) if self.manifest else None


class KnownDocumentsFile:
    """Loads and updates the file. Without a path, the memory lasts as long as this object."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the file, or the files beside it whose trust has its pin.

        Raise SyncError `known.unreadable` if one is damaged, cannot be read, or may be written by other users.
        """
        self._path = path
        self.documents = self._load() if path else KnownDocuments()

    def remember(self, kind: str, document: Document) -> None:
        """Store an accepted document; `kind` is one of KINDS. A newer one, from another process, stays."""
        with self._locked():
            stored = self._load() if self._path else self.documents
            held: Document | None = getattr(stored, kind)
            # A memory that carries on from other files is stored at once: they may move on to another pin.
            carried = self._path is not None and not self._path.exists()
            if held is None or carried or document.content["number"] > held.content["number"]:
                changed: dict[str, Any] = {kind: _newer(held, document)}
                stored = replace(stored, **changed)
                stored = replace(stored, revoked=stored.revoked | _revoked_by(stored.registry))
                self._save(stored)
        self.documents = stored

    def remember_audit(self, head: AuditHead) -> None:
        """Store the audit head that the server told."""
        self._change(audit=head)

    def forget_revoked(self, readmitted: Set[str]) -> None:
        """Remove tablets that their registrar readmitted from those known as revoked."""
        self._change(revoked=self.documents.revoked - readmitted)

    def _change(self, **changed: Any) -> None:
        with self._locked():
            self.documents = replace(self._load() if self._path else self.documents, **changed)
            self._save(self.documents)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing between this one's reading and writing."""
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _load(self) -> KnownDocuments:
        assert self._path is not None
        if os.path.lexists(self._path):
            return _read(self._path)
        found = [_read(other) for other in sorted(self._path.parent.glob("*.json"))]
        return functools.reduce(_merge, (each for each in found if _has_pin(each, self._path.stem)), KnownDocuments())

    def _save(self, known: KnownDocuments) -> None:
        if self._path is None:
            return
        held: dict[str, object] = {
            kind: document.to_bytes().decode() for kind in KINDS if (document := getattr(known, kind))
        }
        if known.revoked:
            held["revoked"] = sorted(known.revoked)
        if known.audit:
            held["audit"] = vars(known.audit)
        atomic_file.replace_file(self._path, canonical(held))


def _revoked_by(document: Document | None) -> frozenset[str]:
    return registry.read(document).revoked if document else frozenset()


def _read(path: Path) -> KnownDocuments:
    try:
        if path.stat().st_mode & 0o022:
            raise SyncError("known.unreadable", "other users may write it")
        members = JsonObject(strict_json(path.read_bytes()), "the file")
        texts = {kind: members.text(kind, TEXT, "") for kind in KINDS}
        documents: dict[str, Any] = {kind: Document.parse(text.encode()) for kind, text in texts.items() if text}
        told = members.object("audit") if members.has("audit") else None
        head = AuditHead(told.integer("number"), told.text("hash", SHA256_HEX)) if told else None
        known = KnownDocuments(**documents, audit=head, revoked=frozenset(members.texts("revoked", KID)))
        known.read_trust(), known.read_registry(), known.read_manifest()
    except (OSError, SyncError) as wrong:
        raise SyncError("known.unreadable", f"{path} cannot be read ({wrong})") from wrong
    return known


def _has_pin(known: KnownDocuments, pin: str) -> bool:
    held = known.read_trust()
    return held is not None and held.pin == pin


def _merge(one: KnownDocuments, other: KnownDocuments) -> KnownDocuments:
    """Return the newest of each kind, and all revoked tablets."""
    newest: dict[str, Any] = {kind: _newer(getattr(one, kind), getattr(other, kind)) for kind in KINDS}
    heads = [each for each in (one.audit, other.audit) if each]
    head = max(heads, key=lambda each: each.number, default=None)
    return KnownDocuments(**newest, audit=head, revoked=one.revoked | other.revoked)


def _newer(one: Document | None, other: Document | None) -> Document | None:
    if one is None or other is None:
        return one or other
    return other if other.content["number"] > one.content["number"] else one
