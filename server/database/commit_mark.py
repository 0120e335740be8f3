"""The mark beside the database: generation, audit number and audit head of the last commit (the tablet's twin is
sync/tablet/rollback_guard.py).

The serving process writes it after each commit. A database behind its mark is an old copy. This module must not decide
what follows from that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sync.atomic_file import replace_file

# Two slots, in different pages of the disk, are written in turn. A write that is cut off leaves the other slot.
_SLOTS = (0, 4096)
_SLOT_BYTES = 128
_TEXT = re.compile(r"([A-Za-z0-9_-]{1,22}) (\d{1,15}) ([0-9a-f]{64}) ([0-9a-f]{16}) *\n")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class CommitMark:
    """The state after a commit: the database's generation, and number and hash of the last audit row."""

    generation: str
    number: int
    head: str


def mark_file(database: Path) -> Path:
    """Return the file of a database's mark."""
    return database.with_name(f"{database.name}.mark")


def read_mark(database: Path) -> CommitMark | None:
    """Return the newest mark beside a database; None if there is no whole one."""
    try:
        marks = [mark for mark in _read_slots(mark_file(database)) if mark is not None]
    except FileNotFoundError:
        return None
    return max(marks, key=lambda mark: mark.number, default=None)


class MarkWriter:
    """Writes the marks of one process. Each outlives the process at once, and a power cut after `sync_mark`."""

    def __init__(self, database: Path) -> None:
        self._file, self._last, self._slot = mark_file(database), CommitMark("", 0, ""), 0

    @property
    def last(self) -> CommitMark:
        """The last mark of this process; number 0 before the first."""
        return self._last

    def write(self, mark: CommitMark) -> None:
        """Store a mark. Within a generation a lower number is not written: it would hide that the database went back.

        A full disk raises nothing: the commit is stored, and an older mark is harmless.
        """
        known = mark.generation == self._last.generation
        if known and mark.number <= self._last.number:
            return
        try:
            if not (known and self._overwrite_older_slot(_format(mark))):
                replace_file(self._file, _format(mark).ljust(_SLOTS[1], b"\0") + b"\0" * _SLOT_BYTES)
                self._slot = 0
        except OSError as problem:
            if problem.errno not in _DISK_FULL:
                raise
        self._last = mark

    def _overwrite_older_slot(self, raw: bytes) -> bool:
        """Return False if the file is gone."""
        try:
            opened = os.open(self._file, os.O_WRONLY)
        except FileNotFoundError:
            return False
        try:
            self._slot = 1 - self._slot
            os.pwrite(opened, raw, _SLOTS[self._slot])
        finally:
            os.close(opened)
        return True


def sync_mark(database: Path) -> None:
    """Flush the mark to disk, if there is one."""
    try:
        opened = os.open(mark_file(database), os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(opened)
    finally:
        os.close(opened)


def _read_slots(file: Path) -> list[CommitMark | None]:
    raw = file.read_bytes()
    return [_parse(raw[start : start + _SLOT_BYTES]) for start in _SLOTS]


def _format(mark: CommitMark) -> bytes:
    text = f"{mark.generation} {mark.number} {mark.head}"
    return f"{text} {_checksum(text)}".ljust(_SLOT_BYTES - 1).encode("ascii") + b"\n"


def _parse(raw: bytes) -> CommitMark | None:
    match = _TEXT.fullmatch(raw.decode("ascii", "replace"))
    if match is None or _checksum(" ".join(match.group(1, 2, 3))) != match[4]:
        return None
    return CommitMark(match[1], int(match[2]), match[3])


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
