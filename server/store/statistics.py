"""Counts of screenings, one fact at a time, and the tables that are published from them.

Intake counts into cells, inside its own transaction. Publication replaces the cells of a period by figures, which never
change. A cell must not combine two facts: age, sex and place together would identify one person, even after her route
is erased (DOMAIN 4).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from screening_forms.ubigeo import region_codes
from server.database.connection import Connection
from sync.durations import DAY
from sync.envelope.route import Route, codes

# A screening that does not state a fact is counted too: then all tables of a period have one total.
UNSTATED = "unstated"
MODES = ("field", "training")

# The value lists are fixed, so that the presence of a row tells nothing. No table by tier, which follows from outcome
# and age; none by form version, because the rings of a roll-out tie versions to regions (docs/decisions.md).
VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "outcome": (*sorted(codes("outcome")), UNSTATED),
        "region": (*region_codes(), UNSTATED),
        "sex": (*sorted(codes("sex")), UNSTATED),
        "age_band": (*sorted(codes("age_band")), UNSTATED),
        "sector": (*sorted(codes("sector")), UNSTATED),
        "lang": (*sorted(codes("lang")), UNSTATED),
    }
)
"""The facts that are counted, one table each, and the rows of each table."""

Counts = Mapping[str, Mapping[str, int]]
"""Fact -> value -> number of screenings; has every value of `VALUES`."""


@dataclass(frozen=True)
class Period:
    """One or more whole months whose screenings are published together, as in "2026-11".

    `total` is the number of screenings; None if the period has no tables because a restore or an upgrade closed it.
    """

    mode: str
    first_month: str
    last_month: str
    total: int | None

    @property
    def label(self) -> str:
        """Return "2026-11", or "2026-11/2027-01" for several months."""
        return self.first_month if self.first_month == self.last_month else f"{self.first_month}/{self.last_month}"


@dataclass(frozen=True)
class PublishedTable:
    """One fact of a period: value -> figure. A figure is a number, or the mark of a number that is not shown."""

    period: str
    fact: str
    total: int
    figures: Mapping[str, str]


def month_of(at: int) -> str:
    """Return the month of a time in milliseconds, as in "2026-11" (UTC)."""
    return _month_of_day(at // DAY)


@lru_cache(maxsize=8)
def _month_of_day(day: int) -> str:
    return datetime.fromtimestamp(day * DAY / 1000, UTC).strftime("%Y-%m")


def first_moment(month: str) -> int:
    """Return the first millisecond of a month."""
    return int(datetime.strptime(f"{month}-01+0000", "%Y-%m-%d%z").timestamp() * 1000)


def month_after(month: str, months: int = 1) -> str:
    """Return the month that is `months` later, or earlier if negative."""
    year, index = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + months, 12)
    return f"{year:04d}-{index + 1:02d}"


@dataclass(frozen=True)
class ScreeningFacts:
    """One screening to count: its mode (training or field), its value of each fact it states, and the day on which the
    tablet took it, as in "2026-11-20"."""

    mode: str
    facts: Mapping[str, str | None]
    taken: str | None = None


def screening_facts(route: Route | None) -> list[ScreeningFacts]:
    """Return what to count of a screening; empty if the route is unreadable."""
    if route is None:
        return []
    facts = {**vars(route), "region": (route.province or "")[:2]}
    return [ScreeningFacts(route.mode or "field", facts, route.taken)]


def count_screenings(w: Connection, facts_of_each: Iterable[ScreeningFacts], *, at: int) -> None:
    """Add screenings to the month of `at`, once for each fact. Each cell is written once per call.

    A screening whose month is published (the clock was set back) counts in the first month that is not. One that a lost
    server may have published does not count (`count_only_from`).
    """
    first_day, published = _read_bounds(w)
    month, last_day = month_of(at), _day_of(at + 2 * DAY) if first_day else ""
    months = {mode: max(month, month_after(published[mode])) if mode in published else month for mode in MODES}
    found = Counter(
        (each.mode, months[each.mode], fact, _listed(fact, each.facts.get(fact)))
        for each in facts_of_each
        if not first_day or (each.taken is not None and first_day <= each.taken <= last_day)
        for fact in VALUES
    )
    w.executemany(
        "insert into statistics_cells (mode, month, dimension, value, count) values (?, ?, ?, ?, ?)"
        " on conflict (mode, month, dimension, value) do update set count = count + excluded.count",
        [(*cell, times) for cell, times in found.items()],
    )


def count_only_from(w: Connection, at: int) -> None:
    """From now on, count no screening that was taken before the day of `at` (ms), or at an unknown or future time."""
    w.execute(
        "insert into meta (name, value) values ('statistics_first_day', ?)"
        " on conflict (name) do update set value = max(value, excluded.value)",
        [_day_of(at)],
    )


def _read_bounds(c: Connection) -> tuple[str, dict[str, str]]:
    """Return the first day of which a screening is counted, empty if no restore excludes any; and by mode the last
    month that is published. A damaged day counts nobody: a person who was published must not count again."""
    found = c.execute(_BOUNDS).fetchall()
    return "".join(str(value) for mode, value in found if not mode), {mode: value for mode, value in found if mode}


def _day_of(at: int) -> str:
    return datetime.fromtimestamp(at // DAY * DAY / 1000, UTC).strftime("%Y-%m-%d")


# One query: each sync asks.
_BOUNDS = (
    "select '', value from meta where name = 'statistics_first_day'"
    " union all select mode, max(last_month) from statistics_periods group by mode"
)


def _listed(fact: str, value: str | None) -> str:
    """Return the value, or `UNSTATED` for one outside the fixed list, such as the region 99."""
    return value if value is not None and value in VALUES[fact] else UNSTATED


def first_open_month(c: Connection, mode: str) -> str | None:
    """Return the first month that is not published: after the last period, or else the month of the founding.

    The founding is no secret. The month of the first screening would tell that there was one. None: nothing to count.
    """
    published = c.row("select max(last_month) as last from statistics_periods where mode = ?", [mode])
    if published and published["last"]:
        return month_after(published["last"])
    counted = c.row("select min(month) as first from statistics_cells where mode = ?", [mode])
    founded = c.row("select at from audit order by number limit 1")
    months = [counted["first"]] if counted and counted["first"] else []
    return min([*months, month_of(founded["at"])] if founded else months, default=None)


def count_by_month(c: Connection, mode: str, *, before: str) -> list[tuple[str, int]]:
    """Return each unpublished month before another one with its number of screenings, in order."""
    found = c.rows(
        "select month, max(people) as people from"
        " (select month, sum(count) as people from statistics_cells where mode = ? and month < ?"
        " group by month, dimension) as facts group by month order by month",
        [mode, before],
    )
    return [(item["month"], item["people"]) for item in found]


def count_period(c: Connection, period: Period) -> Counts:
    """Return the counts of a period's cells, for every fact and every value of its list.

    Each table sums to the period's total: cells with a value outside the list, and screenings that an earlier release
    did not count for a fact, are `UNSTATED`.
    """
    found = c.rows(
        "select dimension, value, sum(count) as people from statistics_cells"
        " where mode = ? and month between ? and ? group by dimension, value",
        [period.mode, period.first_month, period.last_month],
    )
    counts = {fact: dict.fromkeys(values, 0) for fact, values in VALUES.items()}
    for item in found:
        if item["dimension"] in counts:
            counts[item["dimension"]][_listed(item["dimension"], item["value"])] += item["people"]
    for values in counts.values():
        values[UNSTATED] += (period.total or 0) - sum(values.values())
    return counts


def put_period(w: Connection, period: Period, figures: Mapping[str, Mapping[str, str]], *, at: int) -> None:
    """Store a period with its figures (fact -> value -> figure), and delete the cells they were made from."""
    w.execute(
        "insert into statistics_periods (mode, first_month, last_month, total, published) values (?, ?, ?, ?, ?)",
        [period.mode, period.first_month, period.last_month, period.total, at],
    )
    w.executemany(
        "insert into statistics_figures (mode, first_month, fact, value, figure) values (?, ?, ?, ?, ?)",
        [
            (period.mode, period.first_month, fact, value, figure)
            for fact, table in figures.items()
            for value, figure in table.items()
        ],
    )
    w.execute("delete from statistics_cells where mode = ? and month <= ?", [period.mode, period.last_month])


def list_tables(c: Connection, *, mode: str) -> list[PublishedTable]:
    """Return the published tables of a mode, by period and fact. Rows are in order, with `UNSTATED` last."""
    periods = c.rows(
        "select mode, first_month, last_month, total from statistics_periods where mode = ? order by first_month",
        [mode],
    )
    figures: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for item in c.rows("select first_month, fact, value, figure from statistics_figures where mode = ?", [mode]):
        figures[item["first_month"], item["fact"]][item["value"]] = item["figure"]
    return [
        PublishedTable(period.label, fact, period.total or 0, _in_order(figures[period.first_month, fact]))
        for period in (Period(**item) for item in periods)
        for fact in VALUES
        if figures[period.first_month, fact]
    ]


def _in_order(table: Mapping[str, str]) -> dict[str, str]:
    return {value: table[value] for value in sorted(table, key=lambda value: (value == UNSTATED, value))}


def count_rejection(w: Connection, *, dev: str, code: str, at: int) -> None:
    """Count one item that `dev` sent and that was rejected for the reason `code` (problems.csv, SPEC 14)."""
    w.execute(
        "insert into rejections (day, dev, code, count) values (?, ?, ?, 1)"
        " on conflict (day, dev, code) do update set count = count + 1",
        [at // DAY, dev, code],
    )


def count_rejections_by_tablet(c: Connection, devs: Collection[str]) -> dict[str, int]:
    """Return the number of rejected items of each of these tablets, over all time."""
    if not devs:
        return {}
    places = ", ".join("?" * len(devs))
    sql = f"select dev, sum(count) as total from rejections where dev in ({places}) group by dev"  # noqa: S608 (places)
    return {item["dev"]: item["total"] for item in c.rows(sql, [*devs])}
