"""The client address of a request behind proxies, and limits on failures per address.

`server.app` installs both on the APIs, so that an attacker cannot guess enrolment codes; the tablet API counts rejected
couriers. The counts are in memory only. A limit must never keep out a right code, a certificate, a tablet's envelope,
or `POST /v1/sync`: it changes the answers to failures alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, request

from server import problems
from server.client_network import network_of, parse_address
from server.config import Network
from server.problems import Problem

# A registrar who enrols 100 tablets from one office makes some mistakes. An address with more failures is guessing.
MAX_FAILURES, WINDOW_SECONDS = 100, 15 * 60
MAX_ADDRESSES = 10_000
_LIMITED_PATH = "/v1/enrolments"


def trust_proxies(app: Flask, proxies: Sequence[Network]) -> None:
    """Set an app's `REMOTE_ADDR` to the client address that the trusted proxies report."""
    inner = app.wsgi_app

    def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = find_client_address(environ.get("REMOTE_ADDR", ""), forwarded, proxies)
        return inner(environ, start_response)

    app.wsgi_app = outer  # type: ignore[method-assign]


def find_client_address(peer: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """Return the rightmost address that is not a trusted proxy. A client can forge every address to the left of it."""
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    seen = peer
    while hops and _is_in(seen, proxies):
        seen = hops.pop()
    return str(parse_address(seen) or peer)


def _is_in(address: str, proxies: Sequence[Network]) -> bool:
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in proxies)


class AddressFailures:
    """Counts failures per address. A window begins with the first failure; a full table drops the oldest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted: dict[str, tuple[float, int]] = {}

    @property
    def address_count(self) -> int:
        """The number of addresses in the table."""
        return len(self._counted)

    def is_blocked(self, address: str) -> bool:
        """True if an address has reached the limit in its window."""
        since, count = self._counted.get(network_of(address), (0.0, 0))
        return count >= MAX_FAILURES and self._clock() - since < WINDOW_SECONDS

    def count(self, address: str) -> None:
        """Count one failure of an address."""
        since, count = self._counted.pop(network_of(address), (0.0, 0))
        if not count or self._clock() - since >= WINDOW_SECONDS:
            since, count = self._clock(), 0
        self._counted[network_of(address)] = since, count + 1
        while len(self._counted) > MAX_ADDRESSES:
            self._counted.pop(next(iter(self._counted)), None)


def limit_enrolment_failures(app: Flask) -> None:
    """Answer every further failure of an address with too many failed enrolments with 429, without its reason.

    A request is judged first: people and tablets behind one address must not keep each other out.
    """
    failures = AddressFailures()

    def after(response: Response) -> Response:
        if not _is_limited() or not 400 <= response.status_code < 500:
            return response
        address = request.remote_addr or ""
        if failures.is_blocked(address):
            return problems.respond(Problem("http.too_many"))
        failures.count(address)
        return response

    app.after_request(after)


def _is_limited() -> bool:
    return request.path.startswith(_LIMITED_PATH) and request.method != "GET"
