"""Signed documents in and out: trust and registry are checked, kept, put in force; those and form versions handed out.

Both doors, the ceremony and the rollouts call it; it opens its own transactions. What is published is never changed
and no signed bytes are written anew: the manifest is the one document that the server signs itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from server.database.connection import Connection, Database
from server.flows.trust import enrolment
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, devices, documents, keyrings, orders, versions, worklist
from server.store.audit import SERVER
from server.store.documents import StoredDocument
from sync.documents import manifest, registry, trust
from sync.documents.manifest import Manifest, RouteKeyEntry
from sync.documents.registry import MAX_FORGOTTEN_NUMBERS, Registry
from sync.documents.signed import Document, require_not_older
from sync.documents.trust import Trust
from sync.durations import DAY

# What a tablet names of what it holds: the numbers of documents, and of the last order that it carried out.
NUMBERED = (*documents.KINDS, "orders")
ROUTE_EPOCH = 90 * DAY
# How far above its own, or the seconds since 1970, a server can have forgotten a manifest's number (SPEC 11.3).
MOST_MANIFESTS_FORGOTTEN = 2**20


def renew_manifest(w: Connection, keys: ServerKeys, wanted: Manifest, now: int) -> int:
    """Sign what is wanted as the next manifest and put it in force; return its number."""
    number = max(next_number(w, "manifest", now=now), now // 1000)
    payload = manifest.make(number=number, forms=wanted.forms, route_keys=wanted.route_keys, issued=now)
    document = Document(payload).signed_by(keys.signing, manifest.TYP)
    # Read it as every tablet will: one that they refuse would end publishing, since each manifest grows from the last.
    manifest.accept(document, trust_in_force(w), None)
    _store_document(w, "manifest", number, document, now)
    return number


def install_first(
    w: Connection, keys: ServerKeys, trusted: Document, registered: Document, *, now: int, actor: str
) -> None:
    """Put the first trust, registry and manifest in force inside the ceremony's own transaction."""
    accepted = trust.accept(trusted, None, trust.read(trusted).pin)
    _install_trust(w, keys, trusted, accepted, now=now, actor=actor)
    _install_registry(w, registered, registry.accept(registered, accepted, None), now=now, actor=actor)
    route_keys = tuple(RouteKeyEntry(route.public, now + ROUTE_EPOCH) for route in keys.routes.values())
    renew_manifest(w, keys, Manifest(0, {}, route_keys, ""), now)


def accept_trust(db: Database, keys: ServerKeys, body: bytes, *, actor: str, now: int) -> int:
    """Put a newer trust in force, signed by the roots of the one held; return its number."""
    document = Document.parse(body)
    with db.write() as w:
        held = trust_in_force(w)
        accepted = trust.accept(document, held, held.pin)
        if accepted.number > held.number:
            _refuse_number_in_use(w, "trust", accepted.number, now=now)
            _install_trust(w, keys, document, accepted, now=now, actor=actor)
    return accepted.number


def accept_registry(db: Database, body: bytes, *, actor: str, now: int) -> int:
    """Put a newer registry in force, signed by a registrar; return its number. Tablets that it revokes are revoked."""
    document = Document.parse(body)
    with db.write() as w:
        held = documents.get_newest(w, "registry")
        accepted = registry.accept(document, trust_in_force(w), None)
        require_not_older("registry", accepted, held)
        if held is None or accepted.number > held.number:
            _refuse_number_in_use(w, "registry", accepted.number, now=now, excluded=accepted.revoked)
            _install_registry(w, document, accepted, now=now, actor=actor)
    return accepted.number


