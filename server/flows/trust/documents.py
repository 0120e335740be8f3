"""Verifies, stores and returns signed documents: trust, registry and manifest; also returns form bundles and public
keys.

Both APIs, the ceremony and the rollouts call it; it opens its own transactions. It must not change a published
document. The manifest is the only document that the server signs itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from server.database.connection import Connection, Database
from server.flows.trust import enrolment, numbers, orphans
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
from sync.wire.encoding import b64u

# The numbers that a tablet reports: of each document, and of the last order that it carried out.
NUMBERED = (*documents.KINDS, "orders")
ROUTE_EPOCH = 90 * DAY
# How many manifest numbers a restored server can have forgotten, above its own or the seconds since 1970 (SPEC 11.3).
MOST_MANIFESTS_FORGOTTEN = 2**20
# Tablets whose items are looked at in one transaction: few enough that a sync at the same time is not delayed.
_RESOLVED_AT_ONCE = 50


def renew_manifest(w: Connection, keys: ServerKeys, wanted: Manifest, now: int) -> int:
    """Sign `wanted` as the next manifest and install it; return its number."""
    number = max(next_number(w, "manifest", now=now), now // 1000)
    payload = manifest.make(number=number, forms=wanted.forms, route_keys=wanted.route_keys, issued=now)
    document = Document(payload).signed_by(keys.signing, manifest.TYP)
    # Verify it as every tablet will. Each manifest builds on the last, so a rejected one would stop all publishing.
    manifest.accept(document, trust_in_force(w), None)
    _store_document(w, "manifest", number, document, now)
    return number


def install_first(
    w: Connection, keys: ServerKeys, trusted: Document, registered: Document, *, now: int, actor: str
) -> None:
    """Install the first trust, registry and manifest inside the ceremony's own transaction."""
    accepted = trust.accept(trusted, None, trust.read(trusted).pin)
    _require_own_key(keys, accepted)
    _install_trust(w, trusted, accepted, now=now, actor=actor)
    _install_registry(w, registered, registry.accept(registered, accepted, None), now=now, actor=actor)
    route_keys = tuple(RouteKeyEntry(route.public, now + ROUTE_EPOCH) for route in keys.routes.values())
    renew_manifest(w, keys, Manifest(0, {}, route_keys, ""), now)


def accept_trust(
    db: Database, keys: ServerKeys, body: bytes, *, actor: str, now: int, orphan: Collection[str] = ()
) -> int:
    """Install a newer trust, signed by the roots of the one in force; return its number.

    Raises Problem `trust.orphans` if it drops a key whose signed documents are in use, unless `orphan` has its kid: a
    thief must not be able to keep a stolen key in the trust. Raises SyncError `trust.expired` if staff would refuse it.
    """
    document = Document.parse(body)
    with db.write() as w:
        held = trust_in_force(w)
        accepted = trust.accept(document, held, held.pin)
        if accepted.number > held.number:
            _refuse_number_in_use(w, "trust", accepted.number, now=now)
            numbers.refuse_far_number("trust", accepted.number, held.number)
            accepted.require_current(now)
            _require_own_key(keys, accepted)
            orphans.refuse_orphans(w, held, accepted, orphan)
            _install_trust(w, document, accepted, now=now, actor=actor, orphan=orphan)
    return accepted.number


def accept_registry(db: Database, body: bytes, *, actor: str, now: int) -> int:
    """Install a newer registry, signed by a registrar; return its number. The tablets it revokes are revoked now."""
    document = Document.parse(body)
    with db.write() as w:
        held = documents.get_newest(w, "registry")
        accepted = registry.accept(document, trust_in_force(w), None)
        require_not_older("registry", accepted, held)
        if held is None or accepted.number > held.number:
            _refuse_number_in_use(w, "registry", accepted.number, now=now, excluded=accepted.revoked)
            numbers.refuse_far_number("registry", accepted.number, held.number if held else 0)
            _install_registry(w, document, accepted, now=now, actor=actor)
    return accepted.number


