"""The tablet's side of `POST /v1/sync` (SPEC 11): sends envelopes, verifies responses, recovers from lost ones.

`sync.tablet.client` calls it. It accepts only signed responses. It stores receipts and records orders, which the caller
carries out after the delivery. It stores other documents of a response unread, until the caller accepts them.
"""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sync.documents import receipt, trust
from sync.documents.receipt import ReceiptItem, Receipts
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.envelope.verify import parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.exchange.connections import UnreachableError
from sync.exchange.messages import (
    CONTENT_TYPE,
    MAX_ENVELOPES,
    MAX_REFUSED,
    NO_AUDIT_ROW,
    PATH,
    SIGNATURE_HEADER,
    AuditRow,
    Event,
    Message,
    Request,
    Response,
    claimed_signer,
    limit_inventory,
    read_refusal,
    read_response,
    write_request,
)
from sync.exchange.transport import RefusedError, Reply, Transport
from sync.exchange.trust_chain import fetch_trusts
from sync.keys.key_pairs import SigningKey, VerifyKey, key_id
from sync.tablet import orders
from sync.tablet.line_capacity import bearable_bytes, measure_rate
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import Batch, SyncResult
from sync.tablet.received_documents import ReceivedDocuments
from sync.tablet.trusted_documents import TrustedDocuments, send_certificate
from sync.wire.encoding import canonical

MAX_ROUNDS = 200
NUMBER_REFUSED = ("sync.number_used", "sync.number_skipped")
NOTHING_STORED = (429, 503, 507)
"""The statuses with which the server stored nothing of the request (SPEC 12): the next one need not ask."""
NO_SPACE = ("storage.quota", "storage.full")
"""The codes of a server without space for envelopes. A request without envelopes may still be answered."""


@dataclass
class DeliveryResult:
    """The number of envelopes sent, all receipts and events received, and the documents that are not accepted yet.

    `erased` is how many envelopes were erased since the responses receipted them once more. `orders` and `at`, the
    server's clock (ms), are those of the last response. `failure` ended the delivery after some
    response, or the server has no space for the envelopes that wait. The caller raises it after the documents and
    orders: a line that breaks off one envelope each time must not keep back these.
    """

    received: ReceivedDocuments
    sent: int = 0
    erased: int = 0
    receipts: list[ReceiptItem] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    orders: tuple[Document, ...] = ()
    at: int = 0
    failure: SyncError | None = None


@dataclass(frozen=True)
class SyncContext:
    """The parts of one sync: the tablet's documents, store and key, the connection to the server, the clock (ms).

    `timer` gives seconds from any moment. Unlike the clock it never jumps. A wipe deletes the `folders`.
    """

    documents: TrustedDocuments
    outbox: Outbox
    transport: Transport
    key: SigningKey
    clock: Callable[[], int]
    timer: Callable[[], float] = time.monotonic
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _VerifiedAnswer:
    """A verified response, the batch that it answers, its receipts, and the line's rate in bytes per second."""

    batch: Batch
    response: Response
    items: tuple[ReceiptItem, ...]
    told: AuditRow = NO_AUDIT_ROW
    rate: int = 0


def deliver(context: SyncContext) -> DeliveryResult:
    """Repeat requests until nothing is left to send or fetch. Each response is stored before the next request.

    What is wrong before the first response raises.
    """
    result = DeliveryResult(ReceivedDocuments.load(context.outbox.documents))
    try:
        _exchange(context, result)
    except SyncError as failure:
        if not result.at:
            raise
        result.failure = failure
    return result


