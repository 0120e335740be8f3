"""The server's half of the key ceremony: creates an empty server, then its first desks and accounts.

A founding that was interrupted starts again. A mark in the data folder distinguishes it from a finished server.

Only `server.ceremony` calls it. It gets public keys, locked keys and wrapped copies. It must not receive a secret other
than the server's own.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server import server_keys
from server.config import Config, ConfigError, founding_mark
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteDatabase
from server.flows.desks import routing
from server.flows.operations import rollback_guard
from server.flows.people import accounts
from server.flows.trust import documents as trust_documents
from server.server_keys import ServerKeys
from server.store import audit, keyrings, meta, queues
from server.store import people as people_store
from server.store.people import StaffAccount
from server.store.queues import Queue
from sync.atomic_file import sync_folder
from sync.documents.registry import NATIONAL
from sync.documents.signed import Document
from sync.keys.key_pairs import SealPublicKey

CEREMONY = "ceremony"


@dataclass(frozen=True)
class NewServer:
    """A created server: its settings, its own keys, its open database, and the next steps as sentences."""

    config: Config
    keys: ServerKeys
    db: Database
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewPerson:
    """An account, with the record that her first sign-in is checked against."""

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


@contextmanager
def lock_new_server(data: Path) -> Iterator[str]:
    """Lock a data folder (mode 0700) during the founding. Raises ConfigError if it holds a server.

    Yields the random mark of this founding. If the block fails or the process dies, the file with the mark stays. The
    next founding then removes the keys and the database that are there. No person has received them yet.
    """
    config = Config(data=data.absolute())
    if not config.unfinished.exists():
        _refuse_server(config)
    _refuse_foreign_file(config)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    descriptor = os.open(config.unfinished, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError("CHASKI_DATA", f"another `chaski init` is at work in {data}") from error
        mark = file.read()
        if not (mark and config.unfinished.exists()):  # Another process may have founded a server since the check.
            _refuse_server(config, new_mark=not mark)
        if not mark:
            mark = secrets.token_hex(16)
            file.write(mark)
        file.flush()
        os.fsync(file.fileno())
        sync_folder(config.data)
        _remove_unfinished(config)
        yield mark
        config.unfinished.unlink()
        sync_folder(config.data)


def read_mark(data: Path) -> str:
    """Return the mark of an interrupted founding; empty if there is none."""
    return founding_mark(Config(data=data.absolute()).unfinished)


def _refuse_foreign_file(config: Config) -> None:
    """Raise ConfigError for a file in the place of the mark that no founding wrote. A founding may leave it empty."""
    file = config.unfinished
    if not os.path.lexists(file) or founding_mark(file):
        return
    if file.is_symlink() or not file.is_file() or file.stat().st_size:
        _refuse_server(config)
        raise ConfigError("CHASKI_DATA", f"{file} is not a file of Chaski; move it away, then run `chaski init` again")


def _refuse_server(config: Config, *, new_mark: bool = False) -> None:
    if config.database.exists() or config.keys.exists():
        if new_mark:
            config.unfinished.unlink(missing_ok=True)
        raise ConfigError("CHASKI_DATA", f"{config.data} holds a server already")


def _remove_unfinished(config: Config) -> None:
    if config.keys.exists():
        shutil.rmtree(config.keys)
    for file in config.database_files:
        file.unlink(missing_ok=True)


def create_server(data: Path, *, now: int) -> NewServer:
    """Create the server's keys and the database in a folder that `lock_new_server` has locked."""
    config = Config(data=data.absolute())
    made = server_keys.create(config.keys)
    db = SqliteDatabase(
        config.database, create=True, on_commit=rollback_guard.keep_mark(config.database, made, lambda: now)
    )
    with db.write() as w:
        meta.record_mark(w)
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
    """Store the people, keyrings and queues, and install trust, registry and the first manifest, in one transaction."""
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
