"""The HTTP listener of an API: waitress with fixed limits on connections, time, head size and memory.

`server.app` opens one listener per API. The limits exist so that slow or malformed senders cannot keep tablets out.
Request bodies must stay in memory, within a bound; the listener must not write them to disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error, RequestEntityTooLarge

from server import problems
from server.client_network import network_of
from sync.exchange.messages import MAX_BODY_BYTES

_log = logging.getLogger("chaski")
MAX_HEAD_BYTES = 16 * 1024
# A Content-Length with this many digits is valid, but int() refuses to parse it.
_LONG_LENGTH = re.compile(r"[0-9]{1000,}")
# Open connections per listener. At the limit, the listener closes the slowest waiting connection to accept a new one.
MAX_CONNECTIONS = 400
# Connections that wait in the system's queue, and the minimum age in seconds of a connection that may be closed.
BACKLOG, GRACE_SECONDS = 4096, 1
# Unanswered requests that one connection may send; Chaski's clients send one.
MAX_PIPELINED = 8
# Bytes in memory per listener: arriving, queued, or not yet fetched. At the limit, the same rule applies.
MAX_BYTES_IN_MEMORY = 64 * 1024 * 1024
# A sender at this rate (bytes per second) gets more time; the slowest line of a tablet is faster.
MIN_BYTES_PER_SECOND = 1024
# After an early error response, read and drop the rest of the request: a closed socket would destroy the response.
LINGER_SECONDS, LINGER_BYTES = 5, 16 * 1024 * 1024


def why_no_port(host: str, port: int) -> str:
    """Return the system's reason why a port cannot be bound, or "" if it can. The check itself does not listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as wrong:
        return os.strerror(wrong.errno) if wrong.errno else str(wrong)
    return ""


