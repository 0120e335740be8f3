"""The writing connection of a server's database, for tests that watch its statements or change its limits; and edits
by another program."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from server.database.sqlite import SqliteConnection, SqliteDatabase


def writing_connection(db: SqliteDatabase) -> SqliteConnection:
    """Return the one connection that all write transactions of this database use."""
    with db.write() as writer:
        assert isinstance(writer, SqliteConnection)
        return writer


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
