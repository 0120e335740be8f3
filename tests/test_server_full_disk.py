"""Tests of a full disk at the server and at the tablet: a clear problem, no receipt, no corruption.

Once space is free, everything is stored.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import pytest

from conftest import World
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import FORM, INTERVIEWEES, Demo, enrol_tablet, publish_form, read_answers
from server.cli.terminal import now_ms
from support.hostile_server import assert_intact, post_message, run_server, send_request
from support.intake import Field, open_field
from support.small_disk import mounted
from sync.errors import SyncError
from sync.exchange.messages import SIGNATURE_HEADER
from sync.exchange.transport import RefusedError
from sync.tablet.client import Tablet
from sync.tablet.orders import finish_wipe
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_database import transaction

MIB = 1024 * 1024
TAKEN = date(2026, 11, 21)


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    """A demo world with a published form; the test starts its server."""
    opened = open_field(world)
    yield opened
    opened.services.db.close()


def test_a_full_database_answers_507_stores_nothing_and_goes_on_once_it_has_room(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, tablet, receipted = 60, field.tablet(), 0
    bound = field.world.config.database.stat().st_size // MIB + 20
    monkeypatch.setenv("CHASKI_DATABASE_MAX_MB", str(bound))
    with run_server(field) as host:
        with field.services.db.write() as w:  # Stands for years of work.
            w.execute("create table filler (body blob) strict")
            w.execute("insert into filler values (zeroblob(?))", [19 * MIB])
        while True:
            message = field.message(tablet, *(field.envelope(tablet) for _ in range(many)))
            answer = post_message(host.port, message)
            if answer.status != 200:
                break
            receipted += many
        assert (answer.status, answer.code) == (507, "storage.full")
        assert b"CHASKI_DATABASE_MAX_MB" in answer.body
        assert SIGNATURE_HEADER.lower() not in answer.headers
        assert "retry-after" in answer.headers
        assert post_message(host.port, message).status == 507
        # Reads and the process continue.
        assert send_request(host.port, "GET", "/v1/trust").status == 200
        assert field.rows("select count(*) from envelopes") == [(receipted,)]
    assert_intact(field.world.config.database)
    monkeypatch.setenv("CHASKI_DATABASE_MAX_MB", "0")
    with run_server(field) as host:
        assert post_message(host.port, message).status == 200
        assert field.rows("select count(*) from envelopes") == [(receipted + many,)]
        assert host.sync(tablet).seq == {}
    assert field.rows("select kind from work_items") == []
    assert_intact(field.world.config.database)


@pytest.fixture(scope="module")
def made(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A stopped server with a published form and a certified tablet in another folder, ready to be copied."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(founded_world.data, folder / "server")
    shutil.copytree(founded_world.people, folder / "people")
    stage = Demo(folder, ServerProcess(folder, *free_ports(2)), now_ms, founded_world.pin)
    stage.server.start()
    try:
        for step in (publish_form, enrol_tablet):
            list(step(stage))
        stage.server.stop()
        yield stage.server
    finally:
        stage.server.kill()


@contextmanager
def at_work(made: ServerProcess, *, server: Path, tablet: Path) -> Iterator[ServerProcess]:
    """Serve a copy of the server from one folder, with a copy of its tablet in another."""
    shutil.copytree(made.folder / "server", server / "server")
    shutil.copytree(made.folder / "tablet", tablet / "tablet")
    running = ServerProcess(server, made.tablets_port, made.people_port)
    running.start()
    try:
        yield running
    finally:
        running.kill()


def screen(tablet: Tablet, number: int) -> str:
    """Screen one of the story's people."""
    return tablet.screen(FORM, read_answers(INTERVIEWEES[number % len(INTERVIEWEES)]), taken=TAKEN).jti


def sync_until_refused(tablet: Tablet, screened: list[str]) -> SyncError:
    """Screen and sync until a write finds no space. A write-ahead log has some space of its own at first."""
    for number in range(1000):
        try:
            screened.append(screen(tablet, number))
            tablet.sync()
        except SyncError as problem:
            return problem
    pytest.fail("the disk never filled up")


def test_a_server_with_a_full_disk_gives_no_receipt_and_stores_all_once_it_has_room(
    made: ServerProcess, tmp_path: Path
) -> None:
    """The disk holds the server's database, write-ahead log and log file; the tablet is on another disk."""
    with mounted(tmp_path / "disk", 12) as disk, at_work(made, server=disk.folder, tablet=tmp_path) as server:
        database, screened = disk.folder / "server" / "chaski.db", list[str]()
        with Tablet(tmp_path / "tablet") as tablet:
            disk.fill()
            refused = sync_until_refused(tablet, screened)
            assert isinstance(refused, RefusedError)
            assert (refused.status, refused.code) == (507, "storage.full")
            assert tablet.status().waiting > 0
            assert send_request(server.tablets_port, "GET", "/v1/trust").status == 200
            disk.free()
            assert tablet.sync().waiting == 0
            server.stop()
            assert_intact(database)
            server.start()
            assert tablet.sync().waiting == 0
            assert [
                kept.jti for kept in tablet.outbox.envelopes.list_stored() if kept.outcome in ("stored", "duplicate")
            ] == screened
        assert stored(database) == sorted(screened)


