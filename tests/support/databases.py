"""The writing connection of a server's database, for tests that watch its statements or change its limits; and edits
by another program."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from server.database.connection import Connection
from server.database.sqlite import SqliteConnection, SqliteDatabase
from server.store import audit
from server.store.audit import AuditEntry


def writing_connection(db: SqliteDatabase) -> SqliteConnection:
    """Return the one connection that all write transactions of this database use."""
    with db.write() as writer:
        assert isinstance(writer, SqliteConnection)
        return writer


def list_about(c: Connection, subject: str) -> list[AuditEntry]:
    """Return the rows of a short audit chain that are about a subject."""
    return [each for each in audit.list_entries(c, limit=100_000) if each.subject == subject]


def edit_by_hand(database: Path, sql: str) -> None:
    """Run statements as a person with the sqlite3 program would: no foreign keys, and triggers do not stop her."""
    with closing(sqlite3.connect(database)) as c:
        triggers = c.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
        for name, _ in triggers:
            c.execute(f"drop trigger {name}")
        c.executescript("; ".join(each for each in sql.split("; ") if not each.startswith("drop trigger")))
        for name, made in triggers:
            if f"drop trigger {name}" not in sql:
                c.execute(made)
        c.commit()


def destroy_leaf(database: Path, table: str) -> int:
    """Overwrite a leaf of a table or an index in a closed database: the second one, if there are several. Returns the
    number of its page."""
    with closing(sqlite3.connect(database)) as c:
        (page,) = c.execute("select rootpage from sqlite_master where name = ?", [table]).fetchone()
        c.execute("pragma wal_checkpoint(truncate)")
    content = bytearray(database.read_bytes())
    size = int.from_bytes(content[16:18])
    while content[(page - 1) * size] in (2, 5):  # A page of branches (file format of SQLite, 1.6).
        start = (page - 1) * size
        cells = int.from_bytes(content[start + 3 : start + 5])
        second = start + int.from_bytes(content[start + 14 : start + 16]) if cells > 1 else start + 8
        page = int.from_bytes(content[second : second + 4])
    content[(page - 1) * size : page * size] = b"\xff" * size
    database.write_bytes(content)
    return page


def destroy_page(database: Path, table: str) -> None:
    """Overwrite the first page of a table in a closed database, as a bad block would."""
    with closing(sqlite3.connect(database)) as c:
        (root,) = c.execute("select rootpage from sqlite_master where name = ?", [table]).fetchone()
        (size,) = c.execute("pragma page_size").fetchone()
        c.execute("pragma wal_checkpoint(truncate)")
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
