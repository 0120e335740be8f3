"""The HTTP listener of an API: uvicorn's reader with fixed limits on connections, time, head size and memory.

`server.app` opens one listener per API. The limits exist so that slow or malformed senders cannot keep tablets out.
Request bodies must stay in memory, within a bound; the listener must not write them to disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from server import problems
from server.client_network import network_of
from server.ports import bind
from sync.exchange.messages import MAX_BODY_BYTES

_log = logging.getLogger("chaski")
MAX_HEAD_BYTES = 16 * 1024
# Open connections per listener. At the limit, the listener closes the slowest waiting connection to accept a new one.
MAX_CONNECTIONS = 400
# Connections that wait in the system's queue, and the minimum age in seconds of a connection that may be closed.
BACKLOG, GRACE_SECONDS = 4096, 1
# Unanswered requests that one connection may send; Chaski's clients send one.
MAX_PIPELINED = 8
# Bytes in memory per listener: of requests until they are answered, and not yet fetched. At the limit, the same rule.
MAX_BYTES_IN_MEMORY = 64 * 1024 * 1024
# A sender at this rate (bytes per second) gets more time; the slowest line of a tablet is faster.
MIN_BYTES_PER_SECOND = 1024
# After an early error response, read and drop the rest of the request: a closed socket would destroy the response.
LINGER_SECONDS, LINGER_BYTES = 5, 16 * 1024 * 1024


def allowed_seconds(moved: int, patience: int, *, lingering: bool) -> float:
    """Return how long a turn of a client may take that has moved so many bytes. `patience`: the basic time."""
    return LINGER_SECONDS if lingering else patience + moved / MIN_BYTES_PER_SECOND


class _RefusedHeadError(Exception):
    """Ends the reading of a request whose head alone says that it is refused."""


class Channel(HttpToolsProtocol):
    """One connection. A turn is the time in which the client must send a request or fetch a response."""

    def __init__(self, listener: Listener, address: str) -> None:
        super().__init__(listener.config, listener.state, {}, listener.loop)
        self.listener, self.address = listener, address
        self.parts, self.head_bytes, self.unfetched = 0, 0, 0
        self.bodies = deque[int]()  # Of each request that is not answered yet, how many bytes of its body came.
        self.in_head, self.lingering, self.put_off = True, False, False
        self.refused: HTTPStatus | None = None
        self._new_turn()

    def _new_turn(self) -> None:
        self.began, self.moved, self.silent = time.monotonic(), 0, True

    @cached_property
    def network(self) -> str:
        """The network that the client connects from. Strangers with 2^64 addresses count as one."""
        return network_of(self.address)

    @property
    def works(self) -> bool:
        """True if the server works on a request of this connection."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    @property
    def waits(self) -> bool:
        """True if the server waits for the client."""
        return not self.works or self.unfetched_bytes() > 0

    @property
    def idle(self) -> bool:
        """True if no byte of a request has arrived and no response waits to be fetched."""
        return self.silent and not self.unfetched_bytes()

    @property
    def held(self) -> int:
        """Bytes of this connection in memory."""
        return sum(self.bodies) + self.unfetched_bytes()

    def unfetched_bytes(self) -> int:
        """Return how many bytes of responses the client has not fetched; what it did fetch counts as its progress."""
        left = self.transport.get_write_buffer_size() if self.transport is not None else 0
        self.moved += max(self.unfetched - left, 0)
        self.unfetched = left
        return left

    def pace(self, now: float) -> float:
        """Return the client's rate in bytes per second. A new turn starts with one second at the minimum rate."""
        return (self.moved + MIN_BYTES_PER_SECOND) / (now - self.began + 1)

    def drop(self) -> None:
        """Close the connection without a response."""
        self.listener.channels.pop(self, None)
        if self.transport is not None:
            self.transport.abort()

    # Reading

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read, unless the connection was dropped meanwhile."""
        super().connection_made(transport)
        if self not in self.listener.channels:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read received bytes of one or more requests; drop them after an early error response."""
        if self.silent:
            self._new_turn()
            self.silent = False
        self.moved += len(data)
        if self.refused is not None:
            if self.moved > LINGER_BYTES:
                self.drop()
            return
        before = self.parts
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # No other protocol is offered, and what follows would be in that one.
            self.cycle.keep_alive = False
        except httptools.HttpParserError as wrong:
            self._refuse(_status_of(wrong))
            return
        self.head_bytes += len(data) if self.in_head and self.parts == before else 0
        if self.head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif len(self.pipeline) > MAX_PIPELINED:
            self.drop()
        elif self.held > MAX_HEAD_BYTES:
            self.listener.make_room()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.head_bytes, self.in_head = 0, True

    def on_headers_complete(self) -> None:
        """Judge the head of a request, before any of its body is read."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            raise _RefusedHeadError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        for name, value in self.headers:
            if name == b"transfer-encoding":  # The length of a chunked body is unknown before it arrives.
                chunked = value.lower() == b"chunked"
                raise _RefusedHeadError(HTTPStatus.LENGTH_REQUIRED if chunked else HTTPStatus.BAD_REQUEST)
            if name == b"content-length" and _is_too_long(value):
                raise _RefusedHeadError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not self.url.isascii():
            raise _RefusedHeadError(HTTPStatus.BAD_REQUEST)
        self.in_head, self.parts = False, self.parts + 1
        self.bodies.append(0)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self.bodies:
            self.bodies[-1] += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request. The next byte belongs to the head of another one."""
        super().on_message_complete()
        self.head_bytes, self.in_head, self.parts = 0, True, self.parts + 1

    # Answering

    def on_response_complete(self) -> None:
        """Begin a new turn of the client. It has to fetch a large response before it gets another one."""
        self.bodies.popleft()
        self._new_turn()
        if self.held > MAX_HEAD_BYTES:
            self.listener.make_room()
        if self.transport.is_closing():
            return
        self.put_off = self.flow.write_paused
        if self.put_off:
            self.flow.pause_reading()
        else:
            self._go_on()

    def resume_writing(self) -> None:
        """Go on when a large response was fetched."""
        super().resume_writing()
        if self.put_off:
            self.put_off = False
            self._go_on()

    def _go_on(self) -> None:
        """Begin the next request that it has sent already, or read on."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.refused is not None:
            self._answer_refused()

    def _refuse(self, status: HTTPStatus) -> None:
        """Read no more requests. Answer the refused one with a problem document, after those before it."""
        self.refused = status
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:
                return
            self.cycle.disconnected = True  # Its body is malformed: the app gets the end of the connection.
            self.cycle.message_event.set()
        self._answer_refused()

    def _answer_refused(self) -> None:
        """Send the problem document, like both APIs do, and close the sending half of the connection."""
        assert self.refused is not None
        asked = dict(self.headers or ()).get(b"accept-language", b"").decode("latin-1")
        status, document = problems.document_of_status(self.refused, problems.choose_language(asked))
        _log.info("refused", extra={"fields": {"status": status}})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
            f"content-length: {len(document)}\r\ndate: {formatdate(usegmt=True)}\r\nconnection: close\r\n\r\n"
        )
        self._new_turn()
        self.bodies.clear()
        self.lingering = True
        self.flow.resume_reading()
        self.transport.write(head.encode() + document)
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and accept another one."""
        super().connection_lost(exc)
        self.listener.channels.pop(self, None)
        self.listener.accept_more()


