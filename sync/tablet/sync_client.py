"""The tablet's half of `POST /v1/sync` (SPEC 11): send what waits, believe only signed answers, ask after a lost one.

Called by sync.tablet. It moves envelopes and receipts, and notes orders, which are carried out once all is delivered;
other documents that come with an answer are handed back unread.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sync.documents import receipt, trust
from sync.documents.receipt import Item
from sync.documents.signed import Document
from sync.documents.trust import Trust
from sync.errors import SyncError
from sync.exchange.messages import (
    CONTENT_TYPE,
    MAX_REFUSED,
    PATH,
    SIGNATURE_HEADER,
    Event,
    Message,
    Request,
    Response,
    read_refusal,
    read_response,
    signer,
    told_of,
    write_request,
)
from sync.exchange.transport import RefusedError, Reply, Transport, UnreachableError
from sync.keys.key_pairs import SigningKey, key_id
from sync.tablet import orders as obey
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import Batch, News
from sync.tablet.trusted_documents import Board
from sync.wire.encoding import canonical

MOST_ROUNDS = 200
NUMBER_REFUSED = ("sync.number_used", "sync.number_skipped")


@dataclass(frozen=True)
class Delivered:
    """How many envelopes were sent, every receipt and event that came, and the last answer."""

    sent: int
    receipts: tuple[Item, ...]
    events: tuple[Event, ...]
    response: Response


@dataclass(frozen=True)
class Line:
    """Who talks with whom: the tablet's documents, store and key, the way to the server, and the clock (ms)."""

    board: Board
    outbox: Outbox
    transport: Transport
    key: SigningKey
    clock: Callable[[], int]


@dataclass(frozen=True)
class _Answer:
    """A verified answer, the batch it is for, and what it says of each envelope."""

    batch: Batch
    response: Response
    items: tuple[Item, ...]


def deliver(line: Line) -> Delivered:
    """Ask until nothing is worth another request; each answer is on disk before the next one is asked for."""
    sent, receipts, events = 0, list[Item](), list[Event]()
    for _ in range(MOST_ROUNDS):
        answer = _ask_numbered(line)
        line.outbox.answered(answer.batch, _news(line, answer))
        with suppress(SyncError):  # What is wrong with an order is said after the last screening is delivered.
            obey.heed(answer.response.orders, line.board.trust, line.key.kid, line.outbox)
        sent += len(answer.batch.envelopes)
        receipts += answer.items
        events += answer.response.events
        # When nothing that was sent has a receipt, going on would only send it again.
        stuck = bool(answer.batch.envelopes) and not answer.items
        if stuck or not (answer.response.more or line.outbox.more(line.clock())):
            break
    return Delivered(sent, tuple(receipts), tuple(events), answer.response)


def _ask_numbered(line: Line) -> _Answer:
    """Make one request; once more, if what the server refused it for can be put right."""
    batch = line.outbox.next_batch(line.clock())
    try:
        return _ask(line, batch)
    except RefusedError as refused:
        if not _put_right(line, batch, refused):
            raise
    return _ask(line, line.outbox.next_batch(line.clock()))


def _put_right(line: Line, batch: Batch, refused: RefusedError) -> bool:
    """Say whether to ask again: the server lost our certificate and has it again, or it told our number's place."""
    if refused.code in ("device.unknown", "device.not_certified"):
        line.transport.send("PUT", f"/v1/enrolments/{line.key.kid}", line.board.documents["certificate"].to_bytes())
        return True
    if refused.code not in NUMBER_REFUSED:
        return False
    answer = _message(refused.reply)
    try:
        last = read_refusal(answer, _trust(line, answer).servers, dev=line.key.kid, n=batch.number)
    except SyncError:  # Anybody on the way may have said it: it changes nothing.
        return False
    line.outbox.renumber(last)
    return True


def _ask(line: Line, batch: Batch) -> _Answer:
    message = write_request(_request(line, batch), line.key)
    headers = {"Content-Type": CONTENT_TYPE, SIGNATURE_HEADER: message.signature}
    try:
        reply = line.transport.send("POST", PATH, message.body, headers)
    except UnreachableError:
        line.outbox.never_left(batch)
        raise
    answer = _message(reply)
    trusted = _trust(line, answer)
    response = read_response(answer, trusted.servers, dev=line.key.kid, n=batch.number)
    if response.receipts is None:
        return _Answer(batch, response, ())
    receipts = receipt.accept(
        response.receipts, trusted, dev=line.key.kid, n=batch.number, generation=response.generation
    )
    return _Answer(batch, response, receipts.items)


def _message(reply: Reply) -> Message:
    return Message(reply.body, reply.headers.get(SIGNATURE_HEADER.lower(), ""))


def _trust(line: Line, answer: Message) -> Trust:
    """Return the trust to check an answer by: the one on board, or the newest if the server has a new key."""
    held = line.board.trust
    if signer(answer.signature) in held.servers:
        return held
    return trust.accept(Document.parse(line.transport.get("/v1/trust")), held, held.pin)


def _request(line: Line, batch: Batch) -> Request:
    place, board = line.outbox.conversation(), line.board
    refused = {sha: refusal.code for sha, refusal in line.outbox.versions().refused.items()}
    return Request(
        n=batch.number,
        at=line.clock(),
        trust=board.trust.number,
        registry=board.registry.number,
        manifest=board.manifest.number,
        orders=place.orders,
        generation=place.generation,
        cursor=place.cursor,
        pending=batch.asked,
        envelopes=tuple(kept.raw for kept in batch.envelopes),
        inventory_digest=_digest(board),
        inventory={} if place.inventory == _digest(board) else told_of(board.versions),
        refused=dict(sorted(refused.items())[:MAX_REFUSED]),
        ended=place.ended,
    )


def _digest(board: Board) -> str:
    """Name the form versions on board, as they are told, in 22 letters (SPEC 11.1)."""
    return key_id(canonical(told_of(board.versions)))


def _news(line: Line, answer: _Answer) -> News:
    return News(
        generation=answer.response.generation,
        at=answer.response.at,
        here=line.clock(),
        receipts=tuple((item.id, item.outcome) for item in answer.items),
        events=answer.response.events,
        cursor=answer.response.cursor,
        inventory=_digest(line.board),
        seq=answer.response.seq,
    )
