"""Status events for tablets about their own screenings, in order. The cursor is an integer that only rises. Referrals
add events, the sync request reads them."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class StatusEvent:
    """One event about a screening: `status` is accepted or closed."""

    cursor: int
    envelope: str
    status: str
    at: int


def add_event(w: Connection, *, dev: str, envelope: str, status: str, at: int) -> None:
    """Add a status event for a tablet about one of its screenings."""
    w.execute("insert into status_events (dev, envelope, status, at) values (?, ?, ?, ?)", [dev, envelope, status, at])


def last_cursor(c: Connection) -> int:
    """Return the cursor of the newest event of all tablets; 0 if there is none."""
    found = c.row("select max(cursor) as cursor from status_events")
    return int(found["cursor"]) if found and found["cursor"] else 0


def list_since(c: Connection, dev: str, cursor: int, limit: int) -> list[StatusEvent]:
    """Return a tablet's events after the cursor."""
    found = c.rows(
        "select cursor, envelope, status, at from status_events where dev = ? and cursor > ? order by cursor limit ?",
        [dev, cursor, limit],
    )
    return [StatusEvent(**item) for item in found]
