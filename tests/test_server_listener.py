"""Connections of one network share a rate at the listener: strangers with many addresses keep no slow tablet out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from server import listener
from server.listener import Listener

MOST = 20
HEAD = b"POST /v1/sync HTTP/1.1\r\nContent-Length: 7000000\r\n\r\n"
SLOW, FAST = 5_000, 30_000
TABLET = "2001:db8:7:7::1"


async def read_all(scope: object, receive: Callable[[], object], send: object) -> None:
    """An app that reads and never answers."""
    while (await receive())["type"] != "http.disconnect":  # type: ignore[misc]
        pass


class FarListener(Listener):
    """A real listener on loopback. The connections come from the addresses that a test names, in order."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        super().__init__(read_all, host="127.0.0.1", port=0, patience=60)

    def accept(self) -> tuple[socket.socket, str] | None:
        """Accept a connection, as if from the next address."""
        accepted = super().accept()
        return accepted and (accepted[0], self.addresses.pop(0))


STRANGERS: dict[str, Callable[[int], str]] = {
    "one IPv6 network": lambda number: f"2001:db8:5:5:{number:x}::{number + 1:x}",
    "one link-local network": lambda number: f"fe80::{number + 1:x}%eth0",
    "IPv4, also written as IPv6": lambda number: "::ffff:203.0.113.9" if number % 2 else "203.0.113.9",
}


async def send_from_each(far: FarListener, stack: ExitStack) -> list[str]:
    """Let the tablet send slowly, and then each stranger faster. Returns the addresses that are still connected."""
    far.start()
    for waiting in range(len(far.addresses) - 1, -1, -1):
        sent = HEAD + b"x" * (SLOW if len(far.addresses) == 3 * MOST + 1 else FAST)
        line = stack.enter_context(socket.create_connection(("127.0.0.1", far.port), timeout=60))
        line.sendall(sent)
        while len(far.addresses) > waiting or list(far.channels)[-1].moved < len(sent):
            await asyncio.sleep(0)
    kept = [channel.address for channel in far.channels]
    far.stop_accepting()
    far.close()
    return kept


@pytest.mark.parametrize("family", STRANGERS)
def test_strangers_of_one_network_drop_no_slow_tablet(monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(listener, "GRACE_SECONDS", -1)
    far = FarListener([TABLET, *(STRANGERS[family](number) for number in range(3 * MOST))])
    with ExitStack() as stack:
        kept = asyncio.run(send_from_each(far, stack))
    assert TABLET in kept
    assert len(kept) <= MOST
