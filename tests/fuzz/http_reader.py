"""The listener's reader of HTTP as a function of any bytes: what a stranger sends over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from server.channel import Channel
from server.listener import MAX_BYTES_IN_MEMORY, Listener


async def answer_all(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An app that reads the whole request and answers it."""
    event = await receive()
    while event["type"] == "http.request" and event.get("more_body"):
        event = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Line(asyncio.Transport):
    """The server's end of a connection; keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.ended = b"", False

    def write(self, data: Any) -> None:
        """Keep bytes of an answer."""
        self.sent += data

    def write_eof(self) -> None:
        """End the sending half."""

    def close(self) -> None:
        """End the connection."""
        self.ended = True

    def abort(self) -> None:
        """End the connection at once."""
        self.ended = True

    def is_closing(self) -> bool:
        """Return True if the connection was ended."""
        return self.ended

    def get_write_buffer_size(self) -> int:
        """Return 0: the client fetches everything."""
        return 0

    def pause_reading(self) -> None:
        """Nothing: all bytes are here."""

    def resume_reading(self) -> None:
        """Nothing."""


async def _feed(data: bytes) -> None:
    listener = Listener(answer_all, host="127.0.0.1", port=0, patience=60)
    listener.start()
    channel, line = Channel(listener, "192.0.2.1"), Line()
    listener.channels[channel] = None
    channel.connection_made(line)
    half = len(data) // 2
    for part in (data[:half], data[half:]):
        if part and not line.ended:
            channel.data_received(part)
            assert channel.held <= MAX_BYTES_IN_MEMORY
            await asyncio.sleep(0)
    for _ in range(4):
        await asyncio.sleep(0)
    for answer in line.sent.split(b"HTTP/1.1 ")[1:]:
        assert answer[:3] == b"100" or 200 <= int(answer[:3]) < 500, answer
    channel.connection_lost(None)
    listener.stop_accepting()


def http(data: bytes) -> None:
    """Read a connection's bytes in two parts: each answer is one of ours, and no error leaves the reader."""
    asyncio.run(_feed(data))


READERS: dict[str, Callable[[bytes], None]] = {"http": http}
SEEDS = (
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
    b"POST /v1/sync HTTP/1.1\r\nContent-Length: 5\r\nChaski-Signature: a.b\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST /v1/sync HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET http://other.example/x?y HTTP/1.0\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.1\r\nAccept-Language: en\r\nContent-Length: 99999999999999999999\r\n\r\n",
)
