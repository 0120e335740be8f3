"""The connection that writes to a server's database, for tests that watch its statements or change its limits."""

from __future__ import annotations

from server.database.sqlite import SqliteConnection, SqliteDatabase


def writing_connection(db: SqliteDatabase) -> SqliteConnection:
    """Return the one connection that every transaction of this database gets."""
    with db.write() as writer:
        assert isinstance(writer, SqliteConnection)
        return writer
