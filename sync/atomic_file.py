"""Files that a power cut leaves whole or as they were. The tablet's stores call it, and the server for its backups."""

import os
from pathlib import Path

UNFINISHED = ".new"
"""How a file ends that the power cut while it was written; whoever finds one may remove it."""


def replace_file(path: Path, body: bytes) -> None:
    """Put a file that only its owner may read in the place of the one before, on the disk before this returns."""
    written = path.with_suffix(UNFINISHED)
    with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have it on the disk which files there are."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
