"""A staff member's session at the people's door: signing in without sending the passphrase, then JSON and signed bytes.

Called by sync.desk and by the staff commands. The passphrase's two halves and every key live in memory only.
"""

import builtins
import contextlib
from types import TracebackType
from typing import Any, Self

import requests
from urllib3.exceptions import NewConnectionError

from sync.encoding import b64u, unb64u
from sync.errors import SyncError
from sync.keys import SealKey
from sync.passphrases import derive, unlock
from sync.transport import BAD_CHUNK, ENGLISH, RefusedError, UnreachableError, address_of

TIMEOUT = (10, 60)  # Seconds to connect, and of silence.


class Staff:
    """A signed-in person; signs out at the end of a `with` block."""

    def __init__(self, url: str, session: requests.Session, lock: bytes) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._lock = lock
        self.me: dict[str, Any] = self.get("/v1/me")

    @classmethod
    def sign_in(cls, url: str, login: str, passphrase: str) -> Self:
        """Derive what is sent from what never is, and open a session; RefusedError session.refused if it is wrong."""
        address_of(url)
        session = requests.Session()
        session.headers["Chaski-Request"] = "1"  # Without it the door takes a request for a forged one.
        session.headers.update(ENGLISH)
        base = url.rstrip("/")
        given = _json(_ask(session, "GET", f"{base}/v1/session/parameters", params={"login": login}))
        derived = derive(passphrase, unb64u(str(given["salt"])))
        _ask(session, "POST", f"{base}/v1/session", json={"login": login, "auth": b64u(derived.auth)})
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
            _ask(self._session, "DELETE", f"{self._url}/v1/session")
        self._session.close()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return _json(_ask(self._session, "GET", self._url + path))

    def bytes(self, path: str) -> builtins.bytes:
        """Fetch signed bytes as they were signed."""
        return _ask(self._session, "GET", self._url + path).content

    def post(self, path: str, json: Any = None, data: builtins.bytes | None = None) -> Any:
        """Send JSON or signed bytes; return the answer's JSON, None when it has none."""
        answer = _ask(self._session, "POST", self._url + path, json=json, data=data)
        return _json(answer) if answer.content else None

    def put(self, path: str, json: Any = None, data: builtins.bytes | None = None) -> Any:
        """Put JSON or bytes in the place of what is there; return the answer's JSON."""
        return _json(_ask(self._session, "PUT", self._url + path, json=json, data=data))

    def delete(self, path: str) -> Any:
        """Take something away; return the answer's JSON, None when it has none."""
        answer = _ask(self._session, "DELETE", self._url + path)
        return _json(answer) if answer.content else None

    def seal_key(self) -> SealKey:
        """Unlock the key that keyrings are wrapped to."""
        locked = self.me["seal"]
        return SealKey.from_seed(unlock(locked["locked"], self._lock, f"seal/{locked['kid']}"))


def _ask(session: requests.Session, method: str, url: str, **parts: Any) -> requests.Response:
    try:
        answer = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **parts)
    except (requests.RequestException, *BAD_CHUNK) as problem:
        raise _lost(method, url, problem) from problem
    if not {"Content-Length", "Transfer-Encoding"} & set(answer.headers) and answer.status_code != 204:
        raise SyncError("transport.broken", f"{method} {url} had no whole answer")  # Cut off inside its head.
    if answer.status_code >= 300:
        raise RefusedError(answer.status_code, _problem(answer))
    return answer


def _lost(method: str, url: str, problem: Exception) -> SyncError:
    """Say in our own words that no answer came: what the libraries say of it is long, and no help."""
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    if isinstance(problem, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return UnreachableError(f"no connection to {address_of(url).netloc}")
    return SyncError("transport.broken", f"{method} {url} had no whole answer ({type(problem).__name__})")


def _problem(answer: requests.Response) -> dict[str, Any]:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    found = _json(answer)
    return found if isinstance(found, dict) else {}


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.JSONDecodeError as problem:
        raise SyncError("transport.bad_json", f"{answer.url} did not answer with JSON") from problem
