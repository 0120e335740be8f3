"""Functions that write a file so that a power cut leaves the old file or the new file, both complete.

The tablet's stores call them, the server's backups, and couriers.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

UNFINISHED = ".new"
"""File name suffix of an unfinished write. A power cut may leave such a file behind, and any program may delete it."""


def replace_file(path: Path, body: bytes) -> None:
    """Replace a file atomically with one that only its owner may read. It is on disk when this returns."""
    written = path.with_suffix(UNFINISHED)
    with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file in one step; only its owner may read it. It is on disk when this returns.

    Raise FileExistsError if the path is taken. Whatever `pieces` raises, no file is left. The file system of a memory
    stick (FAT) has no links; there another process could still take the path between the question and the renaming.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists")
    # A name of its own: whatever else lies in the folder, such as a file that the pieces are read from, stays.
    opened, name = mkstemp(UNFINISHED, f"{path.name}.", path.parent)
    written = Path(name)
    try:
        with open(opened, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _give_name(written, path)
    finally:
        with suppress(OSError):
            written.unlink(missing_ok=True)
    sync_folder(path.parent)


def _give_name(written: Path, path: Path) -> None:
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        written.rename(path)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of files to disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
