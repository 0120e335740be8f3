"""Several form versions in one response (SPEC 12.2): a line that names the next version, then its coded bytes.

The server writes such a stream, and the tablet reads it as it arrives. Nothing here undoes a coding or verifies a
bundle.
"""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from sync.documents.signed import MAX_DOCUMENT_BYTES
from sync.errors import SyncError
from sync.exchange.codings import DCZ, ZSTD
from sync.wire.encoding import b64u, canonical, strict_json, unb64u
from sync.wire.json_object import CODE, SHA256_SHORT, JsonObject

PATH = "/v1/forms"
MAX_WANTED = 32
MAX_LINE_BYTES = 256
MAX_STREAM_BYTES = 8 * 1024 * 1024
MAX_DELTA_BYTES = 4 * 1024
"""Of a stream in a sync response: such a response stays small on any line."""
WANTED = re.compile(rf"{SHA256_SHORT.pattern}(\.{SHA256_SHORT.pattern}){{0,2}}")
"""A version as an address names it."""
_CODING = re.compile(f"{DCZ}|{ZSTD}")


@dataclass(frozen=True)
class Piece:
    """One version of a stream: its bytes in a `coding` (empty: as they are), or the problem `code` instead."""

    sha: str
    coding: str = ""
    body: bytes = b""
    code: str = ""

    def to_bytes(self) -> bytes:
        """Write the line of this piece, and its bytes."""
        if self.code:
            return canonical({"code": self.code, "sha": _shorten(self.sha)}) + b"\n"
        told = {"length": len(self.body), "sha": _shorten(self.sha)}
        return canonical({**told, "coding": self.coding} if self.coding else told) + b"\n" + self.body


@dataclass(frozen=True)
class Wanted:
    """A version to fetch, and the dictionary to write it with: the hash of its bytes, and its version.

    `dictionary` is empty for none; `version` is empty for the starter dictionary, which is no version.
    """

    sha: str
    dictionary: str = ""
    version: str = ""

    def to_text(self) -> str:
        """Write the version as an address names it."""
        return ".".join(_shorten(part) for part in (self.sha, self.dictionary, self.version) if part)

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """Read a version of an address whose form was checked before."""
        return cls(*(_lengthen(part) for part in text.split(".")))


def _shorten(sha: str) -> str:
    """Write a hash in 43 letters of base64url instead of 64: it travels over slow lines."""
    return b64u(bytes.fromhex(sha))


def _lengthen(text: str) -> str:
    return unb64u(text).hex()


def address(wanted: Iterable[Wanted]) -> str:
    """Return the address of a stream with these versions, in this order."""
    return f"{PATH}?want={','.join(each.to_text() for each in wanted)}"


@dataclass
class StreamReader:
    """Cuts a stream into its pieces as bytes arrive. Raise SyncError `transport.bad_stream` for a false line.

    `waiting` are the versions that have not come yet. `start` is the place in the stream where the unfinished piece
    begins, and `rest` what came of it.
    """

    waiting: set[str]
    start: int = 0
    rest: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, wanted: Set[str]) -> "StreamReader":
        """Return a reader for a stream with these versions."""
        return cls({*wanted})

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take bytes; give each piece that is whole now."""
        self.rest += data
        while (piece := self._next_piece()) is not None:
            yield piece

    def require_end(self) -> None:
        """Raise SyncError if the stream ended inside a piece."""
        if self.rest:
            raise SyncError("transport.bad_stream", "it ends inside a piece")

    def _next_piece(self) -> Piece | None:
        end = self.rest.find(b"\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(self.rest) >= MAX_LINE_BYTES:
                raise SyncError("transport.bad_stream", "a line that does not end")
            return None
        piece, length = self._read_line(bytes(self.rest[:end]))
        if len(self.rest) < end + 1 + length:
            return None
        body = bytes(self.rest[end + 1 : end + 1 + length])
        del self.rest[: end + 1 + length]
        self.start += end + 1 + length
        self.waiting.discard(piece.sha)
        return Piece(piece.sha, piece.coding, body, piece.code)

    def _read_line(self, line: bytes) -> tuple[Piece, int]:
        try:
            told = JsonObject(strict_json(line), "a line of a stream")
            sha, code = _lengthen(told.text("sha", SHA256_SHORT)), told.text("code", CODE, "")
            coding, length = told.text("coding", _CODING, ""), told.integer("length", 0, 0)
        except SyncError as wrong:
            raise SyncError("transport.bad_stream", str(wrong)) from wrong
        if sha not in self.waiting or length > MAX_DOCUMENT_BYTES or bool(code) == bool(length):
            raise SyncError("transport.bad_stream", "not a version that was asked for, or not one of its bytes")
        return Piece(sha, coding, code=code), length
