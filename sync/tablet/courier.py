"""The tablet's side of a courier (SPEC 11.5): copies of its envelopes into a file, receipts out of one.

`sync.tablet.client` calls it. A hand-over changes nothing about an envelope: only a receipt does, and only receipts
that a server of the tablet's trust signed for it, in a generation that does not precede the known one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sync.documents import courier_receipt
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.courier_bundle import (
    CarriedEnvelope,
    Unread,
    create_courier_file,
    open_file,
    read_receipts,
)
from sync.tablet.outbox import Outbox

SUFFIX = ".courier"


@dataclass(frozen=True)
class HandOver:
    """A courier file that was written, and how many envelopes it holds; no path if there was nothing to hand over."""

    path: Path | None
    envelopes: int


@dataclass(frozen=True)
class TakenReceipts:
    """What a courier file brought: envelopes `settled` by it, documents for `other` tablets, codes of those `refused`,
    and how many lines are `damaged`."""

    settled: int
    other: int
    refused: tuple[str, ...]
    damaged: int


def hand_over(outbox: Outbox, path: Path, *, dev: str, pin: str, now: int) -> HandOver:
    """Write copies of all envelopes without a receipt into a new file, and note when; `now` in ms.

    In a folder the file gets a name from the tablet's id and the time. Raise SyncError `courier.file_exists`.
    """
    ids: list[str] = []

    def lines() -> Iterator[bytes]:
        for identity, raw in outbox.envelopes.list_for_courier():
            ids.append(identity)
            yield CarriedEnvelope(pin, raw).to_line()

    if next(outbox.envelopes.list_for_courier(), None) is None:
        return HandOver(None, 0)
    file = path / _file_name(dev, now) if path.is_dir() else path
    create_courier_file(file, lines())
    outbox.envelopes.mark_handed_over(ids, now)
    return HandOver(file, len(ids))


def _file_name(dev: str, now: int) -> str:
    try:
        time = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d-%H%M%S")
    except (ValueError, OverflowError, OSError):  # A clock beyond the calendar.
        time = str(now)
    return f"chaski-{dev[:8]}-{time}{SUFFIX}"


def take_receipts(outbox: Outbox, path: Path, *, dev: str, trust: Trust, now: int) -> TakenReceipts:
    """Take in the receipts for the tablet `dev`; others are left alone. A refused document does not affect the others.

    Raise SyncError `courier.malformed` or `courier.too_large` for a file that is none.
    """
    unread, settled, other, refused = Unread(), 0, 0, list[str]()
    with open_file(path) as file:
        for document in read_receipts(file, unread):
            if not courier_receipt.is_for(document, dev):
                other += 1
                continue
            try:
                receipts = courier_receipt.accept(document, trust, dev=dev)
                settled += outbox.sync_state.record_courier_receipts(receipts, here=now)
            except SyncError as wrong:
                if wrong.code == "outbox.full":
                    raise
                refused.append(wrong.code)
    return TakenReceipts(settled, other, tuple(refused), unread.damaged)
