"""The recordings of a tablet's form versions (SPEC 5.8), stored under their hash.

They are fetched in pieces, so a bad connection loses at most one piece. `sync.tablet.client` calls it. A missing
recording must not stop work, and bytes with a wrong hash are never kept.
"""

import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from sync.atomic_file import replace_file
from sync.documents.bundle import Recording
from sync.errors import SyncError
from sync.exchange.transport import Transport

PIECE_BYTES = 64 * 1024
RESERVED_BYTES = 32 * 1024 * 1024  # Disk space reserved for screenings, which matter more.
_PART = ".part"
_RANGE = re.compile(r"bytes ([0-9]{1,9})-")
_ERRORS_OF_ONE_RECORDING = ("media.unknown", "http.range_not_satisfiable", "bundle.wrong_recording")


class Recordings:
    """The recordings of one tablet, one file each in `folder`. Incomplete ones end in `.part`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, named: Mapping[str, Recording]) -> tuple[Recording, ...]:
        """Return the recordings that are named but missing, in the order of their hashes."""
        return tuple(each for each in named.values() if not self._path(each.sha256).exists())

    def body(self, recording: Recording) -> bytes | None:
        """Return the bytes of a recording; None if it is missing or damaged on the disk."""
        try:
            body = self._path(recording.sha256).read_bytes()
            recording.check(body)
        except (OSError, SyncError):
            return None
        return body

    def remove_others(self, named: Iterable[str]) -> None:
        """Delete the recordings that no stored form version names."""
        wanted = {*named}
        for path in self._folder.glob("*"):
            if path.stem not in wanted:
                with suppress(OSError):
                    path.unlink()

    def fetch(self, named: Mapping[str, Recording], transport: Transport) -> None:
        """Fetch missing recordings as far as connection and disk allow. The next sync fetches the rest."""
        for recording in self.missing(named):
            try:
                self._fetch(recording, transport)
            except OSError:
                return
            except SyncError as wrong:
                if wrong.code not in _ERRORS_OF_ONE_RECORDING:
                    return

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256

    def _fetch(self, recording: Recording, transport: Transport) -> None:
        part = self._path(recording.sha256 + _PART)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self._folder).free < RESERVED_BYTES + recording.size:
            raise OSError(f"{self._folder}: the remaining space is reserved for screenings")
        # A server without range requests makes it begin again, once. A sync must always end (SPEC 5.8).
        for _ in range(2 * math.ceil(recording.size / PIECE_BYTES)):
            have = part.stat().st_size if part.exists() else 0
            if have >= recording.size:
                break
            start, piece = _fetch_piece(transport, recording.sha256, have)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600), "r+b") as file:
                file.truncate(start)
                file.seek(start)
                file.write(piece)
        else:
            raise SyncError("transport.broken", f"the download of {recording.sha256} makes no progress")
        body = part.read_bytes()
        try:
            recording.check(body)
            replace_file(self._path(recording.sha256), body)
        finally:  # If the hash is wrong, the next attempt begins at the start: any piece may be the wrong one.
            part.unlink()


def _fetch_piece(transport: Transport, sha256: str, start: int) -> tuple[int, bytes]:
    """Request the bytes from `start` on; return the offset of those received, 0 if the server sends the whole file."""
    reply = transport.send("GET", f"/v1/media/{sha256}", headers={"Range": f"bytes={start}-{start + PIECE_BYTES - 1}"})
    content_range = _RANGE.match(reply.headers.get("content-range", "bytes 0-"))
    if content_range is None or int(content_range[1]) not in (0, start) or not reply.body:
        raise SyncError("transport.broken", f"not the requested piece of {sha256}")
    return int(content_range[1]), reply.body
