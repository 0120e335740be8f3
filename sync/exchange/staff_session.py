"""A staff member's session with the staff API: sign-in, JSON requests and downloads of signed bytes.

`sync.desk.client` and the staff commands use it. The server proves itself before anything is sent that could open a
session (SPEC 5.9). The passphrase and `auth` are never sent. They and every private key stay in memory.
"""

import contextlib
import json as json_text
import re
from collections.abc import Iterator
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from urllib3.util import Timeout

from sync.documents import sign_in, trust
from sync.documents.sign_in import Challenge
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.address import origin_of, require_private
from sync.exchange.known_documents import KnownDocumentsFile
from sync.exchange.transport import ENGLISH_HEADERS, Reply, Transport
from sync.exchange.trust_chain import fetch_trusts
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import derive_keys, unlock_secret
from sync.wire.encoding import strict_value

COOKIE = "chaski_session"
ANSWER_SECONDS = 180  # The server compiles a form, and has ODK Validate read it, within a request.
TIMEOUT = Timeout(connect=10, read=ANSWER_SECONDS)
MAX_VALUES = 1_000_000
"""The maximum number of values in an answer of the staff API, whose lists are longer than the protocol's objects."""
_NEXT_PAGE = re.compile(r'<([^<>]*)>; rel="next"')


class StaffSession:
    """The session of a signed-in person, or of a program with her token. A person's ends with a `with` block."""

    def __init__(self, transport: Transport, credential: dict[str, str], lock: bytes = b"") -> None:
        """`credential` is the header that names the caller. Only this connection, to the one server, ever sends it."""
        self._transport, self._credential, self._lock = transport, credential, lock

    @classmethod
    def sign_in(
        cls,
        url: str,
        login: str,
        passphrase: str,
        *,
        pin: str,
        proxy: str = "",
        known: KnownDocumentsFile | None = None,
    ) -> Self:
        """Let the server prove itself under the roots of `pin`, then open a session (SPEC 5.9).

        Raise SyncError `transport.plain_http`, `trust.wrong_pin`, `document.rolled_back` (a trust older than in
        `known`), `signed.too_few` or `session.*` if it cannot, and RefusedError `session.refused` for a wrong
        passphrase.
        """
        pin = trust.read_pin(pin)
        transport = _open_transport(url, proxy)
        try:
            document, challenge = request_challenge(transport, url, login, pin, known)
            derived = derive_keys(passphrase, challenge.salt)
            proof = sign_in.prove(derived.auth, document, challenge.auth_salt)
            answer = {"challenge": document.to_bytes().decode(), "proof": proof}
            cookie = _read_cookie(_send(transport, "POST", "/v1/session", json=answer))
            return cls(transport, {"Cookie": f"{COOKIE}={cookie}"}, derived.lock)
        except BaseException:
            transport.close()
            raise

    @classmethod
    def with_token(
        cls, url: str, token: str, *, pin: str, proxy: str = "", known: KnownDocumentsFile | None = None
    ) -> Self:
        """Let the server prove itself, then work with a token, which is sent to no other server. Raise as `sign_in`."""
        transport = _open_transport(url, proxy)
        try:
            request_challenge(transport, url, "", trust.read_pin(pin), known)
            return cls(transport, {"Authorization": f"Bearer {token}"})
        except BaseException:
            transport.close()
            raise

    @cached_property
    def me(self) -> dict[str, Any]:
        """The person, her queues, her locked keys and her copies of keyrings."""
        found: dict[str, Any] = self.get("/v1/me")
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Sign out. Errors are ignored: the session lapses by itself, and they must not hide an earlier exception."""
        if "Cookie" in self._credential:
            with contextlib.suppress(SyncError):
                self._request("DELETE", "/v1/session")
        self._transport.close()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return _parse_json(self._request("GET", path), path)

    def pages(self, path: str) -> Iterator[list[Any]]:
        """Fetch a list page by page. The header `Link` of a page names the next one."""
        following = path
        while following:
            answer = self._send("GET", following)
            yield _parse_json(answer.content, following)
            # Only the query is taken over: a server must not send its clients elsewhere.
            named = _NEXT_PAGE.search(answer.headers.get("link", ""))
            query = urlsplit(named[1]).query if named else ""
            following = f"{path.partition('?')[0]}?{query}" if query else ""

    def list(self, path: str) -> list[Any]:
        """Fetch all pages of a list."""
        return [item for page in self.pages(path) for item in page]

    def get_bytes(self, path: str) -> bytes:
        """Fetch signed bytes unchanged."""
        return self._request("GET", path)

    def post(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Send JSON or signed bytes; return the response's JSON, or None if it is empty."""
        content = self._request("POST", path, json, data)
        return _parse_json(content, path) if content else None

    def put(self, path: str, json: Any = None, data: bytes | None = None) -> Any:
        """Replace a resource with JSON or bytes; return the response's JSON."""
        return _parse_json(self._request("PUT", path, json, data), path)

    def delete(self, path: str) -> Any:
        """Delete a resource; return the response's JSON, or None if it is empty."""
        content = self._request("DELETE", path)
        return _parse_json(content, path) if content else None

    def seal_key(self) -> SealKey:
        """Unlock the person's seal key, to which keyring seeds are wrapped."""
        locked = self.me["seal"]
        return SealKey.from_seed(unlock_secret(locked["locked"], self._lock, f"seal/{locked['kid']}"))

    def _request(self, method: str, path: str, json: Any = None, data: bytes | None = None) -> bytes:
        return self._send(method, path, json, data).content

    def _send(self, method: str, path: str, json: Any = None, data: bytes | None = None) -> Reply:
        return _send(self._transport, method, path, json, data, self._credential)


