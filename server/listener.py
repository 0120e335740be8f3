"""How a door listens: waitress with limits that no sender can stretch. server.app opens one for each door. Bodies stay
in memory, within a bound; who is slower than a poor line, or sends what is no request, never keeps a tablet out."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error, RequestEntityTooLarge

from server import problems
from sync.exchange.messages import MAX_BODY_BYTES

_log = logging.getLogger("chaski")
MAX_HEAD_BYTES = 16 * 1024
# A length of so many digits is a length all the same, though no number that int() reads.
_LONG_LENGTH = re.compile(r"[0-9]{1000,}")
# Open at once at one door; past it, a connection that keeps us waiting for little or nothing is closed for the next.
MAX_CONNECTIONS = 400
# Connections that the system keeps for us meanwhile, and seconds for which the worst of ours is left in peace.
BACKLOG, GRACE_SECONDS = 4096, 1
# Requests that one connection may send before it has its answers; ours send one.
MAX_PIPELINED = 8
# Bytes at one door that are still arriving, wait for their turn, or are not fetched; past it, the same rule.
MAX_BYTES_IN_MEMORY = 64 * 1024 * 1024
# Bytes a second that buy a sender more time: less than the poorest line of a tablet gives.
MIN_BYTES_PER_SECOND = 1024
# An answer given before the whole request came would be lost if the rest met a closed socket: it is read and dropped.
LINGER_SECONDS, LINGER_BYTES = 5, 16 * 1024 * 1024


def why_no_port(host: str, port: int) -> str:
    """Say why no door can be opened there now, in the system's words; empty when one can. Nothing listens meanwhile."""
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
    """A body in chunks, whose length nobody can hold against a limit before it comes."""

    code = HTTPStatus.LENGTH_REQUIRED


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads one request; refuses a body in chunks by its head."""

    path = ""  # Of a head that cannot be read; waitress asks for it when the other side has gone meanwhile.

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; one that waitress trips over is refused like any other that it cannot read."""
        try:
            super().parse_header(header_plus)
        except ValueError as wrong:  # Of int(), which reads no number of many digits, or of urlsplit().
            if not _LONG_LENGTH.fullmatch(self.headers.get("CONTENT_LENGTH", "")):
                raise ParsingError("Head is invalid") from wrong
            self.error = RequestEntityTooLarge("")
        if self.chunked:
            self.body_rcv, self.error = None, LengthRequired("")

    def received(self, data: bytes) -> int:
        """Take in bytes; a request that is refused is not asked to go on."""
        consumed: int = super().received(data)
        if self.error:
            self.expect_continue = False
        return consumed


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers what is no request with a problem document, as both doors do."""

    def execute(self) -> None:
        """Write the answer; the connection ends with it."""
        language = problems.choose_language(self.request.headers.get("ACCEPT_LANGUAGE", ""))
        status, document = problems.document_of_status(self.request.error.code, language)
        _log.info("refused", extra={"fields": {"status": status}})
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers.append(("Content-Type", problems.MEDIA_TYPE))
        self.set_close_on_finish()
        self.content_length = len(document)
        self.write(document)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. A turn is what we wait for the other side to do: send a request, or fetch an answer."""

    parser_class = Parser
    error_task_class = ProblemTask
    refused = False
    lingering = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._new_turn()
        super().__init__(*args, **kwargs)

    def _new_turn(self) -> None:
        self.began, self.moved, self.silent = time.monotonic(), 0, True

    @property
    def waits(self) -> bool:
        """Whether it is the other side's turn."""
        return not self.will_close and bool(not self.requests or self.total_outbufs_len)

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has come, and no answer waits to be fetched."""
        return self.silent and not self.total_outbufs_len

    def pace(self, now: float) -> float:
        """Bytes for each second that it made us wait; a new turn is given the first second of a poor line."""
        return (self.moved + MIN_BYTES_PER_SECOND) / (now - self.began + 1)

    def is_late(self, now: float, patience: int) -> bool:
        """Whether the other side takes longer than a poor line would."""
        allowed = LINGER_SECONDS if self.lingering else patience + self.moved / MIN_BYTES_PER_SECOND
        return self.waits and now - self.began > allowed

    def drop(self) -> None:
        """Close it without another word."""
        # By the loop, not here: a descriptor that is free too early could be the next connection's.
        self.refused, self.will_close = False, True

    @property
    def held(self) -> int:
        """Bytes that this connection keeps in memory."""
        arriving: int = self.request.body_bytes_received if self.request else 0
        queued: int = sum(request.body_bytes_received for request in self.requests)
        return arriving + queued + int(self.total_outbufs_len)

    def received(self, data: bytes) -> bool:
        """Take in bytes of a request, or of several."""
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
        """Send some bytes of an answer."""
        sent: int = super().send(data, do_close)
        self.moved += sent
        return sent

    def service(self) -> None:
        """Answer one request, in a worker's thread; then it is the other side's turn again."""
        self.refused = self.requests[0].error is not None
        super().service()
        self._new_turn()

    def handle_read(self) -> None:
        """Read what has come."""
        if not self.lingering:
            super().handle_read()
            return
        self.moved += len(self.recv(self.adj.recv_bytes))
        if self.moved > LINGER_BYTES:
            super().handle_close()

    def handle_close(self) -> None:
        """Close; after a refusal, only our half at first."""
        if self.refused:
            self.refused, self.will_close = False, False
            self._new_turn()
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.lingering = True
                return
        super().handle_close()


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """One listening port. Raises OSError when it cannot be bound."""

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
            outbuf_high_watermark=in_memory,  # A worker never waits for somebody who does not fetch his answers.
            recv_bytes=64 * 1024,
            cleanup_interval=1,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        super().__init__(app, map=channels, adj=limits)

    def maintenance(self, now: float) -> None:
        """Close who is late; waitress calls it about once a second."""
        moment = time.monotonic()
        for channel in list(self.active_channels.values()):
            if channel.is_late(moment, self.patience):
                channel.drop()

    def readable(self) -> bool:
        """Whether the next connection may come in; until then it waits in the queue of the system."""
        return super().readable() and (len(self.active_channels) < MAX_CONNECTIONS or self._may_drop())

    def _may_drop(self) -> bool:
        # Who came a moment ago, and is dropped, comes again and sends all anew: a thousand tablets may speak at once.
        worst = self._worst(self.active_channels.values())
        return worst is not None and time.monotonic() - worst.began > GRACE_SECONDS

    def handle_accept(self) -> None:
        """Let the next connection in."""
        if len(self.active_channels) >= MAX_CONNECTIONS:
            self._drop_one(self.active_channels.values())
        super().handle_accept()

    def make_room(self) -> None:
        """Keep what is in memory within its bound."""
        while True:
            holding = [each for each in self.active_channels.values() if each.held and not each.will_close]
            if sum(channel.held for channel in holding) <= MAX_BYTES_IN_MEMORY or not self._drop_one(holding):
                return

    def _worst(self, among: Iterable[Channel]) -> Channel | None:
        """Who is worth least: idle ones first, then by pace, shared by all that come from the same address."""
        waiting = [channel for channel in among if channel.waits]
        peers, now = Counter(channel.addr[0] for channel in waiting), time.monotonic()
        return min(waiting, key=lambda each: (not each.idle, each.pace(now) / peers[each.addr[0]]), default=None)

    def _drop_one(self, among: Iterable[Channel]) -> bool:
        worst = self._worst(among)
        if worst is not None:
            worst.drop()
        return worst is not None
