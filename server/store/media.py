"""Recordings of published form versions, by the SHA-256 of their bytes. Publishing stores them, tablets fetch them."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Recording:
    """A recording as tablets play it; `type` is its media type."""

    sha256: str
    type: str
    body: bytes


def put_recording(w: Connection, recording: Recording) -> None:
    """Store a recording, unless it is stored already."""
    w.execute(
        "insert into media (sha256, type, body) values (?, ?, ?) on conflict (sha256) do nothing",
        [recording.sha256, recording.type, recording.body],
    )


def get_recording(c: Connection, sha256: str) -> Recording | None:
    """Return the recording with this hash, or None."""
    found = c.row("select sha256, type, body from media where sha256 = ?", [sha256])
    return Recording(**found) if found else None
