"""Restores a lost database from a backup: decrypt, check and renew it in a scratch folder, then rename it into place.

`chaski restore` calls it on a folder that holds the server's keys and no database. It must not overwrite a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pyrage

from server import server_keys
from server.backup import archive
from server.backup.archive import ArchiveContents, BackupError
from server.config import Config, ConfigError, refuse_unfinished
from server.database import salvage, snapshot
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteDatabase
from server.flows import damage
from server.flows.damage import Fault
from server.flows.operations import integrity, rollback_guard, scratch_files
from server.flows.operations.backup import TYP, Progress
from server.flows.trust import documents as trust_documents
from server.server_keys import ServerKeys
from server.store import audit, devices, envelopes, meta, referrals
from server.store import integrity as integrity_store
from server.store.audit import AuditEvent
from server.store.meta import Holdings
from sync.documents.signed import Document
from sync.envelope.route import open_route
from sync.envelope.verify import parse_envelope
from sync.errors import SyncError
from sync.wire.json_object import SHA256_HEX, JsonObject

_CHUNK = 2**20


@dataclass(frozen=True)
class RestoreResult:
    """The restored database: backup time (ms), contents, length of the audit trail, number of the manifest.

    `lost`: what is damaged or missing in it, which a person accepted. `rows`: how many rows of each table could not be
    read.
    """

    at: int
    holdings: Holdings
    audit_rows: int
    manifest: int
    lost: tuple[Fault, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class _Statement:
    """The server's signed statement about the copy."""

    at: int
    sha256: str


def prepare_restore(config: Config) -> ServerKeys:
    """Check that the data folder is ready for a restore, before a person types a passphrase; return the server's
    keys."""
    refuse_unfinished(config)
    _refuse_to_overwrite(config)
    try:
        return server_keys.load(config.keys)
    except (SyncError, OSError) as error:
        raise ConfigError(
            "--data", f"put the server's own keys back into {config.keys} first, from where you keep them: {error}"
        ) from error


def restore_backup(
    config: Config,
    file: Path,
    identities: Sequence[pyrage.x25519.Identity],
    *,
    now: int,
    progress: Progress,
    accept_damage: bool = False,
) -> RestoreResult:
    """Restore the database in `file` into the data folder. After BackupError or ConfigError the folder is unchanged.

    With `accept_damage` a damaged one is restored as far as it can be read. Its audit trail and its work list then say
    what is lost.
    """
    own = prepare_restore(config)
    with scratch_files.lock_scratch_file(config) as copied:
        with archive.open_archive(file, identities) as contents:
            statement = _read_statement(contents.statement, own)
            scratch_files.require_free_space(copied.parent, contents.length)
            scratch_files.create_private(copied)
            _unpack(contents, statement, copied, progress)
        progress("checking")
        faults, rows = _find_faults(copied, own, progress), dict[str, int]()
        if faults:
            if not accept_damage:
                raise _refuse_damage(faults)
            progress("copying what can be read")
            rows = _salvage(copied)
            _recompute(copied, own)
            faults = integrity.check_file(copied, keys=own.routes, progress=progress).faults
        with closing(SqliteDatabase(copied)) as db:
            _check_owner(db, own)
            progress("renewing")
            manifest = _start_generation(db, own, statement, faults, now)
            holdings = meta.count_holdings(db.read())
            length = audit.get_head(db.read())[0]
            _refuse_to_overwrite(config)
            rollback_guard.store_mark(db, config.database)
        scratch_files.move_into_place(copied, config.database)
    return RestoreResult(statement.at, holdings, length, manifest, faults, rows)


def _find_faults(copied: Path, own: ServerKeys, progress: Progress) -> tuple[Fault, ...]:
    try:
        SqliteDatabase(copied).close()  # An older release may have made it: apply the migrations.
    except snapshot.DAMAGE as error:
        return (Fault("pages.damaged", "database", str(error)),)
    return integrity.check_file(copied, keys=own.routes, progress=progress).faults


def _refuse_damage(faults: Sequence[Fault]) -> BackupError:
    first = f"{faults[0].code} {faults[0].subject} {faults[0].detail}".rstrip()
    return BackupError(
        "backup.damaged",
        f"the database in it was damaged when it was copied: {first}, {len(faults)} faults in all."
        " Take an older backup, or restore what can be read of this one with --accept-damage",
    )


