"""The file that a name leads to, as device and inode: a program asks whether it still is the one that it has open.

The tablet's store and the server's database call it. It must not open a file: when a process closes any descriptor of a
SQLite file, POSIX drops SQLite's locks on that file (fcntl(2)).
"""

import os
import stat
from pathlib import Path

FileIdentity = tuple[int, ...]


class SqliteFiles:
    """The files of an open SQLite database in WAL mode: create this value after the first read, when all exist."""

    def __init__(self, database: Path) -> None:
        self._names = tuple(f"{database}{ending}" for ending in ("", "-wal", "-shm"))
        self._opened = self._identify()

    def are_in_place(self) -> bool:
        """Return True if the names still lead to the files that were there, so that the next start opens them."""
        return self._identify() == self._opened

    def _identify(self) -> tuple[FileIdentity | None, ...]:
        return tuple(map(_identify, self._names))


def _identify(name: str) -> FileIdentity | None:
    """Of the name as well as of the file: SQLite looks for the log of a file behind a symbolic link elsewhere."""
    try:
        named = os.lstat(name)
        found = os.stat(name) if stat.S_ISLNK(named.st_mode) else named
    except OSError:
        return None
    return named.st_dev, named.st_ino, found.st_dev, found.st_ino
