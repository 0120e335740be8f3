"""Tests of the line emulator: the figures of `make bench` on a satellite line are worth as much as its rate and delay.

The arithmetic is tested in the line's own time. Real sockets are tested on a clock that runs faster.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.line_emulator import SATELLITE, SEGMENT_BYTES, Direction, LineEmulator, LineQuality, emulate_line
from support.waiting import wait_until

LOSSLESS = LineQuality(rate=32_000, round_trip=1.2)
FULL = (SEGMENT_BYTES + 40) * 8 / 32_000  # Seconds that a full segment takes.
SPEED = 20


def test_segments_take_turns_at_the_lines_rate_and_arrive_half_a_round_trip_later() -> None:
    line = Direction(LOSSLESS, "any")
    assert [line.send(0, SEGMENT_BYTES) for _ in range(3)] == pytest.approx(
        [FULL + 0.6, 2 * FULL + 0.6, 3 * FULL + 0.6]
    )
    assert line.send(100, 10) == pytest.approx(100 + 50 * 8 / 32_000 + 0.6)


def test_a_lost_segment_arrives_a_round_trip_later_and_takes_the_line_twice() -> None:
    line, twin = Direction(SATELLITE, "1"), Direction(LOSSLESS, "1")
    late = []
    for number in range(400):
        at, before = number * 10.0, line.lost
        behind = line.send(at, SEGMENT_BYTES) - twin.send(at, SEGMENT_BYTES)
        late.append((line.lost - before, behind))
    assert {lost for lost, _ in late} >= {0, 1}
    assert all(behind == pytest.approx(lost * (1.2 + FULL)) for lost, behind in late)


def test_the_same_seed_loses_the_same_segments_and_another_seed_others() -> None:
    def arrivals(seed: str) -> list[float]:
        line = Direction(SATELLITE, seed)
        return [line.send(number * 10, SEGMENT_BYTES) for number in range(200)]

    assert arrivals("3") == arrivals("3") != arrivals("4")


def test_as_many_segments_get_lost_as_the_line_says() -> None:
    line = Direction(SATELLITE, "many")
    for number in range(20_000):
        line.send(number * 10, SEGMENT_BYTES)
    assert line.lost / line.segments == pytest.approx(SATELLITE.loss / (1 - SATELLITE.loss), rel=0.1)


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(line,)).start()

    def answer(line: socket.socket) -> None:
        with line:
            try:
                while data := line.recv(65536):
                    line.sendall(data)
            except OSError:
                return  # The line was cut.

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def connect(line: LineEmulator) -> socket.socket:
    """Connect to the line as a tablet does."""
    return socket.create_connection(("127.0.0.1", int(line.url.rpartition(":")[2])), timeout=60)


def exchange(tablet: socket.socket, data: bytes, speed: float = SPEED) -> float:
    """Send bytes and get them back; return the seconds on the line's clock."""
    start, got = time.monotonic(), b""
    tablet.sendall(data)
    while len(got) < len(data):
        portion = tablet.recv(65536)
        if not portion:
            raise EOFError(f"{len(got)} bytes came")
        got += portion
    assert got == data
    return (time.monotonic() - start) * speed


def test_bytes_over_sockets_arrive_in_order_and_no_sooner_than_the_line_says() -> None:
    data = bytes(range(256)) * 20
    segments = -(-len(data) // SEGMENT_BYTES)
    one_way = (len(data) + 40 * segments) * 8 / 32_000
    with echo() as port, emulate_line(port, LOSSLESS, speed=SPEED) as line, connect(line) as tablet:
        fresh, again = exchange(tablet, data), exchange(tablet, data)
    # The echo begins with the first segment, so the way back is counted for one segment only.
    assert again >= one_way + 1.2 + FULL / 2
    assert fresh >= one_way + 2 * 1.2 + FULL / 2


@pytest.mark.parametrize(("open_already", "least"), [(True, 0.0), (False, 1.2)])
def test_only_a_new_connection_waits_for_a_handshake(open_already: bool, least: float) -> None:
    with echo() as port, emulate_line(port, LOSSLESS, speed=SPEED, open_already=open_already) as line:
        with connect(line) as tablet:
            exchange(tablet, b"x")
        assert line.set_ups == pytest.approx([least and least + 2 * 40 * 8 / 32_000])


def test_the_same_conversation_with_the_same_seed_loses_the_same_segments() -> None:
    def losses(seed: int) -> tuple[int, ...]:
        lossy = LineQuality(rate=320_000, round_trip=0.12, loss=0.2)
        with echo() as port, emulate_line(port, lossy, seed=seed, speed=SPEED) as line, connect(line) as tablet:
            counts = []
            for size in (300, 4_000, 1_000, 9_000):
                exchange(tablet, b"x" * size)
                counts.append(line.directions["up"].lost)
            return tuple(counts)

    assert losses(5) == losses(5)


@pytest.mark.parametrize("quality", [LineQuality(), LineQuality(rate=3_200_000, round_trip=0.05)])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_line_is_cut_after_exactly_as_many_bytes_as_wanted(quality: LineQuality, way: str) -> None:
    with echo() as port, emulate_line(port, quality) as line, connect(line) as tablet:
        exchange(tablet, b"before")
        line.forget()
        line.cut_after(way, 1_000)
        with pytest.raises((EOFError, ConnectionError)) as broken:
            exchange(tablet, b"x" * 5_000)
        assert line.cuts == 1
        if way == "down" and isinstance(broken.value, EOFError):
            assert str(broken.value) == "1000 bytes came"
        assert len(line.passed["down"]) <= 1_000 or way == "down"
        with connect(line) as next_tablet:
            exchange(next_tablet, b"after")


def test_a_line_is_cut_at_a_moment_of_its_own_clock() -> None:
    with echo() as port, emulate_line(port, LOSSLESS, speed=SPEED) as line, connect(line) as tablet:
        line.cut_in(1)
        assert tablet.recv(1) == b""
        wait_until(lambda: line.now() >= 1, "the clock stands still")
        assert line.cuts == 1
