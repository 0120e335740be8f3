"""The bundle: one form version, valid only with the signatures of an author and a reviewer (SPEC 5.4).

The two must be different persons, so no single person can change a form. The server verifies a bundle before it
publishes it. Every tablet verifies it before it shows a question.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.documents.signed import Document
from sync.documents.trust import Trust, keys_of
from sync.errors import SyncError
from sync.wire.json_object import SHA256_HEX, JsonObject

TYP = "chaski-1/bundle+jws"
MAX_RECORDING_BYTES = 1024 * 1024
MAX_RECORDINGS = 4096
MAX_SOUND_BYTES = 128 * 1024 * 1024
_CHANNEL = re.compile("training|field")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_CONTEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_SOUND = re.compile("audio/(ogg|mpeg)")


@dataclass(frozen=True, order=True)
class Recording:
    """An audio file for a text of a form version. Its SHA-256 is its name; `size` is in bytes."""

    sha256: str
    size: int
    type: str

    def check(self, body: bytes) -> None:
        """Raise SyncError `bundle.wrong_recording` unless these are the bytes that the bundle names."""
        if len(body) != self.size or hashlib.sha256(body).hexdigest() != self.sha256:
            raise SyncError("bundle.wrong_recording", f"not the recording {self.sha256}")


def accept(document: Document, trust: Trust, sha: str | None = None) -> bytes:
    """Verify a bundle and return its exact payload; `sha` is the version that the manifest names."""
    if sha is not None and document.sha256 != sha:
        raise SyncError("bundle.wrong_version", f"{document.sha256} in place of {sha}")
    authors = document.require(TYP, keys_of(trust.authors))
    reviewers = document.require(TYP, keys_of(trust.reviewers))
    persons = {
        (trust.authors[author].person, trust.reviewers[reviewer].person) for author in authors for reviewer in reviewers
    }
    if all(author == reviewer for author, reviewer in persons):
        raise SyncError("bundle.one_person", "author and reviewer must be two persons")
    channel = JsonObject(document.content, "bundle").text("channel", _CHANNEL)
    recordings(document.content)
    if trust.demo and channel != "training":
        raise SyncError("bundle.demo_trust", "a demo trust accepts training forms only")
    return document.payload


def accept_for_reading(document: Document, trust: Trust, sha: str) -> tuple[bytes, bool]:
    """Return the payload of a screening's form version, and whether `trust` still names both of its signers.

    One valid signer is enough here. Otherwise a screening would become unreadable when an author leaves (SPEC 5.7).
    """
    try:
        return accept(document, trust, sha), True
    except SyncError as wrong:
        if wrong.code not in ("signed.too_few", "bundle.one_person"):
            raise
    document.require(TYP, keys_of(trust.authors) | keys_of(trust.reviewers))
    return document.payload, False


def recordings(content: Mapping[str, Any]) -> tuple[Recording, ...]:
    """Return the recordings that a bundle names, each once, ordered by hash."""
    languages = JsonObject(content, "bundle").object("audio")
    texts = [languages.object(language) for language in languages.names(_LANGUAGE)]
    named = {_recording(each.object(context)) for each in texts for context in each.names(_CONTEXT)}
    if len({each.sha256 for each in named}) != len(named):
        raise SyncError("document.malformed", "bundle gives one recording two sizes or types")
    if len(named) > MAX_RECORDINGS or sum(each.size for each in named) > MAX_SOUND_BYTES:
        raise SyncError("document.malformed", "bundle has more recordings than a tablet can store")
    return tuple(sorted(named))


def _recording(entry: JsonObject) -> Recording:
    size = entry.integer("size", 1)
    if size > MAX_RECORDING_BYTES:
        raise SyncError("document.malformed", f"a recording has at most {MAX_RECORDING_BYTES} bytes")
    entry.integer("milliseconds", 1)
    return Recording(entry.text("sha256", SHA256_HEX), size, entry.text("type", _SOUND))
