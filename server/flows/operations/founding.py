"""The server's half of the key ceremony: an empty server, then the first desks and people around it.

Only `server.ceremony` calls it. It is given public keys, locked keys and wrapped copies; no secret but the server's own
ever comes in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server import server_keys
from server.config import Config, ConfigError
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteDatabase
from server.flows.desks import routing
from server.flows.people import accounts
from server.flows.trust import documents as trust_documents
from server.server_keys import ServerKeys
from server.store import audit, keyrings, queues
from server.store import people as people_store
from server.store.people import StaffAccount
from server.store.queues import Queue
from sync.documents.registry import NATIONAL
from sync.documents.signed import Document
from sync.keys.key_pairs import SealPublicKey

CEREMONY = "ceremony"


@dataclass(frozen=True)
class NewServer:
    """A server that exists: its settings, its own keys, its open database; and what to do next, in sentences."""

    config: Config
    keys: ServerKeys
    db: Database
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewPerson:
    """An account, with what its first sign-in will be checked against."""

    person: StaffAccount
    salt: bytes
    auth: bytes


@dataclass(frozen=True)
class WrappedCopy:
    """One member's copy of a keyring secret."""

    person: str
    wrapped: str


@dataclass(frozen=True)
class NewKeyring:
    """A keyring epoch's public key and its members' copies of the secret."""

    id: str
    epoch: int
    public: SealPublicKey
    copies: Sequence[WrappedCopy]


def create_server(data: Path, *, now: int) -> NewServer:
    """Make the data folder (0700), the server's keys and the database. ConfigError when there is a server already."""
    config = Config(data=data.absolute())
    if config.database.exists() or config.keys.exists():
        raise ConfigError("CHASKI_DATA", f"{data} holds a server already")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    made, db = server_keys.create(config.keys), SqliteDatabase(config.database)
    with db.write() as w:
        audit.append(w, at=now, action="server.founded", actor=CEREMONY, subject=made.signing.kid)
    return NewServer(config, made, db)


def set_up_desks(
    server: NewServer,
    *,
    trust: Document,
    registry: Document,
    people: Sequence[NewPerson],
    keyrings: Sequence[NewKeyring],
    now: int,
) -> None:
    """Seat the people at their desks and put trust, registry and the first manifest in force: all of it, or nothing."""
    with server.db.write() as w:
        _add_people(w, people, now)
        _store_keyrings(w, keyrings, now)
        _create_queues(w)
        trust_documents.install_first(w, server.keys, trust, registry, now=now, actor=CEREMONY)


def _add_people(w: Connection, newcomers: Sequence[NewPerson], now: int) -> None:
    for each in newcomers:
        accounts.add_account(w, each.person, salt=each.salt, auth=each.auth, now=now, by=CEREMONY)


def _store_keyrings(w: Connection, new: Sequence[NewKeyring], now: int) -> None:
    for each in new:
        public = each.public
        keyrings.add_key(
            w, sha256=public.sha256, keyring=each.id, epoch=each.epoch, kid=public.kid, public=public.raw, at=now
        )
        for copy in each.copies:
            keyrings.put_wrapped_key(
                w, keyring=each.id, epoch=each.epoch, person=copy.person, wrapped=copy.wrapped, at=now
            )
        audit.append(w, at=now, action="keyring.wrapped", actor=CEREMONY, subject=each.id, detail={"kid": public.kid})


def _create_queues(w: Connection) -> None:
    for rule in routing.read_rules():
        queues.put_queue(w, Queue(rule.queue, rule.site, rule.queue_kind, rule.keyring, rule.title_es))
        # The desk group that works a queue is the one whose keyring opens it; the national desk sees every queue.
        for group in {rule.keyring, NATIONAL}:
            people_store.grant_queue(w, rule.queue, group)
