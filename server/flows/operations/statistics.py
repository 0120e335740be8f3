"""Publishes the statistics: closes periods that are over and large enough, and lists their tables.

A job and the staff API call it. A published period never changes. Its exact counts are deleted with the publication, so
neither a later release nor a copy of the database can give them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.database.connection import Connection, Database
from server.flows.operations.joint_tables import protect_tables
from server.flows.operations.suppression import SMALLEST, Figures
from server.store import audit
from server.store import statistics as store
from server.store.statistics import MODES, Counts, Period, PublishedTable
from sync.durations import DAY

# Below it nearly every row of a table would be hidden; more months show more. From here on, a table of at most six
# stated values has cover for its small rows. A longer table may wait for more months, up to 286 screenings.
SMALLEST_PERIOD = 7 * SMALLEST
# A batch that began in the old month may be stored in the new one. It must be counted before the month is published.
_GRACE = DAY
# The day on which a screening was taken comes from a tablet's clock and calendar.
_CLOCK_ERROR = 2 * DAY


def list_tables(db: Database, *, mode: str, now: int) -> list[PublishedTable]:
    """Publish what is due, and return the published tables of the mode ("field" or "training"), oldest first.

    The current month is never in them. A reader who compares its counts before and after would learn about one person.
    """
    publish_due(db, now=now)
    return store.list_tables(db.read(), mode=mode)


def publish_due(db: Database, *, now: int) -> int:
    """Publish every period that is over, large enough and has cover for its small counts; return how many periods."""
    published = 0
    for mode in MODES:
        for due in list(_list_due(db.read(), mode, now)):
            with db.write() as w:  # Protecting the tables takes long: that was done before, and is not done again here.
                if not _is_unchanged(w, due):
                    break
                _put_period(w, due, now)
            published += 1
    return published


def _is_unchanged(w: Connection, due: DuePeriod) -> bool:
    first = store.first_open_month(w, due.period.mode)
    return first == due.period.first_month and store.count_period(w, due.period) == due.counts


def settle_after_restore(w: Connection, *, copied: int, now: int) -> None:
    """Close the months that the lost server may have published after the backup of `copied` (ms), without tables.

    Published anew from the older counts, they would differ from the tables that readers hold by a few people. Tablets
    send again what the backup lacks. The lost server may have published these people, so they are not counted again.
    """
    backed_up, end = _end_of_counting(copied), _end_of_counting(now)
    if any(first > backed_up for first in _list_open(w).values()):
        # The upgrade has just closed the month of the backup: the lost server was older, and let its counts be read.
        store.count_only_from(w, now + _CLOCK_ERROR)
    _publish(w, due_at=copied, now=now)
    if backed_up < end:
        store.count_only_from(w, store.first_moment(end) + _CLOCK_ERROR)
        for mode, first in _list_open(w).items():
            if first <= (last := store.month_after(end, -1)):
                store.put_period(w, Period(mode, first, last, None), {}, at=now)


def _list_open(c: Connection) -> dict[str, str]:
    """Return the first month that is not closed, of each mode that has one."""
    return {mode: first for mode in MODES if (first := store.first_open_month(c, mode)) is not None}


def _end_of_counting(at: int) -> str:
    """Return the first month that is not over at a time (ms). A day after its end, a month gets no more counts."""
    return store.month_of(at - _GRACE)


@dataclass(frozen=True)
class DuePeriod:
    """A period that is due, its exact counts, and the figures to publish."""

    period: Period
    counts: Counts
    figures: Mapping[str, Figures]


def _list_due(c: Connection, mode: str, now: int) -> Iterator[DuePeriod]:
    """Yield the periods that are due. A period without cover takes in the next month."""
    first, people = store.first_open_month(c, mode), 0
    for month, counted in store.count_by_month(c, mode, before=_end_of_counting(now)):
        people += counted
        if first is None or people < SMALLEST_PERIOD:
            continue
        period = Period(mode, first, month, people)
        counts = store.count_period(c, period)
        if figures := protect_tables(counts):
            yield DuePeriod(period, counts, figures)
            first, people = store.month_after(month), 0


def _publish(w: Connection, *, due_at: int, now: int) -> None:
    due = [each for mode in MODES for each in _list_due(w, mode, due_at)]
    for each in due:
        _put_period(w, each, now)


def _put_period(w: Connection, due: DuePeriod, now: int) -> None:
    period = due.period
    texts = {fact: {value: str(figure) for value, figure in table.items()} for fact, table in due.figures.items()}
    store.put_period(w, period, texts, at=now)
    detail = {"mode": period.mode, "first": period.first_month, "last": period.last_month}
    audit.append(w, at=now, action="statistics.published", actor=audit.SERVER, subject=period.last_month, detail=detail)
