"""Where backup and restore work: files that must not last, in the data folder's `tmp`, one such work at a time. Both
flows call it, and the server when it starts, to remove what one that was killed has left."""

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
    """Hold the folder against another backup or restore; name a place for a database file that is gone afterwards."""
    scratch = config.data / "tmp"
    scratch.mkdir(mode=0o700, exist_ok=True)
    with (config.data / "copying").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BackupError("backup.busy", f"another backup or restore is at work in {config.data}") from error
        _remove_database(scratch / _FILE)
        try:
            yield scratch / _FILE
        finally:
            _remove_database(scratch / _FILE)


def remove_leftovers(config: Config) -> None:
    """Remove what was left behind; a backup that is at work just now cleans up itself."""
    try:
        with lock_scratch_file(config):
            pass
    except BackupError:
        return


def _remove_database(database: Path) -> None:
    for file in database_files(database):
        file.unlink(missing_ok=True)


def database_files(database: Path) -> list[Path]:
    """A database's file and those that SQLite may lay beside it; a foreign log would change the database."""
    return [database.with_name(database.name + ending) for ending in ("", "-wal", "-shm", "-journal")]


def create_private(file: Path) -> None:
    """Make an empty file that only its owner may read."""
    os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def move_into_place(file: Path, name: Path) -> None:
    """Give a file its lasting name, in a way that outlasts a power cut."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
    file.rename(name)
    sync_folder(name.parent)


def require_free_space(place: Path, needed: int) -> None:
    """Raise BackupError where fewer bytes are free than are needed: a full disk would stop the server's work too."""
    free = shutil.disk_usage(place).free
    if free < needed:
        raise BackupError("backup.no_room", f"{place} needs {format_mib(needed)} free and has {format_mib(free)}")


def format_mib(count: int) -> str:
    """Say how much that is."""
    return f"{count / _MIB:,.1f} MiB"