class LengthRequired(Error):  # type: ignore[misc]  # noqa: N818 (named like waitress' own)
    """A chunked body. The parser rejects it, because its length is unknown before it arrives."""

    code = HTTPStatus.LENGTH_REQUIRED


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Parses one request. Rejects a chunked body as soon as its head is complete."""

    path = ""  # For an unreadable head: waitress reads this attribute when the client has disconnected.

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the head. A ValueError inside waitress becomes a ParsingError, so the client gets status 400."""
        try:
            super().parse_header(header_plus)
        except ValueError as wrong:  # From int(), which rejects very long numbers, or from urlsplit().
            if not _LONG_LENGTH.fullmatch(self.headers.get("CONTENT_LENGTH", "")):
                raise ParsingError("Head is invalid") from wrong
            self.error = RequestEntityTooLarge("")
        if self.chunked:
            self.body_rcv, self.error = None, LengthRequired("")

    def received(self, data: bytes) -> int:
        """Parse received bytes. A rejected request gets no `100 Continue`."""
        consumed: int = super().received(data)
        if self.error:
            self.expect_continue = False
        return consumed


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers a malformed request with a problem document, like both APIs."""

    def execute(self) -> None:
        """Write the response and close the connection."""
        language = problems.choose_language(self.request.headers.get("ACCEPT_LANGUAGE", ""))
        status, document = problems.document_of_status(self.request.error.code, language)
        _log.info("refused", extra={"fields": {"status": status}})
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers.append(("Content-Type", problems.MEDIA_TYPE))
        self.set_close_on_finish()
        self.content_length = len(document)
        self.write(document)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. A turn is the time in which the client must send a request or fetch a response."""

    parser_class = Parser
    error_task_class = ProblemTask
    refused = False
    lingering = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._new_turn()
        super().__init__(*args, **kwargs)

    def _new_turn(self) -> None:
        self.began, self.moved, self.silent = time.monotonic(), 0, True

    @cached_property
    def network(self) -> str:
        """The network that the client connects from. Strangers with 2^64 addresses count as one."""
        return network_of(self.addr[0])

    @property
    def waits(self) -> bool:
        """True if the server waits for the client."""
        return not self.will_close and bool(not self.requests or self.total_outbufs_len)

    @property
    def idle(self) -> bool:
        """True if no byte of a request has arrived and no response waits to be fetched."""
        return self.silent and not self.total_outbufs_len

    def pace(self, now: float) -> float:
        """Return the client's rate in bytes per second. A new turn starts with one second at the minimum rate."""
        return (self.moved + MIN_BYTES_PER_SECOND) / (now - self.began + 1)

    def is_late(self, now: float, patience: int) -> bool:
        """True if the client is slower than the minimum rate allows. `patience`: the basic time in seconds."""
        allowed = LINGER_SECONDS if self.lingering else patience + self.moved / MIN_BYTES_PER_SECOND
        return self.waits and now - self.began > allowed

    def drop(self) -> None:
        """Close the connection without a response."""
        # The loop closes it later: a descriptor that is freed here could already belong to the next connection.
        self.refused, self.will_close = False, True

    @property
    def held(self) -> int:
        """Bytes of this connection in memory."""
        arriving: int = self.request.body_bytes_received if self.request else 0
        queued: int = sum(request.body_bytes_received for request in self.requests)
        return arriving + queued + int(self.total_outbufs_len)

    def received(self, data: bytes) -> bool:
        """Parse received bytes of one or more requests."""
        if self.silent:
            self._new_turn()
            self.silent = False
        self.moved += len(data)
        taken: bool = super().received(data)
        if len(self.requests) > MAX_PIPELINED:
            self.drop()
        elif self.held > MAX_HEAD_BYTES:
            self.server.make_room()
        return taken

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send bytes of a response. Returns the number of bytes sent."""
        sent: int = super().send(data, do_close)
        self.moved += sent
        return sent

    def service(self) -> None:
        """Answer one request in a worker thread. Then a new turn of the client begins."""
        self.refused = self.requests[0].error is not None
        super().service()
        self._new_turn()

    def handle_read(self) -> None:
        """Read received bytes; drop them after an early error response."""
        if not self.lingering:
            super().handle_read()
            return
        self.moved += len(self.recv(self.adj.recv_bytes))
        if self.moved > LINGER_BYTES:
            super().handle_close()

    def handle_close(self) -> None:
        """Close the connection. After an early error response, close only the sending half at first."""
        if self.refused:
            self.refused, self.will_close = False, False
            self._new_turn()
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.lingering = True
                return
        super().handle_close()


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """One listening port. Raises OSError if it cannot be bound."""

    channel_class = Channel

    def __init__(
        self, app: Any, channels: dict[int, Any], *, host: str, port: int, threads: int, patience: int
    ) -> None:
        self.patience = patience
        in_memory = MAX_BYTES_IN_MEMORY
        limits = Adjustments(
            host=host,
            port=port,
            threads=threads,
            connection_limit=4 * MAX_CONNECTIONS,
            backlog=BACKLOG,
            max_request_header_size=MAX_HEAD_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,
            inbuf_overflow=in_memory,
            outbuf_overflow=in_memory,
            outbuf_high_watermark=in_memory,  # A worker never waits for a client that does not fetch its responses.
            recv_bytes=64 * 1024,
            cleanup_interval=1,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        super().__init__(app, map=channels, adj=limits)

    def maintenance(self, now: float) -> None:
        """Close late connections. Waitress calls this about once per second."""
        moment = time.monotonic()
        for channel in list(self.active_channels.values()):
            if channel.is_late(moment, self.patience):
                channel.drop()

    def readable(self) -> bool:
        """True if the listener can accept a connection now. Until then it waits in the system's queue."""
        return super().readable() and (len(self.active_channels) < MAX_CONNECTIONS or self._may_drop())

    def _may_drop(self) -> bool:
        # A client that is dropped at once reconnects and sends everything again. A thousand tablets may sync at once.
        worst = self._worst(self.active_channels.values())
        return worst is not None and time.monotonic() - worst.began > GRACE_SECONDS

    def handle_accept(self) -> None:
        """Accept a connection; at the limit, drop another one first."""
        if len(self.active_channels) >= MAX_CONNECTIONS:
            self._drop_one(self.active_channels.values())
        super().handle_accept()

    def make_room(self) -> None:
        """Drop connections until the bytes in memory are within the limit."""
        while True:
            holding = [each for each in self.active_channels.values() if each.held and not each.will_close]
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
