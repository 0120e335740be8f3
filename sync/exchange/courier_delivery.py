"""Delivers a courier file to a server in pieces and keeps the receipts (SPEC 11.5).

`chaski courier deliver` calls it. The courier has no key and no account. The receipts of a piece are on disk before the
next piece is sent, so a cut delivery goes on where it was.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from sync.atomic_file import sync_folder
from sync.documents import courier_receipt, trust
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange import courier_messages
from sync.exchange.courier_bundle import (
    MAX_LINE_BYTES,
    RECEIPTS,
    CarriedEnvelope,
    Unread,
    open_file,
    read_envelopes,
    read_receipts,
    receipts_line,
)
from sync.exchange.courier_messages import CourierAnswer, RejectedEnvelope
from sync.exchange.messages import CONTENT_TYPE, MAX_ENVELOPES, PROTOCOL
from sync.exchange.transport import ENGLISH_HEADERS, Transport
from sync.exchange.trust_chain import fetch_trusts, select_pins

MAX_PIECE_BYTES = 4 * 1024 * 1024
_MOST_BEGINNINGS = 3
_RECEIPTS_HEAD = f"{PROTOCOL}/{RECEIPTS} ".encode()


@dataclass
class Delivery:
    """What a delivery did. `total`: the envelopes of the file; `before`: those that had receipts already; `foreign`:
    only in lines that name other roots, not sent; `unanswered`: sent, and the server said nothing about them."""

    total: int = 0
    before: int = 0
    receipted: int = 0
    foreign: int = 0
    unanswered: int = 0
    rejected: list[RejectedEnvelope] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)

    @property
    def is_complete(self) -> bool:
        """Whether the server has receipted every envelope of the file."""
        return 0 < self.before + self.receipted == self.total and not self.unread.damaged


class _RestoredError(Exception):
    """The server was restored since the delivery began: it may have lost what it receipted before."""


def deliver_file(path: Path, out: Path, transport: Transport, progress: Callable[[int, int], None]) -> Delivery:
    """Send the envelopes of a courier file and add the receipts to the file `out`, which may exist with receipts.

    `progress` gets how many envelopes of how many are done. Raise SyncError `courier.other_server` if no tablet of the
    file trusts this server, `courier.in_use` if another delivery writes to `out`, and `receipt.other_generation` if the
    server was restored again and again meanwhile; whatever else is raised, what has its receipt in `out` is not sent
    again.
    """
    with open_file(path) as file:
        unread, ids, pins = Unread(), set[str](), set[str]()
        for envelope in read_envelopes(file, unread):
            ids.add(envelope.id)
            pins.add(envelope.pin)
        if not ids:
            return Delivery(unread=unread)
        trusted, known = _verify_server(transport, pins)
        with _open_receipts(out) as receipts:
            for _ in range(_MOST_BEGINNINGS):
                done = Delivery(len(ids), unread=unread)
                generation = courier_messages.read_answer(_post(transport, ())).generation
                had = _list_receipted(receipts, trusted, generation)
                courier = _Courier(transport, trusted, generation, receipts, done, progress)
                with suppress(_RestoredError):
                    courier.send_all(_select_envelopes(file, done, known, had))
                    return done
    raise SyncError("receipt.other_generation", "the server was restored again and again during the delivery")


def _verify_server(transport: Transport, pins: set[str]) -> tuple[Trust, set[str]]:
    """Return the newest trust of the server, and those pins from which it follows."""
    found: dict[str, Trust] = {}
    get = cache(transport.get)
    for pin in select_pins(get, pins):  # Anybody may have written a pin: one that is wrong must not stop the others.
        with suppress(SyncError):
            found[pin] = trust.accept_chain(fetch_trusts(get, None, pin), None, pin)
    if not found:
        raise SyncError("courier.other_server", "no tablet of this file trusts this server; nothing was sent")
    return max(found.values(), key=lambda each: each.number), set(found)


def _select_envelopes(file: BinaryIO, done: Delivery, known: set[str], had: set[str]) -> Iterator[CarriedEnvelope]:
    """Return the envelopes to send, each once: one of its lines has a known pin. The others are counted."""
    chosen: set[str] = set()
    file.seek(0)
    for envelope in read_envelopes(file, Unread()):
        is_had = envelope.id in had
        if envelope.id in chosen or not (is_had or envelope.pin in known):
            continue
        chosen.add(envelope.id)
        done.before += is_had
        if not is_had:
            yield envelope
    done.foreign = done.total - len(chosen)


def _post(transport: Transport, envelopes: tuple[bytes, ...]) -> bytes:
    headers = {"Content-Type": CONTENT_TYPE, **ENGLISH_HEADERS}
    return transport.send("POST", courier_messages.PATH, courier_messages.write_request(envelopes), headers).content


@dataclass
class _Courier:
    """One delivery to a verified server: sends pieces, from one envelope to 500, and writes down the receipts."""

    transport: Transport
    trusted: Trust
    generation: str
    receipts: BinaryIO
    done: Delivery
    progress: Callable[[int, int], None]

    def send_all(self, waiting: Iterator[CarriedEnvelope]) -> None:
        """Send everything. A piece about which the server says nothing at all is counted and not sent again."""
        size, left = 1, list[CarriedEnvelope]()
        while piece := _take_piece(left, waiting, size):
            answered = self._send(piece)
            left = [envelope for envelope in piece if envelope.id not in answered]
            if not answered:
                self.done.unanswered += len(left)
                left = []
            # The server stops at a number of rejections; what it does not look at should not travel again and again.
            size = min(max(len(answered), 1) * (1 if left else 2), MAX_ENVELOPES)
            self.progress(self.done.before + self.done.receipted, self.done.total)

    def _send(self, piece: list[CarriedEnvelope]) -> set[str]:
        """Send a piece, and write its receipts to disk; return the identities that were answered.

        Raise _RestoredError if the answer is of another generation than the delivery.
        """
        answer = courier_messages.read_answer(_post(self.transport, tuple(envelope.raw for envelope in piece)))
        asked = {envelope.id for envelope in piece}
        stored = self._keep_receipts(answer) & asked
        rejected = [each for each in answer.rejected if each.id in asked - stored]
        self.done.receipted += len(stored)
        self.done.rejected += rejected
        return stored | {each.id for each in rejected}

    def _keep_receipts(self, answer: CourierAnswer) -> set[str]:
        found, generations = set[str](), {answer.generation}
        for document in answer.receipts:
            read = courier_receipt.read(document, self.trusted)
            found |= {item.id for item in read.items if item.done}
            generations.add(read.generation)
            _write_all(self.receipts, receipts_line(document))
        os.fsync(self.receipts.fileno())
        if generations != {self.generation}:
            raise _RestoredError
        return found


def _take_piece(left: list[CarriedEnvelope], waiting: Iterator[CarriedEnvelope], size: int) -> list[CarriedEnvelope]:
    """Return the next envelopes of at most 4 MiB: those left over from the piece before come first."""
    piece, bytes_ = list(left), sum(len(envelope.raw) for envelope in left)
    while len(piece) < max(size, 1) and bytes_ <= MAX_PIECE_BYTES:
        envelope = next(waiting, None)
        if envelope is None:
            break
        piece.append(envelope)
        bytes_ += len(envelope.raw)
    return piece


# The file of receipts


def _write_all(file: BinaryIO, data: bytes) -> None:
    while data:  # Without a buffer, one call may write a part: a full disk then fails the next one.
        data = data[file.write(data) :]


@contextmanager
def _open_receipts(path: Path) -> Iterator[BinaryIO]:
    """Open the file of receipts to add to its end. Raise SyncError `courier.file_exists` if another kind of file has
    this path, and `courier.in_use` if another delivery has it open. A file that stayed empty is removed."""
    try:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as problem:
        if not os.path.lexists(path):
            raise
        raise _taken(path) from problem
    with os.fdopen(opened, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise _taken(path)
        _lock(file, path)
        try:
            _begin_line(file, path)
            yield file
        finally:
            if not os.fstat(opened).st_size:
                with suppress(OSError):
                    path.unlink()


def _taken(path: Path) -> SyncError:
    return SyncError("courier.file_exists", f"{path} exists and holds no receipts; name another file")


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other deliveries off the file. Without it, one would remove the file in which another has its receipts."""
    try:
        _try_to_lock(file)
        is_there = os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        is_there = False  # One that ended just now may have removed it.
    if not is_there:
        raise SyncError("courier.in_use", f"another delivery writes to {path}")


