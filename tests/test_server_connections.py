"""Connections at the listener: strangers take no place, no memory and no time; requests on the way are answered."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import uvloop

from server import listener
from server.channel import MAX_HEAD_LINES, Channel
from server.listener import Listener
from support.waiting import PATIENCE
from test_server_memory_limits import Answers, listening, until

MOST = 20
GET = b"GET / HTTP/1.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in the event loop of the server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, PATIENCE))


@asynccontextmanager
async def answering(*, at_once: bool = True) -> AsyncIterator[tuple[Listener, Answers]]:
    """A listener whose app answers with one byte."""
    app = Answers(1)
    for _ in range(1000 if at_once else 0):
        app.may.release()
    async with listening(app) as opened:
        yield opened, app


def connect(opened: Listener, stack: ExitStack, said: bytes = b"") -> socket.socket:
    """Connect, and say something."""
    line = stack.enter_context(socket.create_connection(("127.0.0.1", opened.port), timeout=PATIENCE))
    line.sendall(said)
    return line


async def ask(opened: Listener, said: bytes) -> bytes:
    """Send bytes on a new connection, and read all that comes until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
    writer.write(said)
    try:
        return await reader.read()
    finally:
        writer.close()


async def all_said(opened: Listener, count: int, size: int) -> None:
    """Wait until so many connections are there, and each said so many bytes."""
    await until(lambda: len(opened.channels) == count and all(each.moved >= size for each in opened.channels))


# Places


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a listener have few connections, and let them keep their places for long."""
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(listener, "GRACE_SECONDS", 1000)


@pytest.mark.usefixtures("few_places")
@pytest.mark.parametrize("then", [b"", b"P"])
def test_connections_that_were_just_answered_keep_no_newcomer_out(then: bytes) -> None:
    async def come_last() -> None:
        async with answering() as (opened, app):
            with ExitStack() as stack:
                for _ in range(MOST):
                    connect(opened, stack, GET + then)
                await until(lambda: app.ended == MOST)
                for channel in opened.channels:
                    channel.opened -= 2000
                assert b"200 OK" in await ask(opened, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")

    run(come_last())


@pytest.mark.usefixtures("few_places")
@pytest.mark.parametrize("each_says", [b"", b"POST / HTTP/1.1\r\nA: "])
def test_a_crowd_without_whole_heads_gives_way_at_once(each_says: bytes) -> None:
    """Neither a newcomer waits nor does a sender lose its place, though all are of one network."""

    async def come_and_go() -> None:
        async with answering() as (opened, _):
            with ExitStack() as stack:
                connect(opened, stack, POST[:-1])
                await all_said(opened, 1, len(POST) - 1)
                (sender,) = opened.channels
                for _ in range(3):
                    for _ in range(2 * MOST):
                        connect(opened, stack, each_says)
                    assert b"200 OK" in await ask(opened, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert sender in opened.channels
                assert len(opened.channels) <= MOST

    run(come_and_go())


@pytest.mark.usefixtures("few_places")
@pytest.mark.parametrize("rush", [1, 2 * MOST])
def test_senders_that_may_be_gone_keep_no_newcomer_out(rush: int) -> None:
    """They sent a whole request, which is in work, and closed their sending half."""

    async def vanish_and_come() -> None:
        async with answering(at_once=False) as (opened, app):
            with ExitStack() as stack:
                for _ in range(MOST):
                    connect(opened, stack, POST).shutdown(socket.SHUT_WR)
                await until(lambda: sum(each.ended for each in opened.channels) == MOST)
                asked = asyncio.create_task(ask(opened, GET[:-2] + b"Connection: close\r\n\r\n"))
                for _ in range(rush):
                    connect(opened, stack, POST).shutdown(socket.SHUT_WR)
                for _ in range(2 * MOST + rush):
                    app.may.release()
                assert b"200 OK" in await asked

    run(vanish_and_come())


# Memory and time


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (MAX_HEAD_LINES + 2),
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 3000 + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * 60_000,
        b"GET /" + b"x" * 60_000,
    ],
)
def test_a_head_with_too_many_lines_or_bytes_is_refused_unfinished(before: bytes, said: bytes) -> None:
    async def send() -> None:
        async with answering() as (opened, _):
            assert b" 431 " in await ask(opened, before + said)

    run(send())


@pytest.mark.parametrize("lines", [MAX_HEAD_LINES, 10])
def test_a_head_with_as_many_lines_as_may_be_is_answered(lines: int) -> None:
    async def send() -> None:
        async with answering() as (opened, _):
            said = b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"a:\r\n" * (lines - 1) + b"\r\n"
            assert b" 200 " in await ask(opened, said)

    run(send())


def reset(line: socket.socket) -> None:
    """Close a connection so that the other side gets a reset."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


