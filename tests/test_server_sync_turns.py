"""A tablet, or a thief with its key, that sends many sync requests lets the other tablets have their turns."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from server.api.sync_queue import MOST_BYTES, MOST_REQUESTS, SyncQueue, WaitingSync
from server.flows.desks.routing import Rulebook
from server.flows.intake import sync_group, sync_request
from server.flows.trust import enrolment
from support.intake import Field
from sync.errors import SyncError
from sync.exchange.messages import Message, plain_size, unpack_body


def swell(size: int) -> bytes:
    """Return a small body that becomes this large."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(b'{"protocol":"chaski-1"}'.ljust(size)) + packer.flush()


def queue_of(*sent: tuple[str, bytes]) -> SyncQueue:
    """Return a queue with a request of each of these tablets, in this order."""
    loop, queue = asyncio.new_event_loop(), SyncQueue()
    for name, body in sent:
        queue.put(WaitingSync(Message(body, f"{name}.x"), 0.0, loop, loop.create_future()))
    loop.close()
    return queue


def signers(queue: SyncQueue) -> list[str]:
    """Take a group; return who signed its requests."""
    return [waiting.message.signature[:-2] for waiting in queue.take_group()]


@pytest.mark.parametrize("many", [2, 390])
def test_one_tablet_with_many_requests_lets_the_next_tablet_go_with_its_second(many: int) -> None:
    large = swell(7 * 2**20)
    queue = queue_of(*[("thief", large)] * many, ("tablet", b"{}"), ("other", b"{}"))
    assert signers(queue) == ["thief"]
    assert signers(queue) == ["tablet", "other", "thief"]
    assert [len(queue.take_group()) for _ in range(many - 2)] == [1] * (many - 2)
    assert len(queue) == 0
    assert not queue.take_group()


@pytest.mark.parametrize(("size", "together"), [(100, MOST_REQUESTS), (MOST_BYTES // 4, 4), (MOST_BYTES // 4 - 1, 5)])
def test_a_transaction_takes_so_many_bytes_as_its_requests_have_inflated(size: int, together: int) -> None:
    queue = queue_of(*[(f"tablet {number}", swell(size)) for number in range(100)])
    assert signers(queue) == [f"tablet {number}" for number in range(together)]


@pytest.mark.parametrize("size", [512, 100_000])
def test_a_body_tells_its_inflated_size_or_cannot_be_read(size: int) -> None:
    body = swell(size)
    assert plain_size(body) == size
    assert unpack_body(body, "request")
    with pytest.raises(SyncError, match="not gzip"):
        unpack_body(body[:-4] + (1).to_bytes(4, "little"), "request")


@pytest.mark.parametrize("is_revoked", [False, True])
def test_of_one_tablet_only_one_request_is_read_in_a_group(
    field: Field, monkeypatch: pytest.MonkeyPatch, is_revoked: bool
) -> None:
    one, other = field.tablet(), field.tablet()
    if is_revoked:
        with field.services.db.write() as w:
            enrolment.revoke_devices(w, {one.key.kid}, actor="tests", now=field.now)
    group = [field.message(one, field.envelope(one)) for _ in range(9)]
    group.append(field.message(other, field.envelope(other)))
    read, read_call = list[str](), sync_request.read_call

    def counted(db: object, message: Message, *others: object) -> object:
        read.append(message.signature[:22])
        return read_call(db, message, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(sync_request, "read_call", counted)
    rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
    answers = sync_group.answer_group(
        field.services.db, group, keys=field.services.keys, rulebook=rulebook, now=field.now
    )
    assert read == [one.key.kid, other.key.kid]
    assert [answer is not None for answer in answers] == [True, *[False] * 8, True]
