"""What the database knows about itself."""

from __future__ import annotations

from server.db import Connection, row


def generation(c: Connection) -> str:
    """The random name of this database, new after a restore, so that tablets offer again what a lost disk held."""
    found = row(c, "select value from meta where name = 'generation'")
    assert found is not None
    return str(found["value"])
