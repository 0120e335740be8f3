"""Counts over the whole database for the server's operators. A count must not be about one tablet or person."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class WaitingReferrals:
    """Field referrals that no desk has accepted yet; `overdue` of them are past the deadline."""

    waiting: int
    overdue: int


def count_waiting_referrals(c: Connection, now: int) -> WaitingReferrals:
    """Count the waiting referrals of all queues together."""
    (found,) = c.rows(
        "select count(*) as waiting, coalesce(sum(deadline < ?), 0) as overdue from referrals"
        " where mode = 'field' and state in ('waiting', 'claimed')",
        [now],
    )
    return WaitingReferrals(**found)


def count_open_items(c: Connection) -> dict[str, int]:
    """Return the number of open work list items by kind."""
    found = c.rows("select kind, count(*) as open from work_items where closed is null group by kind")
    return {item["kind"]: item["open"] for item in found}


def has_open_item(c: Connection, kind: str) -> bool:
    """Return True if an item of this kind is open."""
    return c.row("select 1 from work_items where kind = ? and closed is null limit 1", [kind]) is not None


def count_status_events(c: Connection) -> int:
    """Return the number of stored status events, whether tablets have received them or not."""
    (found,) = c.rows("select count(*) as kept from status_events")
    return int(found["kept"])
