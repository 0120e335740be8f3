"""Recordings that a published version names. The server takes them out of the source package, stores them by hash and
sends them to tablets."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator

from server.database.connection import Connection, Database
from server.problems import Problem
from server.store import media
from server.store.media import Recording
from sync.documents import bundle
from sync.documents.bundle import MAX_RECORDING_BYTES
from sync.documents.signed import Document


def store_recordings(w: Connection, document: Document, source: bytes | None) -> None:
    """Store every recording that a bundle names. Raises Problem `publication.recording_missing` if one does not
    exist."""
    named = {each.sha256: each for each in bundle.recordings(document.content)}
    missing = {sha for sha in named if media.get_recording(w, sha) is None}
    for content in _read_audio(source) if missing and source is not None else ():
        sha = hashlib.sha256(content).hexdigest()
        if sha in missing:
            named[sha].check(content)
            media.put_recording(w, Recording(sha, named[sha].type, content))
            missing.discard(sha)
    if missing:
        raise Problem("publication.recording_missing", min(missing))


def get_recording(db: Database, sha256: str) -> Recording:
    """Return a recording. Raises Problem `media.unknown` if it does not exist."""
    found = media.get_recording(db.read(), sha256)
    if found is None:
        raise Problem("media.unknown", sha256)
    return found


def _read_audio(source: bytes) -> Iterator[bytes]:
    # zipfile never reads more than a member's stated size, and the sandbox checked the whole archive at upload.
    if zipfile.is_zipfile(io.BytesIO(source)):
        with zipfile.ZipFile(io.BytesIO(source)) as archive:
            for each in archive.infolist():
                if each.filename.startswith("audio/") and each.file_size <= MAX_RECORDING_BYTES:
                    yield archive.read(each)
