"""Makes an encrypted backup of the live database. `chaski backup` and the daily job call it.

Only the holder of the offline backup key can open the file. It must not contain the server's own keys. Each backup is
checked when it is made. One of a damaged database is better than none. Its name says so, and it replaces no good one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from server.backup import archive
from server.backup.archive import BackupError
from server.config import Config, ConfigError
from server.database import snapshot
from server.database.connection import Database
from server.flows import damage
from server.flows.damage import Fault
from server.flows.operations import integrity, scratch_files
from server.server_keys import ServerKeys
from server.store import meta, worklist
from server.store.audit import SERVER
from server.store.meta import Holdings
from sync.documents.signed import Document
from sync.durations import DAY, HOUR

# A statement about the backup that only servers sign and read; it is not a protocol document.
TYP = "chaski-1/backup+jws"
SUFFIX = ".tar.gz.age"
DAMAGED = ".damaged"
"""Stands before the suffix in the name of a backup of a damaged database, so that it does not count as a backup."""
_PARTIAL = ".partial"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class WrittenBackup:
    """A written backup: path, time (ms), contents, length in bytes and SHA-256 in hex; what is damaged in it."""

    file: Path
    at: int
    holdings: Holdings
    bytes: int
    sha256: str
    faults: tuple[Fault, ...]


def write_backup(
    config: Config, keys: ServerKeys, *, recipient: str, folder: Path, now: int, progress: Progress
) -> WrittenBackup:
    """Write a backup for `recipient` (age1...) into `folder`. After BackupError or OSError no backup exists."""
    with scratch_files.lock_scratch_file(config) as copied:
        _require_room(copied.parent, folder, snapshot.max_copy_bytes(config.database))
        scratch_files.create_private(copied)
        snapshot.copy_database(
            config.database, copied, lambda: progress(f"copying: {scratch_files.format_mib(copied.stat().st_size)}")
        )
        faults = _find_faults(config.database, copied, keys, progress)
        holdings = _count_holdings(copied)
        statement = _make_statement(copied, keys, holdings, len(faults), now)
        for leftover in folder.glob(f"{_prefix(keys)}*{_PARTIAL}"):  # from a backup process that was killed
            leftover.unlink()
        file = folder / f"{_prefix(keys)}{_stamp(now)}{DAMAGED if faults else ''}{SUFFIX}"
        length, sha256 = _write(file, statement, copied, recipient, progress)
    return WrittenBackup(file, now, holdings, length, sha256, faults)


def _find_faults(database: Path, copied: Path, keys: ServerKeys, progress: Progress) -> tuple[Fault, ...]:
    """Check the copy, and the pages of the database: SQLite makes new indexes for a copy, so it hides a difference."""
    with snapshot.open_reading(database) as live:
        pages = [Fault("pages.damaged", "database", said) for said in snapshot.find_faults(live)]
    try:
        # Each route has a checksum; the job `scrub` and `chaski check` open the sealed ones too.
        found = integrity.check_file(
            copied, keys=keys.routes, progress=lambda part: progress(f"checking: {part}"), open_all=False
        )
        checked = found.faults
    except ConfigError:  # A server of another release: its tables are not those that this program can check.
        checked = ()
    return tuple(dict.fromkeys((*pages, *checked)))


def _count_holdings(copied: Path) -> Holdings:
    with snapshot.open_reading(copied) as c:
        try:
            return meta.count_holdings(c)
        except snapshot.DAMAGE:  # It is damaged, and its statement says so.
            return Holdings(0, 0, 0, 0)


def _require_room(scratch: Path, folder: Path, most: int) -> None:
    if not folder.is_dir():
        raise BackupError("backup.no_folder", f"{folder} is not a folder; is its disk mounted?")
    if scratch.stat().st_dev == folder.stat().st_dev:
        scratch_files.require_free_space(folder, 2 * most)
    else:
        scratch_files.require_free_space(scratch, most)
        scratch_files.require_free_space(folder, most)


def _make_statement(copied: Path, keys: ServerKeys, holdings: Holdings, faults: int, now: int) -> bytes:
    """Return the signed statement about the copy. Its signature proves the origin: every sender who knows the recipient
    key can encrypt a file."""
    with copied.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return Document.of({"at": now, "sha256": sha256, "faults": faults, **vars(holdings)}, TYP, keys.signing).to_bytes()


def _write(file: Path, statement: bytes, copied: Path, recipient: str, progress: Progress) -> tuple[int, str]:
    """Write under a temporary name first. A file with the name of a backup is complete and is never overwritten."""
    if file.exists():
        raise BackupError("backup.file_exists", f"{file} exists already; a backup never overwrites a file")
    partial = file.with_name(file.name + _PARTIAL)
    try:
        scratch_files.create_private(partial)
        with partial.open("wb") as out:
            written = archive.write_archive(
                out,
                statement,
                copied,
                recipient,
                lambda done: progress(f"encrypting: {scratch_files.format_mib(done)}"),
            )
        _compare_with_disk(partial, written[1])
        scratch_files.move_into_place(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return written


def _compare_with_disk(file: Path, sha256: str) -> None:
    """Read the written file again, from the disk where the system allows it. Raises BackupError if it differs."""
    with file.open("rb") as source:
        os.fsync(source.fileno())
        if hasattr(os, "posix_fadvise"):  # Otherwise the bytes would come from memory.
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if hashlib.file_digest(source, "sha256").hexdigest() != sha256:
            raise BackupError("backup.not_written", f"{file.parent} does not return the bytes written; check its disk")


def write_daily(db: Database, config: Config, keys: ServerKeys, *, now: int) -> int:
    """Write a backup unless one was made in the last day, then delete those beyond the number to keep.

    After the damage is repaired, a damaged one counts for an hour only.
    Returns how many were written: 0 or 1. A failure, or damage in the database, stays on the work list until a good
    backup succeeds. A damaged one deletes no good one.
    """
    folder = config.backup_folder
    if folder is None or not _is_due(db, folder, keys, now):
        return 0
    try:
        made = write_backup(
            config, keys, recipient=config.backup_recipient, folder=folder, now=now, progress=lambda step: None
        )
    except (BackupError, OSError, *snapshot.DAMAGE) as error:
        _report(db, getattr(error, "code", type(error).__name__), now)
        raise
    try:
        if made.faults:
            _report(db, "backup.damaged", now)
            damage.report_faults(db, made.faults, now=now)
        else:
            damage.close_reports(db, now=now)
            with db.write() as w:
                worklist.close_resolved(w, kind="backup", dev="", by=SERVER, at=now)
    finally:  # Neither keeps the other from being done.
        _prune(folder, keys, config.backup_keep, made)
    return 1


def _prune(folder: Path, keys: ServerKeys, keep: int, made: WrittenBackup) -> None:
    alike = _list_damaged(folder, keys) if made.faults else _list_backups(folder, keys)
    others = [file for file in reversed(alike) if file != made.file]
    for old in others[keep - 1 :]:
        old.unlink()


def _is_due(db: Database, folder: Path, keys: ServerKeys, now: int) -> bool:
    # A file name in the future comes from a wrong clock and must not prevent today's backup.
    recent = [file for file in _list_all(folder, keys) if now - DAY < _read_time(file) <= now]
    if not recent:
        return True
    if not _is_marked(recent[-1]) or now - _read_time(recent[-1]) < HOUR:
        return False
    try:
        return damage.is_repaired(db.read(), since=_read_time(recent[-1]))
    except snapshot.DAMAGE:  # The work list itself is damaged.
        return False


def _report(db: Database, code: str, now: int) -> None:
    # The reason contains the day, so that the item returns tomorrow whatever the decision about today's.
    with db.write() as w:
        worklist.add_item(w, kind="backup", dev="", reason=f"{code}.{_stamp(now)[:8]}", at=now)


def last_backup_time(folder: Path, keys: ServerKeys) -> int | None:
    """Return the time (ms) of this server's newest good backup in a folder; None if there is none."""
    return max(map(_read_time, _list_backups(folder, keys)), default=None)