def next_number(c: Connection, kind: str, *, now: int, excluded: Collection[str] = ()) -> int:
    """Return the number that the next trust, registry or manifest needs (SPEC 11.3).

    After a restore tablets still hold documents that this database has forgotten. Their numbers count, with three
    exceptions: revoked tablets, tablets in `excluded` (about to be revoked), and impossible numbers. Otherwise one
    lying tablet could stop publishing.
    """
    own = documents.highest_numbers(c).get(kind, 0)
    most = max(own, now // 1000) + MOST_MANIFESTS_FORGOTTEN if kind == "manifest" else own + MAX_FORGOTTEN_NUMBERS
    return 1 + max(own, devices.highest_number(c, kind, most, excluded))


def _refuse_number_in_use(w: Connection, kind: str, number: int, *, now: int, excluded: Collection[str] = ()) -> None:
    least = next_number(w, kind, now=now, excluded=excluded)
    if number < least:
        raise Problem("document.number_in_use", f"{kind} {least} is the next", least=least)


def _require_own_key(keys: ServerKeys, accepted: Trust) -> None:
    if keys.signing.kid not in accepted.servers:
        raise Problem("trust.other_server", f"the trust does not name this server's key {keys.signing.kid}")


def _install_trust(
    w: Connection, document: Document, accepted: Trust, *, now: int, actor: str, orphan: Collection[str] = ()
) -> None:
    _store_document(w, "trust", accepted.number, document, now)
    # An audit row cannot hold a list: each key gets a numbered name.
    detail: dict[str, str | int] = {f"orphan.{number}": kid for number, kid in enumerate(sorted(orphan), 1)}
    audit.append(w, at=now, action="trust.changed", actor=actor, subject=document.sha256, detail=detail)


def _install_registry(w: Connection, document: Document, accepted: Registry, *, now: int, actor: str) -> None:
    for keyring in accepted.keyrings.values():
        if keyrings.get_public_key(w, keyring.key_sha256) is None:
            raise Problem("registry.key_missing", f"{keyring.id}, epoch {keyring.epoch}")
    enrolment.revoke_devices(w, accepted.revoked, actor=actor, now=now)
    _store_document(w, "registry", accepted.number, document, now)
    audit.append(w, at=now, action="registry.changed", actor=actor, subject=document.sha256)


def _store_document(w: Connection, kind: str, number: int, document: Document, now: int) -> None:
    documents.put_document(w, kind=kind, number=number, sha256=document.sha256, body=document.to_bytes(), at=now)
    for item in worklist.list_open(w, kind="ahead", most=_RESOLVED_AT_ONCE):  # A job looks at the others.
        resolve_ahead(w, item.dev, now=now)


def resolve_all_ahead(db: Database, *, now: int) -> None:
    """Close the items of all tablets that are no longer ahead: after a restore there may be thousands. A job calls
    it."""
    after = 0
    while found := worklist.list_open(db.read(), kind="ahead", after=after, most=_RESOLVED_AT_ONCE):
        with db.write() as w:
            for item in found:
                resolve_ahead(w, item.dev, now=now)
        after = found[-1].id


def report_ahead(w: Connection, dev: str, numbers: Mapping[str, int], *, now: int) -> None:
    """Put a tablet on the work list that reports documents or orders unknown to this database.

    Either the database was restored from a backup and has forgotten them, or the tablet lies. The caller reports each
    change once.
    """
    if forgotten := _list_forgotten(w, dev, numbers):
        worklist.add_item(w, kind="ahead", dev=dev, reason=forgotten, at=now, since=worklist.EVERY_TIME)


def resolve_ahead(w: Connection, dev: str, *, now: int) -> None:
    """Close the item of a tablet that is no longer ahead, because newer documents or orders were stored."""
    device = devices.get_device(w, dev)
    if device is not None and not _list_forgotten(w, dev, {kind: getattr(device, kind) for kind in NUMBERED}):
        worklist.close_resolved(w, kind="ahead", dev=dev, by=SERVER, at=now)


def _list_forgotten(c: Connection, dev: str, numbers: Mapping[str, int]) -> str:
    newest = documents.highest_numbers(c) | {"orders": orders.last_number(c, dev)}
    return " ".join(f"{kind}.{number}" for kind, number in numbers.items() if number > newest.get(kind, 0))


# Reading


def get_newest(connection: Connection, kind: str) -> StoredDocument:
    """Return the newest trust, registry or manifest."""
    stored = documents.get_newest(connection, kind)
    if stored is None:
        raise Problem("server.not_ready", f"there is no {kind} yet")
    return stored


def list_trusts(db: Database) -> list[str]:
    """Return the text of every trust, rising: a client that knows former roots follows them (SPEC 5.1)."""
    return [stored.body.decode() for stored in documents.list_above(db.read(), "trust", 0)]


def list_trusts_above(connection: Connection, number: int) -> list[str]:
    """Return the text of the trusts that a tablet with this number lacks, rising; the newest one if it has none."""
    if number:
        return [stored.body.decode() for stored in documents.list_above(connection, "trust", number)]
    return [get_newest(connection, "trust").body.decode()]


def trust_in_force(connection: Connection) -> Trust:
    """Return the newest trust. It was verified when it was stored."""
    return trust.read(Document.parse(get_newest(connection, "trust").body))


def registry_in_force(connection: Connection) -> Registry:
    """Return the newest registry."""
    return registry.accept(Document.parse(get_newest(connection, "registry").body), trust_in_force(connection), None)


def manifest_in_force(connection: Connection) -> Manifest:
    """Return the newest manifest."""
    return manifest.accept(Document.parse(get_newest(connection, "manifest").body), trust_in_force(connection), None)


def form_bundle(db: Database, form_id: str, sha: str) -> bytes:
    """Return the signed bytes of a form version by its hash."""
    body = versions.get_bytes_in_use(db.read(), form_id, sha)
    if body is None:
        raise Problem("form.unknown", f"{form_id} {sha}")
    return body


def list_public_keys(connection: Connection, hashes: Iterable[str]) -> list[str]:
    """Return the keyrings' public keys with these hashes as base64url, without those that do not exist."""
    found = (keyrings.get_public_key(connection, sha256) for sha256 in hashes)
    return [b64u(raw) for raw in found if raw is not None]


def get_public_key(db: Database, sha256: str) -> bytes:
    """Return a keyring's public key by its hash."""
    raw = keyrings.get_public_key(db.read(), sha256)
    if raw is None:
        raise Problem("key.unknown", sha256)
    return raw
