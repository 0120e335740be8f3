"""A slow and lossy line between a tablet and a server: a TCP proxy in user space, for tests and for `make bench`.

What is modelled, for each direction of one line that all its connections share:
- Rate: bytes travel in segments of at most 1,460 bytes, each with 40 bytes of TCP and IP heads, one after the other.
- Delay: a segment arrives half a round trip after its last bit was sent.
- Loss: a random number of the seed decides for each segment. A lost one is sent again: it arrives one round trip and
  one sending later, and takes the line's time twice. What follows it in its connection waits, as in TCP.
- Set-up: the first bytes of a connection wait one round trip and the two small segments of TCP's handshake, which can
  be lost too. `open_already` leaves it out, as on a connection that is open already.
- Cuts: after a number of bytes in one direction, at a moment, or now. Both ends see that the connection ended.

What is not modelled: slow start and congestion (a sender may send all it has), acknowledgements on the way back,
Nagle's algorithm, timeouts longer than a round trip, jitter, other users of the line, name service, TLS.

Losses depend on the seed and on the sequence of segments. Bytes that arrive within five milliseconds of the wall's
clock are cut into segments together, so that head and body of a message do not race. `speed` makes the line's clock
that many times as fast as the wall's. The time that programs compute is not scaled: at speed 20 a computation of 0.1 s
looks like 2 s.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SEGMENT_BYTES, HEAD_BYTES = 1460, 40
GATHER_SECONDS = 0.005
HOST = "127.0.0.1"


@dataclass(frozen=True)
class LineQuality:
    """Bits a second in each direction (0: unlimited), seconds of a round trip, the part of segments that get lost."""

    rate: float = 0.0
    round_trip: float = 0.0
    loss: float = 0.0


IDEAL = LineQuality()
SATELLITE = LineQuality(rate=32_000, round_trip=1.2, loss=0.05)


class Direction:
    """One direction of a line in its own time (seconds): when does a segment that is sent now arrive?"""

    def __init__(self, quality: LineQuality, seed: str) -> None:
        self._quality, self._chance = quality, random.Random(seed)
        self._free_at = 0.0
        self.segments = self.lost = 0

    def send(self, now: float, size: int) -> float:
        """Send a segment of `size` bytes after all that were sent before; return when it arrives."""
        took = self._duration(size)
        self._free_at = max(now, self._free_at) + took
        arrives = self._free_at + self._quality.round_trip / 2
        for _ in range(self._losses()):
            self._free_at += took
            arrives += self._quality.round_trip + took
        return arrives

    def shake(self) -> float:
        """Return the seconds that a segment of the handshake takes; it is too small to keep others waiting."""
        round_trip, took = self._quality.round_trip, self._duration(0)
        return took + round_trip / 2 + self._losses() * (round_trip + took)

    def _duration(self, size: int) -> float:
        return (size + HEAD_BYTES) * 8 / self._quality.rate if self._quality.rate else 0.0

    def _losses(self) -> int:
        """Draw how often this segment is lost before it arrives."""
        self.segments += 1
        before = self.lost
        while self._chance.random() < self._quality.loss:
            self.lost += 1
        return self.lost - before


@dataclass
class _Stream:
    """The bytes of one connection in one direction: gathered, then under way in order, then written to `target`."""

    line: LineEmulator
    way: str
    target: asyncio.Transport | None = None
    opens_at: float = 0.0
    gathered: bytearray = field(default_factory=bytearray)
    under_way: deque[tuple[float, bytes]] = field(default_factory=deque)  # Nothing: the sender has ended.
    last: float = 0.0
    gathers: bool = False
    waits: bool = False

    def take(self, data: bytes) -> None:
        """Take bytes from the sender; none mean that it has ended."""
        if not data:
            self._depart()
            self.last = max(self.last, self.line.now())
            self.under_way.append((self.last, b""))
            self.deliver()
            return
        self.gathered += data
        if self.line.quality == IDEAL:
            self._depart()
        elif not self.gathers:
            self.gathers = True
            self.line.loop.call_later(GATHER_SECONDS, self._depart)

    def _depart(self) -> None:
        self.gathers = False
        direction, sent = self.line.directions[self.way], max(self.line.now(), self.opens_at)
        portion = sys.maxsize if self.line.quality == IDEAL else SEGMENT_BYTES
        while self.gathered:
            segment = bytes(self.gathered[:portion])
            del self.gathered[:portion]
            self.last = max(self.last, direction.send(sent, len(segment)))
            self.under_way.append((self.last, segment))
        self.deliver()

    def deliver(self) -> None:
        """Write all that has arrived by now, and come back for the next."""
        while not self.waits and self.target is not None and self.under_way:
            seconds = self.line.to_wall(self.under_way[0][0] - self.line.now())
            if seconds > 0:
                self.waits = True
                self.line.loop.call_later(seconds, self._come_back)
            else:
                self._write(self.under_way.popleft()[1])

    def _come_back(self) -> None:
        self.waits = False
        self.deliver()

    def _write(self, segment: bytes) -> None:
        assert self.target is not None
        if self.target.is_closing():
            return
        if not segment:
            self.target.close()
            return
        allowed = segment[: self.line.left[self.way]]
        self.line.left[self.way] -= len(allowed)
        self.line.passed[self.way] += segment
        self.target.write(allowed)
        if not self.line.left[self.way]:
            self.line.cut()


class _End(asyncio.Protocol):
    """One end of a connection: what it receives goes into its stream."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream.line.ends.add(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._stream.take(data)

    def connection_lost(self, wrong: Exception | None) -> None:
        self._stream.line.ends.discard(self._transport)
        self._stream.take(b"")


