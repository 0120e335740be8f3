"""Restores a lost database from a backup: decrypt, check and renew it in a scratch folder, then rename it into place.

`chaski restore` calls it on a folder that holds the server's keys and no database. It must not overwrite a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyrage

from server import server_keys
from server.backup import archive
from server.backup.archive import ArchiveContents, BackupError
from server.config import Config, ConfigError, refuse_unfinished
from server.database import snapshot
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteDatabase
from server.flows.operations import rollback_guard, scratch_files
from server.flows.operations.audit import verify_chain
from server.flows.operations.backup import TYP, Progress
from server.flows.trust import documents as trust_documents
from server.server_keys import ServerKeys
from server.store import audit, meta
from server.store.meta import Holdings
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.wire.json_object import SHA256_HEX, JsonObject

_CHUNK = 2**20


@dataclass(frozen=True)
class RestoreResult:
    """The restored database: backup time (ms), contents, length of the audit trail, number of the manifest."""

    at: int
    holdings: Holdings
    audit_rows: int
    manifest: int


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
    config: Config, file: Path, identities: Sequence[pyrage.x25519.Identity], *, now: int, progress: Progress
) -> RestoreResult:
    """Restore the database in `file` into the data folder. After BackupError or ConfigError the folder is unchanged."""
    own = prepare_restore(config)
    with scratch_files.lock_scratch_file(config) as copied:
        with archive.open_archive(file, identities) as contents:
            statement = _read_statement(contents.statement, own)
            scratch_files.require_free_space(copied.parent, contents.length)
            scratch_files.create_private(copied)
            _unpack(contents, statement, copied, progress)
        progress("checking")
        with closing(SqliteDatabase(copied)) as db:
            rows = _check_database(db, own)
            progress("renewing")
            manifest = _start_generation(db, own, statement, now)
            holdings = meta.count_holdings(db.read())
            _refuse_to_overwrite(config)
            rollback_guard.store_mark(db, config.database)
        scratch_files.move_into_place(copied, config.database)
    return RestoreResult(statement.at, holdings, rows, manifest)


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


def _check_database(db: Database, own: ServerKeys) -> int:
    """Check the database's integrity, and that it belongs to keys/. Returns the length of its audit trail."""
    c = db.read()
    if faults := snapshot.find_faults(c):
        raise BackupError("backup.damaged", f"the database in it was damaged when it was copied: {faults[0]}")
    verdict = verify_chain(db)
    if verdict.broken_at:
        raise BackupError("backup.damaged", f"its audit trail is broken at row {verdict.broken_at}")
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
    return verdict.rows


def _missing_route_keys(c: Connection, own: ServerKeys) -> list[str]:
    listed = (entry.key.kid for entry in trust_documents.manifest_in_force(c).route_keys)
    return [kid for kid in listed if kid not in own.routes]


def _start_generation(db: Database, own: ServerKeys, statement: _Statement, now: int) -> int:
    with db.write() as w:
        number = rollback_guard.start_generation(w, own, copied=statement.at, now=now)
        audit.append(
            w,
            at=now,
            action="database.restored",
            actor=own.signing.kid,
            subject=statement.sha256,
            detail={"copied": statement.at, "manifest": number},
        )
    return number