@pytest.mark.parametrize("requests", [2, 5])
def test_a_reset_frees_what_was_sent_ahead_and_logs_no_error(requests: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def send_and_reset() -> None:
        async with answering(at_once=False) as (opened, app):
            with ExitStack() as stack:
                line = connect(opened, stack, POST * requests)
                await until(lambda: app.begun == 1 and sum(each.moved for each in opened.channels) > 0)
                await until(lambda: all(each.held >= requests * 5000 for each in opened.channels))
                left = weakref.ref(*opened.channels)
                reset(line)
                await until(lambda: not opened.channels)
            app.may.release()
            await until(lambda: app.ended == 1)
            await until(lambda: left() is None)
            assert app.begun == 1

    gc.collect()
    gc.disable()
    try:
        run(send_and_reset())
    finally:
        gc.enable()
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("many", [5, 15])
def test_a_byte_costs_the_same_however_many_hold_memory(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    looked, held = Counter[str](), Channel.held.fget  # type: ignore[attr-defined]

    def look(channel: Channel) -> int:
        looked["held"] += 1
        return int(held(channel))

    monkeypatch.setattr(Channel, "held", property(look))

    async def drip() -> None:
        async with answering() as (opened, _):
            with ExitStack() as stack:
                head = b"POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n" + bytes(20_000)
                line, *_ = [connect(opened, stack, head) for _ in range(many)]
                await all_said(opened, many, len(head))
                looked.clear()
                first = next(iter(opened.channels))
                for sent in range(len(head) + 1, len(head) + 21):
                    line.sendall(b"x")
                    await until(lambda sent=sent: first.moved == sent)  # type: ignore[misc]
                assert looked["held"] <= 20

    run(drip())


# Requests on the way


@pytest.mark.parametrize("requests", [1, 3])
def test_a_client_that_closed_its_sending_half_is_answered(requests: int) -> None:
    async def close_half() -> None:
        async with answering(at_once=False) as (opened, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(POST * requests)
            writer.write_eof()
            await until(lambda: any(each.ended for each in opened.channels))
            for _ in range(requests):
                app.may.release()
            assert (await reader.read()).count(b"HTTP/1.1 200 OK") == requests
            writer.close()
            await until(lambda: not opened.channels)

    run(close_half())


@pytest.mark.parametrize("said", [POST[:-1], POST[:20], b""])
def test_a_client_that_ends_amid_a_request_is_let_go(said: bytes) -> None:
    async def close_half() -> None:
        async with answering() as (opened, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(said)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await until(lambda: not opened.channels)

    run(close_half())


@pytest.mark.parametrize(
    ("before", "after", "answers"),
    [
        (POST, b"", 1),
        (POST[:-300], POST[-300:], 1),
        (POST[:20], POST[20:], 1),
        (POST + POST[:20], POST[20:], 2),
        (POST + POST[:-300], POST[-300:], 2),
    ],
)
def test_a_server_that_stops_answers_what_is_on_the_way(before: bytes, after: bytes, answers: int) -> None:
    async def stop() -> None:
        async with answering(at_once=False) as (opened, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(before)
            await all_said(opened, 1, len(before))
            opened.stop_accepting()
            assert opened.works
            app.may.release()
            writer.write(after)
            app.may.release()
            assert (await reader.read()).count(b"HTTP/1.1 200 OK") == answers
            await until(lambda: not opened.works)
            writer.close()

    run(stop())


@pytest.mark.parametrize("said", [b"", GET])
def test_a_server_that_stops_does_not_wait_for_idle_connections(said: bytes) -> None:
    async def stop() -> None:
        async with answering() as (opened, app):
            with ExitStack() as stack:
                connect(opened, stack, said)
                await until(lambda: len(opened.channels) == 1 and app.ended == len(said[:1]))
                opened.stop_accepting()
                assert not opened.works
                await until(lambda: not opened.channels)

    run(stop())
