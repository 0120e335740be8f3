"""Counts over the whole database for whoever operates the server: no row of them is about one tablet or person."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class WaitingReferrals:
    """Field referrals that no desk has accepted yet; `overdue` of them are past the deadline."""

    waiting: int
    overdue: int


def count_waiting_referrals(c: Connection, now: int) -> WaitingReferrals:
    """What waits in all queues together."""
    (found,) = c.rows(
        "select count(*) as waiting, coalesce(sum(deadline < ?), 0) as overdue from referrals"
        " where mode = 'field' and state in ('waiting', 'claimed')",
        [now],
    )
    return WaitingReferrals(**found)


def count_open_items(c: Connection) -> dict[str, int]:
    """Open items of the work list, by kind."""
    found = c.rows("select kind, count(*) as open from work_items where closed is null group by kind")
    return {item["kind"]: item["open"] for item in found}


def count_status_events(c: Connection) -> int:
    """Status events kept for tablets, told or not: a cursor is the tablet's own affair."""
    (found,) = c.rows("select count(*) as kept from status_events")
    return int(found["kept"])