def _try_to_lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):  # A stick's file system may have no locks.
            raise


@contextmanager
def _reading(file: BinaryIO) -> Iterator[BinaryIO]:
    """Read the open file from its beginning, with a buffer. Writing goes to its end all the same."""
    with os.fdopen(os.dup(file.fileno()), "rb") as present:
        present.seek(0)
        yield present


def _begin_line(file: BinaryIO, path: Path) -> None:
    """Check that the file is new or holds receipts, and end its last line, which a power cut may have cut off."""
    if not os.fstat(file.fileno()).st_size:
        sync_folder(path.parent)
        return
    if not _holds_receipts(file):
        with _reading(file) as present:
            if not _is_cut_off(present):
                raise _taken(path)
        file.truncate(0)
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        _write_all(file, b"\n")


def _holds_receipts(file: BinaryIO) -> bool:
    with _reading(file) as present, suppress(SyncError):
        return next(read_receipts(present, Unread()), None) is not None
    return False


def _is_cut_off(file: BinaryIO) -> bool:
    """Return whether a file holds the beginning of one line of receipts, and nothing else. After a power cut, or on a
    full disk, zeros may stand in the place of the rest, or of all."""
    begun = file.read(MAX_LINE_BYTES).rstrip(b"\0")
    is_ours = begun.startswith(_RECEIPTS_HEAD) or _RECEIPTS_HEAD.startswith(begun)
    rest = iter(partial(file.read, MAX_LINE_BYTES), b"")
    return is_ours and b"\n" not in begun and not any(part.strip(b"\0") for part in rest)


def _list_receipted(receipts: BinaryIO, trusted: Trust, generation: str) -> set[str]:
    """Return the identities that a server of the trust receipted in this generation, by the file of receipts."""
    found: set[str] = set()
    if not os.fstat(receipts.fileno()).st_size:
        return found
    with _reading(receipts) as file:
        for document in read_receipts(file, Unread()):
            with suppress(SyncError):  # A server with a new key, or a forged line: those envelopes are sent again.
                found |= _receipted(document, trusted, generation)
    return found


def _receipted(document: Document, trusted: Trust, generation: str) -> set[str]:
    read = courier_receipt.read(document, trusted)
    return {item.id for item in read.items if item.done} if read.generation == generation else set()
