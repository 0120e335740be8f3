"""What strangers make the server keep in memory is bounded: bodies, requests in work, responses that nobody fetches."""

from __future__ import annotations

import asyncio
import errno
import platform
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from server import listener
from server.api.asgi import HEAD_BYTES, MAX_BYTES_IN_WORK, TabletRequests, WholeRequests
from server.api.sync_thread import SyncThread
from server.channel import WHEN_GONE
from server.listener import Listener
from support.databases import writing_connection
from support.hostile_server import connect, post_message, read_answer, send_request
from support.intake import Field, run_servers
from support.waiting import PATIENCE, wait_until, wait_until_read
from sync.exchange.messages import PATH
from test_server_sync_groups import HungCommit

MIB = 2**20
App = Callable[[Any, Any, Any], Awaitable[None]]


# Requests in work


class Sender:
    """A connection that has sent one whole request."""

    def __init__(self, size: int, path: str = "/") -> None:
        self.size, self.sent = size, list[MutableMapping[str, Any]]()
        self._events: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._events.put_nowait({"type": "http.request", "body": bytes(size), "more_body": False})
        self.scope: dict[str, Any] = {
            "method": "POST",
            "path": path,
            "query_string": b"",
            "http_version": "1.1",
            "server": ("h", 1),
        }
        signature = (b"chaski-signature", b"A" * 22 + b".A")
        self.scope |= {"client": ("127.0.0.1", 1), "headers": [(b"accept-language", b"en"), signature]}

    async def post(self, app: App) -> tuple[int, int]:
        """Give an app the request. Returns its status, 0 if it was forgotten, and its size."""

        async def send(event: MutableMapping[str, Any]) -> None:
            self.sent.append(event)

        await app(self.scope, self._events.get, send)
        return self.sent[0]["status"] if self.sent else 0, self.size

    def vanish(self) -> None:
        """End the connection."""
        self.scope.get(WHEN_GONE, lambda: None)()


def answering_when(released: threading.Event) -> Flask:
    """Return an app that answers when it may."""
    flask = Flask("tests")

    def work() -> str:
        assert released.wait(PATIENCE)
        return ""

    for path in ("/", PATH):
        flask.add_url_rule(path, endpoint=path, view_func=work, methods=["POST"])
    return flask


