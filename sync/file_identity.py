"""The file that a name leads to, as device and inode: a program asks whether it still is the one that it has open.

The tablet's store and the server's database call it. It must not open a file: when a process closes any descriptor of a
SQLite file, POSIX drops SQLite's locks on that file (fcntl(2)).
"""

from pathlib import Path

FileIdentity = tuple[int, int]


def identify(path: Path) -> FileIdentity | None:
    """Return device and inode of the file that a path leads to; None if it leads to none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def identify_sqlite(database: Path) -> tuple[FileIdentity | None, ...]:
    """Return the identities of a SQLite file in WAL mode and of its side files."""
    return tuple(identify(database.with_name(database.name + ending)) for ending in ("", "-wal", "-shm"))
