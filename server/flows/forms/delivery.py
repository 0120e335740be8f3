"""Sends form versions to tablets: which bytes a version is written with, and several versions in one stream.

The tablet API and the sync request call it, and give it the function that codes bytes. A dictionary is always a version
that this server has published, or the starter dictionary.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache, partial

from server.database.connection import Connection, Database
from server.store import devices, versions
from server.store.devices import Device
from sync.documents import manifest
from sync.documents.manifest import Manifest
from sync.documents.signed import Document
from sync.exchange.bundle_stream import MAX_DELTA_BYTES, MAX_STREAM_BYTES, Piece, Wanted
from sync.exchange.codings import DCZ, ZSTD, starter_dictionary
from sync.wire.encoding import b64u

_STARTER = hashlib.sha256(starter_dictionary()).hexdigest()
Coder = Callable[[bytes, str, bytes], bytes]
"""Codes bytes: the plain ones, the coding, the dictionary."""
DeltaFinder = Callable[[bytes, bytes], bytes | None]
"""Returns the delta of bytes to a dictionary if it is at hand. It must not make one: tablets wait for their answer."""
_log = logging.getLogger("chaski")


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


class TravellingVersions:
    """The versions that travel along with the responses to requests that came together (SPEC 11.3 rule 12).

    They only save a tablet a request. So nothing about them may fail one, and nothing may wait for them: they are
    looked up after the commit, and a version that is not at hand travels with a later response. Without `find` none
    travels.
    """

    def __init__(self, db: Database, find: DeltaFinder | None) -> None:
        self._db, self._find, self._missing = db, find, set[str]()

    def write_for(self, device: Device, named: Document) -> str:
        """Return, as a sync response has them, the versions that the manifest `named` names for a tablet; or nothing
        at all."""
        if self._find is None:
            return ""
        try:
            chosen = _read_manifest(named).list_for(device.dev, device.region)
            held = devices.get_inventory(self._db.read(), device.dev)
            return b64u(write_deltas(chosen, held, partial(self._read_delta, self._find, named.sha256)))
        except Exception as error:  # noqa: BLE001 (the tablet asks for what does not come, and is told of the fault)
            _log.warning("versions left out", extra={"fields": {"error": type(error).__name__}})
            return ""

    def _read_delta(self, find: DeltaFinder, named: str, pair: str) -> bytes | None:
        """Return the delta of a version to another one, of the pair `version.former`. A pair that is not at hand, or
        cannot be read, is looked for once: the next tablets have the same."""
        if pair in self._missing:
            return None
        self._missing.add(pair)
        with suppress(_NotAtHandError):
            found = _find_small(self._db, find, named, pair)
            self._missing.discard(pair)
            return found
        return None


class _NotAtHandError(Exception):
    """A delta that is not made yet, or of versions that the server does not have."""


@lru_cache(maxsize=8)
def _read_manifest(named: Document) -> Manifest:
    """Return a manifest as it is, whatever trust is in force: the tablet judges it."""
    return manifest.read(named)


@lru_cache(maxsize=1_000)
def _find_small(db: Database, find: DeltaFinder, named: str, pair: str) -> bytes:
    """Return a delta as long as a response has room for, or more than that of one that is too long.

    A delta is kept by the versions' hashes, so that no bytes are read and hashed again; and only for the
    manifest with the hash `named`, because a version that is signed anew comes with a newer one. Raises
    _NotAtHandError.
    """
    connection = db.read()
    body, dictionary = (versions.find_bytes_in_use(connection, sha) for sha in pair.split("."))
    found = find(body, dictionary) if body is not None and dictionary is not None else None
    if found is None:
        raise _NotAtHandError
    return found[: MAX_DELTA_BYTES + 1]


def write_deltas(named: Mapping[str, str], held: Mapping[str, str], read_delta: Callable[[str], bytes | None]) -> bytes:
    """Return a stream with the versions that a tablet will use, each as a delta of the one that it holds of the form
    (SPEC 11.3 rule 12); `named` and `held` are versions by form. `read_delta` takes a pair `version.former`.

    Empty if nothing changed, if a delta is not at hand, or if a sync response has no room for them; then no further
    delta is read.
    """
    stream = b""
    for form, sha in sorted(named.items()):
        if held.get(form, "") == sha:
            continue
        coded = read_delta(f"{sha}.{held[form]}") if form in held else None
        stream += Piece(sha, DCZ, coded or b"").to_bytes()
        if coded is None or len(stream) > MAX_DELTA_BYTES:
            return b""
    return stream


def _code_piece(connection: Connection, wanted: Wanted, code: Coder) -> Piece:
    body = versions.find_bytes_in_use(connection, wanted.sha)
    if body is None:
        return Piece(wanted.sha, code="form.unknown")
    dictionary = find_dictionary(connection, wanted.dictionary, wanted.version) if wanted.dictionary else b""
    coding = DCZ if dictionary else ZSTD
    coded = code(body, coding, dictionary)
    return Piece(wanted.sha, coding, coded) if len(coded) < len(body) else Piece(wanted.sha, "", body)
