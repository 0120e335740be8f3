"""Sends form versions to tablets: which bytes a version is written with, and several versions in one stream.

The tablet API calls it, and gives it the function that codes bytes. A dictionary is always a version that this server
has published, or the starter dictionary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from server.database.connection import Connection, Database
from server.store import versions
from sync.exchange.bundle_stream import MAX_STREAM_BYTES, Piece, Wanted
from sync.exchange.codings import DCZ, ZSTD, starter_dictionary

_STARTER = hashlib.sha256(starter_dictionary()).hexdigest()
Coder = Callable[[bytes, str, bytes], bytes]
"""Codes bytes: the plain ones, the coding, the dictionary."""


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


def _code_piece(connection: Connection, wanted: Wanted, code: Coder) -> Piece:
    body = versions.find_bytes_in_use(connection, wanted.sha)
    if body is None:
        return Piece(wanted.sha, code="form.unknown")
    dictionary = find_dictionary(connection, wanted.dictionary, wanted.version) if wanted.dictionary else b""
    coding = DCZ if dictionary else ZSTD
    coded = code(body, coding, dictionary)
    return Piece(wanted.sha, coding, coded) if len(coded) < len(body) else Piece(wanted.sha, "", body)
