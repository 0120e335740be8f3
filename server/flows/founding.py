"""The server's half of the key ceremony: an empty server, then the first desks and people around it.

A founding that was cut off is begun again: a mark in the data folder tells it from a server that exists.

Only `server.ceremony` calls it. It is given public keys, locked keys and wrapped copies; no secret but the server's own
ever comes in here.
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

from server import keys
from server.config import Config, ConfigError
from server.db import Connection, Db
from server.flows import aside, people, publishing, routing
from server.keys import ServerKeys
from server.store import audit, keyrings, queues
from server.store import people as people_store
from server.store.people import Person
from server.store.queues import Queue
from sync.durable import sync_folder
from sync.keys import SealPublic
from sync.registry import NATIONAL
from sync.signed import Document

CEREMONY = "ceremony"


@dataclass(frozen=True)
class Founded:
    """A server that exists: its settings, its own keys, its open database; and what to do next, in sentences."""

    config: Config
    keys: ServerKeys
    db: Db
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewPerson:
    """An account, with what its first sign-in will be checked against."""

    person: Person
    salt: bytes
    auth: bytes


@dataclass(frozen=True)
class Wrapped:
    """One member's copy of a keyring secret."""

    person: str
    wrapped: str


@dataclass(frozen=True)
class NewKeyring:
    """A keyring epoch's public key and its members' copies of the secret."""

    id: str
    epoch: int
    public: SealPublic
    copies: Sequence[Wrapped]


@contextmanager
def begun(data: Path) -> Iterator[str]:
    """Hold a data folder (0700) while a server is founded in it; ConfigError when there is a server already.

    Gives what the mark says, which no other founding says. When the block fails, or the process dies, the mark stays;
    the next founding then removes the keys and the database that are there, which no one has been told of.
    """
    config = Config(data=data.absolute())
    if not config.unfinished.exists():
        _refuse_server(config)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    with open(os.open(config.unfinished, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            raise ConfigError("CHASKI_DATA", f"another `chaski init` is at work in {data}") from wrong
        said = mark.read()
        if not (said and config.unfinished.exists()):  # Another may have founded one since we looked.
            _refuse_server(config, new_mark=not said)
        if not said:
            said = secrets.token_hex(16)
            mark.write(said)
        mark.flush()
        os.fsync(mark.fileno())
        sync_folder(config.data)
        _forget(config)
        yield said
        config.unfinished.unlink()
        sync_folder(config.data)


def mark_of(data: Path) -> str:
    """Return what the mark of a founding that was cut off says; empty when there is none."""
    mark = Config(data=data.absolute()).unfinished
    return mark.read_text(encoding="ascii") if mark.exists() else ""


def _refuse_server(config: Config, *, new_mark: bool = False) -> None:
    if config.database.exists() or config.keys.exists():
        if new_mark:
            config.unfinished.unlink(missing_ok=True)
        raise ConfigError("CHASKI_DATA", f"{config.data} holds a server already")


def _forget(config: Config) -> None:
    if config.keys.exists():
        shutil.rmtree(config.keys)
    for file in aside.beside(config.database):
        file.unlink(missing_ok=True)


def found(data: Path, *, now: int) -> Founded:
    """Make the server's keys and the database in a folder that is `begun`."""
    config = Config(data=data.absolute())
    made, db = keys.create(config.keys), Db(config.database)
    with db.write() as w:
        audit.append(w, at=now, action="server.founded", actor=CEREMONY, subject=made.signing.kid)
    return Founded(config, made, db)


def open_desks(
    founded: Founded,
    *,
    trust: Document,
    registry: Document,
    people: Sequence[NewPerson],
    keyrings: Sequence[NewKeyring],
    now: int,
) -> None:
    """Seat the people at their desks and put trust, registry and the first manifest in force: all of it, or nothing."""
    with founded.db.write() as w:
        _seat(w, people, now)
        _hand_out(w, keyrings, now)
        _open_queues(w)
        publishing.put_first(w, founded.keys, trust, registry, now=now, actor=CEREMONY)


def _seat(w: Connection, newcomers: Sequence[NewPerson], now: int) -> None:
    for each in newcomers:
        people.admit(w, each.person, salt=each.salt, auth=each.auth, now=now, by=CEREMONY)


def _hand_out(w: Connection, new: Sequence[NewKeyring], now: int) -> None:
    for each in new:
        public = each.public
        keyrings.add_key(
            w, sha256=public.sha256, keyring=each.id, epoch=each.epoch, kid=public.kid, public=public.raw, at=now
        )
        for copy in each.copies:
            keyrings.wrap(w, keyring=each.id, epoch=each.epoch, person=copy.person, wrapped=copy.wrapped, at=now)
        audit.append(w, at=now, action="keyring.wrapped", actor=CEREMONY, subject=each.id, detail={"kid": public.kid})


def _open_queues(w: Connection) -> None:
    for rule in routing.read_rules():
        queues.put(w, Queue(rule.queue, rule.site, rule.queue_kind, rule.keyring, rule.title_es))
        # The desk group that works a queue is the one whose keyring opens it; the national desk sees every queue.
        for group in {rule.keyring, NATIONAL}:
            people_store.grant_queue(w, rule.queue, group)
