"""Tests of SQLite's file locks: they hold while a process has the database open, and no outside reader rebuilds the
index.

POSIX drops all locks of a process on a file when the process closes any descriptor of it (fcntl(2)). So only SQLite may
open a database, its write-ahead log or its index in a process that holds it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyrage
import pytest

from server.config import find_key_files
from server.database.sqlite import SqliteDatabase
from server.flows.operations import backup, health
from support.intake import Field, run_servers
from sync.tablet.drafts import Drafts
from sync.tablet.outbox import Outbox

# The byte of the write-ahead log's index on which each open connection holds a shared lock (wal.c: DMS).
_OPEN = 128
# Commands of an outside process. They would wipe the writer's index if SQLite saw no other open connection.
_OUTSIDE = (
    "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from audit').fetchone()[0])"
)


def locked(database: Path) -> bool:
    """Return True if this process holds the lock of an open database."""
    inode = database.with_name(f"{database.name}-shm").stat().st_ino
    locks = (line.split() for line in Path("/proc/locks").read_text("ascii").splitlines())
    return any(
        int(pid) == os.getpid() and place.endswith(f":{inode}") and int(first) <= _OPEN <= int(last)
        for _, kind, _, _, pid, place, first, last in (words for words in locks if len(words) == 8)
        if kind == "POSIX"
    )


def outside(database: Path) -> int:
    """Read the database from another process, as `sqlite3` in a shell does; return the length of the audit trail."""
    read = subprocess.run([sys.executable, "-c", _OUTSIDE, database], capture_output=True, text=True, check=True)
    return int(read.stdout)


@contextmanager
def product_opens_nothing_of(database: Path) -> Iterator[list[str]]:
    """Record each open() of a database's files from Python. SQLite's own calls are not visible to Python."""
    noted, watching = list[str](), [True]
    own = re.compile(re.escape(str(database)) + r"(-wal|-shm|-journal)?$")

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and own.match(str(arguments[0])):
            noted.append(str(arguments[0]))

    sys.addaudithook(watch)  # An audit hook cannot be removed: the list disables it.
    try:
        yield noted
    finally:
        watching.clear()


def test_a_serving_server_holds_the_lock_on_its_database(field: Field) -> None:
    with run_servers(field):
        assert locked(field.world.config.database)


def test_outside_readers_during_load_lose_no_screening_and_keep_the_index(field: Field) -> None:
    database = field.world.config.database
    index = database.with_name(f"{database.name}-shm").stat().st_ino
    tablet, stop = field.tablet(), threading.Event()
    lengths = (list[int](), list[int]())  # One list a reader: each sees its own states in order.

    def read(seen: list[int]) -> None:
        while not stop.is_set():
            seen.append(outside(database))

    with product_opens_nothing_of(database) as opened:
        readers = [threading.Thread(target=read, args=[seen]) for seen in lengths]
        for reader in readers:
            reader.start()
        try:
            stored, pushed = 0, 0
            while min(map(len, lengths)) < 3 or pushed < 40:
                pushed += 1
                stored += sum(item.outcome == "stored" for item in field.push(tablet, field.envelope(tablet)))
        finally:
            stop.set()
            for reader in readers:
                reader.join()
    assert opened == []
    assert stored == pushed == field.rows("select count(*) from envelopes")[0][0]
    assert all(seen == sorted(seen) for seen in lengths), "no reader saw an older state than the one before"
    assert locked(database)
    assert database.with_name(f"{database.name}-shm").stat().st_ino == index
    assert field.rows("pragma integrity_check") == [("ok",)]


def test_a_mark_in_the_index_of_the_log_outlives_an_outside_reader(field: Field) -> None:
    """The first process to open a database truncates the index. The lock must show the reader that it is not the
    first."""
    database = field.world.config.database
    with database.with_name(f"{database.name}-shm").open("rb") as index:  # Stays open: closing it would drop the locks.
        before = os.fstat(index.fileno()).st_size
        assert outside(database) > 0
        assert os.fstat(index.fileno()).st_size == before
        assert locked(database)


BESIDE: dict[str, Callable[[Field, Path], object]] = {
    "backup": lambda field, folder: backup.write_backup(
        field.world.config,
        field.services.keys,
        recipient=str(pyrage.x25519.Identity.generate().to_public()),
        folder=folder,
        now=field.now,
        progress=lambda step: None,
    ),
    "health": lambda field, _: health.check_writable(field.services.db, field.world.config, now=field.now),
    "figures": lambda field, _: health.measure(
        field.services.db, field.world.config, field.services.keys, now=field.now
    ),
    "second connection": lambda field, _: SqliteDatabase(field.world.config.database).close(),
}


@pytest.mark.parametrize("work", BESIDE)
def test_a_command_that_reads_a_served_database_drops_no_lock(field: Field, tmp_path: Path, work: str) -> None:
    database = field.world.config.database
    with product_opens_nothing_of(database) as opened:
        BESIDE[work](field, tmp_path)
    assert opened == []
    assert locked(database)


def test_a_second_start_on_the_folder_of_a_server_drops_no_lock_of_the_first(field: Field) -> None:
    database = field.world.config.database
    with product_opens_nothing_of(database) as opened:
        assert find_key_files(field.world.config)
    assert opened == []
    assert locked(database)


def test_a_tablets_store_opens_its_file_through_sqlite_alone(tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    with Outbox(store) as outbox:
        with product_opens_nothing_of(store) as opened:
            assert outbox.draft_key()
            outbox.orders.begin_wipe(1)
            outbox.orders.wipe(complete=True)
            Drafts(tmp_path / "drafts", outbox.draft_key)
        assert opened == []
        assert locked(store)
        with closing(sqlite3.connect(store)) as second, product_opens_nothing_of(store):
            second.execute("select * from place").fetchall()
        assert locked(store)


def test_an_existing_tablet_store_is_opened_through_sqlite_only(tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    Outbox(store).close()
    assert (store.stat().st_mode & 0o777) == 0o600
    with closing(sqlite3.connect(store)) as holding:
        holding.execute("pragma journal_mode=wal")
        holding.execute("select * from place").fetchall()
        Outbox(store).close()
        assert locked(store)
