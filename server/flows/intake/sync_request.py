"""Processes a tablet's sync request in one round trip (SPEC 11): authenticate, store, answer. The tablet API calls
`answer_request`.

A request changes the database completely or not at all. If its number is refused, its envelopes alone are stored. The
server must not sign the answer before the commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from server.database.connection import Connection, Database
from server.flows.desks.routing import Rulebook
from server.flows.forms import halts
from server.flows.forms.delivery import DeltaFinder, TravellingVersions
from server.flows.intake import damaged_pages, gaps, response_budget, storage_budget
from server.flows.intake import envelopes as envelope_intake
from server.flows.intake.envelopes import ParsedEnvelope
from server.flows.intake.shared_facts import SharedFacts
from server.flows.intake.storage_budget import StorageBudget
from server.flows.operations import rollback_guard
from server.flows.trust import device_orders
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import devices, documents, meta, statuses, worklist
from server.store.audit import SERVER
from server.store.chains import Gap
from server.store.devices import Device, TabletReport
from server.store.statuses import StatusEvent
from sync.documents import receipt
from sync.documents.receipt import ReceiptItem, Receipts
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import Event, Message, Request, Response
from sync.keys.key_pairs import VerifyKey, key_id
from sync.wire.encoding import MAX_INTEGER, canonical
from sync.wire.json_object import SHA256_HEX

EVENTS_AT_ONCE = 200
MOST_SKIPPED = 2**20
"""How far a request's number may rise at once. A thief with a stolen key must not use the numbers up (SPEC 11.3 rule
1)."""
NOTHING_ON_BOARD = key_id(canonical({}))
"""The digest of an empty inventory: with it a tablet reports that it holds no form (SPEC 11.1)."""
NUMBER_REFUSED = frozenset({"sync.number_used", "sync.number_skipped"})
"""The problem codes that a tablet acts on; the tablet API signs these problems."""


class NumberRefusedError(Problem):
    """The request's number is refused. Its envelopes are stored all the same; `items` are their receipt items."""

    items: Sequence[ReceiptItem] = ()


def answer_request(
    db: Database,
    message: Message,
    *,
    keys: ServerKeys,
    rulebook: Rulebook,
    now: int,
    budget: StorageBudget = storage_budget.DEFAULT,
    find_delta: DeltaFinder | None = None,
) -> tuple[Message, list[ReceiptItem]]:
    """Answer a tablet's request. Also returns the receipt item of each envelope, for the log.

    Raises NumberRefusedError, with the receipts as a member, after the request's envelopes were stored; and Problem
    `storage.quota` if the tablet has used up its bytes.
    """
    call = read_call(db, message, keys, rulebook, budget, now)
    try:
        ids = [*call.request.pending, *(arrival.id for arrival in call.arrivals)]
        applied = damaged_pages.commit(
            db, ids, lambda w, left_out: apply_call(w, _leave_out(call, left_out), keys), now=now
        )
    except Problem as error:
        if error.code == "storage.quota":
            _report_quota(db, error.members["dev"], budget, now=now)
        raise
    response = complete_response(applied, call, keys, TravellingVersions(db, find_delta))
    if applied.refused is not None:
        raise _refuse(applied, response)
    return messages.write_response(response, keys.signing, call.request), applied.items


def read_call(
    db: Database, message: Message, keys: ServerKeys, rulebook: Rulebook, budget: StorageBudget, now: int
) -> Call:
    """Read and verify a request and its envelopes."""
    dev = messages.claimed_signer(message.signature)
    request = messages.read_request(message, get_device_key(db, dev))
    arrivals = [
        envelope_intake.inspect_envelope(raw, partial(get_device_key, db), keys.routes) for raw in request.envelopes
    ]
    digest = hashlib.sha256(message.body).hexdigest()
    return Call(dev, request, digest, arrivals, _read_proof(db, request), rulebook, budget, now)