class _TabletEnd(_End):
    """The end that a tablet connects to. It opens the one to the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        line, up = self._stream.line, self._stream
        down = _Stream(line, "down", target=self._transport)
        up.opens_at = line.set_up()
        self._opening = line.loop.create_task(self._open(up, down))

    async def _open(self, up: _Stream, down: _Stream) -> None:
        try:
            up.target, _ = await up.line.loop.create_connection(lambda: _End(down), HOST, up.line.port)
        except OSError:
            self._transport.close()
            return
        up.deliver()


class LineEmulator:
    """A line to the server at `port` of this machine; tablets use `url`. `emulate_line` starts and ends it."""

    def __init__(
        self, port: int, quality: LineQuality = IDEAL, *, seed: int = 0, speed: float = 1.0, open_already: bool = False
    ) -> None:
        self.port, self.quality, self.speed = port, quality, speed
        self.open_already = open_already
        self.directions = {way: Direction(quality, f"{seed} {way}") for way in ("up", "down")}
        self.ends: set[asyncio.Transport] = set()
        self.loop = asyncio.new_event_loop()
        self._began = self.loop.time()
        self._own_port = 0
        self.cuts = 0
        self.set_ups: list[float] = []  # The seconds that the first bytes of each connection waited.
        self.forget()

    def forget(self) -> None:
        """Forward everything again, and record what passes from now on."""
        self.left = {"up": sys.maxsize, "down": sys.maxsize}
        self.passed = {"up": bytearray(), "down": bytearray()}

    @property
    def url(self) -> str:
        """The address that the tablet uses."""
        return f"http://{HOST}:{self._own_port}"

    def now(self) -> float:
        """Seconds of the line's own clock."""
        return (self.loop.time() - self._began) * self.speed

    def to_wall(self, seconds: float) -> float:
        """Seconds of the wall's clock for seconds of the line's."""
        return seconds / self.speed

    def set_up(self) -> float:
        """Set up a new connection; return when its first bytes can leave."""
        is_free = self.open_already or self.quality == IDEAL
        took = 0.0 if is_free else self.directions["up"].shake() + self.directions["down"].shake()
        self.set_ups.append(took)
        return self.now() + took

    def cut_after(self, way: str, count: int) -> None:
        """Cut the line when `count` more bytes have passed in one direction."""
        self.left[way] = count

    def cut_in(self, seconds: float) -> None:
        """Cut the line in so many seconds of its own clock."""
        self.loop.call_soon_threadsafe(self.loop.call_later, self.to_wall(seconds), self.cut)

    def cut(self) -> None:
        """End all connections. What is under way is lost. Only the line's own thread calls it."""
        self.cuts += bool(self.ends)
        self.left = {"up": sys.maxsize, "down": sys.maxsize}
        for end in list(self.ends):
            end.close()

    async def listen(self) -> asyncio.Server:
        """Begin to listen."""
        server = await self.loop.create_server(lambda: _TabletEnd(_Stream(self, "up")), HOST, 0)
        self._own_port = server.sockets[0].getsockname()[1]
        return server


@contextmanager
def emulate_line(
    port: int, quality: LineQuality = IDEAL, *, seed: int = 0, speed: float = 1.0, open_already: bool = False
) -> Iterator[LineEmulator]:
    """Run such a line in front of a port, in a thread of its own."""
    line = LineEmulator(port, quality, seed=seed, speed=speed, open_already=open_already)
    thread = threading.Thread(target=line.loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(line.listen(), line.loop).result()
    try:
        yield line
    finally:
        asyncio.run_coroutine_threadsafe(_end(server, line), line.loop).result()
        line.loop.call_soon_threadsafe(line.loop.stop)
        thread.join()
        line.loop.close()


async def _end(server: asyncio.Server, line: LineEmulator) -> None:
    server.close()
    for end in list(line.ends):
        end.abort()
    await asyncio.sleep(0)
