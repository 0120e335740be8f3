"""Recordings that a published version names: taken out of its source package, kept by their hash, handed to tablets."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping

from server.db import Connection, Db
from server.problems import Problem
from server.store import media
from server.store.media import Recording

MOST_BYTES = 8 * 1024 * 1024


def put_out(w: Connection, body: bytes, source: bytes | None) -> None:
    """Keep every recording that a signed bundle names. Problem `publication.recording_missing` if one is nowhere."""
    named = _named(body)
    missing = {sha for sha in named if media.get(w, sha) is None}
    if missing and source is not None:
        for content in _audio(source):
            sha = hashlib.sha256(content).hexdigest()
            if sha in missing:
                media.put(w, Recording(sha, named[sha], content))
                missing.discard(sha)
    if missing:
        raise Problem("publication.recording_missing", min(missing))


def get(db: Db, sha256: str) -> Recording:
    """Return a recording. Problem `media.unknown` when there is none."""
    found = media.get(db.read(), sha256)
    if found is None:
        raise Problem("media.unknown", sha256)
    return found


def _named(body: bytes) -> Mapping[str, str]:
    """The media type of each recording that a bundle names, by hash; two persons signed these bytes."""
    audio = json.loads(body.partition(b"\n")[0]).get("audio", {})
    return {each["sha256"]: each["type"] for texts in audio.values() for each in texts.values()}


def _audio(source: bytes) -> list[bytes]:
    # A member never gives more than it announces, and the whole was read within limits when it came in.
    if not zipfile.is_zipfile(io.BytesIO(source)):
        return []
    with zipfile.ZipFile(io.BytesIO(source)) as archive:
        inside = [each for each in archive.infolist() if each.filename.startswith("audio/")]
        return [archive.read(each) for each in inside if each.file_size <= MOST_BYTES]