def _leave_out(call: Call, ids: Collection[str] | None) -> Call:
    if ids is None:
        return call
    pending = tuple(id_ for id_ in call.request.pending if id_ not in ids)
    request = replace(call.request, pending=pending, receipted={})
    return replace(call, request=request, arrivals=damaged_pages.leave_out(call.arrivals, ids), is_reduced=True)


def _refuse(applied: Applied, response: Response) -> NumberRefusedError:
    refused = applied.refused
    assert refused is not None
    receipts = {"receipts": response.receipts.to_bytes().decode()} if response.receipts else {}
    refusal = NumberRefusedError(refused.code, refused.detail, **refused.members, **receipts)
    refusal.items = applied.items
    return refusal


def _report_quota(db: Database, dev: str, budget: StorageBudget, *, now: int) -> None:
    """Put the tablet whose space is used up on the work list once. The refused request itself stored nothing."""
    if not worklist.has_open_about_tablet(db.read(), kind="quota", dev=dev):
        with db.write() as w:
            storage_budget.report_used_up(w, dev, budget, now=now)


@dataclass(frozen=True)
class Call:
    """A verified request of the tablet `dev`, the SHA-256 of its bytes, its envelopes, and what applies to it. `proof`:
    the receipts by which it proves that the server knew more. `is_reduced`: its answer has no status events, because of
    a damaged page."""

    dev: str
    request: Request
    digest: str
    arrivals: Sequence[ParsedEnvelope]
    proof: Receipts | None
    rulebook: Rulebook
    budget: StorageBudget
    now: int
    is_reduced: bool = False


@dataclass(frozen=True)
class Applied:
    """The result of the transaction: the tablet, the response without limits, the receipt items, and number and hash
    of the last audit row. `cursors`: before the first event and after each. `refused`: why the number is refused."""

    device: Device
    response: Response
    cursors: Sequence[int]
    items: list[ReceiptItem]
    known_items: list[ReceiptItem]
    number: int
    head: str
    refused: Problem | None = None


def apply_call(w: Connection, call: Call, keys: ServerKeys, shared: SharedFacts | None = None) -> Applied:
    """Apply all changes of a request, in one transaction or in a savepoint of a shared one."""
    dev, request, now = call.dev, call.request, call.now
    shared = shared or SharedFacts(w, now=now)
    device, generation = _require_certified(shared.get_device(dev), dev), shared.ask(meta.get_generation)
    refused, is_new = _judge_number(device, request, call.digest), request.n > device.last_n
    if is_new and refused is None:
        _record_request(shared, device, request, call.digest, generation)
    if refused is None and call.proof is not None:
        rollback_guard.renew_if_proved(w, keys, call.proof, now=now)
        generation = meta.get_generation(w)
    taken = envelope_intake.store_all(
        w,
        call.arrivals,
        sender=device,
        rulebook=call.rulebook,
        now=now,
        budget=call.budget,
        counted=is_new and refused is None,
        shared=shared,
    )
    known = _find_known(w, request, now)
    touched = _list_arrived(call.arrivals, taken)
    if refused is not None:
        envelope_intake.advance_chains(w, touched, now=now)
        response = Response(dev=dev, n=request.n, at=now, generation=generation)
        return Applied(device, response, (0,), taken, known, *shared.get_audit_head(), refused)
    gaps.record_left_chains(w, dev, request.ended, now=now)
    lost = gaps.list_lost(w, dev, request.receipted, now=now) if request.generation == generation else {}
    for chain in (*request.ended, *lost):
        touched.setdefault((dev, chain), [])
    seq = envelope_intake.advance_chains(w, touched, now=now, may_have_items=shared.may_have_items)
    response, cursors = _build_response(shared, call, generation, seq, lost)
    return Applied(device, response, cursors, taken, known, *shared.get_audit_head())


def _read_proof(db: Database, request: Request) -> Receipts | None:
    """Return the receipts by which a tablet proves that the server knew more, or None if no server signed them."""
    if not request.proof:
        return None
    with suppress(SyncError):  # A false proof costs the request nothing.
        return receipt.read(Document.parse(request.proof.encode()), trust_documents.trust_in_force(db.read()))
    return None


