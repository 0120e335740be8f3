"""A staff member's session at the people's door: signing in without sending the passphrase, then JSON and signed bytes.

Called by sync.desk.client and by the staff commands. The passphrase's two halves and every key live in memory only.
"""

import contextlib
from types import TracebackType
from typing import Any, Self

import requests
from urllib3.exceptions import NewConnectionError

from sync.errors import SyncError
from sync.exchange.transport import BAD_CHUNK, ENGLISH_HEADERS, RefusedError, UnreachableError, parse_address
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import derive_keys, unlock_secret
from sync.wire.encoding import b64u, unb64u

TIMEOUT = (10, 60)  # Seconds to connect, and of silence.


class StaffSession:
    """A signed-in person; signs out at the end of a `with` block."""

    def __init__(self, url: str, session: requests.Session, lock: bytes) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._lock = lock
        self.me: dict[str, Any] = self.get("/v1/me")

    @classmethod
    def sign_in(cls, url: str, login: str, passphrase: str) -> Self:
        """Derive what is sent from what never is, and open a session; RefusedError session.refused if it is wrong."""
        parse_address(url)
        session = requests.Session()
        session.headers["Chaski-Request"] = "1"  # Without it the door takes a request for a forged one.
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
        """Sign out; a session that cannot be ended any more lapses by itself, and must not hide why we end."""
        with contextlib.suppress(SyncError):
            _request(self._session, "DELETE", f"{self._url}/v1/session")
        self._session.close()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return _parse_json(_request(self._session, "GET", self._url + path))

    def get_bytes(self, path: str) -> bytes:
        """Fetch signed bytes as they were signed."""
        return _request(self._session, "GET", self._url + path).content

    def post(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Send JSON or signed bytes; return the answer's JSON, None when it has none."""
        answer = _request(self._session, "POST", self._url + path, json=json, data=data)
        return _parse_json(answer) if answer.content else None

    def put(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Put JSON or bytes in the place of what is there; return the answer's JSON."""
        return _parse_json(_request(self._session, "PUT", self._url + path, json=json, data=data))

    def delete(self, path: str) -> Any:
        """Take something away; return the answer's JSON, None when it has none."""
        answer = _request(self._session, "DELETE", self._url + path)
        return _parse_json(answer) if answer.content else None

    def seal_key(self) -> SealKey:
        """Unlock the key that keyrings are wrapped to."""
        locked = self.me["seal"]
        return SealKey.from_seed(unlock_secret(locked["locked"], self._lock, f"seal/{locked['kid']}"))


def _request(session: requests.Session, method: str, url: str, **parts: Any) -> requests.Response:
    try:
        answer = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **parts)
    except (requests.RequestException, *BAD_CHUNK) as problem:
        raise _connection_error(method, url, problem) from problem
    if not {"Content-Length", "Transfer-Encoding"} & set(answer.headers) and answer.status_code != 204:
        raise SyncError("transport.broken", f"{method} {url} had no whole answer")  # Cut off inside its head.
    if answer.status_code >= 300:
        raise RefusedError(answer.status_code, _problem(answer))
    return answer


def _connection_error(method: str, url: str, problem: Exception) -> SyncError:
    """Say in our own words that no answer came: what the libraries say of it is long, and no help."""
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    if isinstance(problem, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return UnreachableError(f"no connection to {parse_address(url).netloc}")
    return SyncError("transport.broken", f"{method} {url} had no whole answer ({type(problem).__name__})")


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
