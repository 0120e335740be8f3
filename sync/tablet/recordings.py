"""The recordings that a tablet's form versions are heard with (SPEC 5.8): kept under their hash, fetched in pieces, so
that a bad line loses one piece at most.

Called by sync.tablet.client. What is missing stops no work, and what was not signed for is never kept.
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
RESERVED_BYTES = 32 * 1024 * 1024  # Room on the disk that is left to screenings, which matter more.
_PART = ".part"
_RANGE = re.compile(r"bytes ([0-9]{1,9})-")
_ERRORS_OF_ONE_RECORDING = ("media.unknown", "http.range_not_satisfiable", "bundle.wrong_recording")


class Recordings:
    """The recordings of one tablet, one file each in `folder`; what is not whole yet ends in `.part`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, named: Mapping[str, Recording]) -> tuple[Recording, ...]:
        """Return what is named and not here, in the order of its names."""
        return tuple(each for each in named.values() if not self._path(each.sha256).exists())

    def body(self, recording: Recording) -> bytes | None:
        """Return a recording to be heard; None if it is not here, or the disk has not kept it as it was."""
        try:
            body = self._path(recording.sha256).read_bytes()
            recording.check(body)
        except (OSError, SyncError):
            return None
        return body

    def remove_others(self, named: Iterable[str]) -> None:
        """Remove what no form version on board is heard with any more."""
        wanted = {*named}
        for path in self._folder.glob("*"):
            if path.stem not in wanted:
                with suppress(OSError):
                    path.unlink()

    def fetch(self, named: Mapping[str, Recording], transport: Transport) -> None:
        """Fetch what is missing, as far as line and disk go; what does not come now comes another time."""
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
            raise OSError(f"{self._folder}: the room that is left is for screenings")
        # It may have to begin anew once, where the server knows no pieces; a sync always ends (SPEC 5.8).
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
            raise SyncError("transport.broken", f"{recording.sha256} comes no further")
        body = part.read_bytes()
        try:
            recording.check(body)
            replace_file(self._path(recording.sha256), body)
        finally:  # If it is wrong, from the start another time: nobody knows which piece it was.
            part.unlink()


def _fetch_piece(transport: Transport, sha256: str, start: int) -> tuple[int, bytes]:
    """Ask for the bytes from `start` on; return where those that came begin, 0 where the server gives all at once."""
    reply = transport.send("GET", f"/v1/media/{sha256}", headers={"Range": f"bytes={start}-{start + PIECE_BYTES - 1}"})
    content_range = _RANGE.match(reply.headers.get("content-range", "bytes 0-"))
    if content_range is None or int(content_range[1]) not in (0, start) or not reply.body:
        raise SyncError("transport.broken", f"not the piece of {sha256} that was asked for")
    return int(content_range[1]), reply.body
