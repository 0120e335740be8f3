"""Tokens of a person's own programs. Only the SHA-256 of a token is stored, so that a copy of the database gives no
access."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Token:
    """A token's rights, person and expiry (ms), without the token itself."""

    id: str
    person: str
    label: str
    roles: str
    created: int
    expires: int
    used: int | None
    revoked: int | None


_PLAIN = "id, person, label, roles, created, expires, used, revoked"


def add_token(w: Connection, token: Token, token_hash: bytes) -> None:
    """Insert a token."""
    w.execute(
        "insert into tokens (id, token_hash, person, label, roles, created, expires) values (?, ?, ?, ?, ?, ?, ?)",
        [token.id, token_hash, token.person, token.label, token.roles, token.created, token.expires],
    )


def get_live(c: Connection, token_hash: bytes, *, at: int) -> Token | None:
    """Return the token with this hash if it is neither expired nor revoked; otherwise None."""
    sql = f"select {_PLAIN} from tokens where token_hash = ? and expires > ? and revoked is null"  # noqa: S608
    found = c.row(sql, [token_hash, at])
    return Token(**found) if found else None


def mark_used(w: Connection, id_: str, *, at: int) -> None:
    """Store that a token was used."""
    w.execute("update tokens set used = ? where id = ?", [at, id_])


def revoke_token(w: Connection, id_: str, *, at: int) -> None:
    """Revoke a token; a second call does not change the time."""
    w.execute("update tokens set revoked = coalesce(revoked, ?) where id = ?", [at, id_])


def list_of_person(c: Connection, person: str) -> list[Token]:
    """Return all tokens of a person, oldest first."""
    sql = f"select {_PLAIN} from tokens where person = ? order by created, id"  # noqa: S608
    return [Token(**each) for each in c.rows(sql, [person])]
