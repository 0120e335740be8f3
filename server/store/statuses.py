"""What each tablet is told about its own screenings, in the order it happened; the cursor is an integer that only
rises. Referrals add, the exchange reads."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class StatusEvent:
    """One thing that happened to a screening: `status` is accepted or closed."""

    cursor: int
    envelope: str
    status: str
    at: int


def add_event(w: Connection, *, dev: str, envelope: str, status: str, at: int) -> None:
    """Tell a tablet about one of its screenings."""
    w.execute("insert into status_events (dev, envelope, status, at) values (?, ?, ?, ?)", [dev, envelope, status, at])


def list_since(c: Connection, dev: str, cursor: int, limit: int) -> list[StatusEvent]:
    """What a tablet has not been told yet."""
    found = c.rows(
        "select cursor, envelope, status, at from status_events where dev = ? and cursor > ? order by cursor limit ?",
        [dev, cursor, limit],
    )
    return [StatusEvent(**item) for item in found]