def _salvage(copied: Path) -> dict[str, int]:
    """Replace the copy by a new database with the rows that can be read. Returns how many could not, by table."""
    fresh = copied.with_name(f"{copied.stem}-salvaged{copied.suffix}")
    scratch_files.remove_database(fresh)
    try:
        rows = salvage.copy_readable(copied, fresh)
        scratch_files.remove_database(copied)
        fresh.rename(copied)
    except snapshot.DAMAGE as error:
        raise BackupError("backup.damaged", f"nothing in it can be read: {error}") from error
    finally:
        scratch_files.remove_database(fresh)
    return rows


def _recompute(copied: Path, own: ServerKeys) -> None:
    """Compute lost values anew from the envelopes: the routes of those in work, the arrivals of referrals, and the
    bytes that tablets stored."""
    with closing(SqliteDatabase(copied)) as db, db.write() as w:
        for id_ in integrity_store.list_lost_routes(w):
            with suppress(SyncError):  # Its desk sorts it by hand.
                header = parse_envelope(envelopes.get_body(w, id_) or b"").header
                stored = envelopes.get_envelope(w, id_)
                at = stored.received if stored else 0
                envelopes.put_route(w, id_, open_route(header.route, own.routes, header.jti), at=at)
        referrals.recompute_arrivals(w)
        devices.recount_stored(w)


def _refuse_to_overwrite(config: Config) -> None:
    for there in filter(Path.exists, scratch_files.database_files(config.database)):
        raise ConfigError(
            "--data", f"{there} exists, and restore overwrites nothing; move every {config.database.name}* away first"
        )


def _read_statement(raw: bytes, own: ServerKeys) -> _Statement:
    """Verify this server's signature. Every sender who knows the recipient key can make a backup file for it."""
    try:
        document = Document.parse(raw)
        document.require(TYP, {own.signing.kid: own.signing.public})
        members = JsonObject(document.content, "backup")
        return _Statement(members.integer("at"), members.text("sha256", SHA256_HEX))
    except SyncError as error:
        raise BackupError(
            "backup.other_server",
            f"it was not made with the server key in keys/ ({own.signing.kid}): put the keys/ there that it was"
            f" made with, or take a backup of this server ({error})",
        ) from error


def _unpack(contents: ArchiveContents, statement: _Statement, into: Path, progress: Progress) -> None:
    sha256 = hashlib.sha256()
    with into.open("wb") as out:
        for chunk in iter(lambda: contents.database.read(_CHUNK), b""):
            out.write(chunk)
            sha256.update(chunk)
            progress(
                f"unpacking: {scratch_files.format_mib(out.tell())} of {scratch_files.format_mib(contents.length)}"
            )
    if sha256.hexdigest() != statement.sha256:
        raise BackupError("backup.damaged", "the database in it is not the one that the server signed for")


def _check_owner(db: Database, own: ServerKeys) -> None:
    """Check that the database belongs to keys/."""
    c = db.read()
    if own.signing.kid not in trust_documents.trust_in_force(c).servers:
        raise BackupError(
            "backup.other_server",
            f"the trust in it does not name the server key in keys/ ({own.signing.kid}): put the keys/ there that"
            " were in use when it was made",
        )
    for missing in _missing_route_keys(c, own):
        raise BackupError(
            "backup.route_key_missing",
            f"keys/ has no secret for the route key {missing}, to which tablets seal: put route-{missing}.key back",
        )


def _missing_route_keys(c: Connection, own: ServerKeys) -> list[str]:
    listed = (entry.key.kid for entry in trust_documents.manifest_in_force(c).route_keys)
    return [kid for kid in listed if kid not in own.routes]


def _start_generation(db: Database, own: ServerKeys, statement: _Statement, accepted: Sequence[Fault], now: int) -> int:
    """Give the database a new generation, so that tablets send again the screenings they keep (SPEC 11.3). The audit
    trail names each accepted fault, so that the next check knows it."""
    with db.write() as w:
        number = rollback_guard.start_generation(w, own, copied=statement.at, now=now)
        audit.append(
            w,
            at=now,
            action="database.restored",
            actor=own.signing.kid,
            subject=statement.sha256,
            detail={"copied": statement.at, "manifest": number, **({"lost": len(accepted)} if accepted else {})},
        )
        losses = [
            AuditEvent(audit.DAMAGE_ACCEPTED, own.signing.kid, each.subject, {"fault": each.code}) for each in accepted
        ]
        audit.append_all(w, losses, at=now)
        damage.record_faults(w, accepted, now=now)
    return number
