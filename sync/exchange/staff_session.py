"""A staff member's session with the staff API: sign-in, JSON requests and downloads of signed bytes.

`sync.desk.client` and the staff commands use it. The passphrase is never sent. The two keys derived from it and every
private key stay in memory.
"""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from sync.errors import SyncError
from sync.exchange.transport import BAD_CHUNK, ENGLISH_HEADERS, RefusedError, UnreachableError, parse_address
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import derive_keys, unlock_secret
from sync.wire.encoding import b64u, unb64u

TIMEOUT = (10, 60)  # Seconds to connect, and seconds without data.


class StaffSession:
    """The session of a signed-in person. It signs out at the end of a `with` block."""

    def __init__(self, url: str, session: requests.Session, lock: bytes) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._lock = lock
        self.me: dict[str, Any] = self.get("/v1/me")

    @classmethod
    def sign_in(cls, url: str, login: str, passphrase: str) -> Self:
        """Open a session with the key `auth` (SPEC 3.2). Raise RefusedError `session.refused` if it is wrong."""
        parse_address(url)
        session = requests.Session()
        session.headers["Chaski-Request"] = "1"  # The staff API rejects requests without this header as forged.
        session.headers.update(ENGLISH_HEADERS)
        base = url.rstrip("/")
        given = _parse_json(_request(session, "GET", f"{base}/v1/session/parameters", params={"login": login}))
        derived = derive_keys(passphrase, unb64u(str(given["salt"])))
        _request(session, "POST", f"{base}/v1/session", json={"login": login, "auth": b64u(derived.auth)})
        return cls(url, session, derived.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Sign out. Errors are ignored: the session lapses by itself, and they must not hide an earlier exception."""
        with contextlib.suppress(SyncError):
            _request(self._session, "DELETE", f"{self._url}/v1/session")
        self._session.close()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return _parse_json(_request(self._session, "GET", self._url + path))

    def pages(self, path: str) -> Iterator[list[Any]]:
        """Fetch a list page by page. The header `Link` of a page names the next one."""
        following = path
        while following:
            answer = _request(self._session, "GET", self._url + following)
            yield _parse_json(answer)
            # Only the query is taken over: a server must not send its clients elsewhere.
            query = urlsplit(answer.links.get("next", {}).get("url", "")).query
            following = f"{path.partition('?')[0]}?{query}" if query else ""

    def list(self, path: str) -> list[Any]:
        """Fetch all pages of a list."""
        return [item for page in self.pages(path) for item in page]

    def get_bytes(self, path: str) -> bytes:
        """Fetch signed bytes unchanged."""
        return _request(self._session, "GET", self._url + path).content

    def post(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Send JSON or signed bytes; return the response's JSON, or None if it is empty."""
        answer = _request(self._session, "POST", self._url + path, json=json, data=data)
        return _parse_json(answer) if answer.content else None

    def put(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Replace a resource with JSON or bytes; return the response's JSON."""
        return _parse_json(_request(self._session, "PUT", self._url + path, json=json, data=data))

    def delete(self, path: str) -> Any:
        """Delete a resource; return the response's JSON, or None if it is empty."""
        answer = _request(self._session, "DELETE", self._url + path)
        return _parse_json(answer) if answer.content else None

    def seal_key(self) -> SealKey:
        """Unlock the person's seal key, to which keyring seeds are wrapped."""
        locked = self.me["seal"]
        return SealKey.from_seed(unlock_secret(locked["locked"], self._lock, f"seal/{locked['kid']}"))


def _request(session: requests.Session, method: str, url: str, **parts: Any) -> requests.Response:
    try:
        answer = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **parts)
    except (requests.RequestException, *BAD_CHUNK) as problem:
        raise _connection_error(method, url, problem) from problem
    if not {"Content-Length", "Transfer-Encoding"} & set(answer.headers) and answer.status_code != 204:
        # The response was cut off inside its head.
        raise SyncError("transport.broken", f"{method} {url} had no complete response")
    if answer.status_code >= 300:
        raise RefusedError(answer.status_code, _problem(answer))
    return answer


def _connection_error(method: str, url: str, problem: Exception) -> SyncError:
    """Return a SyncError for a failed connection. The libraries' own texts are long and do not help people."""
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    if isinstance(problem, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return UnreachableError(f"no connection to {parse_address(url).netloc}")
    return SyncError("transport.broken", f"{method} {url} had no complete response ({type(problem).__name__})")


def _problem(answer: requests.Response) -> dict[str, Any]:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    problem = _parse_json(answer)
    return problem if isinstance(problem, dict) else {}


def _parse_json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.JSONDecodeError as problem:
        raise SyncError("transport.bad_json", f"{answer.url} did not answer with JSON") from problem
