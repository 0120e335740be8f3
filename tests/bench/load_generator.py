"""The load generator of `make bench`: one loop over plain sockets that sends prepared bytes and reads the answers.

It runs in a process of its own and takes CPU from the server on a machine with two cores. So it seals, signs and parses
nothing while it measures: epoll says which socket is ready, and of an answer it reads the status and the length.
"""

from __future__ import annotations

import heapq
import random
import re
import resource
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
PORTION = 64 * 1024
_BLANK = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+) *\r", re.IGNORECASE)


@dataclass
class Client:
    """One tablet's line: the requests that it sends one after the other, and the milliseconds that each one took."""

    requests: Sequence[bytes | memoryview]
    taken: list[float] = field(default_factory=list)
    tries: int = 0
    number: int = 0
    line: socket.socket | None = None
    waits_to_send: bool = False
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    got: bytearray = field(default_factory=bytearray)
    begun: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether each request was answered."""
        return len(self.taken) == len(self.requests)


@dataclass(frozen=True)
class Run:
    """What a run did: its seconds on the wall, and the CPU seconds of this process."""

    wall: float
    cpu: float


class LoadGenerator:
    """Drives many clients at once against one port of this machine.

    Without `pause` every client is connected before the clock starts, and whatever goes wrong ends the run. With it a
    client connects when the clock runs. If it is refused, cut off, or not answered within `patience` seconds, it waits
    and tries again; the pause grows with each try up to its last value.
    """

    def __init__(
        self, port: int, clients: Sequence[Client], *, pause: Sequence[float] = (), patience: float = 60.0
    ) -> None:
        self._port, self._clients = port, clients
        self._pause, self._patience = pause, patience
        self._poll = select.epoll()
        self._by_file: dict[int, Client] = {}
        self._timers: list[tuple[float, int, int]] = []  # When, which client, in which of its tries.
        self._left = len(clients)
        self._buffer = bytearray(PORTION)  # One for all: a new one for each answer costs more than reading it.
        self._view = memoryview(self._buffer)

    def run(self) -> Run:
        """Send everything; return when the last answer has come."""
        _allow_open_files(len(self._clients) + 64)
        for number, client in enumerate(self._clients):
            client.number = number
            if not self._pause:
                self._connect(client, waits=True)
        cpu, start = time.process_time(), time.perf_counter()
        for client in self._clients:
            if self._pause:
                client.begun = start
                self._attempt(client)
            else:
                self._send_next(client)
        while self._left:
            self._turn()
        done = Run(time.perf_counter() - start, time.process_time() - cpu)
        self._poll.close()
        return done

    def _turn(self) -> None:
        wait = max(0.0, self._timers[0][0] - time.perf_counter()) if self._timers else -1
        for file, events in self._poll.poll(wait):
            client = self._by_file.get(file)
            if client is None:
                continue
            try:
                if events & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
                    self._receive(client)
                elif events & select.EPOLLOUT:
                    self._send(client)
            except (OSError, EOFError):
                self._fail(client)
        while self._timers and self._timers[0][0] <= time.perf_counter():
            _, number, tries = heapq.heappop(self._timers)
            client = self._clients[number]
            if client.is_done or client.tries != tries:
                continue
            if client.line is None:
                self._attempt(client)
            else:
                self._fail(client)

    def _connect(self, client: Client, *, waits: bool) -> None:
        line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setblocking(waits)
        if waits:
            line.connect((HOST, self._port))
            line.setblocking(False)
        else:
            line.connect_ex((HOST, self._port))
        client.line, client.waits_to_send = line, not waits
        self._by_file[line.fileno()] = client
        self._poll.register(line.fileno(), select.EPOLLIN if waits else select.EPOLLOUT)

    def _attempt(self, client: Client) -> None:
        client.tries += 1
        client.got.clear()
        client.unsent = memoryview(client.requests[len(client.taken)])
        heapq.heappush(self._timers, (time.perf_counter() + self._patience, client.number, client.tries))
        self._connect(client, waits=False)

    def _send_next(self, client: Client) -> None:
        client.got.clear()
        client.unsent = memoryview(client.requests[len(client.taken)])
        client.begun = time.perf_counter()
        self._send(client)

    def _send(self, client: Client) -> None:
        assert client.line is not None
        with suppress(BlockingIOError):  # The system's buffer is full: the server reads slower than this client sends.
            client.unsent = client.unsent[client.line.send(client.unsent) :]
        if client.waits_to_send != bool(client.unsent):
            client.waits_to_send = bool(client.unsent)
            events = select.EPOLLIN | (select.EPOLLOUT if client.waits_to_send else 0)
            self._poll.modify(client.line.fileno(), events)

    def _receive(self, client: Client) -> None:
        assert client.line is not None
        count = client.line.recv_into(self._buffer)
        if not count:
            raise EOFError("the server closed the line")
        client.got += self._view[:count]
        head = client.got.find(_BLANK)
        if head < 0:
            return
        length = _LENGTH.search(client.got, 0, head + 2)
        if length is None or len(client.got) < head + len(_BLANK) + int(length[1]):
            return
        if client.got[9:12] != b"200":
            if not self._pause:
                raise RuntimeError(f"the server answered {bytes(client.got[:600])!r}")
            raise EOFError("the server refused")
        client.taken.append((time.perf_counter() - client.begun) * 1000)
        if client.is_done:
            self._hang_up(client)
            self._left -= 1
        else:
            self._send_next(client)

    def _fail(self, client: Client) -> None:
        if not self._pause:
            raise RuntimeError("the server closed the line")
        self._hang_up(client)
        pause = self._pause[min(client.tries, len(self._pause)) - 1] * random.uniform(0.5, 1.5)
        heapq.heappush(self._timers, (time.perf_counter() + pause, client.number, client.tries))

    def _hang_up(self, client: Client) -> None:
        assert client.line is not None
        del self._by_file[client.line.fileno()]
        self._poll.unregister(client.line.fileno())
        client.line.close()
        client.line = None


def _allow_open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
