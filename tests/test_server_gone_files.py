"""Tests of a database whose files are moved, replaced or deleted under the running server: it promises nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import World
from server.database.connection import DatabaseGoneError
from server.database.sqlite import SqliteDatabase
from support.hostile_server import Answer, post_message, send_request
from support.intake import Field, open_field, run_servers
from sync.exchange.messages import SIGNATURE_HEADER


@dataclass
class Place:
    """The data folder of a running server: a link to a folder, as an operator may have it."""

    link: Path
    folder: Path

    @property
    def database(self) -> Path:
        return self.link / "chaski.db"


def move_folder(place: Place) -> Callable[[], object]:
    moved = place.folder.rename(place.folder.with_name("moved"))
    return lambda: moved.rename(place.folder)


def switch_link(place: Place) -> Callable[[], object]:
    other = place.folder.with_name("other")
    shutil.copytree(place.folder, other)
    place.link.unlink()
    place.link.symlink_to(other)

    def back() -> None:
        place.link.unlink()
        place.link.symlink_to(place.folder)

    return back


def move_file(place: Place) -> Callable[[], object]:
    moved = place.database.rename(place.folder / "moved.db")
    return lambda: moved.rename(place.database)


def move_log(place: Place) -> Callable[[], object]:
    log = place.folder / "chaski.db-wal"
    moved = log.rename(place.folder / "moved-wal")
    return lambda: moved.rename(log)


def replace_by_copy(place: Place) -> Callable[[], object]:
    kept = place.database.rename(place.folder / "kept.db")
    shutil.copy(kept, place.database)
    return lambda: kept.rename(place.database)


def replace_by_another(place: Place) -> Callable[[], object]:
    kept = place.database.rename(place.folder / "kept.db")
    SqliteDatabase(place.folder / "new.db", create=True).close()
    (place.folder / "new.db").rename(place.database)
    return lambda: kept.rename(place.database)


def move_file_and_link_to_it(place: Place) -> Callable[[], object]:
    """As on a full disk. The next start would look for the log beside the file, where there is none."""
    moved = place.database.rename(place.folder.with_name("moved.db"))
    (place.folder / "chaski.db").symlink_to(moved)
    return lambda: moved.rename(place.database)


def delete_files(place: Place) -> Callable[[], object]:
    for file in place.folder.glob("chaski.db*"):
        file.unlink()
    return lambda: None


def delete_folder(place: Place) -> Callable[[], object]:
    shutil.rmtree(place.folder)
    return lambda: None


HARM = (
    move_folder,
    switch_link,
    move_file,
    move_log,
    move_file_and_link_to_it,
    replace_by_copy,
    replace_by_another,
    delete_files,
    delete_folder,
)


@pytest.fixture
def linked(world: World) -> Iterator[tuple[Field, Place]]:
    """A server with a form whose data folder is a link."""
    link = world.data.with_name("linked")
    link.symlink_to(world.data)
    field = open_field(World(link, world.people))
    yield field, Place(link, world.data)
    field.services.db.close()


def assert_gone(answer: Answer) -> None:
    """Check that an answer names the problem and signs nothing."""
    assert (answer.status, answer.code) == (503, "storage.gone")
    assert SIGNATURE_HEADER.lower() not in answer.headers
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_nothing_is_receipted_into_a_file_that_the_next_start_does_not_open(
    linked: tuple[Field, Place], harm: Callable[[Place], Callable[[], object]]
) -> None:
    field, place = linked
    tablet = field.tablet()
    with run_servers(field) as (port, people):
        assert post_message(port, field.message(tablet, field.envelope(tablet))).status == 200
        undo = harm(place)
        there = sorted(place.folder.rglob("chaski.db*")) if place.folder.exists() else []
        for _ in range(3):
            assert_gone(post_message(port, field.message(tablet, field.envelope(tablet))))
            for api in (port, people):
                assert_gone(send_request(api, "GET", "/healthz"))
        found = sorted(place.folder.rglob("chaski.db*")) if place.folder.exists() else []
        assert found == there, "no thread creates a file"
        undo()
        if place.database.exists() and harm is not delete_files:
            assert post_message(port, field.message(tablet, field.envelope(tablet))).status == 200
            assert send_request(port, "GET", "/healthz").status == 200


def test_every_caller_of_a_commit_into_a_gone_file_is_refused(linked: tuple[Field, Place]) -> None:
    field, place = linked
    db = field.services.db
    undo = move_file(place)
    with pytest.raises(DatabaseGoneError):
        db.group_commit(lambda w: w.execute("insert into meta (name, value) values ('a', '1')"))
    with pytest.raises(DatabaseGoneError), db.write() as w:
        w.execute("insert into meta (name, value) values ('b', '1')")
    undo()
    db.require_place()


@pytest.mark.parametrize("missing", ["chaski.db", "folder/chaski.db"])
def test_a_missing_database_is_not_created_by_opening_it(tmp_path: Path, missing: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        SqliteDatabase(tmp_path / missing)
    assert list(tmp_path.iterdir()) == []
