"""Functions that wait for a condition instead of a fixed time, so that tests pass on a busy machine too.

With a fixed time, a test of correct code fails as soon as a process is slow.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0
"""Seconds until a wait gives up. A test that passes never waits so long."""


def wait_until(condition: Callable[[], object], wrong: str) -> None:
    """Wait until a condition holds. After `PATIENCE` seconds the test fails with the text `wrong`."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, wrong
        time.sleep(0.005)


def wait_until_read(line: socket.socket) -> None:
    """Wait until the process at the other end of a loopback connection has read all bytes sent."""
    here, there = (f":{address[1]:04X}" for address in (line.getsockname(), line.getpeername()))

    def is_read() -> bool:
        rows = [row.split() for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        queues = {(row[1][-5:], row[2][-5:]): row[4].split(":") for row in rows}
        (unsent, _), (_, unread) = queues[here, there], queues[there, here]
        return int(unsent, 16) == int(unread, 16) == 0

    wait_until(is_read, "the server does not read")
