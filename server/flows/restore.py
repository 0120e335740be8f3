"""Puts a backup into the place of a database that was lost: read, checked and renewed aside, then put in place with one
rename. `chaski restore` calls it on a folder that holds the server's keys and no database; it writes over nothing."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyrage

from server import archive, keys
from server.archive import BackupError, Contents
from server.config import Config, ConfigError, refuse_unfinished
from server.db import Connection, Db
from server.flows import aside, audit, halts, publishing, rollouts
from server.flows.backup import TYP, Progress
from server.keys import ServerKeys
from server.store import audit as trail
from server.store import snapshot
from server.store.snapshot import Holdings
from sync.errors import SyncError
from sync.members import SHA256_HEX, Members
from sync.signed import Document

_CHUNK = 2**20


@dataclass(frozen=True)
class Restored:
    """What is served from now on: as of when (ms), what is in it, the audit trail's length, the manifest's number."""

    at: int
    holdings: Holdings
    audit_rows: int
    manifest: int


@dataclass(frozen=True)
class _Stated:
    """What the server said of the copy when it made it."""

    at: int
    sha256: str


def prepare(config: Config) -> ServerKeys:
    """Look whether the data folder is one to restore into, before anybody types a passphrase; return the keys in it."""
    refuse_unfinished(config)
    _refuse_to_overwrite(config)
    try:
        return keys.load(config.keys)
    except (SyncError, OSError) as wrong:
        raise ConfigError(
            "--data", f"put the server's own keys back into {config.keys} first, from where you keep them: {wrong}"
        ) from wrong


def restore(
    config: Config, file: Path, identities: Sequence[pyrage.x25519.Identity], *, now: int, progress: Progress
) -> Restored:
    """Put the database in `file` into the data folder. Raises BackupError or ConfigError, and then nothing changed."""
    own = prepare(config)
    with aside.alone(config) as copied:
        with archive.opened(file, identities) as contents:
            stated = _read_statement(contents.statement, own)
            aside.need_room(copied.parent, contents.length)
            aside.make_private(copied)
            _unpack(contents, stated, copied, progress)
        progress("checking")
        with closing(Db(copied)) as db:
            rows = _check(db, own)
            progress("renewing")
            manifest = _renew(db, own, stated, now)
            holdings = snapshot.holdings(db.read())
        _refuse_to_overwrite(config)
        aside.put_in_place(copied, config.database)
    return Restored(stated.at, holdings, rows, manifest)


def _refuse_to_overwrite(config: Config) -> None:
    for there in filter(Path.exists, aside.beside(config.database)):
        raise ConfigError(
            "--data", f"{there} is there, and nothing is written over it; move every {config.database.name}* away first"
        )


def _read_statement(raw: bytes, own: ServerKeys) -> _Stated:
    """Believe what this server signed, and nobody else: whoever knows the recipient can make a file for it."""
    try:
        document = Document.parse(raw)
        document.require(TYP, {own.signing.kid: own.signing.public})
        members = Members(document.content, "backup")
        return _Stated(members.integer("at"), members.text("sha256", SHA256_HEX))
    except SyncError as wrong:
        raise BackupError(
            "backup.other_server",
            f"it was not made with the server key in keys/ ({own.signing.kid}): put those keys/ there with which it was"
            f" made, or take a backup of this server ({wrong})",
        ) from wrong


def _unpack(contents: Contents, stated: _Stated, into: Path, progress: Progress) -> None:
    sha256 = hashlib.sha256()
    with into.open("wb") as out:
        for chunk in iter(lambda: contents.database.read(_CHUNK), b""):
            out.write(chunk)
            sha256.update(chunk)
            progress(f"unpacking: {aside.mib(out.tell())} of {aside.mib(contents.length)}")
    if sha256.hexdigest() != stated.sha256:
        raise BackupError("backup.damaged", "the database in it is not the one that the server signed for")


def _check(db: Db, own: ServerKeys) -> int:
    """Hold the database against itself and against keys/; return the length of its audit trail."""
    c = db.read()
    if faults := snapshot.faults(c):
        raise BackupError("backup.damaged", f"the database in it was damaged when it was copied: {faults[0]}")
    verdict = audit.verify(db)
    if verdict.broken_at:
        raise BackupError("backup.damaged", f"its audit trail is broken at row {verdict.broken_at}")
    if own.signing.kid not in publishing.trust_in_force(c).servers:
        raise BackupError(
            "backup.other_server",
            f"the trust in it does not name the server key in keys/ ({own.signing.kid}): put those keys/ there that"
            " were in use when it was made",
        )
    for missing in _missing_route_keys(c, own):
        raise BackupError(
            "backup.route_key_missing",
            f"keys/ has no secret for the route key {missing}, to which tablets seal: put route-{missing}.key back",
        )
    return verdict.rows


def _missing_route_keys(c: Connection, own: ServerKeys) -> list[str]:
    listed = (entry.key.kid for entry in publishing.manifest_in_force(c).route_keys)
    return [kid for kid in listed if kid not in own.routes]


def _renew(db: Db, own: ServerKeys, stated: _Stated, now: int) -> int:
    """Make it another database than the lost one, so that tablets offer again what they keep (SPEC 11.3)."""
    with db.write() as w:
        # This machine's clock may be behind, but the lost server went on from here: so must the number of the manifest.
        after = max(now, snapshot.newest_time(w) + 1_000)
        snapshot.renew(w, generation=secrets.token_urlsafe(8))
        # A version that somebody halted after the copy was made must not go to its tablets again by itself.
        halts.stop_begun(w, since=stated.at - halts.WEEK, now=now)
        number = rollouts.renew(w, own, after)
        trail.append(
            w,
            at=now,
            action="database.restored",
            actor=own.signing.kid,
            subject=stated.sha256,
            detail={"copied": stated.at, "manifest": number},
        )
    return number
