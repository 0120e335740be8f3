"""HTTP connections to one server, direct or through a named proxy, whose responses have limits of bytes and seconds.

`sync.exchange.transport` uses it. urllib3 limits the silence between two bytes, and nothing else: a server that sends
slowly, or never ends a head or a chunk, would hold its client for ever. Nothing here reads the environment.
"""

import http.client
import io
import socket
import ssl
import time
from functools import cached_property
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, Url

from sync.errors import SyncError
from sync.exchange.address import port_of

ANSWER_SECONDS = 60
"""In this time a response must arrive; each KiB of it adds one second, as the server allows requests."""
OVERHEAD_BYTES = 64 * 1024  # For the head of a response.


class UnreachableError(SyncError):
    """The connection failed, or the server's certificate: no byte of the request left this machine."""

    def __init__(self, detail: str, *, certificate: bool = False) -> None:
        super().__init__("transport.bad_certificate" if certificate else "transport.unreachable", detail)


class _LimitedReader(io.RawIOBase):
    """The bytes of one response as they arrive, up to a number and a time. It counts heads and chunk lines too."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, most_bytes: int, seconds: float) -> None:
        self._raw, self._sock, self._silence = raw, sock, sock.gettimeout() or seconds
        self._left, self._end = most_bytes, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise self._too_slow()
        self._sock.settimeout(min(self._silence, seconds))
        try:
            count = self._raw.readinto(buffer) or 0
        except TimeoutError as silence:
            if seconds > self._silence:
                raise
            raise self._too_slow() from silence
        self._left -= count
        self._end += count / 1024
        if self._left < 0:
            raise SyncError("transport.too_large", "a response, or its head, does not end")
        return count

    @staticmethod
    def _too_slow() -> SyncError:
        return SyncError("transport.too_slow", "the response did not arrive in time")

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    """A response that is read through a _LimitedReader, from the first byte of its head on."""

    def __init__(self, sock: socket.socket, most_bytes: int, seconds: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach(), sock, most_bytes, seconds))


class _PlainConnection(HTTPConnection):
    """A connection, in a tunnel to `tunnel` if the host that is dialled is a proxy."""

    def __init__(self, *where: Any, tunnel: Url | None, most_bytes: int, seconds: float, **options: Any) -> None:
        super().__init__(*where, **options)
        self._tunnel_to = tunnel
        self._limits = most_bytes, seconds

    def response_class(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """Return the response that http.client reads; it calls this under the name of a class."""
        return _LimitedResponse(sock, *self._limits, **options)

    def connect(self) -> None:
        """Connect, and make the tunnel and TLS. Raise UnreachableError: nothing of the request was sent."""
        server, through = self._tunnel_to, f"through the proxy {self.host}:{self.port}" if self._tunnel_to else ""
        if server:
            self.set_tunnel(str(server.host).strip("[]"), port_of(server))
        try:
            super().connect()
        except ssl.SSLCertVerificationError as problem:
            raise UnreachableError(
                f"{self._name} showed no valid certificate for its name: {problem.verify_message}", certificate=True
            ) from problem
        except (HTTPError, OSError, http.client.HTTPException, ValueError) as problem:
            raise UnreachableError(f"no connection to {self._name} {through}".strip()) from problem

    @cached_property
    def _name(self) -> str:
        return str(self._tunnel_to.netloc) if self._tunnel_to else f"{self.host}:{self.port}"


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same with TLS, which ends at the server and not at a proxy."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def open_pool(address: Url, proxy: Url | None, timeout: Timeout, most_bytes: int, seconds: float) -> HTTPConnectionPool:
    """Return the pool of one connection to `address`. A response may have `most_bytes`, twice that with chunk lines."""
    dialled = proxy or address
    options: dict[str, Any] = {
        "timeout": timeout,
        "retries": False,
        "maxsize": 1,
        "tunnel": address if proxy else None,
        "most_bytes": 2 * most_bytes + OVERHEAD_BYTES,
        "seconds": seconds,
    }
    if address.scheme == "https":
        return _TlsPool(str(dialled.host), port_of(dialled), ssl_context=_tls_context(), **options)
    return _PlainPool(str(dialled.host), port_of(dialled), **options)


def _tls_context() -> ssl.SSLContext:
    """Return TLS with the machine's certificates. `ssl.create_default_context` would obey SSLKEYLOGFILE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context