def _exchange(context: SyncContext, result: DeliveryResult) -> None:
    """Make the requests of a delivery, and add to `result` what each response brings.

    A refusal has receipts too: no copied key can keep screenings back. In one sync the tablet proves once what it was
    told, and offers once what the server lost (SPEC 11.3 rule 10). Without space there the next request has none. A
    question before erasing that fails is left out, or it would keep back a screening; a busy server is left alone. A
    wipe goes on as long as each request erases something.
    """
    proof, repaired, proved, offered, unwiped, asks = b"", False, False, False, sys.maxsize, True
    generations: list[str] = []
    for left in reversed(range(MAX_ROUNDS)):
        context.outbox.envelopes.set_aside_damaged(partial(_is_signed, context.key.public), context.clock())
        held = context.outbox.sync_state.load().proof  # The response may begin another generation, with other receipts.
        most = 0 if result.failure else MAX_ENVELOPES
        batch = context.outbox.sync_state.next_batch(context.clock(), most=most, asks=asks)
        try:
            answer = _send_batch(context, batch, proof, result.received)
        except RefusedError as refused:
            if refused.code in NO_SPACE and batch.envelopes and left:
                result.failure = refused
                continue
            items = _recover(context, batch, refused, result, again=repaired)
            if not left or (items is None and (not batch.erasable or refused.code == "server.busy")):
                raise
            asks, repaired = asks and items is not None, not items
            result.sent += len(batch.envelopes) if items else 0
            continue
        repaired, proved = False, proved or bool(proof)
        proof = held if answer.response.prove and not proved else b""
        result.erased += context.outbox.sync_state.record_answer(
            answer.batch, _sync_result(context, answer, offered=offered)
        )
        offered = offered or bool(answer.response.again)
        _add_response(context, result, answer)
        wiping, unwiped = unwiped, context.outbox.orders.count_unwiped()
        more = proof or answer.response.more or context.outbox.sync_state.has_more(context.clock())
        more = more or 0 < unwiped < wiping
        if _comes_back(answer.response.generation, generations) or _is_stuck(answer) or result.failure or not more:
            return


def _add_response(context: SyncContext, result: DeliveryResult, answer: _VerifiedAnswer) -> None:
    response, former = answer.response, result.received
    result.received = former.add(response)
    if result.received != former:  # They are verified together at the end, since one may need the other.
        result.received.save(context.outbox.documents)
    wiping = context.outbox.orders.tablet_state().wiping
    with suppress(SyncError):  # An error in an order is raised only after the last screening is delivered.
        orders.record(response.orders, context.documents.trust, context.key.kid, context.outbox)
    if context.outbox.orders.tablet_state().wiping != wiping:  # What needs no receipt goes before slow requests.
        orders.finish_wipe(context.outbox, *context.folders)
    result.sent += len(answer.batch.envelopes)
    result.receipts += _list_news(answer.batch, answer.items)
    result.events += response.events
    result.orders, result.at = response.orders, response.at


def _list_news(batch: Batch, items: Iterable[ReceiptItem]) -> list[ReceiptItem]:
    """Return the receipts without those that only confirm earlier ones."""
    return [item for item in items if item.id not in batch.erasable]


def _is_signed(key: VerifyKey, raw: bytes) -> bool:
    """Whether the tablet with this key signed the bytes as an envelope."""
    try:
        verify_envelope(parse_envelope(raw), key)
    except SyncError:
        return False
    return True


def _comes_back(generation: str, seen: list[str]) -> bool:
    """Whether a generation that was left in this delivery is back: two servers answer in turn, each without what the
    other one has, and would get everything again and again."""
    if generation not in seen:
        seen.append(generation)
    return generation != seen[-1]


def _is_stuck(answer: _VerifiedAnswer) -> bool:
    """Whether another request would only send the same envelopes again: none of this one got a receipt."""
    batch = answer.batch
    ids = {*batch.asked, *(envelope.id for envelope in batch.envelopes)}
    return bool(batch.envelopes) and ids.isdisjoint(item.id for item in answer.items)


def _recover(
    context: SyncContext, batch: Batch, refused: RefusedError, result: DeliveryResult, *, again: bool
) -> tuple[ReceiptItem, ...] | None:
    """Repair a refused request; return the receipts that came with the refusal, or None if it cannot be repaired.

    They are added to `result`.

    Two cases can be repaired: the server lost our certificate and gets it once, or a signed refusal names the number
    to go on from. `again`: the request before this one was repaired too, without a receipt.
    """
    if refused.code in ("device.unknown", "device.not_certified") and not again:
        send_certificate(context.transport, context.documents, context.key.kid)
        return ()
    if refused.code not in NUMBER_REFUSED:
        return None
    answer = _message(refused.reply)
    try:
        trusted = _trust_for(context, answer)
        refusal = read_refusal(answer, trusted.servers, dev=context.key.kid, n=batch.number)
        receipts = (
            receipt.accept(refusal.receipts, trusted, dev=context.key.kid, n=batch.number) if refusal.receipts else None
        )
    except SyncError:  # An unsigned refusal may come from any machine on the way, so it changes nothing.
        return None
    if again and not receipts:
        return None
    if receipts is None:  # The server receipts each envelope that it has, so it has none of these (SPEC 11.3 rule 1).
        context.outbox.sync_state.return_batch(batch)
    elif refusal.receipts is not None:
        proof = refusal.receipts.to_bytes()
        result.erased += context.outbox.sync_state.record_receipts(
            batch, receipts, _last_row(receipts), proof, here=context.clock()
        )
        result.receipts += _list_news(batch, receipts.items)
    context.outbox.sync_state.renumber(refusal.last)
    return receipts.items if receipts else ()


