"""Sessions of the staff API, and the recent failed sign-ins that slow down guessing.

Only the SHA-256 of a session token is stored, so that a copy of the database opens no session. Flows call this inside
their own transaction; times are integer milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from sync.durations import DAY

MOST_FAILURES = 100_000
"""Failed sign-ins that are stored in all. A stranger with many networks must not fill the disk."""


@dataclass(frozen=True)
class Session:
    """A live session: its person, and when it was last used (ms)."""

    person: str
    seen: int


@dataclass(frozen=True)
class FailureCounts:
    """Recent failed sign-ins from one address: with this login (stored as a hash), and with any login."""

    login: int
    address: int


def start_session(connection: Connection, *, token_hash: bytes, person: str, at: int, expires_at: int) -> None:
    """Store a new session, valid until `expires_at` at the latest."""
    connection.execute(
        "insert into sessions (token_hash, person, created, seen, expires) values (?, ?, ?, ?, ?)",
        (token_hash, person, at, at, expires_at),
    )


def get_live(connection: Connection, token_hash: bytes, *, at: int, idle_since: int) -> Session | None:
    """Return the session if it has not expired at `at` and was used after `idle_since`.

    A last use in the future, recorded by a wrong clock, does not count: such a session would never end.
    """
    found = connection.row(
        "select person, seen from sessions where token_hash = ? and expires > ? and seen > ? and seen < ?",
        (token_hash, at, idle_since, at + DAY),
    )
    return Session(**found) if found else None


def mark_used(connection: Connection, token_hash: bytes, *, at: int) -> None:
    """Store that the session was used."""
    connection.execute("update sessions set seen = ? where token_hash = ?", (at, token_hash))


def end_session(connection: Connection, token_hash: bytes) -> None:
    """Delete a session."""
    connection.execute("delete from sessions where token_hash = ?", (token_hash,))


def spend_challenge(connection: Connection, challenge: bytes, *, at: int) -> bool:
    """Store that a challenge (its SHA-256) opened a session; return False if it had opened one before."""
    sql = "insert into spent_challenges (challenge, at) values (?, ?) on conflict (challenge) do nothing"
    return connection.execute(sql, (challenge, at)).rowcount == 1


def delete_old(connection: Connection, *, expired_at: int, failed_before: int, most: int) -> int:
    """Delete expired sessions, and old failures with their network addresses; return how many rows were deleted.

    Spent challenges of that age go too: they have expired long before. At most `most` rows of each.
    """
    deleted = 0
    for table, key, old, limit in (
        ("sessions", "token_hash", "expires <= ?", expired_at),
        ("spent_challenges", "challenge", "at < ?", failed_before),
        ("sign_in_failures", "rowid", "at < ?", failed_before),
    ):
        sql = f"delete from {table} where {key} in (select {key} from {table} where {old} limit ?)"  # noqa: S608 (constants)
        deleted += connection.execute(sql, (limit, most)).rowcount
    return deleted


def record_failure(connection: Connection, *, login: str, address: str, at: int) -> None:
    """Store a failed sign-in; beyond MOST_FAILURES, the oldest ones are deleted."""
    connection.execute("insert into sign_in_failures (login, address, at) values (?, ?, ?)", (login, address, at))
    connection.execute("delete from sign_in_failures where rowid <= last_insert_rowid() - ?", (MOST_FAILURES,))


def delete_failures(connection: Connection, *, login: str, address: str) -> None:
    """Delete the failures of a login from one address, after a successful sign-in."""
    connection.execute("delete from sign_in_failures where login = ? and address = ?", (login, address))


def count_failures(connection: Connection, *, login: str, address: str, since: int, until: int) -> FailureCounts:
    """Count the failures between two times."""
    found = connection.row(
        "select coalesce(sum(case when login = ? then 1 else 0 end), 0) as login, count(*) as address"
        " from sign_in_failures where address = ? and at between ? and ?",
        (login, address, since, until),
    )
    return FailureCounts(**found) if found else FailureCounts(0, 0)
