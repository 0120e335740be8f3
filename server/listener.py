"""The HTTP listener of an API: it accepts connections within fixed limits on their number, time and memory.

`server.app` opens one listener per API. The limits exist so that slow or malformed senders cannot keep tablets out.
Request bodies must stay in memory, within a bound; the listener must not write them to disk.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from server.channel import Channel, allowed_seconds
from server.ports import bind

# Open connections per listener. At the limit, a new connection takes the place of the slowest one that waits.
MAX_CONNECTIONS = 400
# Connections that wait in the system's queue, and the seconds for which a connection keeps its place.
BACKLOG, GRACE_SECONDS = 4096, 1
# The same for one that has not sent a whole head: an honest client sends it at once. And the seconds between two
# choices of those that lose their places, which look at all connections.
HEAD_SECONDS, PAUSE_SECONDS = 0.1, 0.05
# Bytes in memory per listener: of requests until they are answered, and not yet fetched. At the limit, the same rule.
# So many are made free at once.
MAX_BYTES_IN_MEMORY, ROOM_BYTES = 64 * 1024 * 1024, 1024 * 1024


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
        self._accepts, self._chose_lately, self._bytes = False, False, 0

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
        if self.socket.fileno() >= 0:
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
        """True if a request is on the way, even in part, or not answered yet, or an answer not sent."""
        return any(channel.busy for channel in self.channels)

    def accept_more(self) -> None:
        """Accept connections again, if that was put off."""
        room = len(self.channels) < MAX_CONNECTIONS or not self._chose_lately
        if room and not self._accepts and self.socket.fileno() >= 0:
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
        to_drop: list[Channel] | None = None
        while True:
            is_full = len(self.channels) >= MAX_CONNECTIONS
            if is_full and to_drop is None:
                to_drop = self._choose_to_drop()
            if is_full and not to_drop:
                self._put_off()
                return
            accepted = self.accept()
            if accepted is None:
                return
            if is_full and to_drop:
                to_drop.pop(0).drop()
            line, address = accepted
            line.setblocking(False)
            channel = Channel(self, address)
            self.channels[channel] = None
            self.loop.create_task(self._connect(channel, line))

    async def _connect(self, channel: Channel, line: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: channel, line)
        except OSError:
            self.forget(channel)
            line.close()

    def _choose_to_drop(self) -> list[Channel]:
        """Return the connections whose places newcomers may take now, the first to drop first.

        First come those that sent no whole head soon, and those that send no more and may be gone. A client that is
        dropped at once would come again at once, and in a sudden crowd, the worst of a few may be an honest sender. So
        the others keep their places for a while, and half of all places as long as most connections are new.
        """
        if self._chose_lately:
            return []
        self._chose_lately = True
        self.loop.call_later(PAUSE_SECONDS, self._choose_again)
        now = time.monotonic()
        older = [each for each in self.channels if each.opened < now - GRACE_SECONDS]
        to_drop = [
            each for each in self.channels if each.ended or (each.sent_no_head and each.opened < now - HEAD_SECONDS)
        ]
        spare = max(len(older) - MAX_CONNECTIONS // 2 + 1, 0)
        others = [each for each in older if not (each.sent_no_head or each.ended)]
        return self._rank(to_drop) + self._rank(others)[:spare]

    def _choose_again(self) -> None:
        self._chose_lately = False
        self.accept_more()

    def _rank(self, among: Iterable[Channel]) -> list[Channel]:
        """Return the connections that wait for their clients, the first to drop first: idle ones, then the slowest.

        Connections of one network share a rate. Of equals, the oldest is the first.
        """
        waiting = [channel for channel in among if channel.waits]
        peers, now = Counter(channel.network for channel in waiting), time.monotonic()
        return sorted(waiting, key=lambda each: (not each.idle, each.pace(now) / peers[each.network]))

    # Memory

    def count(self, channel: Channel, held: int) -> None:
        """Take the bytes that a channel holds now. Above the limit, drop connections."""
        if channel in self.channels:
            self._bytes, channel.counted = self._bytes + held - channel.counted, held
            if self._bytes > MAX_BYTES_IN_MEMORY:
                self._make_room()

    def forget(self, channel: Channel) -> None:
        """Forget a channel that is closed or about to be."""
        if channel in self.channels:
            del self.channels[channel]
            self._bytes -= channel.counted

    def _make_room(self) -> None:
        """Count what all connections hold, for clients fetch without a word, and drop some if it is too much."""
        for channel in self.channels:
            channel.counted = channel.held
        self._bytes = sum(channel.counted for channel in self.channels)
        for channel in self._rank(each for each in self.channels if each.counted):
            if self._bytes <= MAX_BYTES_IN_MEMORY - ROOM_BYTES:
                return
            channel.drop()
