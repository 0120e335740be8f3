"""Who is asking at the people's door: session cookie or token, the roles an address needs, the guard against forgery.

Only the people's API uses this. It decides about roles; which queue or envelope a person may see, the flows decide.
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
# A page of another origin cannot set this header without asking first, and the door never answers that question.
GUARD_HEADER = "Chaski-Request"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def refuse_forged_requests(app: Flask) -> None:
    """Refuse every unsafe request that a foreign page could have sent with the person's cookie (CSRF)."""
    app.before_request(_refuse_foreign_origin)


def _refuse_foreign_origin() -> None:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    if request.headers.get(GUARD_HEADER) != "1" or (origin and urlsplit(origin).netloc != request.host):
        raise Problem("session.foreign_request", f"the header {GUARD_HEADER}: 1 is missing, or the origin is another")


def require_role(*roles: str, tokens: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Let only signed-in people in; with roles, only people who have one of them.

    `tokens`: also a person's own programs, which show a token of hers. No address of desks, tablets or people says so.
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
    """Return who is asking. Problem `session.missing` when there is no live session."""
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
    """Say whether a program asks, at an address that takes tokens: it is told of no tablet by name."""
    return bool(request.headers.get("Authorization"))


def _person_of_token() -> StaffAccount:
    """Return whom a token speaks for. Problem `token.refused` for one that is not usable."""
    services = current_services()
    scheme, _, text = request.headers["Authorization"].partition(" ")
    arguments = text.strip() if scheme.lower() == "bearer" else ""
    return tokens.authenticate(services.db, arguments, address=request.remote_addr or "", now=services.now())


def set_session_cookie(response: Response, token: str, config: Config) -> None:
    """Hand over the session token where no script can read it and no other site can send it."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=SESSION_LIFE // 1000,
        httponly=True,
        samesite="Strict",
        secure=config.people_secure_cookie,
    )
