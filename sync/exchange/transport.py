"""The tablet's HTTP client: one persistent connection, as few headers as possible, every byte counted.

`sync.tablet.client` and the bench use it. It verifies no signature, keeps no cookie and does not parse the bodies it
transports.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NewConnectionError
from urllib3.util import SKIP_HEADER, Timeout, Url, parse_url

from sync.errors import SyncError, join_sentences
from sync.wire.encoding import strict_json

TIMEOUT = Timeout(connect=10, read=60)
BAD_CHUNK = (ValueError, OverflowError)
"""The exceptions that HTTP libraries raise for a chunk whose size is negative or has too many digits."""
MAX_BODY_BYTES = 8 * 1024 * 1024
SUPPRESSED_HEADERS = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}  # urllib3 would add them.
# For error texts in the terminal. A sync leaves it out to spend fewer bytes.
ENGLISH_HEADERS = {"Accept-Language": "en"}


class UnreachableError(SyncError):
    """The connection failed, so no byte of the request left this machine."""

    def __init__(self, detail: str) -> None:
        super().__init__("transport.unreachable", detail)


class RefusedError(SyncError):
    """The server returned an HTTP error. `code` is its problem code, `problem` its problem+json members.

    Its text holds what a person needs to act: title, detail, wrong fields, advice. `reply` is the raw response, since
    some problems are signed.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], reply: "Reply | None" = None) -> None:
        named = (str(problem.get(name, "")) for name in ("title", "detail"))
        request = f"Request number {problem['request']}" if problem.get("request") else ""
        sentences = (*named, "; ".join(_fields(problem.get("fields"))), str(problem.get("advice", "")), request)
        code = join_sentences(str(problem.get("code", "transport.refused")))
        super().__init__(code, join_sentences(*sentences) or f"HTTP {status}")
        self.status = status
        self.problem = problem
        self.reply = reply or Reply({}, b"")


@dataclass(frozen=True)
class Traffic:
    """The number of requests, and the HTTP bytes sent and received with headers and without TLS."""

    requests: int = 0
    up: int = 0
    down: int = 0

    def __add__(self, other: Self) -> "Traffic":
        return Traffic(self.requests + other.requests, self.up + other.up, self.down + other.down)

    def __sub__(self, other: Self) -> "Traffic":
        return Traffic(self.requests - other.requests, self.up - other.up, self.down - other.down)


@dataclass(frozen=True)
class Reply:
    """A response: header names in lower case, and the body as received."""

    headers: Mapping[str, str]
    body: bytes


class Transport:
    """The connection to one server at `url`. A path in the URL becomes the prefix of every path."""

    def __init__(self, url: str, timeout: Timeout = TIMEOUT) -> None:
        address = parse_address(url)
        self._host, self._prefix = str(address.netloc), (address.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(url, timeout=timeout, retries=False, maxsize=1)
        self.traffic = Traffic()

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def get(self, path: str) -> bytes:
        """Fetch the bytes at `path`. The server may compress them on the way if that is shorter."""
        reply = self.send("GET", path, headers={"Accept-Encoding": "gzip", **ENGLISH_HEADERS})
        return gunzip(reply.body) if reply.headers.get("content-encoding") == "gzip" else reply.body

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Make one request, without retries or redirects.

        Raise UnreachableError if nothing was sent and RefusedError for an HTTP error. After SyncError
        `transport.broken` the caller cannot know whether the server handled the request.
        """
        sent = {"Host": self._host, **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
        up = _size(f"{method} {self._prefix}{path} HTTP/1.1", sent.items(), body)
        try:
            answer = self._pool.urlopen(
                method,
                self._prefix + path,
                body=body or None,
                headers={**SUPPRESSED_HEADERS, **sent},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            content = _read(answer)
        except (NewConnectionError, ConnectTimeoutError) as problem:
            raise UnreachableError(f"no connection to {self._host}") from problem
        except (HTTPError, OSError, *BAD_CHUNK) as problem:
            why = type(problem).__name__  # The library's own text is long and does not help people.
            raise SyncError("transport.broken", f"{method} {path} had no complete response ({why})") from problem
        down = _size(f"HTTP/1.1 {answer.status} {answer.reason}", answer.headers.items(), content)
        self.traffic += Traffic(1, up, down)
        if len(content) > MAX_BODY_BYTES:
            raise SyncError(
                "transport.too_large", f"{method} {path} had a response of more than {MAX_BODY_BYTES} bytes"
            )
        reply = Reply({name.lower(): value for name, value in answer.headers.items()}, content)
        if answer.status >= 300:
            raise RefusedError(answer.status, _problem(reply), reply)
        return reply


def parse_address(url: str) -> Url:
    """Parse a server's URL. Raise SyncError `transport.bad_address` if it is not http(s)://host[:port]."""
    try:
        address = parse_url(url)
        host = (address.host or "").encode("idna")  # This raises for empty and too long labels.
    except (LocationParseError, UnicodeError) as problem:
        raise _bad_address(url) from problem
    if address.scheme not in ("http", "https") or not host:
        raise _bad_address(url)
    return address


def gunzip(data: bytes) -> bytes:
    """Inflate gzip data up to the largest body allowed. Raise SyncError `transport.bad_gzip` past it."""
    stream = zlib.decompressobj(wbits=31)
    try:
        whole = stream.decompress(data, MAX_BODY_BYTES)
    except zlib.error as problem:
        raise SyncError("transport.bad_gzip", str(problem)) from problem
    if not stream.eof or stream.unconsumed_tail:
        raise SyncError("transport.bad_gzip", f"cut off, or longer than {MAX_BODY_BYTES} bytes")
    return whole


def _bad_address(url: str) -> SyncError:
    return SyncError("transport.bad_address", f"{url} is not of the form http://host:port or https://host")


def _fields(wrong: Any, name: str = "") -> Iterator[str]:
    """Return the name of each wrong field with its error. marshmallow nests lists of texts under names."""
    if isinstance(wrong, Mapping):
        for inner, what in wrong.items():
            yield from _fields(what, str(inner))
    elif isinstance(wrong, list):
        yield f"{name}: {' '.join(map(str, wrong))}".rstrip(".")


def _read(answer: BaseHTTPResponse) -> bytes:
    """Read a whole body, or one byte more than allowed. Raise ConnectionError if the response was cut off."""
    if answer.length_remaining is None and not answer.chunked:
        answer.close()
        raise ConnectionError("its head gives no length, or was cut off")
    content = answer.read(MAX_BODY_BYTES + 1, decode_content=False)
    if len(content) > MAX_BODY_BYTES:
        answer.close()  # The rest is still being sent, so the connection cannot be used again.
    elif answer.length_remaining:
        answer.close()
        raise ConnectionError(f"{answer.length_remaining} bytes did not come")
    answer.release_conn()
    return content


def _size(first: str, headers: Iterable[tuple[str, str]], body: bytes) -> int:
    lines = (len(name) + len(value) + 4 for name, value in headers)
    return len(first) + 2 + sum(lines) + 2 + len(body)


def _problem(reply: Reply) -> Mapping[str, Any]:
    if not reply.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    try:
        return strict_json(reply.body)
    except SyncError:
        return {}  # A proxy between client and server wrote the body. The HTTP status is enough.
