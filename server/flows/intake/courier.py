"""Stores the envelopes that a courier brings and signs receipts for their tablets (SPEC 11.5). The tablet API calls it.

The courier is a stranger, and envelopes prove themselves: each is stored, or not, as if its tablet had sent it. A
stranger's inventions must cost little: nothing is written for them, and a request is judged up to a number of
rejections. The server must not sign before the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from server.database.connection import Connection, Database, savepoint
from server.flows.desks.routing import Rulebook
from server.flows.intake import damaged_pages, storage_budget
from server.flows.intake import envelopes as envelope_intake
from server.flows.intake.envelopes import UNKNOWN_DEVICE, ParsedEnvelope
from server.flows.intake.storage_budget import StorageBudget
from server.flows.intake.sync_request import get_device_key
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, devices, meta
from sync.documents import courier_receipt
from sync.documents.courier_receipt import CourierReceipts
from sync.documents.receipt import ReceiptItem
from sync.exchange import courier_messages
from sync.exchange.courier_messages import CourierAnswer, RejectedEnvelope

MOST_REJECTED = 50
"""How many rejected envelopes of one request the server judges. An honest file has few; the courier sends the rest
again."""
_STORES_LATER = "storage.quota"


def answer_courier(
    db: Database,
    body: bytes,
    *,
    keys: ServerKeys,
    rulebook: Rulebook,
    now: int,
    budget: StorageBudget = storage_budget.DEFAULT,
    most_rejected: int = MOST_REJECTED,
) -> tuple[CourierAnswer, list[ReceiptItem]]:
    """Answer a courier's request. Also returns the item of each judged envelope, for the log.

    Each tablet's envelopes are charged to that tablet. One that has used up its space does not hold up the others.
    """
    arrivals = _inspect(db, courier_messages.read_request(body), keys, most_rejected)
    by_tablet: dict[str, list[ParsedEnvelope]] = {}
    for arrival in arrivals:
        if arrival.envelope is not None:
            by_tablet.setdefault(arrival.envelope.header.dev, []).append(arrival)
    rejected = [ReceiptItem(each.id, "rejected", code=each.code) for each in arrivals if each.envelope is None]
    call = _Call(by_tablet, rulebook, budget, now)
    stored = _commit(db, call) if by_tablet else _Stored(meta.get_generation(db.read()))
    items = [*rejected, *(item for group in stored.items.values() for item in group)]
    not_stored = tuple(RejectedEnvelope(item.id, item.code) for item in items if not item.done)
    receipts = (_receipts(dev, group, stored, now) for dev, group in sorted(stored.items.items()))
    signed = tuple(courier_receipt.make(keys.signing, each) for each in receipts if each.items)
    return CourierAnswer(stored.generation, signed, not_stored), items


def _inspect(db: Database, raws: Sequence[bytes], keys: ServerKeys, most_rejected: int) -> list[ParsedEnvelope]:
    """Parse and verify the envelopes in order, each once, up to the last rejection that a request may cost."""
    found: list[ParsedEnvelope] = []
    rejected = 0
    for raw in dict.fromkeys(raws):
        found.append(envelope_intake.inspect_envelope(raw, partial(get_device_key, db), keys.routes))
        rejected += found[-1].envelope is None
        if rejected >= most_rejected:
            break
    return found


@dataclass(frozen=True)
class _Call:
    """The envelopes of one request that their tablets signed, by tablet, and what applies to them."""

    by_tablet: Mapping[str, Sequence[ParsedEnvelope]]
    rulebook: Rulebook
    budget: StorageBudget
    now: int


@dataclass(frozen=True)
class _Stored:
    """The items by tablet, and the database's state after them: generation, those before it, and last audit row."""

    generation: str
    left: tuple[str, ...] = ()
    number: int = 0
    head: str = ""
    items: Mapping[str, Sequence[ReceiptItem]] = field(default_factory=dict)


def _commit(db: Database, call: _Call) -> _Stored:
    ids = [arrival.id for arrivals in call.by_tablet.values() for arrival in arrivals]
    return damaged_pages.commit(db, ids, lambda w, left_out: _store(w, call, left_out or ()), now=call.now)


def _store(w: Connection, call: _Call, left_out: Collection[str]) -> _Stored:
    items = {
        dev: _store_tablet(w, dev, damaged_pages.leave_out(arrivals, left_out), call)
        for dev, arrivals in sorted(call.by_tablet.items())
    }
    left = courier_receipt.limit_left(sorted(meta.left_generations(w)))
    return _Stored(meta.get_generation(w), left, *audit.get_head(w), items)


def _store_tablet(w: Connection, dev: str, arrivals: Sequence[ParsedEnvelope], call: _Call) -> list[ReceiptItem]:
    """Store the envelopes of one tablet. Without space for it none is stored, and a work item says so."""
    if all(each.envelope is None for each in arrivals):  # A damaged page may be the tablet's own.
        return [ReceiptItem(each.id, "rejected", code=each.code) for each in arrivals]
    device = devices.get_device(w, dev)
    if device is None:  # It was there when its signature was verified.
        return [ReceiptItem(each.id, "rejected", code=UNKNOWN_DEVICE) for each in arrivals]
    try:
        with savepoint(w):
            # Rejections are not counted against the tablet: a stranger may have recorded what it sent.
            items = envelope_intake.store_all(
                w,
                arrivals,
                sender=device,
                rulebook=call.rulebook,
                now=call.now,
                budget=call.budget,
                counted=False,
            )
            touched: dict[tuple[str, str], list[int]] = {}
            for arrival, item in zip(arrivals, items, strict=True):
                if arrival.envelope is not None and item.done:
                    touched.setdefault((dev, arrival.envelope.header.chain), []).append(item.seq)
            envelope_intake.advance_chains(w, touched, now=call.now)
    except Problem as error:
        if error.code != _STORES_LATER:
            raise
        storage_budget.report_used_up(w, dev, call.budget, now=call.now)
        return [ReceiptItem(each.id, "rejected", code=_STORES_LATER) for each in arrivals]
    return items


def _receipts(dev: str, items: Sequence[ReceiptItem], stored: _Stored, now: int) -> CourierReceipts:
    done = tuple(item for item in items if item.done)
    return CourierReceipts(dev, now, stored.generation, stored.left, stored.head, stored.number, done)
