"""The writing connection of a server's database, for tests that watch its statements or change its limits."""

from __future__ import annotations

from server.database.sqlite import SqliteConnection, SqliteDatabase


def writing_connection(db: SqliteDatabase) -> SqliteConnection:
    """Return the one connection that all write transactions of this database use."""
    with db.write() as writer:
        assert isinstance(writer, SqliteConnection)
        return writer
