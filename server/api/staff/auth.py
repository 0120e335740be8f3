"""Who is asking at the people's door: session cookie or token, the roles an address needs, the guard against forgery.

Only the people's API uses this. It decides about roles; which queue or envelope a person may see, the flows decide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from server.api.flask_app import parts
from server.api.openapi import noted
from server.config import Config
from server.flows.people import accounts as people
from server.flows.people import tokens
from server.flows.people.accounts import SESSION_LIFE
from server.problems import Problem
from server.store.people import Person
from sync.durations import MINUTE

COOKIE = "chaski_session"
# A page of another origin cannot set this header without asking first, and the door never answers that question.
GUARD = "Chaski-Request"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def guard_requests(app: Flask) -> None:
    """Refuse every unsafe request that a foreign page could have sent with the person's cookie (CSRF)."""
    app.before_request(_refuse_foreign)


def _refuse_foreign() -> None:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    if request.headers.get(GUARD) != "1" or (origin and urlsplit(origin).netloc != request.host):
        raise Problem("session.foreign_request", f"the header {GUARD}: 1 is missing, or the origin is another")


def needs(*roles: str, tokens: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Let only signed-in people in; with roles, only people who have one of them.

    `tokens`: also a person's own programs, which show a token of hers. No address of desks, tablets or people says so.
    """

    def wrap(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if tokens and request.headers.get("Authorization"):
                g.person = _bearer()
            person = signed_in()
            if roles and not person.roles.intersection(roles):
                raise Problem("role.missing", f"this needs one of: {', '.join(sorted(roles))}")
            return endpoint(*args, **kwargs)

        ways = ("session", "token") if tokens else ("session",)
        return noted(guarded, security=[{way: []} for way in ways], **{"x-roles": sorted(roles)})  # type: ignore[return-value]

    return wrap


def signed_in() -> Person:
    """Return who is asking. Problem `session.missing` when there is no live session."""
    if "person" not in g:
        here = parts()
        token = request.cookies.get(COOKIE, "")
        idle = here.config.session_minutes * MINUTE
        g.person = people.of_session(here.db, token, now=here.now(), idle=idle) if token else None
    person: Person | None = g.person
    if person is None:
        raise Problem("session.missing")
    return person


def by_token() -> bool:
    """Say whether a program asks, at an address that takes tokens: it is told of no tablet by name."""
    return bool(request.headers.get("Authorization"))


def _bearer() -> Person:
    """Return whom a token speaks for. Problem `token.refused` for one that is not usable."""
    here = parts()
    scheme, _, text = request.headers["Authorization"].partition(" ")
    given = text.strip() if scheme.lower() == "bearer" else ""
    return tokens.bearer(here.db, given, address=request.remote_addr or "", now=here.now())


def set_cookie(response: Response, token: str, config: Config) -> None:
    """Hand over the session token where no script can read it and no other site can send it."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_LIFE // 1000,
        httponly=True,
        samesite="Strict",
        secure=config.people_secure_cookie,
    )
