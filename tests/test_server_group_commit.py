"""Tests of group commit: concurrent requests share one commit, and a failed request does not affect the others."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit
from server.problems import Problem
from support.databases import destroy_leaf, writing_connection
from support.intake import Field, open_field
from support.waiting import PATIENCE, wait_until
from sync.documents.signed import Document
from sync.envelope.verify import envelope_id

Work = Callable[[Connection], Any]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    with db.write() as w:
        w.execute("create table kept (name text primary key) strict")
    yield db
    db.close()


def kept(db: Database) -> list[str]:
    return [name for (name,) in db.read().execute("select name from kept order by rowid").fetchall()]


def keep(*names: str) -> Work:
    def work(w: Connection) -> str:
        for name in names:
            w.execute("insert into kept (name) values (?)", [name])
        return names[-1]

    return work


def await_waiting(db: Database, size: int) -> None:
    """Wait until `size` callers wait behind the leader."""
    wait_until(lambda: db.waiting >= size, "nobody waits")


@contextmanager
def group(db: Database, size: int) -> Iterator[tuple[ThreadPoolExecutor, Callable[[], None]]]:
    """Threads that all wait behind a leader until `go` is called. Then their work is one transaction."""
    arrived, may_end = threading.Event(), threading.Event()

    def lead(_: Connection) -> None:
        arrived.set()
        assert may_end.wait(PATIENCE)

    def go() -> None:
        await_waiting(db, size)
        may_end.set()

    with ThreadPoolExecutor(size + 1) as threads:
        leader = threads.submit(db.group_commit, lead)
        assert arrived.wait(PATIENCE)
        try:
            yield threads, go
        finally:
            may_end.set()
            leader.result(PATIENCE)


def together(db: Database, *works: Work) -> list[Future[Any]]:
    """Run several pieces of work in one transaction, in this order."""
    with group(db, len(works)) as (threads, go):
        told = []
        for number, work in enumerate(works, 1):
            told.append(threads.submit(db.group_commit, work))
            await_waiting(db, number)
        go()
        wait(told, PATIENCE)
    return told


def test_work_that_reads_a_damaged_page_costs_the_others_nothing(db: Database, tmp_path: Path) -> None:
    with db.write() as w:
        w.execute("create table harmed (name text) strict")
        w.executemany("insert into harmed values (?)", [(str(number) * 50,) for number in range(1_000)])
    db.close()
    file = tmp_path / "chaski.db"
    SqliteDatabase(file).close()  # It makes the copies of the new table.
    destroy_leaf(file, "harmed")
    again = SqliteDatabase(file)
    read = "select max(name) from harmed not indexed"
    first, bad, last = together(again, keep("a"), lambda w: w.execute(read).fetchall(), keep("b"))
    assert (first.result(), last.result(), kept(again)) == ("a", "b", ["a", "b"])
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        bad.result()
    again.close()


@pytest.fixture
def commits(db: Database) -> list[str]:
    """Record the begin and end of each transaction of the writer."""
    seen: list[str] = []
    writing_connection(db).conn.set_trace_callback(
        lambda sql: seen.append(sql) if sql in ("BEGIN IMMEDIATE", "COMMIT") else None
    )
    return seen


def test_waiting_callers_share_one_commit_and_each_gets_its_own_result(db: Database, commits: list[str]) -> None:
    told = together(db, *(keep(name) for name in "abcdef"))
    assert [each.result() for each in told] == list("abcdef")
    assert kept(db) == list("abcdef")
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"] * 2, "one commit for the leader, one for the six callers behind it"


def test_failed_work_is_rolled_back_alone_and_the_others_are_stored(db: Database) -> None:
    told = together(db, keep("a"), keep("b", "a"), keep("c"), keep("d"))
    assert [type(each.exception()) for each in told] == [type(None), sqlite3.IntegrityError, type(None), type(None)]
    assert kept(db) == ["a", "c", "d"], "no row of the failed work is stored"


def test_a_full_disk_fails_for_the_whole_group_and_stores_nothing(db: Database) -> None:
    (pages,) = writing_connection(db).execute("PRAGMA page_count").fetchone()
    writing_connection(db).execute(f"PRAGMA max_page_count={pages}")
    told = together(db, keep("a"), keep(*(f"{number:0>2000}" for number in range(50))), keep("c"))
    for each in told:
        wrong = each.exception()
        assert isinstance(wrong, sqlite3.OperationalError)
        assert wrong.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert kept(db) == []
    writing_connection(db).execute(f"PRAGMA max_page_count={pages + 100}")
    assert db.group_commit(keep("d")) == "d", "it works again after space is free"


def test_a_failed_commit_fails_for_the_whole_group(db: Database) -> None:
    with db.write() as w:
        w.execute("create table owed (name text references kept deferrable initially deferred) strict")

    def owe(w: Connection) -> None:
        w.execute("insert into owed (name) values ('nobody')")

    told = together(db, keep("a"), owe, keep("c"))
    assert [type(each.exception()) for each in told] == [sqlite3.IntegrityError] * 3
    assert kept(db) == []


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    opened = open_field(world)
    yield opened
    opened.services.db.close()


def test_a_replayed_request_in_a_shared_commit_is_refused_and_the_others_receipted(field: Field) -> None:
    tablets = [field.tablet() for _ in range(5)]
    raws = [field.envelope(tablet) for tablet in tablets]
    replayed = field.message(tablets[2], raws[2])
    field.ask(tablets[2], field.message(tablets[2]))
    messages = [field.message(tablet, raw) for tablet, raw in zip(tablets, raws, strict=True)]
    messages[2] = replayed
    with group(field.services.db, len(tablets)) as (threads, go):
        answers = [threads.submit(field.ask, *each) for each in zip(tablets, messages, strict=True)]
        go()
    for number, answered in enumerate(answers):
        if number == 2:
            wrong = answered.exception()
            assert isinstance(wrong, Problem)
            assert wrong.code == "sync.number_used"
        else:
            assert answered.result().receipts is not None
    stored = {id_ for (id_,) in field.rows("select id from envelopes")}
    assert stored == {envelope_id(raw) for raw in raws}, "envelopes prove themselves"
    verdict = audit.verify_chain(field.services.db)
    assert verdict.broken_at is None
    heads = {answered.result().receipts.content["head"] for answered in (*answers[:2], *answers[3:])}
    heads.add(Document.parse(wrong.members["receipts"].encode()).content["head"])
    assert len(heads) == 5, "each receipt names the audit head after its own request"
    assert verdict.head in heads


def test_no_answer_is_sent_before_the_commit_and_a_crash_before_it_stores_nothing(field: Field) -> None:
    tablet, db = field.tablet(), field.services.db
    raw, commit = field.envelope(tablet), writing_connection(db).commit
    copy = field.world.data.parent / "after-the-crash.db"

    def crash() -> None:
        # What a power cut would leave: the files as they are before the commit.
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(Path(f"{field.world.config.database}{suffix}").read_bytes())
        commit()

    message = field.message(tablet, raw)
    writing_connection(db).commit = crash  # type: ignore[method-assign]
    answer = field.ask(tablet, message)
    assert answer.receipts is not None
    left = SqliteDatabase(copy)
    assert left.read().execute("select count(*) from envelopes").fetchone() == (0,)
    assert left.read().execute("select last_n from devices where dev = ?", [tablet.key.kid]).fetchone() == (0,)
    assert audit.verify_chain(left).broken_at is None
    left.close()
