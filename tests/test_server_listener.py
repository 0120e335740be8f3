"""Connections of one network share a rate at the listener: strangers with many addresses keep no slow tablet out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from waitress import wasyncore

from server import listener
from server.listener import Channel, Listener

MOST = 20
HEAD = b"POST /v1/sync HTTP/1.1\r\nContent-Length: 7000000\r\n\r\n"
SLOW, FAST = 5_000, 30_000
TABLET = "2001:db8:7:7::1"


class FarListener(Listener):
    """A real listener on loopback. The connections come from the addresses that a test names, in order."""

    def __init__(self, addresses: list[str], channels: dict[int, Any]) -> None:
        self.addresses = addresses
        super().__init__(lambda *_: [], channels, host="127.0.0.1", port=0, threads=1, patience=60)

    def accept(self) -> tuple[socket.socket, tuple[str, int]] | None:
        """Accept a connection, as if from the next address."""
        accepted = super().accept()
        return accepted and (accepted[0], (self.addresses.pop(0), 1))


@contextmanager
def listening(addresses: list[str]) -> Iterator[tuple[FarListener, dict[int, Any]]]:
    channels: dict[int, Any] = {}
    far = FarListener(addresses, channels)
    try:
        yield far, channels
    finally:
        far.task_dispatcher.shutdown()
        far.close()
        wasyncore.close_all(channels, ignore_all=True)


STRANGERS: dict[str, Callable[[int], str]] = {
    "one IPv6 network": lambda number: f"2001:db8:5:5:{number:x}::{number + 1:x}",
    "one link-local network": lambda number: f"fe80::{number + 1:x}%eth0",
    "IPv4, also written as IPv6": lambda number: "::ffff:203.0.113.9" if number % 2 else "203.0.113.9",
}


@pytest.mark.parametrize("family", STRANGERS)
def test_strangers_of_one_network_drop_no_slow_tablet(monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(listener, "GRACE_SECONDS", -1)
    strangers = [STRANGERS[family](number) for number in range(3 * MOST)]
    with ExitStack() as stack:
        far, channels = stack.enter_context(listening([TABLET, *strangers]))
        for waiting in range(3 * MOST, -1, -1):
            sent = HEAD + b"x" * (SLOW if waiting == 3 * MOST else FAST)
            line = stack.enter_context(socket.create_connection(("127.0.0.1", int(far.effective_port)), timeout=60))
            line.sendall(sent)
            while len(far.addresses) > waiting or _newest(far).moved < len(sent):
                wasyncore.loop(timeout=1, use_poll=True, map=channels, count=1)
        kept = [each.addr[0] for each in far.active_channels.values() if not each.will_close]
        assert TABLET in kept
        assert len(kept) <= MOST


def _newest(far: FarListener) -> Channel:
    return list(far.active_channels.values())[-1]