async def pass_some_time() -> None:
    """Let everything run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


async def fill_with_requests(app: WholeRequests, size: int, released: threading.Event) -> list[tuple[int, int]]:
    """Give an app that is busy many requests, then a small one. Returns all answers, the small one's last."""
    asked = [asyncio.create_task(Sender(size).post(app)) for _ in range(2 * MAX_BYTES_IN_WORK // size)]
    asked.append(asyncio.create_task(Sender(30_000).post(app)))
    await pass_some_time()
    assert not asked[-1].done()
    released.set()
    return list(await asyncio.gather(*asked))


@pytest.mark.parametrize("size", [8 * MIB, MIB, 200_000])
def test_large_requests_in_work_are_bounded_and_a_small_one_still_gets_in(size: int) -> None:
    released = threading.Event()
    app = WholeRequests(answering_when(released), 2)
    answers = asyncio.run(fill_with_requests(app, size, released))
    app.close()
    assert answers[-1] == (200, 30_000)
    assert {status for status, _ in answers} == {200, 503}
    assert 16 * MIB <= sum(taken for status, taken in answers if status == 200) <= MAX_BYTES_IN_WORK


def count_admitted(size: int) -> int:
    """Return how many requests of this size are in work at the limit."""
    used = count = 0
    while size + HEAD_BYTES <= (MAX_BYTES_IN_WORK - used) // 2:
        used, count = used + size + HEAD_BYTES, count + 1
    return count


@pytest.mark.parametrize("size", [5 * MIB // 2, 5 * MIB // 4])
def test_large_requests_beyond_the_limit_are_refused_while_a_commit_hangs(field: Field, size: int) -> None:
    tablets, most = [field.tablet(), field.tablet()], 50 * MIB // size
    sent = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    head = f"POST {PATH} HTTP/1.1\r\nContent-Length: {size}\r\nChaski-Signature: {'A' * 22}.A\r\n\r\n".encode()
    with run_servers(field) as (port, _), ThreadPoolExecutor(2) as clients, hung_commits(field) as hung:
        answers = [clients.submit(post_message, port, sent[0])]
        assert hung.begun.wait(PATIENCE)
        with ExitStack() as stack:
            lines = [stack.enter_context(connect(port)) for _ in range(most)]
            for line in lines:
                line.sendall(head + bytes(size))
            for _ in range(most - count_admitted(size)):
                line = select.select(lines, [], [], PATIENCE)[0][0]
                assert read_answer(line).code == "server.busy"
                lines.remove(line)
            answers.append(clients.submit(post_message, port, sent[1]))
            hung.released.set()
            assert [answer.result(PATIENCE).status for answer in answers] == [200, 200]


@contextmanager
def hung_commits(field: Field) -> Iterator[HungCommit]:
    """Let the commits of a server wait."""
    writer = writing_connection(field.services.db)
    hung = HungCommit(writer.conn)
    writer.conn = hung  # type: ignore[assignment]
    try:
        yield hung
    finally:
        hung.released.set()


@pytest.mark.parametrize(("size", "many"), [(2, 2_500), (60_000, 600)])
def test_small_requests_of_vanished_senders_take_no_room_from_a_tablet(field: Field, size: int, many: int) -> None:
    tablets = [field.tablet(), field.tablet()]
    sent = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    head = f"POST {PATH} HTTP/1.1\r\nContent-Length: {size}\r\nChaski-Signature: {'A' * 22}.A\r\n\r\n".encode()
    with run_servers(field) as (port, _), ThreadPoolExecutor(2) as clients, hung_commits(field) as hung:
        answers = [clients.submit(post_message, port, sent[0])]
        assert hung.begun.wait(PATIENCE)
        for _ in range(many):
            with connect(port) as line:
                line.sendall(head + bytes(size))
        answers.append(clients.submit(post_message, port, sent[1]))
        hung.released.set()
        assert [answer.result(PATIENCE).status for answer in answers] == [200, 200]


@pytest.mark.parametrize("size", [2, 60_000, 4 * MIB])
@pytest.mark.parametrize("path", ["/", PATH])
def test_requests_whose_connections_end_are_forgotten_when_room_is_short(field: Field, size: int, path: str) -> None:
    released, many = threading.Event(), 2 * MAX_BYTES_IN_WORK // (size + HEAD_BYTES)

    async def vanish_and_come() -> tuple[set[int], set[int]]:
        app = TabletRequests(answering_when(released), 2, SyncThread(field.services))  # It never begins to answer.
        asked = [asyncio.create_task(Sender(9).post(app)) for _ in range(2)]
        await pass_some_time()
        gone = list[asyncio.Task[tuple[int, int]]]()
        for _ in range(many):
            sender = Sender(size, path)
            gone.append(asyncio.create_task(sender.post(app)))
            await pass_some_time()
            sender.vanish()
        asked.append(asyncio.create_task(Sender(size).post(app)))
        await pass_some_time()
        forgotten = {one.result()[0] for one in gone if one.done()}
        released.set()
        answered = {(await one)[0] for one in asked}
        app.close()
        return forgotten, answered

    assert asyncio.run(vanish_and_come()) == ({0}, {200})


def test_a_push_whose_line_breaks_while_it_waits_is_stored_while_there_is_room(field: Field) -> None:
    tablets = [field.tablet(), field.tablet()]
    sent = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    head = f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(sent[1].body)}\r\nChaski-Signature: {sent[1].signature}"
    with run_servers(field) as (port, _), ThreadPoolExecutor(1) as clients, hung_commits(field) as hung:
        answer = clients.submit(post_message, port, sent[0])
        assert hung.begun.wait(PATIENCE)
        with connect(port) as line:
            line.sendall(f"{head}\r\n\r\n".encode() + sent[1].body)
            wait_until_read(line)
        assert send_request(port, "GET", "/x").status == 404, "the server has seen the end of the connection before"
        hung.released.set()
        assert answer.result(PATIENCE).status == 200
        wait_until(lambda: field.rows("select count(*) from envelopes") == [(2,)], "the push was not stored")


@pytest.mark.parametrize("size", [2, 4 * MIB])
def test_a_request_that_is_worked_on_counts_until_it_ends_though_its_sender_vanished(size: int) -> None:
    released = threading.Event()

    async def vanish() -> list[tuple[int, int]]:
        app = WholeRequests(answering_when(released), 1)
        first, second = Sender(size), Sender(size)
        asked = [asyncio.create_task(each.post(app)) for each in (first, second)]
        await pass_some_time()
        first.vanish()
        await pass_some_time()
        assert not asked[0].done()
        assert not asked[1].done()
        released.set()
        answers = await asyncio.gather(*asked)
        app.close()
        return answers

    assert asyncio.run(vanish()) == [(200, size)] * 2


# Connections


class Answers:
    """An app that reads a request and answers it with so many bytes, when it may."""

    def __init__(self, size: int) -> None:
        self.body, self.begun, self.ended, self.may = bytes(size), 0, 0, asyncio.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        while (event := await receive())["type"] == "http.request" and event.get("more_body"):
            pass
        self.begun += 1
        await self.may.acquire()
        length = str(len(self.body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.body})
        self.ended += 1


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[Listener]:
    """A listener on loopback for this app."""
    opened = Listener(app, host="127.0.0.1", port=0, patience=60)
    opened.start()
    yield opened
    opened.stop_accepting()
    opened.close()
    await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it does not come to that."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("requests", [1, 8])
def test_responses_that_nobody_fetches_are_bounded(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    monkeypatch.setattr(listener, "MAX_BYTES_IN_MEMORY", 40 * MIB)

    async def ask_and_never_read() -> None:
        app = Answers(16 * MIB)
        async with listening(app) as opened:
            with ExitStack() as stack:
                for _ in range(8):
                    line = stack.enter_context(socket.socket())
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    line.connect(("127.0.0.1", opened.port))
                    line.sendall(b"GET / HTTP/1.1\r\n\r\n" * requests)
                await until(lambda: app.begun == 8)
                for _ in range(8 * requests):
                    app.may.release()
                await until(lambda: app.ended >= 8)
                for _ in range(100):
                    await asyncio.sleep(0)
                assert app.begun == 8
                assert 0 < sum(channel.held for channel in opened.channels) <= 40 * MIB

    asyncio.run(ask_and_never_read())


@pytest.mark.parametrize("size", [100, 8 * MIB])
def test_a_client_that_fetches_gets_every_response_that_it_asked_for_ahead(size: int) -> None:
    async def ask_ahead() -> int:
        app = Answers(size)
        async with listening(app) as opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n" * 5)
            for _ in range(5):
                app.may.release()
            fetched = 0
            for _ in range(5):
                await reader.readuntil(b"\r\n\r\n")
                fetched += len(await reader.readexactly(size))
            writer.close()
            return fetched

    assert asyncio.run(ask_ahead()) == 5 * size


@pytest.mark.parametrize("requests", [2, 5])
def test_a_body_is_forgotten_when_it_is_answered_though_others_follow(requests: int) -> None:
    async def send_ahead() -> None:
        app, head = Answers(0), b"POST / HTTP/1.1\r\nContent-Length: 10000\r\n\r\n"
        least, most = 10_000, 10_000 + len(head)
        async with listening(app) as opened:
            _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            (channel,) = opened.channels
            writer.write((head + bytes(least)) * requests)
            await until(lambda: requests * least <= channel.held <= requests * most)
            for left in range(requests - 1, -1, -1):
                app.may.release()
                await until(lambda left=left: left * least <= channel.held <= left * most)  # type: ignore[misc]
            writer.close()

    asyncio.run(send_ahead())


class FullSocket(socket.socket):
    """A listening socket on a machine that has no free descriptor, until `error` is 0."""

    error, calls = 0, Counter[str]()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, or fail."""
        self.calls["accept"] += 1
        if self.error:
            raise OSError(self.error, "none is free")
        return super().accept()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_a_listener_without_free_descriptors_tries_again_once_a_second(error: int) -> None:
    async def run_out() -> None:
        opened = Listener(Answers(0), host="127.0.0.1", port=0, patience=60)
        full = opened.socket = FullSocket(fileno=opened.socket.detach())
        full.error, full.calls = error, Counter()
        opened.start()
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        for second in range(1, 4):
            await until(lambda second=second: full.calls["accept"] >= second)  # type: ignore[misc]
            for _ in range(50):
                await asyncio.sleep(0)
            assert (full.calls["accept"], len(opened.channels)) == (second, 0)
            opened.maintain()
        full.error = 0
        opened.maintain()
        await until(lambda: len(opened.channels) == 1)
        writer.close()
        opened.stop_accepting()
        opened.close()

    asyncio.run(run_out())


# What is kept after a rush

SHARED = """
import ctypes, sys, threading
from server.app import limit_arenas
limit_arenas()
libc, all_hold = ctypes.CDLL(None), threading.Barrier(9)
def hold():
    held = bytes(2**20 // 16)
    all_hold.wait()
    all_hold.wait()
for _ in range(8):
    threading.Thread(target=hold).start()
all_hold.wait()
libc.fopen.restype = ctypes.c_void_p
told = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, told)
libc.fclose(told)
all_hold.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep memory in other ways")
def test_eight_threads_share_two_arenas(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SHARED, str(tmp_path / "told")], check=True)
    assert (tmp_path / "told").read_text().count("<heap nr=") == 2