def stored(database: Path) -> list[str]:
    """Return the screenings that a server holds, each once."""
    with closing(sqlite3.connect(database)) as raw:
        return sorted(jti for (jti,) in raw.execute("select jti from envelopes"))


def test_a_server_without_space_does_not_start_and_prints_one_line(world: World, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8) as disk:
        shutil.copytree(world.data, disk.folder / "server")
        disk.fill()
        server = ServerProcess(tmp_path / "elsewhere", *free_ports(2))
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "server").symlink_to(disk.folder / "server")
        with pytest.raises(Exception, match="the server did not start") as wrong:
            server.start()
        (said,) = [line for line in str(wrong.value).splitlines() if line.startswith("chaski: ")]
        assert "CHASKI_DATA" in said
        disk.free()
        assert_intact(disk.folder / "server" / "chaski.db")


def test_a_tablet_with_a_full_disk_stores_nothing_in_part_and_loses_nothing(
    made: ServerProcess, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", 8) as disk, at_work(made, server=tmp_path, tablet=disk.folder) as server:
        screened: list[str] = []
        with Tablet(disk.folder / "tablet") as tablet:
            disk.fill()
            refused = ""
            while not refused:
                try:
                    screened.append(screen(tablet, 0))
                except SyncError as problem:
                    refused = str(problem)
            assert refused.startswith("outbox.full")
            assert "nothing was stored" in refused
            assert [kept.jti for kept in tablet.outbox.envelopes.list_stored()] == screened
            with pytest.raises(SyncError, match=r"outbox\.full"):
                tablet.sync()
        disk.free()
        with Tablet(disk.folder / "tablet") as tablet:
            screened.append(screen(tablet, 1))
            assert tablet.sync().waiting == 0
            assert [kept.seq for kept in tablet.outbox.envelopes.list_stored()] == list(range(1, len(screened) + 1))
        assert stored(server.folder / "server" / "chaski.db") == sorted(screened)


def test_a_wipe_finishes_with_no_more_room_than_the_length_of_the_log(tmp_path: Path) -> None:
    """The database takes this room, because it lacks the log's pages. Overwriting the log must need no more."""
    with mounted(tmp_path / "disk", 8) as disk:
        path = disk.folder / "outbox.db"
        log = path.with_name("outbox.db-wal")
        with Outbox(path) as store:
            key = store.draft_key()
            with transaction(store.connection):
                store.connection.execute("INSERT INTO held VALUES ('bundle/a', ?)", (os.urandom(1_800_000),))
                store.connection.execute("INSERT INTO draft_key VALUES (?)", (key,))
            assert key in log.read_bytes(), "else this test would prove nothing"
            store.orders.begin_wipe(1)
            disk.fill()
            disk.free(log.stat().st_size)
            finish_wipe(store)
            state = store.orders.tablet_state()
            assert (state.orders, state.wiping, state.wiped) == (1, 0, True)
        assert not any(key in file.read_bytes() for file in disk.folder.glob("outbox*"))


def test_a_disk_that_fills_up_between_request_and_response_loses_nothing(made: ServerProcess, tmp_path: Path) -> None:
    """The server stored the screening, and the tablet has no space for the receipt. It asks again when it has space."""
    with mounted(tmp_path / "disk", 8) as disk, at_work(made, server=tmp_path, tablet=disk.folder) as server:
        screened: list[str] = []
        with Tablet(disk.folder / "tablet") as tablet:
            send = tablet.transport.send

            def full_behind(*asked: object) -> object:
                reply = send(*asked)  # type: ignore[arg-type]
                disk.fill()
                return reply

            tablet.transport.send = full_behind  # type: ignore[assignment,method-assign]
            assert sync_until_refused(tablet, screened).code == "outbox.full"
        disk.free()
        with Tablet(disk.folder / "tablet") as tablet:
            assert tablet.sync().waiting == 0
            kept = [each.jti for each in tablet.outbox.envelopes.list_stored()]
        # The tablet may have refused the last screening before storing it, and then reported no success.
        assert stored(server.folder / "server" / "chaski.db") == sorted(kept)
        assert set(screened) <= set(kept)
