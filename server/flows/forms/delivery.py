"""Sends form versions to tablets: which bytes a version is written with, and several versions in one stream.

The tablet API and the sync request call it, and give it the function that codes bytes. A dictionary is always a version
that this server has published, or the starter dictionary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from server.database.connection import Connection, Database
from server.store import versions
from sync.exchange.bundle_stream import MAX_DELTA_BYTES, MAX_STREAM_BYTES, Piece, Wanted
from sync.exchange.codings import DCZ, ZSTD, starter_dictionary

_STARTER = hashlib.sha256(starter_dictionary()).hexdigest()
Coder = Callable[[bytes, str, bytes], bytes]
"""Codes bytes: the plain ones, the coding, the dictionary."""
DeltaFinder = Callable[[bytes, bytes], bytes | None]
"""Returns the delta of bytes to a dictionary if it is at hand. It must not make one: a transaction is open."""


def find_dictionary(connection: Connection, sha256: str, version: str) -> bytes:
    """Return the bytes with this hash if they are the version's, as it is signed now; otherwise none.

    A version that was signed again has other bytes. The server does not keep the former ones.
    """
    if sha256 == _STARTER:
        return starter_dictionary()
    body = versions.find_bytes_in_use(connection, version) if version else None
    return body if body is not None and hashlib.sha256(body).hexdigest() == sha256 else b""


def write_stream(db: Database, wanted: Iterable[Wanted], code: Coder) -> bytes:
    """Return a stream with these versions in their order, each once. It ends early before it becomes too long
    (SPEC 12.2)."""
    connection, parts, length, first_named = db.read(), list[bytes](), 0, dict[str, Wanted]()
    for each in wanted:
        first_named.setdefault(each.sha, each)
    for each in first_named.values():
        part = _code_piece(connection, each, code).to_bytes()
        if parts and length + len(part) > MAX_STREAM_BYTES:
            break
        parts.append(part)
        length += len(part)
    return b"".join(parts)


@dataclass(frozen=True)
class DeltaReader:
    """Reads, from a database, the delta of a version to another one: of the pair `version.former`, if it is at hand."""

    find: DeltaFinder

    def __call__(self, connection: Connection, pair: str) -> bytes | None:
        """Return the delta, or None."""
        body, dictionary = (versions.find_bytes_in_use(connection, sha) for sha in pair.split("."))
        return None if body is None or dictionary is None else self.find(body, dictionary)


def write_deltas(named: Mapping[str, str], held: Mapping[str, str], read_delta: Callable[[str], bytes | None]) -> bytes:
    """Return a stream with the versions that a tablet will use, each as a delta of the one that it holds of the form
    (SPEC 11.3 rule 12); `named` and `held` are versions by form. `read_delta` takes a pair as DeltaReader does.

    Empty if nothing changed, if a delta is not at hand, or if a sync response has no room for them.
    """
    parts = list[bytes]()
    for form, sha in sorted(named.items()):
        if held.get(form, "") == sha:
            continue
        coded = read_delta(f"{sha}.{held[form]}") if form in held else None
        if coded is None:
            return b""
        parts.append(Piece(sha, DCZ, coded).to_bytes())
    stream = b"".join(parts)
    return stream if len(stream) <= MAX_DELTA_BYTES else b""


def _code_piece(connection: Connection, wanted: Wanted, code: Coder) -> Piece:
    body = versions.find_bytes_in_use(connection, wanted.sha)
    if body is None:
        return Piece(wanted.sha, code="form.unknown")
    dictionary = find_dictionary(connection, wanted.dictionary, wanted.version) if wanted.dictionary else b""
    coding = DCZ if dictionary else ZSTD
    coded = code(body, coding, dictionary)
    return Piece(wanted.sha, coding, coded) if len(coded) < len(body) else Piece(wanted.sha, "", body)