def _list_all(folder: Path, keys: ServerKeys) -> list[Path]:
    """Return this server's backups in a folder, good and damaged ones, oldest first."""
    return sorted(filter(_read_time, folder.glob(f"{_prefix(keys)}*{SUFFIX}")), key=_read_time)


def _list_backups(folder: Path, keys: ServerKeys) -> list[Path]:
    return [file for file in _list_all(folder, keys) if not _is_marked(file)]


def _list_damaged(folder: Path, keys: ServerKeys) -> list[Path]:
    return [file for file in _list_all(folder, keys) if _is_marked(file)]


def _is_marked(file: Path) -> bool:
    return file.name.endswith(DAMAGED + SUFFIX)


def _prefix(keys: ServerKeys) -> str:
    # Several servers may share a folder; one must not delete the backups of another.
    return f"chaski-{keys.signing.kid}-"


def _stamp(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y%m%dT%H%M%S}.{at % 1000:03}Z"


def _read_time(file: Path) -> int:
    """Return the time (ms) in a backup's file name; 0 for any other name."""
    try:
        stamp = datetime.strptime(file.name.removesuffix(SUFFIX).removesuffix(DAMAGED)[-20:], "%Y%m%dT%H%M%S.%fZ")
    except ValueError:
        return 0
    return round(stamp.replace(tzinfo=UTC).timestamp() * 1000)
