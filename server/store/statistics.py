"""Counts of screenings, one dimension at a time. They remain after the routes are erased.

Intake counts inside its own transaction. A cell must not combine two dimensions: age, sex and place together would
identify one person, even after her route is erased (DOMAIN 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from server.database.connection import Connection
from sync.durations import DAY
from sync.envelope.route import Route

# Without the tier: it follows from outcome and age so closely that it would reveal their hidden cells. By form version
# only: a second table by form would reveal the hidden cells of the first, and the reverse.
DIMENSIONS = ("outcome", "region", "sex", "age_band", "sector", "lang", "sha")
# Unstated values are counted too: then all tables of a month have one total, and no difference reveals a person.
UNSTATED = "unstated"


@dataclass(frozen=True)
class StatisticsCell:
    """The number of screenings of a month with this value."""

    month: str
    dimension: str
    value: str
    count: int


def month_of(at: int) -> str:
    """Return the month of a time in milliseconds, as in "2026-11" (UTC)."""
    return _month_of_day(at // DAY)


@lru_cache(maxsize=8)
def _month_of_day(day: int) -> str:
    return datetime.fromtimestamp(day * DAY / 1000, UTC).strftime("%Y-%m")


@dataclass(frozen=True)
class ScreeningFacts:
    """One screening to count: its mode (training or field), and its value in each dimension it states."""

    mode: str
    facts: Mapping[str, str | None]


def screening_facts(route: Route | None) -> list[ScreeningFacts]:
    """Return what to count of a screening; empty if the route is unreadable."""
    if route is None:
        return []
    return [ScreeningFacts(route.mode or "field", {**vars(route), "region": (route.province or "")[:2]})]


def count_screenings(connection: Connection, facts_of_each: Iterable[ScreeningFacts], *, at: int) -> None:
    """Add screenings to the month, in every dimension. Each cell is written once per call."""
    month = month_of(at)
    found = Counter(
        (each.mode, month, dimension, each.facts.get(dimension) or UNSTATED)
        for each in facts_of_each
        for dimension in DIMENSIONS
    )
    connection.executemany(
        "insert into statistics_cells (mode, month, dimension, value, count) values (?, ?, ?, ?, ?)"
        " on conflict (mode, month, dimension, value) do update set count = count + excluded.count",
        [(*cell, times) for cell, times in found.items()],
    )


def list_cells(connection: Connection, *, mode: str, before: str) -> list[StatisticsCell]:
    """Return every cell of the mode in the months before one, by month, dimension and value."""
    found = connection.rows(
        "select month, dimension, value, count from statistics_cells where mode = ? and month < ?"
        " order by month, dimension, value",
        (mode, before),
    )
    return [StatisticsCell(**each) for each in found]


def count_rejection(w: Connection, *, dev: str, code: str, at: int) -> None:
    """Count one item that `dev` sent and that was rejected for the reason `code` (problems.csv, SPEC 14)."""
    w.execute(
        "insert into rejections (day, dev, code, count) values (?, ?, ?, 1)"
        " on conflict (day, dev, code) do update set count = count + 1",
        [at // DAY, dev, code],
    )


def count_rejections_by_tablet(c: Connection) -> dict[str, int]:
    """Return the number of rejected items of each tablet, over all time."""
    return {
        item["dev"]: item["total"] for item in c.rows("select dev, sum(count) as total from rejections group by dev")
    }
