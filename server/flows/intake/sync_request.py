"""The whole conversation of a tablet in one round trip (SPEC 11): who asks, what arrived, what is new. The tablets'
door calls `answer_request`; what a request changes is stored whole or not at all.
The answer is signed after the commit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from server.database.connection import Connection, Database
from server.flows.desks.routing import Rulebook
from server.flows.forms import halts
from server.flows.intake import envelopes as envelope_intake
from server.flows.intake import gaps
from server.flows.intake.envelopes import ParsedEnvelope
from server.flows.trust import device_orders
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, devices, documents, envelopes, meta, statuses, worklist
from server.store.audit import SERVER
from server.store.devices import Device
from sync.documents import receipt
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import Document
from sync.exchange import messages
from sync.exchange.messages import Event, Message, Request, Response
from sync.keys.key_pairs import VerifyKey, key_id
from sync.wire.encoding import canonical

EVENTS_AT_ONCE = 200
MOST_SKIPPED = 2**20
"""How far a request's number may rise at once: who stole a key must not use the numbers up (SPEC 11.3 rule 1)."""
NOTHING_ON_BOARD = key_id(canonical({}))
"""The digest of an empty inventory, which says by itself that a tablet has no form any more (SPEC 11.1)."""
NUMBER_REFUSED = frozenset({"sync.number_used", "sync.number_skipped"})
"""What a tablet acts on, so the door signs these problems."""


def answer_request(
    db: Database, message: Message, *, keys: ServerKeys, rulebook: Rulebook, now: int
) -> tuple[Message, list[ReceiptItem]]:
    """Answer a tablet's request; also return what became of each envelope, for the log."""
    dev = messages.claimed_signer(message.signature)
    request = messages.read_request(message, get_device_key(db, dev))
    arrivals = [
        envelope_intake.inspect_envelope(raw, partial(get_device_key, db), keys.routes) for raw in request.envelopes
    ]
    digest = hashlib.sha256(message.body).hexdigest()
    applied = db.group_commit(lambda w: _apply(w, dev, request, digest, arrivals, rulebook, now))
    return messages.write_response(_add_receipts(applied, keys), keys.signing), applied.items


@dataclass(frozen=True)
class _Applied:
    """What is in the database when the transaction ends: news for the tablet, receipt items, the audit chain's head."""

    response: Response
    items: list[ReceiptItem]
    known_items: list[ReceiptItem]
    head: str


def _apply(
    w: Connection,
    dev: str,
    request: Request,
    digest: str,
    arrivals: Sequence[ParsedEnvelope],
    rulebook: Rulebook,
    now: int,
) -> _Applied:
    """Everything that a request changes; one transaction, or a part of one that is undone alone."""
    generation = meta.get_generation(w)
    _accept_request(w, dev, request, digest, generation, now)
    taken = envelope_intake.store_all(w, arrivals, sender=dev, rulebook=rulebook, now=now)
    known = _find_known(w, request)
    if request.ended:
        gaps.record_left_chains(w, dev, request.ended, now=now)
    seq = envelope_intake.advance_chains(
        w, [*_list_chains(arrivals), *((dev, chain) for chain in request.ended)], now=now
    )
    return _Applied(_build_response(w, dev, request, generation, seq, now), taken, known, audit.get_head(w)[1])


@lru_cache(maxsize=10_000)
def get_device_key(db: Database, dev: str) -> VerifyKey:
    """The key of a tablet that may speak; kept: a key never changes, and who may speak once is heard ever after."""
    return VerifyKey.from_raw(_authenticate(db.read(), dev).key)


def _authenticate(c: Connection, dev: str) -> Device:
    """The tablet that claims to speak. A revoked one is heard too: its screenings are kept for a decision."""
    device = devices.get_device(c, dev)
    if device is None:
        raise Problem("device.unknown", dev)
    if device.state == "pending":
        raise Problem("device.not_certified", dev)
    return device