def next_number(c: Connection, kind: str, *, now: int, excluded: Collection[str] = ()) -> int:
    """Return the number that the next trust, registry or manifest needs (SPEC 11.3).

    After a restore tablets still hold documents that this database has forgotten. Revoked tablets, `excluded` that
    are about to be, and numbers that no server can have given out do not count: one that lies could end publishing.
    """
    own = documents.highest_numbers(c).get(kind, 0)
    most = max(own, now // 1000) + MOST_MANIFESTS_FORGOTTEN if kind == "manifest" else own + MAX_FORGOTTEN_NUMBERS
    return 1 + max(own, devices.highest_number(c, kind, most, excluded))


def _refuse_number_in_use(w: Connection, kind: str, number: int, *, now: int, excluded: Collection[str] = ()) -> None:
    least = next_number(w, kind, now=now, excluded=excluded)
    if number < least:
        raise Problem("document.number_in_use", f"{kind} {least} is the next", least=least)


def _install_trust(
    w: Connection, keys: ServerKeys, document: Document, accepted: Trust, *, now: int, actor: str
) -> None:
    if keys.signing.kid not in accepted.servers:
        raise Problem("trust.other_server", f"the trust does not name this server's key {keys.signing.kid}")
    _store_document(w, "trust", accepted.number, document, now)
    audit.append(w, at=now, action="trust.changed", actor=actor, subject=document.sha256)


def _install_registry(w: Connection, document: Document, accepted: Registry, *, now: int, actor: str) -> None:
    for keyring in accepted.keyrings.values():
        if keyrings.get_public_key(w, keyring.key_sha256) is None:
            raise Problem("registry.key_missing", f"{keyring.id}, epoch {keyring.epoch}")
    enrolment.revoke_devices(w, accepted.revoked, actor=actor, now=now)
    _store_document(w, "registry", accepted.number, document, now)
    audit.append(w, at=now, action="registry.changed", actor=actor, subject=document.sha256)


def _store_document(w: Connection, kind: str, number: int, document: Document, now: int) -> None:
    documents.put_document(w, kind=kind, number=number, sha256=document.sha256, body=document.to_bytes(), at=now)
    for item in worklist.list_open(w):
        if item.kind == "ahead":
            resolve_ahead(w, item.dev, now=now)


def report_ahead(w: Connection, dev: str, numbers: Mapping[str, int], *, now: int) -> None:
    """Put a tablet on the work list that names documents or orders which this database does not have.

    Either the database was restored from a copy and has forgotten them, or the tablet lies.
    """
    if forgotten := _list_forgotten(w, dev, numbers):
        worklist.add_item(w, kind="ahead", dev=dev, reason=forgotten, at=now)


def resolve_ahead(w: Connection, dev: str, *, now: int) -> None:
    """Take a tablet off the list that is ahead no longer, since documents or orders came in above what it named."""
    device = devices.get_device(w, dev)
    if device is not None and not _list_forgotten(w, dev, {kind: getattr(device, kind) for kind in NUMBERED}):
        worklist.close_resolved(w, kind="ahead", dev=dev, by=SERVER, at=now)


def _list_forgotten(c: Connection, dev: str, numbers: Mapping[str, int]) -> str:
    newest = documents.highest_numbers(c) | {"orders": orders.last_number(c, dev)}
    return " ".join(f"{kind}.{number}" for kind, number in numbers.items() if number > newest.get(kind, 0))


# Out again


def get_newest(connection: Connection, kind: str) -> StoredDocument:
    """Return the newest trust, registry or manifest."""
    stored = documents.get_newest(connection, kind)
    if stored is None:
        raise Problem("server.not_ready", f"there is no {kind} yet")
    return stored


def trust_in_force(connection: Connection) -> Trust:
    """Return the newest trust; it was checked when it came in."""
    return trust.read(Document.parse(get_newest(connection, "trust").body))


def registry_in_force(connection: Connection) -> Registry:
    """Return the newest registry."""
    return registry.accept(Document.parse(get_newest(connection, "registry").body), trust_in_force(connection), None)


def manifest_in_force(connection: Connection) -> Manifest:
    """Return the newest manifest."""
    return manifest.accept(Document.parse(get_newest(connection, "manifest").body), trust_in_force(connection), None)


def form_bundle(db: Database, form_id: str, sha: str) -> bytes:
    """Return a form version by its hash, as it was signed."""
    body = versions.get_bytes_in_use(db.read(), form_id, sha)
    if body is None:
        raise Problem("form.unknown", f"{form_id} {sha}")
    return body


def get_public_key(db: Database, sha256: str) -> bytes:
    """Return a keyring's public key by its hash."""
    raw = keyrings.get_public_key(db.read(), sha256)
    if raw is None:
        raise Problem("key.unknown", sha256)
    return raw
