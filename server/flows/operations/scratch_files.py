"""Temporary files of backup and restore, in `tmp` under the data folder; one backup or restore at a time.

Backup and restore call it. The server calls it at start, to remove files of a killed process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.backup.archive import BackupError
from server.config import Config
from sync.atomic_file import sync_folder

_MIB = 2**20
_FILE = "copy.db"


@contextmanager
def lock_scratch_file(config: Config) -> Iterator[Path]:
    """Lock the folder against another backup or restore. Yields a path for a database file, deleted at the end."""
    scratch = config.data / "tmp"
    scratch.mkdir(mode=0o700, exist_ok=True)
    with (config.data / "copying").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BackupError("backup.busy", f"another backup or restore is at work in {config.data}") from error
        remove_database(scratch / _FILE)
        try:
            yield scratch / _FILE
        finally:
            remove_database(scratch / _FILE)


def remove_leftovers(config: Config) -> None:
    """Remove files of a killed process. A backup that runs now removes its own."""
    try:
        with lock_scratch_file(config):
            pass
    except BackupError:
        return


def remove_database(database: Path) -> None:
    """Remove a scratch database with its side files, if it exists."""
    for file in database_files(database):
        file.unlink(missing_ok=True)


def database_files(database: Path) -> list[Path]:
    """Return a database's file and its SQLite side files. A foreign write-ahead log would change the database."""
    return [database.with_name(database.name + ending) for ending in ("", "-wal", "-shm", "-journal")]


def create_private(file: Path) -> None:
    """Create an empty file that only its owner may read."""
    os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def move_into_place(file: Path, name: Path) -> None:
    """Rename a file to its final name, durably across a power cut."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
    file.rename(name)
    sync_folder(name.parent)


def require_free_space(place: Path, needed: int) -> None:
    """Raise BackupError if fewer than `needed` bytes are free. A full disk would stop the server as well."""
    free = shutil.disk_usage(place).free
    if free < needed:
        raise BackupError("backup.no_room", f"{place} needs {format_mib(needed)} free and has {format_mib(free)}")


def format_mib(count: int) -> str:
    """Format a number of bytes in MiB."""
    return f"{count / _MIB:,.1f} MiB"
