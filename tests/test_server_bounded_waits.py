"""Nothing that a stranger asks for, and no writer who holds the database, takes what intake and health need."""

from __future__ import annotations

import gzip
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient

from server.api import docs_page, openapi
from server.api.coded_bytes import CodedBytes
from server.app import staff_api, tablet_api
from server.database import sqlite
from server.database.connection import DatabaseBusyError
from server.flows.operations import health
from support.intake import Field
from support.waiting import PATIENCE
from sync.durations import MINUTE
from sync.exchange import codings
from sync.exchange.messages import SIGNATURE_HEADER
from test_server_staff_api import client, code


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits so that the tests are fast."""
    assert sqlite.WRITE_PATIENCE <= 5
    monkeypatch.setattr(sqlite, "WRITE_PATIENCE", 0.05)
    monkeypatch.setattr(health, "PATIENCE", 0.01)


@contextmanager
def held_here(field: Field) -> Iterator[None]:
    """A thread of this process holds the write lock."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with field.services.db.write():
            held.set()
            assert over.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(PATIENCE)
        try:
            yield
        finally:
            over.set()
        holding.result()


@contextmanager
def held_elsewhere(field: Field) -> Iterator[None]:
    """Another connection, as that of a command in another process, holds the write lock."""
    other = sqlite3.connect(field.world.config.database, isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


@pytest.mark.parametrize("held", [held_here, held_elsewhere])
def test_a_held_write_lock_lets_readers_and_health_answer_and_loses_no_screening(field: Field, held) -> None:  # type: ignore[no-untyped-def]
    tablet, db = field.tablet(), field.services.db
    doors = tablet_api(field.services).test_client(), staff_api(field.services).test_client()
    coordinator = client(field, "proteccion-17")
    message = field.message(tablet, field.envelope(tablet))

    def sync() -> tuple[int, str]:
        answer = doors[0].post("/v1/sync", data=message.body, headers={SIGNATURE_HEADER: message.signature})
        return answer.status_code, answer.headers.get("Retry-After", "")

    with held(field):
        assert sync() == (503, "10")
        for door in doors:
            assert code(door.get("/healthz")) == (503, "server.busy")
            assert door.get("/openapi.json").status_code == 200
        field.now += 2 * MINUTE  # The session would be marked as used now.
        assert coordinator.get("/v1/queues").status_code == 200
        with pytest.raises(DatabaseBusyError), db.write():
            pass
    assert sync()[0] == 200
    assert [door.get("/healthz").status_code for door in doors] == [200, 200]
    assert field.rows("select count(*) from envelopes") == [(1,)]


def test_waiters_of_a_shared_commit_leave_in_time_and_the_next_ones_do_not_wait(field: Field) -> None:
    db = field.services.db
    with held_here(field), ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(db.group_commit, lambda w: w.execute("select 1").fetchone()) for _ in range(8)]
        for each in waiting:
            with pytest.raises(DatabaseBusyError):
                each.result(timeout=PATIENCE)
        began = time.monotonic()
        with pytest.raises(DatabaseBusyError), db.write(patience=PATIENCE):
            pass
        assert time.monotonic() - began < PATIENCE, "after one waited in vain, the next one does not wait"
    assert db.group_commit(lambda w: w.execute("select 7").fetchone()) == (7,)


def test_a_leader_who_takes_long_does_not_keep_those_behind_it(field: Field) -> None:
    db, taken, over = field.services.db, threading.Event(), threading.Event()

    def lead(_: object) -> str:
        taken.set()
        assert over.wait(PATIENCE)
        return "led"

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(db.group_commit, lead)
        assert taken.wait(PATIENCE)
        behind = pool.submit(db.group_commit, lambda w: "never")
        with pytest.raises(DatabaseBusyError):
            behind.result(timeout=PATIENCE)
        over.set()
        assert leader.result(timeout=PATIENCE) == "led"
    assert db.waiting == 0


@pytest.mark.parametrize("path", ["/openapi.json", "/"])
@pytest.mark.parametrize("make", [tablet_api, staff_api])
def test_a_constant_document_is_made_once_whoever_asks_for_it(
    field: Field,
    monkeypatch: pytest.MonkeyPatch,
    make,
    path: str,  # type: ignore[no-untyped-def]
) -> None:
    made = []
    for module, name in ((openapi, "complete_document"), (docs_page, "render")):
        real = getattr(module, name)

        def counted(*arguments: object, name: str = name, real=real) -> object:  # type: ignore[no-untyped-def]
            made.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, counted)
    app = make(field.services)

    def ask(_: int) -> tuple[int, bytes, str]:
        http: FlaskClient = app.test_client()
        answer = http.get(path)
        return answer.status_code, answer.data, answer.headers["ETag"]

    with ThreadPoolExecutor(8) as pool:
        ((status, body, tag),) = set(pool.map(ask, range(16)))
    assert status == 200
    assert body
    assert len(made) == len(set(made))
    again = app.test_client().get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    packed = app.test_client().get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(body) / 2


@pytest.mark.parametrize("many", [17, 60])
def test_documents_asked_for_in_turn_are_compressed_once_each(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    compressed: list[bytes] = []
    compress = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda body, **how: (compressed.append(body), compress(body, **how))[1])
    cache, bodies = CodedBytes(2**20), [f"{number} ".encode() * 500 for number in range(many)]
    for _ in range(3):
        assert [gzip.decompress(cache.get(body, codings.GZIP)) for body in bodies] == bodies
    assert compressed == bodies


def test_compressed_documents_take_no_more_memory_than_their_limit() -> None:
    cache = CodedBytes(40_000)
    for coding in (codings.GZIP, codings.ZSTD):
        for _ in range(20):
            cache.get(secrets.token_bytes(10_000), coding)
    assert sum(map(len, cache.held())) <= 40_000


@pytest.mark.parametrize("path", ["/v1/manifest", "/openapi.json"])
def test_nothing_is_compressed_for_a_client_that_has_the_document(
    field: Field, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    http = tablet_api(field.services).test_client()
    tag = http.get(path).headers["ETag"]
    compressed: list[bytes] = []
    monkeypatch.setattr(gzip, "compress", lambda body, **_: compressed.append(body))
    answer = http.get(path, headers={"If-None-Match": tag, "Accept-Encoding": "gzip"})
    assert (answer.status_code, compressed) == (304, [])
