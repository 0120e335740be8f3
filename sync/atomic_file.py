"""Functions that write a file so that a power cut leaves the old file or the new file, both complete.

The tablet's stores call them, and the server's backups.
"""

import os
from pathlib import Path

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


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of files to disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
