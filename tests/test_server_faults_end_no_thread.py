"""One fault, such as a full memory, ends no thread of the server for good, and leaves no caller without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvloop

from server import app
from server.api import sync_queue, sync_thread
from server.api.sync_thread import SyncThread
from server.app import tablet_api
from server.database import sqlite
from server.database.sqlite import SqliteDatabase
from server.flows.intake import sync_group
from server.listener import Listener
from support.databases import writing_connection
from support.hostile_server import Answer, post_message, send_bytes
from support.intake import Field, run_servers
from support.waiting import PATIENCE, wait_until

NAMES = ("chaski.db", "chaski.db-wal")


class Fails:
    """A function that fails so many times and is then itself again."""

    def __init__(self, real: Callable[..., Any], times: int = 1) -> None:
        self.real, self.left = real, times

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function, or fail."""
        if self.left:
            self.left -= 1
            raise MemoryError
        return self.real(*args, **named)

    def __get__(self, instance: Any, _: type | None = None) -> Any:
        return lambda *args, **named: self(instance, *args, **named)


class FullLoop(uvloop.Loop):
    """An event loop that has no memory for an answer, so many times."""

    left = 0

    def call_soon_threadsafe(self, callback: Any, *args: Any, **named: Any) -> Any:
        """Take what another thread wants to be called, or fail."""
        if type(self).left and threading.current_thread().name == "syncs":
            type(self).left -= 1
            raise MemoryError
        return super().call_soon_threadsafe(callback, *args, **named)


