"""The HTTP client of tablets and staff: one persistent connection, few headers, every byte counted and limited.

`sync.tablet.client`, `sync.exchange.staff_session` and the bench use it. It verifies no signature, keeps no cookie,
follows no redirect and does not parse the bodies it transports. The environment changes nothing: it reads no proxy and
no password from there.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER, Timeout

from sync.errors import SyncError, join_sentences
from sync.exchange import codings
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
CODED_HEADERS = {"Accept-Encoding": f"{codings.ZSTD}, {codings.GZIP}", **ENGLISH_HEADERS}
_PIECE_BYTES = 16 * 1024


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
    status: int = 200

    @property
    def content(self) -> bytes:
        """The body without HTTP's content coding. Raise SyncError `transport.bad_coding` for one not asked for."""
        return codings.decode(self.body, self.headers.get("content-encoding", codings.PLAIN), most=MAX_BODY_BYTES)


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
        return self.send("GET", path, headers=CODED_HEADERS).content

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Make one request, without retries or redirects.

        Raise UnreachableError if nothing was sent and RefusedError for an HTTP error. After SyncError
        `transport.broken` or `transport.too_slow` the caller cannot know whether the server handled the request.
        """
        if len(body) > MAX_BODY_BYTES:
            raise SyncError("transport.too_large", f"{method} {path} would send more than {MAX_BODY_BYTES} bytes")
        with _translated_errors(method, path):
            answer = self._open(method, path, body, headers or {})
            content = _read(answer)
        return self._complete(method, path, answer, content)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[Reply, Iterator[bytes]]]:
        """Fetch `path`; give the head of the response, and its body in pieces as they arrive.

        Errors are those of `send`. If the connection breaks, the error follows after the last piece that came.
        """
        with _translated_errors("GET", path):
            answer = self._open("GET", path, b"", headers)
            refusal = None if 200 <= answer.status < 300 else _read(answer)
        if refusal is not None:
            self._complete("GET", path, answer, refusal)
        self.traffic += Traffic(1, 0, _head_size(answer))
        try:
            yield _reply(answer, b""), self._pieces(path, answer)
        finally:
            if answer.length_remaining != 0:
                answer.close()  # The rest is still being sent, so the connection cannot be used again.
            answer.release_conn()

    def _pieces(self, path: str, answer: BaseHTTPResponse) -> Iterator[bytes]:
        left = MAX_BODY_BYTES
        while True:
            with _translated_errors("GET", path):
                _require_length(answer)
                piece = answer.read1(_PIECE_BYTES, decode_content=False)
                if not piece:
                    _require_end(answer)
            if not piece:
                return
            self.traffic += Traffic(0, 0, len(piece))
            left -= len(piece)
            if left < 0:
                raise SyncError("transport.too_large", f"GET {path} had a response of more than {MAX_BODY_BYTES} bytes")
            yield piece

    def _open(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> BaseHTTPResponse:
        length = {} if method in ("GET", "DELETE") else {"Content-Length": str(len(body))}
        sent = {"Host": self._host, **length, **headers}
        answer = self._pool.urlopen(
            method,
            self._prefix + path,
            body=body or None,
            headers={**SUPPRESSED_HEADERS, **sent},
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        self.traffic += Traffic(0, _size(f"{method} {self._prefix}{path} HTTP/1.1", sent.items(), body), 0)
        return answer

    def _complete(self, method: str, path: str, answer: BaseHTTPResponse, content: bytes) -> Reply:
        self.traffic += Traffic(1, 0, _head_size(answer) + len(content))
        if len(content) > MAX_BODY_BYTES:
            raise SyncError(
                "transport.too_large", f"{method} {path} had a response of more than {MAX_BODY_BYTES} bytes"
            )
        reply = _reply(answer, content)
        if not 200 <= answer.status < 300 or (method == "GET" and answer.status in _WITHOUT_BODY):
            raise RefusedError(answer.status, _problem(reply), reply)
        return reply


@contextmanager
def _translated_errors(method: str, path: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError, *BAD_CHUNK) as problem:
        why = type(problem).__name__  # The library's own text is long and does not help people.
        raise SyncError("transport.broken", f"{method} {path} had no complete response ({why})") from problem


def _reply(answer: BaseHTTPResponse, content: bytes) -> Reply:
    return Reply({name.lower(): value for name, value in answer.headers.items()}, content, answer.status)


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
    _require_length(answer)
    content = answer.read(MAX_BODY_BYTES + 1, decode_content=False)
    if len(content) > MAX_BODY_BYTES:
        answer.close()  # The rest is still being sent, so the connection cannot be used again.
    else:
        _require_end(answer)
    answer.release_conn()
    return content


def _require_length(answer: BaseHTTPResponse) -> None:
    if answer.length_remaining is None and not answer.chunked:
        answer.close()
        raise ConnectionError("its head gives no length, or was cut off")


def _require_end(answer: BaseHTTPResponse) -> None:
    if answer.length_remaining:
        answer.close()
        raise ConnectionError(f"{answer.length_remaining} bytes did not come")


def _head_size(answer: BaseHTTPResponse) -> int:
    return _size(f"HTTP/1.1 {answer.status} {answer.reason}", answer.headers.items(), b"")


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
