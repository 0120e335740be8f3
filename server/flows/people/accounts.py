"""Staff accounts and sign-in. The staff API and `chaski init` call it; it opens its own transactions.

The client derives two values from the passphrase with Argon2id and HKDF. It proves to the server that it knows `auth`
(flows/people/sign_in.py), of which the server stores a salted hash. From that the server cannot compute `lock`, the
value that unlocks the keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from server.client_network import networks_of
from server.database.connection import Connection, Database, DatabaseBusyError
from server.flows.people import wrong_guesses
from server.problems import Problem
from server.store import audit, people, sessions
from server.store.people import SignInRecord, StaffAccount
from sync.documents.sign_in import hash_auth
from sync.durations import DAY, HOUR, MINUTE

SESSION_LIFE = 12 * HOUR
FAILURES_KEPT = DAY
_TOUCH_INTERVAL = MINUTE
# Deleted of each table in one transaction: few enough that a sync at the same time is not delayed.
_DELETED_AT_ONCE = 200
_UNKNOWN_LOGIN = SignInRecord(person="", salt=b"", auth_salt=b"nobody", auth_hash=b"")


@dataclass(frozen=True)
class NewSession:
    """A new session: the token for the cookie (returned only here), and its account."""

    token: str
    person: StaffAccount


def add_account(w: Connection, person: StaffAccount, *, salt: bytes, auth: bytes, now: int, by: str) -> None:
    """Add an account inside the caller's transaction."""
    auth_salt = secrets.token_bytes(16)
    record = SignInRecord(person.id, salt, auth_salt, hash_auth(auth, auth_salt))
    people.add_account(w, person, record, at=now)
    audit.append(w, at=now, action="person.admitted", actor=by, subject=person.id)


def get_salt(db: Database, login: str) -> bytes:
    """Return the login's salt (16 bytes). An unknown login gets a salt too, so that the answer does not reveal whether
    it exists."""
    connection = db.read()
    record = people.get_sign_in_record(connection, login)
    if record is not None:
        return record.salt
    return hmac.digest(people.get_pepper(connection), login.encode(), "sha256")[:16]


def sign_in(db: Database, *, login: str, auth: bytes, address: str, now: int) -> NewSession:
    """Start a session. The right words are accepted whatever failed before.

    Raises Problem `session.refused` for a wrong login or passphrase, `session.too_many` after too many failures.
    """
    connection, token = db.read(), secrets.token_urlsafe(32)
    attempt, person = _hash_login(connection, login), _check_passphrase(connection, login, auth)
    if person is None:
        wrong_guesses.refuse(db, Problem("session.refused"), login=attempt, address=address, now=now)
    with db.write() as w:
        for network in networks_of(address):
            sessions.delete_failures(w, login=attempt, address=network)
        sessions.start_session(w, token_hash=hash_token(token), person=person.id, at=now, expires_at=now + SESSION_LIFE)
        audit.append(w, at=now, action="session.started", actor=person.id, subject=person.id)
    return NewSession(token, person)


def _hash_login(connection: Connection, login: str) -> str:
    # A failed login may be a passphrase typed into the wrong field. So the server counts its hash and never stores the
    # text.
    return hmac.digest(people.get_pepper(connection), b"attempt" + login.encode(), "sha256").hex()


def _check_passphrase(connection: Connection, login: str, auth: bytes) -> StaffAccount | None:
    # An unknown login takes the same code path, and the same time, as a wrong passphrase.
    record = people.get_sign_in_record(connection, login) or _UNKNOWN_LOGIN
    matches = hmac.compare_digest(hash_auth(auth, record.auth_salt), record.auth_hash)
    return people.get_account(connection, record.person) if matches else None


def sign_out(db: Database, token: str, *, now: int) -> None:
    """End the session of this token. Does nothing if there is none."""
    with db.write() as w:
        session = sessions.get_live(w, hash_token(token), at=now, idle_since=0)
        if session is not None:
            sessions.end_session(w, hash_token(token))
            audit.append(w, at=now, action="session.ended", actor=session.person, subject=session.person)


def find_by_session(db: Database, token: str, *, now: int, idle: int) -> StaffAccount | None:
    """Return the account of a live session, or None. `idle` is in milliseconds."""
    connection = db.read()
    session = sessions.get_live(connection, hash_token(token), at=now, idle_since=now - idle)
    if session is None:
        return None
    if now - session.seen > _TOUCH_INTERVAL:
        # A reader must not wait for a writer. The next request marks the session.
        with suppress(DatabaseBusyError), db.write(patience=0) as w:
            sessions.mark_used(w, hash_token(token), at=now)
    return people.get_account(connection, session.person)


def list_logins(db: Database, ids: Collection[str]) -> dict[str, str]:
    """Return the logins of accounts by id. An id without an account, such as "ceremony", is returned as it is."""
    return {id_: id_ for id_ in ids} | people.list_logins(db.read(), ids)


def delete_old_sessions(db: Database, *, now: int) -> int:
    """Delete expired sessions, and sign-in failures with their addresses after a day; return how many. A job calls
    it."""
    total = 0
    while True:
        with db.write() as w:
            deleted = sessions.delete_old(w, expired_at=now, failed_before=now - FAILURES_KEPT, most=_DELETED_AT_ONCE)
        if not deleted:
            return total
        total += deleted


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
