"""One connection of the HTTP listener: uvicorn's reader with fixed limits on head size, requests sent ahead and time.

`server.listener` makes a channel per connection and decides which ones to drop. Request bodies must stay in memory; a
channel counts them until they are answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from server import problems
from server.client_network import network_of
from sync.exchange.messages import MAX_BODY_BYTES

_log = logging.getLogger("chaski")
# A head: bytes of the first line and of all others, and lines. A line that is not whole yet may have as many bytes.
MAX_HEAD_BYTES, MAX_HEAD_LINES = 16 * 1024, 64
# Unanswered requests that one connection may send; Chaski's clients send one.
MAX_PIPELINED = 8
# A sender at this rate (bytes per second) gets more time; the slowest line of a tablet is faster.
MIN_BYTES_PER_SECOND = 1024
# In the scope of a request: what an app wants to be called if its connection ends before it is answered.
WHEN_GONE = "chaski.when_gone"
# After an early error response, read and drop the rest of the request: a closed socket would destroy the response.
LINGER_SECONDS, LINGER_BYTES = 5, 16 * 1024 * 1024


def allowed_seconds(moved: int, patience: int, *, lingering: bool) -> float:
    """Return how long a turn of a client may take that has moved so many bytes. `patience`: the basic time."""
    return LINGER_SECONDS if lingering else patience + moved / MIN_BYTES_PER_SECOND


class _RefusedHeadError(Exception):
    """Ends the reading of a request whose head alone says that it is refused."""


class Owner(Protocol):
    """What a channel needs of the listener that accepted it."""

    config: Config
    state: ServerState
    loop: asyncio.AbstractEventLoop
    channels: dict[Channel, None]

    def count(self, channel: Channel, held: int) -> None:
        """Take the bytes that a channel holds now."""

    def forget(self, channel: Channel) -> None:
        """Forget a channel that is closed or about to be."""

    def accept_more(self) -> None:
        """Accept connections again, if that was put off."""


class Channel(HttpToolsProtocol):
    """One connection. A turn is the time in which the client must send a request or fetch a response."""

    def __init__(self, listener: Owner, address: str) -> None:
        super().__init__(listener.config, listener.state, {}, listener.loop)
        self.listener, self.address, self.opened = listener, address, time.monotonic()
        # Of each request that is not answered yet, the bytes that came; of all, those that the listener counts.
        self.sizes, self.counted, self.unfetched = deque[int](), 0, 0
        # Of the head that is read: the bytes of its whole lines. Of the line that is not whole: the bytes so far.
        self.head_bytes, self.line_bytes, self.steps = 0, 0, 0
        self.in_head, self.in_body = False, False
        self.lingering, self.put_off = False, False
        self.ending, self.ended = False, False  # No more requests are wanted; no more will come.
        self.running: RequestResponseCycle | None = None
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
        """True if the server works on a whole request of this connection. Others may have come behind it."""
        return self.running is not None and not self.running.response_complete and not self.running.more_body

    @property
    def busy(self) -> bool:
        """True if anything is on the way: a request that came in part or is not answered, or an answer."""
        return not (self.silent or self.lingering) or self.unfetched_bytes() > 0

    @property
    def waits(self) -> bool:
        """True if the server waits for the client, or if the client sends no more and may be gone."""
        return self.ended or not self.works or self.unfetched_bytes() > 0

    @property
    def idle(self) -> bool:
        """True if no byte of a request came and no response waits to be fetched, or if the client may be gone."""
        return self.ended or (self.silent and not self.unfetched_bytes())

    @property
    def sent_no_head(self) -> bool:
        """True if no whole head of a request has ever arrived."""
        return self.cycle is None and self.refused is None

    @property
    def held(self) -> int:
        """Bytes of this connection in memory."""
        return sum(self.sizes) + self.unfetched_bytes()

    def _count(self) -> None:
        if (held := self.held) != self.counted:
            self.listener.count(self, held)

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
        self.listener.forget(self)
        if self.transport is not None:
            self.transport.abort()

    def shutdown(self) -> None:
        """Close the connection when all is answered that is on the way."""
        self.ending = True
        if not self.busy:
            self.transport.close()
        elif self.cycle is not None and not self.in_head:
            self.cycle.keep_alive = False

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
        if len(data) <= MAX_HEAD_BYTES:
            self._read(data)
        else:  # In pieces: all but the last line of what is read at once is judged at once.
            for start in range(0, len(data), MAX_HEAD_BYTES):
                if self.refused is None and not self.transport.is_closing():
                    self._read(data[start : start + MAX_HEAD_BYTES])
        self._count()

    def _read(self, data: bytes) -> None:
        before = self.steps
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # No other protocol is offered, and what follows would be in that one.
            self.cycle.keep_alive = False
        except httptools.HttpParserError as wrong:
            self._refuse(_status_of(wrong))
            return
        self.line_bytes = 0 if self.in_body or self.steps != before else self.line_bytes + len(data)
        if self.line_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif len(self.pipeline) > MAX_PIPELINED:
            self.drop()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.head_bytes, self.in_head = 0, True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of a head."""
        self.steps += 1
        self.head_bytes += len(name) + len(value) + 4
        if self.head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEAD_LINES:
            raise _RefusedHeadError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Judge the head of a request, before any of its body is read."""
        self.head_bytes += len(self.url)
        if self.head_bytes > MAX_HEAD_BYTES:
            raise _RefusedHeadError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        for name, value in self.headers:
            if name == b"transfer-encoding":  # The length of a chunked body is unknown before it arrives.
                chunked = value.lower() == b"chunked"
                raise _RefusedHeadError(HTTPStatus.LENGTH_REQUIRED if chunked else HTTPStatus.BAD_REQUEST)
            if name == b"content-length" and _is_too_long(value):
                raise _RefusedHeadError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not self.url.isascii():
            raise _RefusedHeadError(HTTPStatus.BAD_REQUEST)
        self.in_head, self.in_body, self.steps = False, True, self.steps + 1
        self.sizes.append(self.head_bytes)
        super().on_headers_complete()
        if self.ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self.sizes:
            self.sizes[-1] += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request. The next byte belongs to the head of another one, or says that the client is gone."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()
        self.in_body, self.steps = False, self.steps + 1

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that sends no more, until the requests in work are answered."""
        self.ended = True
        return self.works or bool(self.pipeline)

    # Answering

    def on_response_complete(self) -> None:
        """Begin a new turn of the client. It has to fetch a large response before it gets another one."""
        self.sizes.popleft()
        self._new_turn()
        self.silent = not (self.pipeline or self.in_head)
        self._count()
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
        """Begin the next request that it has sent already, or read on. End the connection if no other can come."""
        if self.transport.is_closing():
            return
        if not self.ended:
            self.flow.resume_reading()
        if self.pipeline and not (self.ended and self.pipeline[-1][0].more_body):
            self._start_asgi_task(*self.pipeline.pop())
        elif self.refused is not None:
            self._answer_refused()
        elif self.ended:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

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
        self.sizes.clear()
        self.lingering = True
        self.transport.write(head.encode() + document)
        if self.ended:
            self.transport.close()
            return
        self.flow.resume_reading()
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection with all that came on it, and accept another one."""
        for cycle, _ in self.pipeline:
            cycle.on_response = _do_nothing  # It leads back to this channel: the bodies would stay in memory.
        self.pipeline.clear()
        if self.running is not None:
            self.running.disconnected = True
            self.running.message_event.set()
            scope: dict[str, Any] = self.running.scope  # type: ignore[assignment]
            scope.get(WHEN_GONE, _do_nothing)()
        super().connection_lost(exc)
        self.listener.forget(self)
        self.listener.accept_more()


def _do_nothing() -> None:
    pass


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
