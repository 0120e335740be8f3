"""Publishes the statistics: closes periods that are over and large enough, and lists their tables.

A job and the staff API call it. A published period never changes. Its exact counts are deleted with the publication, so
neither a later release nor a copy of the database can give them back.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.database.connection import Connection, Database
from server.flows.operations.suppression import SMALLEST, protect_tables
from server.store import audit
from server.store import statistics as store
from server.store.statistics import MODES, Period, PublishedTable
from sync.durations import DAY

# Below it nearly every row of a table would be hidden; more months show more. From here on, a table of at most six
# stated values finds cover for its small rows, unless fewer than eleven people state one.
SMALLEST_PERIOD = 7 * SMALLEST
# A batch that began in the old month may be stored in the new one. It must be counted before the month is published.
_GRACE = DAY


def list_tables(db: Database, *, mode: str, now: int) -> list[PublishedTable]:
    """Publish what is due, and return the published tables of the mode ("field" or "training"), oldest first.

    The current month is never in them. A reader who compares its counts before and after would learn about one person.
    """
    publish_due(db, now=now)
    return store.list_tables(db.read(), mode=mode)


def publish_due(db: Database, *, now: int) -> int:
    """Publish every period that is over and has at least `SMALLEST_PERIOD` screenings; return how many periods."""
    if not any(list(_list_due(db.read(), mode, now)) for mode in MODES):
        return 0
    with db.write() as w:
        return _publish(w, due_at=now, now=now)


def settle_after_restore(w: Connection, *, copied: int, now: int) -> None:
    """Close the months that the lost server may have published after the backup of `copied` (ms), without tables.

    Published anew from the older counts, they would differ from the tables that readers hold by a few people.
    """
    _publish(w, due_at=copied, now=now)
    if _end_of_counting(copied) < (end := _end_of_counting(now)):
        for mode in MODES:
            first, last = store.first_open_month(w, mode), store.month_after(end, -1)
            if first is not None and first <= last:
                store.put_period(w, Period(mode, first, last, None), {}, at=now)


def _end_of_counting(at: int) -> str:
    """Return the first month that is not over at a time (ms). A day after its end, a month gets no more counts."""
    return store.month_of(at - _GRACE)


def _list_due(c: Connection, mode: str, now: int) -> Iterator[Period]:
    first, people = store.first_open_month(c, mode), 0
    for month, counted in store.count_by_month(c, mode, before=_end_of_counting(now)):
        people += counted
        if first is not None and people >= SMALLEST_PERIOD:
            yield Period(mode, first, month, people)
            first, people = store.month_after(month), 0


def _publish(w: Connection, *, due_at: int, now: int) -> int:
    due = [period for mode in MODES for period in _list_due(w, mode, due_at)]
    for period in due:
        figures = {
            fact: {value: str(figure) for value, figure in table.items()}
            for fact, table in protect_tables(store.count_period(w, period)).items()
        }
        store.put_period(w, period, figures, at=now)
        detail = {"mode": period.mode, "first": period.first_month, "last": period.last_month}
        audit.append(
            w, at=now, action="statistics.published", actor=audit.SERVER, subject=period.last_month, detail=detail
        )
    return len(due)