def _send_batch(context: SyncContext, batch: Batch, proof: bytes, received: ReceivedDocuments) -> _VerifiedAnswer:
    request = _build_request(context, batch, proof, received)
    message = write_request(request, context.key)
    headers = {"Content-Type": CONTENT_TYPE, SIGNATURE_HEADER: message.signature}
    begun, before = context.timer(), context.transport.traffic
    try:
        reply = context.transport.send("POST", PATH, message.body, headers)
    except UnreachableError:
        context.outbox.sync_state.return_batch(batch)
        raise
    except RefusedError as refused:
        if refused.status in NOTHING_STORED:
            context.outbox.sync_state.return_batch(batch)
        raise
    moved = context.transport.traffic - before
    rate = measure_rate(context.outbox.sync_state.load().rate, moved.up + moved.down, context.timer() - begun)
    answer = _message(reply)
    trusted = _trust_for(context, answer)
    response = read_response(answer, trusted.servers, dev=context.key.kid, n=batch.number, envelopes=request.envelopes)
    if response.receipts is None:
        return _VerifiedAnswer(batch, response, (), rate=rate)
    receipts = receipt.accept(
        response.receipts, trusted, dev=context.key.kid, n=batch.number, generation=response.generation
    )
    return _VerifiedAnswer(batch, response, receipts.items, _last_row(receipts), rate)


def _last_row(receipts: Receipts) -> AuditRow:
    """Return the audit row that receipts name. An older server names none."""
    known = receipts.number and receipts.head
    return AuditRow(receipts.number, receipt.shorten_head(receipts.head)) if known else NO_AUDIT_ROW


def _message(reply: Reply) -> Message:
    return Message(reply.body, reply.headers.get(SIGNATURE_HEADER.lower(), ""))


def _trust_for(context: SyncContext, answer: Message) -> Trust:
    """Return the trust to verify a response with: the stored one, or the newest one if the server has a new key."""
    held = context.documents.trust
    if claimed_signer(answer.signature) in held.servers:
        return held
    return trust.accept_chain(fetch_trusts(context.transport.get, held, held.pin), held, held.pin)


def _build_request(context: SyncContext, batch: Batch, proof: bytes, received: ReceivedDocuments) -> Request:
    place, documents = context.outbox.sync_state.load(), context.documents
    numbers = received.numbers(documents.trust.number, documents.registry.number, documents.manifest.number)
    refused = {sha: refusal.code for sha, refusal in context.outbox.documents.form_selection().refused.items()}
    return Request(
        n=batch.number,
        at=context.clock(),
        trust=numbers[0],
        registry=numbers[1],
        manifest=numbers[2],
        orders=place.orders,
        generation=place.generation,
        cursor=place.cursor,
        pending=(*batch.asked, *batch.erasable),
        envelopes=tuple(envelope.raw for envelope in batch.envelopes),
        inventory_digest=_inventory_digest(documents),
        inventory={} if place.inventory == _inventory_digest(documents) else limit_inventory(documents.versions),
        refused=dict(sorted(refused.items())[:MAX_REFUSED]),
        ended=place.ended,
        told=place.told,
        receipted=place.receipted,
        proof=proof.decode("utf-8"),
        budget=bearable_bytes(place.rate),
    )


def _inventory_digest(documents: TrustedDocuments) -> str:
    """Return the digest of the tablet's form versions, 22 letters (SPEC 11.1)."""
    return key_id(canonical(limit_inventory(documents.versions)))


def _sync_result(context: SyncContext, answer: _VerifiedAnswer, *, offered: bool) -> SyncResult:
    """Return what to store of a response. `offered`: what the server lost was offered once in this sync."""
    return SyncResult(
        generation=answer.response.generation,
        at=answer.response.at,
        here=context.clock(),
        receipts=tuple((item.id, item.outcome) for item in answer.items),
        events=answer.response.events,
        cursor=answer.response.cursor,
        inventory=_inventory_digest(context.documents),
        seq=answer.response.seq,
        again={} if offered else answer.response.again,
        told=answer.told,
        proof=answer.response.receipts.to_bytes() if answer.response.receipts else b"",
        rate=answer.rate,
    )
