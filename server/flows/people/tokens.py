"""Tokens with which a person's own programs ask the publishing addresses in her name: made, used, listed, ended.

The people's door calls it. A token can do less than its person: some of her roles among three, for ninety days at most,
and never anything about screenings, tablets or people. It is shown once; only its hash is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace

from server.database.connection import Database
from server.flows.people.accounts import FAILURE_WINDOW, FAILURES_PER_ADDRESS, FAILURES_PER_LOGIN
from server.problems import Problem
from server.store import audit, people, sessions, tokens
from server.store.people import StaffAccount
from server.store.tokens import Token
from sync.durations import DAY, MINUTE

ROLES = ("author", "reviewer", "publisher")
MOST_DAYS = 90
_TOUCH_INTERVAL = MINUTE
_ATTEMPT_LOGIN = "token"
"""Under what wrong tokens are counted per address; no login is kept like this."""


@dataclass(frozen=True)
class NewToken:
    """A new token: the text, once, and what it may do."""

    text: str
    token: Token


def create_token(
    db: Database, person: StaffAccount, *, label: str, roles: Collection[str], days: int, now: int
) -> NewToken:
    """Make a token with some of a person's roles, for a number of days. Problem `role.missing` for one she has not."""
    wanted = sorted(set(roles))
    if missing := [role for role in wanted if role not in person.roles or role not in ROLES]:
        raise Problem("role.missing", ", ".join(missing))
    text = f"chaski_{secrets.token_urlsafe(32)}"
    token = Token(
        secrets.token_hex(6), person.id, label, " ".join(wanted), now, now + min(days, MOST_DAYS) * DAY, None, None
    )
    with db.write() as w:
        tokens.add_token(w, token, _hash_token(text))
        audit.append(w, at=now, action="token.made", actor=person.id, subject=token.id)
    return NewToken(text, token)


def authenticate(db: Database, text: str, *, address: str, now: int) -> StaffAccount:
    """Return the person that a token speaks for, with no more than the token's roles.

    Problem `token.refused` for one that is wrong, over or revoked; `session.too_many` after too many of those.
    """
    connection = db.read()
    failed = sessions.count_failures(
        connection, login=_ATTEMPT_LOGIN, address=address, since=now - FAILURE_WINDOW, until=now
    )
    if failed.login >= FAILURES_PER_LOGIN or failed.address >= FAILURES_PER_ADDRESS:
        raise Problem("session.too_many")
    token = tokens.get_live(connection, _hash_token(text), at=now)
    person = people.get_account(connection, token.person) if token else None
    if token is None or person is None:
        with db.write() as w:
            sessions.record_failure(w, login=_ATTEMPT_LOGIN, address=address, at=now)
        raise Problem("token.refused")
    if now - (token.used or 0) > _TOUCH_INTERVAL:
        with db.write() as w:
            tokens.mark_used(w, token.id, at=now)
    return replace(person, roles=person.roles & set(token.roles.split()), groups=frozenset())


def list_tokens(db: Database, person: StaffAccount) -> list[Token]:
    """Return a person's tokens, also those that are over."""
    return tokens.list_of_person(db.read(), person.id)


def revoke_token(db: Database, person: StaffAccount, id_: str, *, now: int) -> None:
    """End one of a person's own tokens. Problem `token.unknown` when she has none of that name."""
    with db.write() as w:
        if id_ not in {token.id for token in tokens.list_of_person(w, person.id)}:
            raise Problem("token.unknown", id_)
        tokens.revoke_token(w, id_, at=now)
        audit.append(w, at=now, action="token.revoked", actor=person.id, subject=id_)


def _hash_token(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