def _open_transport(url: str, proxy: str) -> Transport:
    require_private(url, proxy)
    return Transport(url, proxy=proxy, timeout=TIMEOUT, seconds=ANSWER_SECONDS)


def request_challenge(
    transport: Transport, url: str, login: str, pin: str, known: KnownDocumentsFile | None = None
) -> tuple[Document, Challenge]:
    """Let the server at `url` prove itself: fetch its trust, judge it by the newest known one or else by the pin,
    verify its signed challenge, and remember the trust.

    Nothing that is sent here opens a session. An expired trust passes: without a session no person could install the
    next one.
    """
    known = known or KnownDocumentsFile()
    held = known.documents.read_trust()
    chain = fetch_trusts(transport.get, held, pin)
    trusted = trust.accept_chain(chain, held, pin)
    asked = {"login": login, "nonce": sign_in.new_nonce(), "url": origin_of(url)}
    document = Document.parse(_send(transport, "POST", "/v1/session/challenge", json=asked).content)
    challenge = sign_in.accept(document, trusted, **asked)
    known.remember("trust", chain[-1])
    return document, challenge


def _send(
    transport: Transport,
    method: str,
    path: str,
    json: Any = None,
    data: bytes | None = None,
    more: dict[str, str] | None = None,
) -> Reply:
    # The staff API rejects requests without Chaski-Request as forged.
    headers = {"Chaski-Request": "1", "Accept-Encoding": "gzip", **ENGLISH_HEADERS, **(more or {})}
    if json is not None:
        data, headers["Content-Type"] = json_text.dumps(json).encode(), "application/json"
    return transport.send(method, path, data or b"", headers)


def _read_cookie(reply: Reply) -> str:
    try:
        return SimpleCookie(reply.headers.get("set-cookie", ""))[COOKIE].value
    except (CookieError, KeyError) as problem:
        raise SyncError("transport.no_session", "the server took the sign-in and opened no session") from problem


def _parse_json(content: bytes, path: str) -> Any:
    try:
        return strict_value(content, max_values=MAX_VALUES)
    except SyncError as problem:
        raise SyncError("transport.bad_json", f"{path} did not answer with JSON") from problem
