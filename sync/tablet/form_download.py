"""Fetches form versions in one request, with those on board as dictionaries (SPEC 12.2).

`sync.tablet.trusted_documents` calls it. Each version is verified and stored as it arrives. What came of an unfinished
one is stored too, so that a cut costs only what had not arrived. A damaged delta must not refuse a version: the whole
version is asked for, once.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sync.documents.signed import MAX_DOCUMENT_BYTES, Document
from sync.errors import SyncError
from sync.exchange import bundle_stream, codings
from sync.exchange.bundle_stream import Piece, StreamReader, Wanted
from sync.exchange.transport import RefusedError, Reply, Transport
from sync.tablet.document_store import DocumentStore
from sync.tablet.form_selection import CONNECTION_ERRORS
from sync.tablet.partial_stream import PartialStream
from sync.wire.encoding import unb64u

_SAVED_BYTES = 16 * 1024  # So many bytes may be lost if the machine stops during a download.
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,9})-")


@dataclass
class FormDownload:
    """One download into `store`. `accept` gets a version's hash and its bytes, and raises if the tablet refuses it.

    `former` names for a wanted version the one on board that it is a change of; `others` are all that are in use.
    `refused` holds the error of each version that did not come or was not accepted; `taken` are the others.
    """

    store: DocumentStore
    transport: Transport
    accept: Callable[[str, bytes], None]
    former: Mapping[str, str]
    others: Sequence[str] = ()
    refused: dict[str, SyncError] = field(default_factory=dict)
    taken: dict[str, bytes] = field(default_factory=dict)
    _damaged: set[str] = field(default_factory=set)

    def fetch(self, wanted: Iterable[str]) -> None:
        """Fetch versions. A broken connection and a problem of the server raise; what came before is stored."""
        left = dict.fromkeys(wanted)
        part = PartialStream.load(self.store)
        if part is not None and part.waiting and part.waiting <= left.keys():
            self._receive([Wanted.parse(each) for each in part.wanted], part)
        self._fetch_all([self._choose_dictionary(sha) for sha in left if not self._is_answered(sha)])
        again, self._damaged = [*self._damaged], set()
        self._fetch_all([Wanted(sha) for sha in again])
        self.store.update({}, [PartialStream.NAME])

    def take_along(self, stream: str, wanted: Iterable[str]) -> None:
        """Take the versions that came along with a sync response (SPEC 11.3 rule 12).

        They save a request and must not cost anything: a version that does not come so is fetched.
        """
        with suppress(SyncError):
            for piece in StreamReader.of({*wanted}).feed(unb64u(stream)):
                if piece.coding == codings.DCZ:
                    self._take(piece, self._choose_dictionary(piece.sha))
        self._damaged.clear()

    def _fetch_all(self, wanted: Sequence[Wanted]) -> None:
        most, left = bundle_stream.MAX_WANTED, [*wanted]
        while left:
            try:
                self._receive(left[:most])
            except SyncError as wrong:
                if isinstance(wrong, RefusedError) or wrong.code in CONNECTION_ERRORS:
                    raise
                if most == 1:
                    self.refused[left[0].sha] = wrong
                most = 1  # Each by itself, so that a false line costs one version only.
            left = [each for each in left if not self._is_answered(each.sha)]

    def _is_answered(self, sha: str) -> bool:
        return sha in self.taken or sha in self.refused or sha in self._damaged

    def _receive(self, wanted: Sequence[Wanted], part: PartialStream | None = None) -> None:
        """Make one request and take what it brings; with `part` only what this part lacks."""
        asked = {each.sha: each for each in wanted}
        path, before = bundle_stream.address(wanted), len(self.taken) + len(self.refused) + len(self._damaged)
        headers = part.headers() if part else {}
        try:
            with self.transport.stream(path, headers) as (head, pieces):
                if head.headers.get("content-encoding"):
                    raise SyncError("transport.bad_coding", "a stream with a content coding")
                reader = _continue(head, part) or StreamReader.of(asked.keys())
                saver = PartialStream([each.to_text() for each in wanted], head.headers.get("etag", ""), reader)
                for piece in self._read(pieces, saver):
                    self._take(piece, asked[piece.sha])
        except RefusedError:
            self.store.update({}, [PartialStream.NAME])  # Whatever was wrong, the next request begins anew.
            raise
        reader.require_end()
        if len(self.taken) + len(self.refused) + len(self._damaged) == before:
            raise SyncError("transport.bad_stream", "it brings nothing that was asked for")

    def _read(self, pieces: Iterator[bytes], saver: PartialStream) -> Iterator[Piece]:
        """Give each piece of a stream; keep on disk what came of the next one."""
        unsaved = 0
        try:
            for data in pieces:
                yield from saver.reader.feed(data)
                unsaved += len(data)
                if unsaved >= _SAVED_BYTES:
                    saver.save(self.store)
                    unsaved = 0
        except SyncError as cut:
            if cut.code in CONNECTION_ERRORS:
                saver.save(self.store)
            raise

    def _take(self, piece: Piece, wanted: Wanted) -> None:
        if self._is_answered(piece.sha):
            return
        if piece.code:
            self.refused[piece.sha] = RefusedError(404, {"code": piece.code})
            return
        try:
            body = self._restore(piece, wanted)
        except SyncError as wrong:
            if piece.coding == codings.DCZ:
                self._damaged.add(piece.sha)
            else:
                self.refused[piece.sha] = wrong
            return
        try:
            self.accept(piece.sha, body)
        except SyncError as wrong:
            self.refused[piece.sha] = wrong
        else:
            self.taken[piece.sha] = body
            self.store.update({f"bundle/{piece.sha}": body})

    def _restore(self, piece: Piece, wanted: Wanted) -> bytes:
        dictionary = self._dictionary(wanted) if piece.coding == codings.DCZ else b""
        body = codings.decode(piece.body, piece.coding, most=MAX_DOCUMENT_BYTES, dictionary=dictionary)
        if Document.parse(body).sha256 != piece.sha:
            raise SyncError("bundle.wrong_version", f"not {piece.sha}")
        return body

    # Dictionaries

    def _choose_dictionary(self, sha: str) -> Wanted:
        """Choose the version on board that this one is a change of, or else the longest dictionary that is there."""
        former = self.former.get(sha, "")
        body = self.store.get(f"bundle/{former}")
        version, body = (former, body) if body is not None else self._longest
        return Wanted(sha, hashlib.sha256(body).hexdigest(), version)

    @cached_property
    def _longest(self) -> tuple[str, bytes]:
        bodies = [(version, self.store.get(f"bundle/{version}") or b"") for version in self.others]
        return max([("", codings.starter_dictionary()), *bodies], key=lambda each: len(each[1]))

    def _dictionary(self, wanted: Wanted) -> bytes:
        if not wanted.version:
            return codings.starter_dictionary() if wanted.dictionary else b""
        return self.store.get(f"bundle/{wanted.version}") or b""


def _continue(head: Reply, part: PartialStream | None) -> StreamReader | None:
    """Return the reader that goes on where a part ended, if the server sends just that; otherwise None."""
    if part is None or head.status != 206:
        return None
    told: Any = _CONTENT_RANGE.match(head.headers.get("content-range", ""))
    if told is None or int(told[1]) != part.length:
        raise SyncError("transport.broken", "not the rest of a stream that was asked for")
    return part.reader
