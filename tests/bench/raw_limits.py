"""The limits beside which `make bench` puts intake: what bare SQLite does here, with the server's own pragmas.

Each call is one round. `bench.ingest` takes the best of three.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from server import server_keys
from server.cli.terminal import now_ms
from server.config import Config
from server.database.sqlite import SqliteDatabase
from server.flows.desks import routing
from server.flows.desks.routing import Rulebook
from server.flows.intake import sync_group
from support.databases import writing_connection
from sync.exchange.messages import Message
from sync.keys.key_pairs import SigningKey

Statement = tuple[str, str, Any]  # The connection's method, the text, the parameters.


class _Recorder:
    """A connection that notes every statement, with its parameters, before it carries it out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.noted: list[Statement] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Note and carry out."""
        self.noted.append(("execute", sql, parameters))
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        """Note and carry out."""
        self.noted.append(("executemany", sql, parameters))
        return self._connection.executemany(sql, parameters)

    def commit(self) -> None:
        """Note and carry out."""
        self.noted.append(("execute", "COMMIT", ()))
        self._connection.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def snapshot(database: Path, copy: Path) -> Path:
    """Copy the database of a running server."""
    source, target = sqlite3.connect(f"file:{database}?mode=ro", uri=True), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    return copy


def statements(data: Path, copy: Path, messages: Iterable[Message]) -> list[Statement]:
    """Every statement with which intake answers these requests one after the other, on a copy of the database."""
    db, rulebook = SqliteDatabase(copy), Rulebook(routing.read_rules(), Config(data=data).deadline_hours)
    own = server_keys.load(data / "keys")
    writer = writing_connection(db)
    recorder = _Recorder(writer.conn)
    writer.conn = recorder  # type: ignore[assignment]
    for message in messages:
        (answer,) = sync_group.answer_group(db, [message], keys=own, rulebook=rulebook, now=now_ms())
        items = answer.items if answer else ()
        if not items or any(item.outcome not in ("stored", "held") for item in items):
            raise RuntimeError(f"the copy took the load for something else: {items}")
    db.close()
    return recorder.noted


def executions(noted: Iterable[Statement]) -> int:
    """How often SQLite carries a statement out: one with many rows of parameters, once for each."""
    return sum(len(parameters) if method == "executemany" else 1 for method, _, parameters in noted)


def replay(copy: Path, noted: Iterable[Statement]) -> float:
    """Seconds that SQLite takes for these statements, with the server's pragmas, parameters bound, rows fetched."""
    db = SqliteDatabase(copy)
    connection = writing_connection(db).conn
    start = time.perf_counter()
    for method, sql, parameters in noted:
        getattr(connection, method)(sql, parameters).fetchall()
    taken = time.perf_counter() - start
    db.close()
    return taken


def cryptography(size: int, count: int) -> float:
    """Return the milliseconds of CPU for what a request of `size` bytes with one envelope needs of public keys: two
    signatures verified, one key agreed on, two signatures made."""
    signer, agreer = SigningKey.generate(), X25519PrivateKey.generate()
    data, short = bytes(size), bytes(300)
    signature, peer = signer.sign(data), X25519PrivateKey.generate().public_key()
    begun = time.process_time()
    for _ in range(count):
        for _ in range(2):
            signer.public.verify(signature, data)
            signer.sign(short)
        agreer.exchange(peer)
    return (time.process_time() - begun) / count * 1000


def commits(file: Path, size: int, times: int) -> float:
    """Rows of `size` bytes a second, each with a durable commit of its own."""
    db = SqliteDatabase(file, create=True)
    with db.write() as w:
        w.execute("create table bare (id integer primary key, body blob)")
    body = secrets.token_bytes(size)
    start = time.perf_counter()
    for _ in range(times):
        with db.write() as w:
            w.execute("insert into bare (body) values (?)", [body])
    rate = times / (time.perf_counter() - start)
    db.close()
    return rate