def _accept_request(w: Connection, dev: str, request: Request, digest: str, generation: str, now: int) -> None:
    """Note that the tablet spoke. A request's number must rise, so that nobody can play an old one again.

    The very same bytes under the last number are answered again, since an answer can get lost below the tablet's own
    doing. They say nothing new, not even that the tablet is well: whoever saw them can send them.
    """
    device = _authenticate(w, dev)
    if request.n == device.last_n and digest == device.last_request:
        return
    numbers: dict[str, Any] = {"dev": dev, "n": request.n, "last": device.last_n}
    if request.n <= device.last_n:
        raise Problem("sync.number_used", **numbers)
    if request.n > device.last_n + MOST_SKIPPED:
        raise Problem("sync.number_skipped", **numbers)
    held = {kind: getattr(request, kind) for kind in trust_documents.NUMBERED}
    devices.record_request(w, dev, at=now, offset=request.at - now, n=request.n, request=digest, numbers=held)
    if request.inventory or request.inventory_digest == NOTHING_ON_BOARD:
        devices.replace_inventory(w, dev, request.inventory, at=now)
    if request.refused:
        halts.record_refusals(w, dev, request.refused, now=now)
    if request.orders:
        device_orders.record_carried_out(w, dev, request.orders, now=now)
    worklist.close_resolved(w, kind="silent", dev=dev, by=SERVER, at=now)
    # What a tablet told before was looked at then; only a restore makes it worth another look.
    if request.generation != generation or any(held[kind] != getattr(device, kind) for kind in held):
        trust_documents.report_ahead(w, dev, held, now=now)


def _find_known(w: Connection, request: Request) -> list[ReceiptItem]:
    """Receipts for envelopes that arrived earlier, with an answer that did not; what never arrived gets none."""
    found = (envelopes.get_envelope(w, id_) for id_ in request.pending)
    return [ReceiptItem(stored.id, "duplicate", stored.seq) for stored in found if stored is not None]


def _list_chains(arrivals: Sequence[ParsedEnvelope]) -> list[tuple[str, str]]:
    headers = [arrival.envelope.header for arrival in arrivals if arrival.envelope is not None]
    return [(header.dev, header.chain) for header in headers]


def _build_response(
    w: Connection, dev: str, request: Request, generation: str, seq: dict[str, int], now: int
) -> Response:
    """What the tablet does not have yet. Documents above the numbers it named, and what became of its screenings."""
    # A cursor counts in one generation of the database; after a restore everything is told from the start.
    cursor = request.cursor if request.generation == generation else 0
    events = statuses.list_since(w, dev, cursor, EVENTS_AT_ONCE)
    return Response(
        dev=dev,
        n=request.n,
        at=now,
        generation=generation,
        cursor=events[-1].cursor if events else cursor,
        trust=tuple(Document.parse(stored.body) for stored in documents.list_above(w, "trust", request.trust)),
        registry=_get_newer(w, "registry", request.registry),
        manifest=_get_newer(w, "manifest", request.manifest),
        events=tuple(Event(event.envelope, event.status, event.at) for event in events),
        orders=device_orders.list_due(w, dev, request.orders),
        seq=seq,
        more=len(events) == EVENTS_AT_ONCE,
    )


def _get_newer(w: Connection, kind: str, held: int) -> Document | None:
    newest = documents.get_newest(w, kind, above=held)
    return Document.parse(newest.body) if newest else None


def _add_receipts(applied: _Applied, keys: ServerKeys) -> Response:
    """Sign what is on disk: only after the commit."""
    response, items = applied.response, [*applied.items, *applied.known_items]
    if not items:
        return response
    receipts = receipt.make(
        keys.signing,
        dev=response.dev,
        n=response.n,
        at=response.at,
        generation=response.generation,
        head=applied.head,
        items=items,
    )
    return replace(response, receipts=receipts)