@lru_cache(maxsize=10_000)
def get_device_key(db: Database, dev: str) -> VerifyKey:
    """Return the public key of a certified or revoked tablet. The result is cached: a key never changes, and such a
    tablet is always authenticated."""
    return VerifyKey.from_raw(_require_certified(devices.get_device(db.read(), dev), dev).key)


def _require_certified(device: Device | None, dev: str) -> Device:
    """Return the tablet that claims to have sent the request. A revoked tablet is accepted: its screenings wait for a
    decision."""
    if device is None:
        raise Problem("device.unknown", dev)
    if device.state == "pending":
        raise Problem("device.not_certified", dev)
    return device


def is_number_accepted(shared: SharedFacts, call: Call) -> bool:
    """Return True if the request's number is accepted, or the request is repeated."""
    device = shared.get_device(call.dev)
    return device is not None and _judge_number(device, call.request, call.digest) is None


def _judge_number(device: Device, request: Request, digest: str) -> Problem | None:
    """Return why a request's number is refused (SPEC 11.3 rule 1), or None.

    It must be higher than the last one, so that an attacker cannot replay an old request. Envelopes prove themselves:
    they are stored in both cases, or a thief who moves the number could keep the tablet out.

    The server answers the same bytes under the last number again, because the network can lose an answer. A repeated
    request proves nothing: an attacker may have recorded it. It does not update the "last seen" time.
    """
    if request.n == device.last_n and digest == device.last_request:
        return None
    numbers: dict[str, Any] = {"dev": device.dev, "n": request.n, "last": device.last_n}
    if request.n <= device.last_n:
        return Problem("sync.number_used", **numbers)
    if request.n > device.last_n + MOST_SKIPPED:
        return Problem("sync.number_skipped", **numbers)
    return None


def _record_request(shared: SharedFacts, device: Device, request: Request, digest: str, generation: str) -> None:
    """Record what a new request says about its tablet."""
    w, dev, now = shared.w, device.dev, shared.now
    held = {kind: getattr(request, kind) for kind in trust_documents.NUMBERED}
    shared.record_request(
        TabletReport(dev, now, request.at - now, request.n, digest, request.trust, request.registry, request.manifest)
    )
    if request.inventory or request.inventory_digest == NOTHING_ON_BOARD:
        devices.replace_inventory(w, dev, request.inventory, at=now)
    if request.refused:
        halts.record_refusals(w, dev, request.refused, now=now)
    if request.orders:
        device_orders.record_carried_out(w, dev, request.orders, now=now)
    if shared.may_have_items(dev):
        worklist.close_resolved(w, kind="silent", dev=dev, by=SERVER, at=now)
    # The same report was processed before; only a restore makes it necessary to process it again.
    if request.generation != generation or any(held[kind] != getattr(device, kind) for kind in held):
        trust_documents.report_ahead(w, dev, held, now=now)


def _find_known(w: Connection, request: Request, now: int) -> list[ReceiptItem]:
    """Return receipts for envelopes that arrived earlier and whose receipt got lost. An envelope that never arrived, or
    whose stored bytes are damaged, gets none."""
    found = (envelope_intake.find_duplicate(w, id_, now=now) for id_ in request.pending)
    return [item for item in found if item is not None]


def _list_arrived(arrivals: Sequence[ParsedEnvelope], items: Sequence[ReceiptItem]) -> dict[tuple[str, str], list[int]]:
    """Return, for each chain (tablet, chain) of the envelopes that are stored, their numbers."""
    arrived: dict[tuple[str, str], list[int]] = {}
    for arrival, item in zip(arrivals, items, strict=True):
        if arrival.envelope is not None and item.outcome != "rejected":
            header = arrival.envelope.header
            arrived.setdefault((header.dev, header.chain), []).append(header.seq)
    return arrived


