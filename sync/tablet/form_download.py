"""Fetches form versions in one request, with those on board as dictionaries (SPEC 12.2).

`sync.tablet.trusted_documents` calls it. Each version is verified and stored as it arrives. What came of an unfinished
one is stored too, so that a cut costs only what had not arrived. Neither a damaged delta nor a damaged part must refuse
a version: the whole version is asked for, once.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

_SAVED_BYTES = 16 * 1024  # So many bytes may be lost if the machine stops during a download, or a quarter of a piece.
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,9})-")
_STREAM_FAULTS = ("transport.bad_stream", "transport.bad_coding", "transport.too_large")
_FAULTS_OF_A_DELTA = ("signed.", "document.", "encoding.", "transport.", "bundle.wrong_version")
_LATER = (429, 502, 503, 504, 507)  # The statuses of a server that may send the rest of a stream another time.


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
    _left: set[str] = field(default_factory=set)  # The versions that no answer has settled yet.

    def fetch(self, wanted: Iterable[str]) -> None:
        """Fetch versions: then each is taken or refused. A broken connection, a problem of the server and a full disk
        raise; what came before is stored."""
        wanted = [*wanted]
        self._resume(wanted)
        self._fetch_all([self._choose_dictionary(sha) for sha in wanted if sha not in self.taken])
        self._fetch_all([Wanted(sha) for sha in wanted if sha not in self.taken and sha not in self.refused])
        self.store.update({}, [PartialStream.NAME])

    def _resume(self, wanted: Sequence[str]) -> None:
        """Ask for the rest of the stored part. It may bring versions; whatever is wrong with it refuses none."""
        part = PartialStream.load(self.store)
        if part is None or not part.waiting <= {*wanted}:
            return
        self._left = {*wanted}
        try:
            self._receive([Wanted.parse(each) for each in part.wanted], part)
        except SyncError as wrong:
            is_refused = isinstance(wrong, RefusedError) and wrong.status not in _LATER
            if not is_refused and not _is_stream_fault(wrong):
                raise
        self.refused.clear()
        self.store.update({}, [PartialStream.NAME])

    def take_along(self, stream: str, wanted: Iterable[str]) -> None:
        """Take the versions that came along with a sync response (SPEC 11.3 rule 12).

        They save a request. A fault in them refuses none: a version that does not come so is fetched.
        """
        self._left = {*wanted}
        try:
            for piece in StreamReader.of(self._left).feed(unb64u(stream)):
                if piece.coding == codings.DCZ:
                    self._take(piece, self._choose_dictionary(piece.sha))
        except SyncError as wrong:
            if not _is_stream_fault(wrong) and wrong.code != "encoding.base64":
                raise
        self.refused.clear()

    def _fetch_all(self, wanted: Sequence[Wanted]) -> None:
        self._left = {each.sha for each in wanted}
        most, left = bundle_stream.MAX_WANTED, wanted
        while left:
            try:
                self._receive(left[:most])
            except SyncError as wrong:
                if not _is_stream_fault(wrong):
                    raise
                if most == 1:
                    self._refuse(left[0].sha, wrong)
                most = 1  # Each by itself, so that a false line costs one version only.
            left = [each for each in left if each.sha in self._left]

    def _refuse(self, sha: str, why: SyncError) -> None:
        self._left.discard(sha)
        self.refused[sha] = why

    def _receive(self, wanted: Sequence[Wanted], part: PartialStream | None = None) -> None:
        """Make one request and take what it brings; with `part` only what this part lacks."""
        asked, before = {each.sha: each for each in wanted}, len(self._left)
        headers = part.headers() if part else {}
        with self.transport.stream(bundle_stream.address(wanted), headers) as (head, pieces):
            if head.headers.get("content-encoding"):
                raise SyncError("transport.bad_coding", "a stream with a content coding")
            reader = _continue(head, part) or StreamReader.of(asked.keys())
            saver = PartialStream([each.to_text() for each in wanted], head.headers.get("etag", ""), reader)
            for piece in self._read(pieces, saver):
                self._take(piece, asked[piece.sha])
        reader.require_end()
        if len(self._left) == before:
            raise SyncError("transport.bad_stream", "it brings nothing that was asked for")

    def _read(self, pieces: Iterator[bytes], saver: PartialStream) -> Iterator[Piece]:
        """Give each piece of a stream; keep on disk what came of the next one."""
        unsaved = 0
        try:
            for data in pieces:
                yield from saver.reader.feed(data)
                unsaved += len(data)
                if unsaved >= max(_SAVED_BYTES, len(saver.reader.rest) // 4):  # A save writes all that came.
                    saver.save(self.store)
                    unsaved = 0
        except SyncError as cut:
            if cut.code in CONNECTION_ERRORS:
                saver.save(self.store)
            raise

    def _take(self, piece: Piece, wanted: Wanted) -> None:
        """Settle what a piece brings. A stream that begins anew also brings versions that are on board by now."""
        if piece.sha not in self._left:
            return
        if piece.code:
            self._refuse(piece.sha, RefusedError(404, {"code": piece.code}))
            return
        try:
            body = self._restore(piece, wanted)
            self.accept(piece.sha, body)
        except SyncError as wrong:
            if piece.coding == codings.DCZ and wanted.dictionary and wrong.code.startswith(_FAULTS_OF_A_DELTA):
                self._left.discard(piece.sha)  # It is asked for again, without a dictionary.
            else:
                self._refuse(piece.sha, wrong)
            return
        self.store.update({f"bundle/{piece.sha}": body})
        self._left.discard(piece.sha)
        self.taken[piece.sha] = body

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
        raise SyncError("transport.bad_stream", "not the rest of a stream that was asked for")
    return part.reader


def _is_stream_fault(wrong: SyncError) -> bool:
    return wrong.code in _STREAM_FAULTS and not isinstance(wrong, RefusedError)
