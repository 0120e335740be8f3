"""The server's side of a sign-in (SPEC 5.9): its signed challenge, and the proof that opens a session.

The staff API calls it; it opens its own transactions. It must not sign for an address that is not the server's: a relay
could then stand between a person and her server. The server never learns `auth` before the proof comes.
"""

from __future__ import annotations

import hashlib
import hmac

from server.database.connection import Database
from server.flows.people import accounts
from server.flows.people.accounts import NewSession
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import documents, people, sessions
from sync.documents import sign_in
from sync.documents.sign_in import Challenge
from sync.documents.signed import Document
from sync.errors import SyncError


def issue_challenge(db: Database, keys: ServerKeys, *, login: str, nonce: str, url: str, now: int) -> Document:
    """Sign a challenge for a login. Whether the login exists cannot be seen in it; an empty one is for nobody."""
    connection = db.read()
    trust = documents.get_newest(connection, "trust")
    if trust is None:
        raise Problem("server.not_ready")
    record = people.get_sign_in_record(connection, login)
    auth_salt = record.auth_salt if record else _invent(people.get_pepper(connection), "auth", login)[:16]
    return Challenge(
        nonce=nonce,
        url=url,
        login=login,
        salt=accounts.get_salt(db, login),
        auth_salt=auth_salt,
        trust=trust.sha256,
        at=now,
    ).sign(keys.signing)


def open_session(db: Database, keys: ServerKeys, *, challenge: bytes, proof: str, address: str, now: int) -> NewSession:
    """Start the session of a person who proved that she knows `auth`. A challenge opens one session.

    Raises Problem `session.refused`, `session.too_many` or `session.challenge_used`, and SyncError
    `session.challenge_expired`, `signed.*` or `document.malformed` for a challenge that is not this server's.
    """
    document = Document.parse(challenge)
    answered = sign_in.accept_returned(document, keys.signing.public, now=now)
    connection = db.read()
    record = people.get_sign_in_record(connection, answered.login)
    auth_hash = record.auth_hash if record else _invent(people.get_pepper(connection), "hash", answered.login)
    try:
        auth = sign_in.open_proof(proof, document, auth_hash)
    except (SyncError, ValueError) as error:
        raise Problem("session.refused") from error
    signed_in = accounts.sign_in(db, login=answered.login, auth=auth, address=address, now=now)
    with db.write() as w:
        is_new = sessions.spend_challenge(w, hashlib.sha256(document.payload).digest(), at=now)
        if not is_new:
            sessions.end_session(w, accounts.hash_token(signed_in.token))
    if not is_new:
        raise Problem("session.challenge_used")
    return signed_in


def _invent(pepper: bytes, use: str, login: str) -> bytes:
    """Compute what a login without an account would have, the same each time."""
    return hmac.digest(pepper, f"{use}:{login}".encode(), "sha256")