def _build_response(
    shared: SharedFacts, call: Call, generation: str, seq: dict[str, int], lost: Mapping[str, Sequence[Gap]]
) -> tuple[Response, list[int]]:
    """Return the documents above the tablet's numbers, the new status events of its screenings, and the numbers to
    send again; and the cursors before and after each event."""
    w, dev, request = shared.w, call.dev, call.request
    (cursor, events), newer = _list_events(shared, call, generation), _list_newer(shared, request)
    response = Response(
        dev=dev,
        n=request.n,
        at=call.now,
        generation=generation,
        cursor=events[-1].cursor if events else cursor,
        trust=newer["trust"],
        registry=newer["registry"][-1] if newer["registry"] else None,
        manifest=newer["manifest"][-1] if newer["manifest"] else None,
        events=tuple(Event(event.envelope, event.status, event.at) for event in events),
        orders=device_orders.list_due(w, dev, request.orders) if shared.may_have_orders(dev) else (),
        seq=seq,
        more=len(events) == EVENTS_AT_ONCE,
        again={chain: [(gap.first, gap.last) for gap in gaps] for chain, gaps in lost.items()},
        # The tablet's word is not enough to start a new generation; its receipts are.
        prove=rollback_guard.contradicts(w, request.generation, request.told, own=generation),
    )
    return response, [cursor, *(event.cursor for event in events)]


def _list_events(shared: SharedFacts, call: Call, generation: str) -> tuple[int, list[StatusEvent]]:
    """Return the cursor from which the tablet's new status events count, and the events. One with a damaged value is
    left out, or the tablet would refuse the response.

    A cursor is valid in one generation of the database. After a restore the server sends all status events from the
    start, and so it does for a cursor that it cannot have given: the database went back.
    """
    cursor = call.request.cursor if call.request.generation == generation else 0
    if call.is_reduced:
        return cursor, []
    if cursor > shared.ask(statuses.last_cursor):
        cursor = 0
    found = statuses.list_since(shared.w, call.dev, cursor, EVENTS_AT_ONCE)
    return cursor, [each for each in found if _is_sound(each)]


def _is_sound(event: StatusEvent) -> bool:
    is_time = type(event.at) is int and abs(event.at) <= MAX_INTEGER
    return is_time and bool(SHA256_HEX.fullmatch(event.envelope) and messages.STATUS.fullmatch(event.status))


def _list_newer(shared: SharedFacts, request: Request) -> dict[str, tuple[Document, ...]]:
    """Return, by kind, the documents above the tablet's numbers: every trust, else the newest one."""
    found: dict[str, tuple[Document, ...]] = {}
    highest = shared.ask(documents.highest_numbers)
    for kind in documents.KINDS:
        held, newest = getattr(request, kind), highest.get(kind, 0)
        above = documents.list_above(shared.w, kind, held if kind == "trust" else newest - 1) if newest > held else []
        found[kind] = tuple(Document.parse(stored.body) for stored in above)
    return found


def complete_response(applied: Applied, call: Call, keys: ServerKeys, travelling: TravellingVersions) -> Response:
    """Return the response that is sent: within the budget, with form versions and the signed receipts. Call it only
    after the commit."""
    response, request = applied.response, call.request
    if response.manifest is not None and applied.device.state == "certified":
        response = replace(response, forms=travelling.write_for(applied.device, response.manifest))
    receipts = len(request.envelopes) + len(request.pending)
    limited = response_budget.limit_response(response, applied.cursors, request.budget, receipts)
    return _add_receipts(limited, applied, keys)


def _add_receipts(response: Response, applied: Applied, keys: ServerKeys) -> Response:
    items = [*applied.items, *applied.known_items]
    if not items:
        return response
    receipts = receipt.make(
        keys.signing,
        dev=response.dev,
        n=response.n,
        at=response.at,
        generation=response.generation,
        head=applied.head,
        number=applied.number,
        items=items,
    )
    return replace(response, receipts=receipts)