def push(field: Field, port: int) -> Answer:
    """Send a screening of a new tablet."""
    tablet = field.tablet()
    return post_message(port, field.message(tablet, field.envelope(tablet)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("owner", [sync_queue, sync_group, sync_thread])
def test_a_fault_at_one_request_leaves_the_next_ones_answered(
    field: Field, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    name = {sync_queue: "plain_size", sync_group: "answer_group", sync_thread: "record_answered"}[owner]
    fails = Fails(getattr(owner, name))
    monkeypatch.setattr(owner, name, fails)
    logged = Fails(app.logging.Logger.exception)  # There is no memory for a line either.
    with run_servers(field) as (port, _):
        monkeypatch.setattr("logging.Logger.exception", logged)
        assert push(field, port).status in (200, 500)
        wait_until(lambda: not fails.left, "nothing failed")
        assert [push(field, port).status for _ in range(3)] == [200] * 3
        assert send_bytes(port, b"GET /healthz HTTP/1.1\r\n\r\n").status == 200


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_finds_no_memory_is_handed_over_again(
    field: Field, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(app.uvloop, "new_event_loop", FullLoop)
    monkeypatch.setattr(FullLoop, "left", times)
    with run_servers(field) as (port, _):
        assert [push(field, port).status for _ in range(2)] == [200] * 2
        assert FullLoop.left == 0


@pytest.mark.parametrize("fault", [SystemExit, MemoryError])
def test_a_server_whose_sync_thread_has_ended_is_not_healthy(
    field: Field, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    class Ends(threading.Thread):
        def run(self) -> None:
            raise fault

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    client = tablet_api(field.services).test_client()
    assert client.get("/healthz").status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Ends)
        thread = SyncThread(field.services)
    thread.start()
    wait_until(lambda: client.get("/healthz").status_code == 503, "it is healthy")
    answer = client.get("/healthz").get_json()
    assert (answer["code"], answer["detail"]) == ("server.jobs_stopped", "syncs")
    thread.close()
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("owner", [Listener, app])
def test_a_fault_of_the_main_loop_is_tried_again_and_ends_no_server(
    field: Field, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    name = "maintain" if owner is Listener else "give_memory_back"
    monkeypatch.setattr(app, "TRIM_SECONDS", 0)
    fails = Fails(getattr(owner, name), 2)
    monkeypatch.setattr(owner, name, fails)
    with run_servers(field) as (port, _):
        wait_until(lambda: not fails.left, "nothing failed")
        assert push(field, port).status == 200


@pytest.mark.parametrize("stops", [False, True])
def test_requests_are_answered_while_memory_is_given_back(
    field: Field, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    begun, released, ended = threading.Event(), threading.Event(), list[bool]()

    def give_back() -> None:
        begun.set()
        ended.append(released.wait(PATIENCE))

    monkeypatch.setattr(app, "TRIM_SECONDS", 0)
    monkeypatch.setattr(app, "give_memory_back", give_back)
    with run_servers(field) as (port, _):
        assert begun.wait(PATIENCE)
        assert push(field, port).status == 200
        threading.Timer(0.2 if stops else 0, released.set).start()
    assert ended
    assert all(ended)


# The database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    yield db
    db.close()


@pytest.mark.parametrize("callers", [1, 3])
def test_nobody_waits_for_ever_for_an_outcome_that_was_lost(
    db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, callers: int
) -> None:
    fails = Fails(Future.set_result)
    arrived, may_end = threading.Event(), threading.Event()

    class Forgetful(Future[Any]):
        set_result = fails  # type: ignore[assignment]

    def lead(_: Any) -> None:
        arrived.set()
        assert may_end.wait(PATIENCE)

    with ThreadPoolExecutor(callers + 1) as threads:
        leader = threads.submit(db.group_commit, lead)
        assert arrived.wait(PATIENCE)
        monkeypatch.setattr(sqlite, "Future", Forgetful)
        told = [threads.submit(db.group_commit, lambda _: 1) for _ in range(callers)]
        wait_until(lambda: db.waiting == callers, "nobody waits")
        may_end.set()
        leader.result(PATIENCE)
        failed = [type(each.exception(PATIENCE)) for each in told]
    assert sorted(each.__name__ for each in failed) == ["MemoryError"] + ["RuntimeError"] * (callers - 1)
    assert db.group_commit(lambda _: 2) == 2


class FailingRollback:
    """A connection whose next rollback fails."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.rollback = Fails(connection.rollback)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


@pytest.mark.parametrize("is_group", [False, True])
def test_a_rollback_that_fails_keeps_no_later_write_from_its_transaction(db: SqliteDatabase, is_group: bool) -> None:
    def fail(w: Any) -> None:
        w.execute("create table lost (name text) strict")
        writer.conn = FailingRollback(writer.conn)  # type: ignore[assignment]
        raise SystemExit

    def fail_alone() -> None:
        with db.write() as w:
            fail(w)

    writer = writing_connection(db)
    with pytest.raises(MemoryError):
        db.group_commit(fail) if is_group else fail_alone()
    with db.write() as w:
        assert w.rows("select name from sqlite_master where name = 'lost'") == []
        w.execute("create table kept (name text) strict")
    assert db.read().rows("select name from sqlite_master where name in ('lost', 'kept')") == [{"name": "kept"}]


@pytest.mark.parametrize("spare", [0, 100_000])
def test_a_rollback_that_fails_keeps_no_later_write_out_beside_a_long_log(
    db: SqliteDatabase, tmp_path: Path, spare: int
) -> None:
    """File and log are above the limit, and merged they are below it."""
    writer = writing_connection(db)
    with db.write() as w:
        w.execute("create table kept (value blob) strict")
        w.execute("insert into kept values (zeroblob(900000))")
    writer.conn = FailingRollback(writer.conn)  # type: ignore[assignment]

    def fail(w: Any) -> None:
        w.execute("insert into kept values (x'00')")
        raise SystemExit

    with pytest.raises(MemoryError):
        db.group_commit(fail)
    writer.most_bytes = sum((tmp_path / name).stat().st_size for name in NAMES) - 100_000 - spare
    for _ in range(2):
        with db.write() as w:
            w.execute("insert into kept values (x'01')")
    assert db.read().rows("select count(*) as count from kept") == [{"count": 3}]