def _status_of(wrong: httptools.HttpParserError) -> HTTPStatus:
    """Return the status for a request that cannot be read."""
    refused = wrong.__context__
    if isinstance(refused, _RefusedHeadError):
        return HTTPStatus(refused.args[0])
    # A length with this many digits is valid, but the reader has no number for it.
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if "overflow" in str(wrong).lower() else HTTPStatus.BAD_REQUEST


def _is_too_long(length: bytes) -> bool:
    digits = length.strip().lstrip(b"0")
    return len(digits) > len(str(MAX_BODY_BYTES)) or int(digits or b"0") > MAX_BODY_BYTES + 1


class Listener:
    """One listening port. Raises OSError if it cannot be bound."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, app: Any, *, host: str, port: int, patience: int) -> None:
        self.patience = patience
        self.channels: dict[Channel, None] = {}
        self.config = Config(
            app, interface="asgi3", ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
        )
        self.config.load()
        self.state = ServerState()
        self.socket = bind(host, port)
        self.socket.setblocking(False)
        self.socket.listen(BACKLOG)
        self._accepts = False

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections in the running event loop, until `close`."""
        self.loop = asyncio.get_running_loop()
        self._tell_date()
        self._accepts = True
        self.loop.add_reader(self.socket, self._accept_waiting)

    def maintain(self) -> None:
        """Close late connections. The server calls this once per second."""
        moment = time.monotonic()
        for channel in list(self.channels):
            allowed = allowed_seconds(channel.moved, self.patience, lingering=channel.lingering)
            if channel.waits and moment - channel.began > allowed:
                channel.drop()
        self._tell_date()
        self.accept_more()

    def _tell_date(self) -> None:
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]

    def stop_accepting(self) -> None:
        """Refuse new connections, and close each open one when its request is answered."""
        self.loop.remove_reader(self.socket)
        self.socket.close()
        for channel in list(self.channels):
            if channel.transport is not None:
                channel.shutdown()

    def close(self) -> None:
        """Close all connections."""
        for channel in list(self.channels):
            channel.drop()

    @property
    def works(self) -> bool:
        """True if a request is not answered yet, or an answer not sent."""
        return any(channel.works or channel.unfetched_bytes() for channel in self.channels)

    def accept_more(self) -> None:
        """Accept connections again, if that was put off."""
        if not self._accepts and self.socket.fileno() >= 0 and self._has_room():
            self._accepts = True
            self.loop.add_reader(self.socket, self._accept_waiting)

    def _put_off(self) -> None:
        self._accepts = False
        self.loop.remove_reader(self.socket)

    def accept(self) -> tuple[socket.socket, str] | None:
        """Accept a connection. Returns it with the client's address, or None if no connection can be accepted now."""
        try:
            line, address = self.socket.accept()
        except (BlockingIOError, ConnectionError):  # Gone already.
            return None
        except OSError:  # No descriptor is free. The waiting connection would call again at once, for ever.
            self._put_off()
            return None
        return line, str(address[0])

    def _accept_waiting(self) -> None:
        """Accept all connections that wait; at the limit, drop another one for each, or put it off."""
        while True:
            if not self._has_room():
                self._put_off()
                return
            accepted = self.accept()
            if accepted is None:
                return
            if len(self.channels) >= MAX_CONNECTIONS:
                self._drop_one(self._list_seasoned())
            line, address = accepted
            line.setblocking(False)
            channel = Channel(self, address)
            self.channels[channel] = None
            self.loop.create_task(self._connect(channel, line))

    async def _connect(self, channel: Channel, line: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: channel, line)
        except OSError:
            self.channels.pop(channel, None)
            line.close()

    def _has_room(self) -> bool:
        """True if a connection can be accepted now. Until then it waits in the system's queue."""
        if len(self.channels) < MAX_CONNECTIONS:
            return True
        seasoned = self._list_seasoned()  # In a sudden crowd, the worst of a few may be an honest sender.
        return len(seasoned) >= MAX_CONNECTIONS // 2 and self._worst(seasoned) is not None

    def _list_seasoned(self) -> list[Channel]:
        """Return the connections that had their time: a client that is dropped at once would come again at once."""
        since = time.monotonic() - GRACE_SECONDS
        return [channel for channel in self.channels if channel.began < since]

    def make_room(self) -> None:
        """Drop connections until the bytes in memory are within the limit."""
        while True:
            holding = [each for each in self.channels if each.held]
            if sum(channel.held for channel in holding) <= MAX_BYTES_IN_MEMORY or not self._drop_one(holding):
                return

    def _worst(self, among: Iterable[Channel]) -> Channel | None:
        """Return the connection to drop first: idle ones, then the slowest. Connections of one network share a rate."""
        waiting = [channel for channel in among if channel.waits]
        peers, now = Counter(channel.network for channel in waiting), time.monotonic()
        return min(waiting, key=lambda each: (not each.idle, each.pace(now) / peers[each.network]), default=None)

    def _drop_one(self, among: Iterable[Channel]) -> bool:
        worst = self._worst(among)
        if worst is not None:
            worst.drop()
        return worst is not None
