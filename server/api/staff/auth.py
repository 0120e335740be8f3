"""Authentication for the staff API: session cookies, tokens, required roles, and protection against forged requests.

The tablet API must not use this. This module checks roles only; the flows decide which queue or envelope a person may
see.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from server.api import openapi
from server.api.flask_app import current_services
from server.config import Config
from server.flows.people import accounts, tokens
from server.flows.people.accounts import SESSION_LIFE
from server.problems import Problem
from server.store.people import StaffAccount
from sync.durations import MINUTE

SESSION_COOKIE = "chaski_session"
# A page of another origin needs a CORS preflight to set this header, and the staff API never allows one.
GUARD_HEADER = "Chaski-Request"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def refuse_forged_requests(app: Flask) -> None:
    """Reject every unsafe request that a page of another origin could send with the person's cookie (CSRF)."""
    app.before_request(_refuse_foreign_origin)


def _refuse_foreign_origin() -> None:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    if request.headers.get(GUARD_HEADER) != "1" or (origin and urlsplit(origin).netloc != request.host):
        raise Problem("session.foreign_request", f"the header {GUARD_HEADER}: 1 is missing, or the origin is foreign")


def require_role(*roles: str, tokens: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Require a signed-in person at an endpoint and, if `roles` are given, at least one of these roles.

    `tokens`: the endpoint also accepts a person's token. Endpoints for desks, tablets or accounts must not set it.
    Raises Problem `session.missing`, `role.missing` or `token.refused`.
    """

    def wrap(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if tokens and request.headers.get("Authorization"):
                g.person = _person_of_token()
            person = current_person()
            if roles and not person.roles.intersection(roles):
                raise Problem("role.missing", f"this needs one of: {', '.join(sorted(roles))}")
            return endpoint(*args, **kwargs)

        ways = ("session", "token") if tokens else ("session",)
        return openapi.annotate(guarded, security=[{way: []} for way in ways], **{"x-roles": sorted(roles)})  # type: ignore[return-value]

    return wrap


def current_person() -> StaffAccount:
    """Return the person who sent the request. Raises Problem `session.missing` without a valid session."""
    if "person" not in g:
        services = current_services()
        token = request.cookies.get(SESSION_COOKIE, "")
        idle = services.config.session_minutes * MINUTE
        g.person = accounts.find_by_session(services.db, token, now=services.now(), idle=idle) if token else None
    person: StaffAccount | None = g.person
    if person is None:
        raise Problem("session.missing")
    return person


def is_token_request() -> bool:
    """Return True if the request carries a token. Responses to tokens must not name single tablets."""
    return bool(request.headers.get("Authorization"))


def _person_of_token() -> StaffAccount:
    """Return the owner of the request's token. Raises Problem `token.refused` if the token is not valid."""
    services = current_services()
    scheme, _, text = request.headers["Authorization"].partition(" ")
    arguments = text.strip() if scheme.lower() == "bearer" else ""
    return tokens.authenticate(services.db, arguments, address=request.remote_addr or "", now=services.now())


def set_session_cookie(response: Response, token: str, config: Config) -> None:
    """Set the session cookie: scripts cannot read it, and other sites cannot send it."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=SESSION_LIFE // 1000,
        httponly=True,
        samesite="Strict",
        secure=config.people_secure_cookie,
    )
