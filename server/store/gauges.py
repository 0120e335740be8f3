"""Counts over the whole database for the server's operators. A count must not be about one tablet or person."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from server.store import referrals, statuses
from server.store.referrals import MOST_COUNTED
from server.store.worklist import KINDS


@dataclass(frozen=True)
class WaitingReferrals:
    """Field referrals that no desk has accepted yet; `overdue` of them are past the deadline."""

    waiting: int
    overdue: int


def count_waiting_referrals(c: Connection, now: int) -> WaitingReferrals:
    """Count the waiting referrals of all queues together; of one queue and state at most MOST_COUNTED."""
    queues = [id_ for (id_,) in c.execute("select id from queues").fetchall()]
    counts = referrals.count_open(c, queues, "field", now=now).values()
    waiting = sum(each["waiting"] + each["claimed"] for each in counts)
    return WaitingReferrals(waiting, sum(each["overdue"] for each in counts))


def count_open_items(c: Connection) -> dict[str, int]:
    """Return the number of open work list items by kind; of one kind at most MOST_COUNTED."""
    sql = "select count(*) from (select 1 from work_items where kind = ? and closed is null limit ?)"
    counts = {kind: int(c.execute(sql, [kind, MOST_COUNTED]).fetchone()[0]) for kind in sorted(KINDS)}
    return {kind: count for kind, count in counts.items() if count}


def has_open_item(c: Connection, kind: str) -> bool:
    """Return True if an item of this kind is open."""
    return c.row("select 1 from work_items where kind = ? and closed is null limit 1", [kind]) is not None


def count_status_events(c: Connection) -> int:
    """Return the number of stored status events, whether tablets have received them or not. None is ever deleted, so
    the last one has the number of all."""
    return statuses.last_cursor(c)
