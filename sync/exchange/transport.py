"""The HTTP client of tablets and staff: one persistent connection, few headers, every byte counted and limited.

`sync.tablet.client`, `sync.exchange.staff_session` and the bench use it. It verifies no signature, keeps no cookie,
follows no redirect and does not parse the bodies it transports. The environment changes nothing: it reads no proxy and
no password from there.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER, Timeout

from sync.errors import SyncError, join_sentences
from sync.exchange.address import parse_address, parse_proxy
from sync.exchange.connections import ANSWER_SECONDS, open_pool
from sync.wire.encoding import strict_json

TIMEOUT = Timeout(connect=10, read=60)
BAD_CHUNK = (ValueError, OverflowError)
"""The exceptions that HTTP libraries raise for a chunk whose size is negative or has too many digits."""
MAX_BODY_BYTES = 8 * 1024 * 1024
_WITHOUT_BODY = (204, 205)  # No answer to a question: an empty document is none.
SUPPRESSED_HEADERS = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}  # urllib3 would add them.
# For error texts in the terminal. A sync leaves it out to spend fewer bytes.
ENGLISH_HEADERS = {"Accept-Language": "en"}


class RefusedError(SyncError):
    """The server returned an HTTP error. `code` is its problem code, `problem` its problem+json members.

    Its text holds what a person needs to act: title, detail, wrong fields, advice. `reply` is the raw response, since
    some problems are signed.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], reply: "Reply | None" = None) -> None:
        named = (_text(problem, name) for name in ("title", "detail"))
        request = f"Request number {problem['request']}" if problem.get("request") else ""
        sentences = (*named, "; ".join(_fields(problem.get("fields"))), _text(problem, "advice"), request)
        code = join_sentences(_text(problem, "code")) or "transport.refused"
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

    @property
    def content(self) -> bytes:
        """The body without HTTP's content coding, which is the only one that a client asks for."""
        return gunzip(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


class Transport:
    """The connection to one server at `url`. A path in the URL becomes the prefix of every path.

    `proxy` (http://host:port, or empty) makes a tunnel to the server with CONNECT; TLS ends at the server. A response
    must arrive within `seconds` and one second more for each KiB.
    """

    def __init__(
        self, url: str, *, proxy: str = "", timeout: Timeout = TIMEOUT, seconds: float = ANSWER_SECONDS
    ) -> None:
        address = parse_address(url)
        self._host, self._prefix = str(address.netloc), (address.path or "").rstrip("/")
        self._pool = open_pool(address, parse_proxy(proxy) if proxy else None, timeout, MAX_BODY_BYTES, seconds)
        self.traffic = Traffic()

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def get(self, path: str) -> bytes:
        """Fetch the bytes at `path`. The server may compress them on the way if that is shorter."""
        return self.send("GET", path, headers={"Accept-Encoding": "gzip", **ENGLISH_HEADERS}).content

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Make one request, without retries or redirects.

        Raise UnreachableError if nothing was sent and RefusedError for an HTTP error. After SyncError
        `transport.broken` or `transport.too_slow` the caller cannot know whether the server handled the request.
        """
        if len(body) > MAX_BODY_BYTES:
            raise SyncError("transport.too_large", f"{method} {path} would send more than {MAX_BODY_BYTES} bytes")
        length = {} if method in ("GET", "DELETE") else {"Content-Length": str(len(body))}
        sent = {"Host": self._host, **length, **(headers or {})}
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
        if not 200 <= answer.status < 300 or (method == "GET" and answer.status in _WITHOUT_BODY):
            raise RefusedError(answer.status, _problem(reply), reply)
        return reply


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


def _text(problem: Mapping[str, Any], name: str) -> str:
    """Return a member of a problem if it is text. Another server, or a proxy, may send anything."""
    value = problem.get(name, "")
    return value if isinstance(value, str) else ""


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
        return strict_json(reply.content)
    except SyncError:
        return {}  # A proxy between client and server wrote the body. The HTTP status is enough.
