"""Tokens for a person's own programs: create, use, list, revoke. The staff API calls it.

A token has fewer rights than its person: some of her roles out of three, for at most ninety days. It never gives access
to screenings, tablets or accounts. It is shown once; the server stores only its hash.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from server.database.connection import Database, DatabaseBusyError
from server.flows.people import wrong_guesses
from server.problems import Problem
from server.store import audit, people, tokens
from server.store.people import StaffAccount
from server.store.tokens import Token
from sync.durations import DAY, MINUTE

ROLES = ("author", "reviewer", "publisher")
MOST_DAYS = 90
_TOUCH_INTERVAL = MINUTE
_ATTEMPT_LOGIN = "token"
"""The login under which wrong tokens are counted per address. No account has it."""


@dataclass(frozen=True)
class NewToken:
    """A new token: its text (returned only here), and its rights."""

    text: str
    token: Token


def create_token(
    db: Database, person: StaffAccount, *, label: str, roles: Collection[str], days: int, now: int
) -> NewToken:
    """Create a token with some of a person's roles, for a number of days. Raises Problem `role.missing` for a role that
    she lacks."""
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
    """Return the account of a token, limited to the token's roles.

    Raises Problem `token.refused` if it is wrong, expired or revoked, and `session.too_many` after too many failures.
    The right one is accepted whatever failed before.
    """
    connection = db.read()
    token = tokens.get_live(connection, _hash_token(text), at=now)
    person = people.get_account(connection, token.person) if token else None
    if token is None or person is None:
        wrong_guesses.refuse(db, Problem("token.refused"), login=_ATTEMPT_LOGIN, address=address, now=now)
    if now - (token.used or 0) > _TOUCH_INTERVAL:
        with suppress(DatabaseBusyError), db.write(patience=0) as w:  # A reader must not wait for a writer.
            tokens.mark_used(w, token.id, at=now)
    return replace(person, roles=person.roles & set(token.roles.split()), groups=frozenset())


def list_tokens(db: Database, person: StaffAccount) -> list[Token]:
    """Return a person's tokens, including expired and revoked ones."""
    return tokens.list_of_person(db.read(), person.id)


def revoke_token(db: Database, person: StaffAccount, id_: str, *, now: int) -> None:
    """Revoke one of a person's own tokens. Raises Problem `token.unknown` if she has no token with this id."""
    with db.write() as w:
        own = {token.id: token for token in tokens.list_of_person(w, person.id)}
        if id_ not in own:
            raise Problem("token.unknown", id_)
        if own[id_].revoked is not None:
            return
        tokens.revoke_token(w, id_, at=now)
        audit.append(w, at=now, action="token.revoked", actor=person.id, subject=id_)


def _hash_token(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
