"""The courier file: envelopes of several tablets, or the receipts for them, as lines of text (SPEC 11.5).

Tablets and couriers write and read it. Each line carries its own hash, so a cut or rotten file loses only the lines
concerned. A reader must not trust a line: the server judges envelopes, and a tablet its receipts. A pin is not signed,
so a line with another pin never takes the place of a line with the same envelope.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sync.atomic_file import create_file
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.messages import PROTOCOL

ENVELOPE, RECEIPTS = "envelope", "receipts"
MAX_ENVELOPE_BYTES = 360_000
MAX_LINE_BYTES = 400_000
MAX_LINES = 100_000
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_NAMED = 20
"""The most damaged lines whose numbers are kept. All of them are counted."""
_LINE = re.compile(rb"%b/(envelope|receipts) ([0-9a-f]{64}) ([^\r\n]+)" % PROTOCOL.encode())
_ENVELOPE = re.compile(rb"([0-9a-f]{64}) ([A-Za-z0-9_.-]{1,%d})" % MAX_ENVELOPE_BYTES)


@dataclass(frozen=True)
class CarriedEnvelope:
    """An envelope in a courier file, and the pin of the roots that its tablet trusts."""

    pin: str
    raw: bytes

    @property
    def id(self) -> str:
        """The envelope's identity (SPEC 6.1)."""
        return hashlib.sha256(self.raw).hexdigest()

    def to_line(self) -> bytes:
        """Write the envelope as a line with its line feed."""
        return _write_line(ENVELOPE, f"{self.pin} ".encode() + self.raw)


@dataclass
class Unread:
    """What a reader left out: `damaged` lines, with the numbers of the first ones, and whole lines of the `other`
    kind."""

    damaged: int = 0
    numbers: list[int] = field(default_factory=list)
    other: int = 0

    def count_damaged(self, number: int) -> None:
        """Count the damaged line `number`, from 1."""
        self.damaged += 1
        if len(self.numbers) < MAX_NAMED:
            self.numbers.append(number)


def receipts_line(document: Document) -> bytes:
    """Write receipts as a line with its line feed. Tabs stand for the document's line feeds: it has none of its own."""
    return _write_line(RECEIPTS, document.to_bytes().replace(b"\n", b"\t"))


def _write_line(kind: str, content: bytes) -> bytes:
    return f"{PROTOCOL}/{kind} {hashlib.sha256(content).hexdigest()} ".encode() + content + b"\n"


def open_file(path: Path) -> BinaryIO:
    """Open a courier file for reading. Raise SyncError `courier.malformed` for anything but a file, such as a pipe,
    which would never end, and `courier.too_large` for more bytes than a courier file may have."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    status = os.fstat(opened)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES:
        return os.fdopen(opened, "rb")
    os.close(opened)
    if stat.S_ISREG(status.st_mode):
        raise _too_large()
    raise SyncError("courier.malformed", f"{path} is not a file")


def _too_large() -> SyncError:
    return SyncError("courier.too_large", f"more than {MAX_LINES} lines or {MAX_FILE_BYTES} bytes")


def read_envelopes(file: BinaryIO, unread: Unread) -> Iterator[CarriedEnvelope]:
    """Read the envelopes of a courier file in order: each identity once for each pin that a line gives it.

    What is left out is counted in `unread`. Raise SyncError `courier.too_large` after the last line that a file may
    have, and `courier.malformed` at the end of a file without a single good line.
    """
    seen: set[bytes] = set()
    for number, content in _read_contents(file, ENVELOPE, unread):
        found = _ENVELOPE.fullmatch(content)
        if not found:
            unread.count_damaged(number)
            continue
        if (digest := hashlib.sha256(content).digest()) not in seen:
            seen.add(digest)
            yield CarriedEnvelope(found[1].decode(), found[2])


def read_receipts(file: BinaryIO, unread: Unread) -> Iterator[Document]:
    """Read the documents with receipts of a courier file. Nothing is verified. Errors are those of `read_envelopes`."""
    for number, content in _read_contents(file, RECEIPTS, unread):
        try:
            yield Document.parse(content.replace(b"\t", b"\n"))
        except SyncError:
            unread.count_damaged(number)


def _read_contents(file: BinaryIO, kind: str, unread: Unread) -> Iterator[tuple[int, bytes]]:
    """Return number and content of each whole line of one kind."""
    good = 0
    for number, line in _read_lines(file):
        found = _LINE.fullmatch(line)
        if not found or hashlib.sha256(found[3]).hexdigest().encode() != found[2]:
            unread.count_damaged(number)
            continue
        good += 1
        if found[1] == kind.encode():
            yield number, found[3]
        else:
            unread.other += 1
    if not good:
        raise SyncError("courier.malformed", "no line of a courier file is in it")


def _read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return number and bytes of each line without its line feed. A line that is too long counts as one, and is
    empty."""
    size, number = 0, 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        size, number = size + len(line), number + 1
        whole = at_end = len(line) <= MAX_LINE_BYTES
        while not at_end and not line.endswith(b"\n") and size <= MAX_FILE_BYTES:
            line = file.readline(MAX_LINE_BYTES)
            size, at_end = size + len(line), not line
        if number > MAX_LINES or size > MAX_FILE_BYTES:
            raise _too_large()
        yield number, line.removesuffix(b"\n") if whole else b""


@dataclass(frozen=True)
class Collection:
    """How many envelopes a collected file holds, and what was left out of the files, by their path."""

    envelopes: int
    unread: dict[Path, Unread]


def collect_files(out: Path, sources: Iterable[Path]) -> Collection:
    """Write the envelopes of several courier files into a new one: each line once, so each identity with each pin.
    Nothing is written if one is no courier file or the new one would be too large. Raise SyncError
    `courier.file_exists` if `out` exists."""
    unread: dict[Path, Unread] = {}
    ids: set[str] = set()
    create_courier_file(out, _collect_lines(sources, unread, ids))
    return Collection(len(ids), unread)


def _collect_lines(sources: Iterable[Path], unread: dict[Path, Unread], ids: set[str]) -> Iterator[bytes]:
    written: set[bytes] = set()
    for source in sources:
        left_out = unread[source] = Unread()
        with open_file(source) as file:
            for envelope in read_envelopes(file, left_out):
                ids.add(envelope.id)
                line = envelope.to_line()
                if (digest := hashlib.sha256(line).digest()) not in written:
                    written.add(digest)
                    yield line


def create_courier_file(path: Path, lines: Iterable[bytes]) -> None:
    """Write a new courier file in one step. Raise SyncError `courier.file_exists` for a path that is taken, and
    `courier.too_large` for more than a file may hold; then nothing is written."""
    try:
        create_file(path, _bounded(lines))
    except FileExistsError as problem:
        raise SyncError(
            "courier.file_exists", f"{path} exists; a courier file is never written over another"
        ) from problem


def _bounded(lines: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for number, line in enumerate(lines, 1):
        size += len(line)
        if number > MAX_LINES or size > MAX_FILE_BYTES:
            raise _too_large()
        yield line
