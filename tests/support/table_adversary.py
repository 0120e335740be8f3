"""A reader who adds and subtracts all published tables, in exact integers, and knows the rules of the publication.

`list_possible_counts` returns what each cell can be. The tests of the statistics use it as their adversary. It knows
what the five forms force, in its own words: the tests of the ties compare the server's words with real interviews.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SMALLEST = 11
CHILD_BANDS = ("under_14", "14_17", "in_doubt")
CHILD_OUTCOMES = ("positive", "review")
UNSTATED = "unstated"
Cell = tuple[str, str, str]
"""Period, table, value."""


@dataclass(frozen=True)
class Sum:
    """These unknowns sum to a number from `least` to `most`. An unknown with a minus sign is subtracted."""

    plus: tuple[Cell, ...]
    minus: tuple[Cell, ...]
    least: int
    most: int


@dataclass
class Bounds:
    """The least and the most that each unknown can be."""

    least: dict[Cell, int]
    most: dict[Cell, int]

    def width(self, cell: Cell) -> int:
        return self.most[cell] - self.least[cell]


def list_possible_counts(tables: Iterable[Mapping[str, object]]) -> Bounds:
    """Return bounds for every cell of the published tables (as the staff API returns them)."""
    bounds, sums = Bounds({}, {}), []
    totals: dict[str, int] = {}
    for each in tables:
        period, table, shown, total = str(each["period"]), str(each["table"]), each["counts"], each["total"]
        assert isinstance(shown, dict)
        assert isinstance(total, int)
        cells = tuple((period, table, value) for value in shown)
        withheld = set(shown.values()) == {"hidden"}
        for cell, figure in zip(cells, shown.values(), strict=True):
            bounds.least[cell], bounds.most[cell] = _bounds_of(cell, figure, total, withheld=withheld)
        sums.append(Sum(cells, (), total, total))
        totals[period] = total
    for period, total in totals.items():
        sums += _list_ties(period, total, bounds)
    _propagate(bounds, sums)
    return bounds


def _bounds_of(cell: Cell, figure: str, total: int, *, withheld: bool) -> tuple[int, int]:
    if figure == "< 11":
        return 0, SMALLEST - 1
    if figure != "hidden":
        return int(figure), int(figure)
    if cell[2] == UNSTATED:
        # Each form asks for its place, and each screening has an outcome.
        return 0, 0 if cell[1] in ("outcome", "region") else total
    return (0 if withheld else SMALLEST), total


def _list_ties(period: str, total: int, bounds: Bounds) -> list[Sum]:
    """What the five forms force: which people are at most as many as which others."""

    def cells(table: str, *wanted: str, but: tuple[str, ...] = ()) -> tuple[Cell, ...]:
        listed = [cell for cell in bounds.least if cell[:2] == (period, table) and cell[2] not in but]
        return tuple(cell for cell in listed if not wanted or cell[2] in wanted)

    def at_most(most: tuple[Cell, ...], people: tuple[Cell, ...]) -> Sum:
        return Sum(most, people, 0, total)

    def unstated(table: str) -> tuple[Cell, ...]:
        return cells(table, UNSTATED)

    children, not_scored = cells("age_band", *CHILD_BANDS), cells("outcome", "not_scored")
    adults = cells("age_band", but=(*CHILD_BANDS, UNSTATED))
    ties = [
        # A child is positive or in review. Only an adult is not scored. A visit to a place has no age.
        at_most(cells("outcome", *CHILD_OUTCOMES), children),
        at_most(adults, not_scored),
        # A child, and a person who was not interviewed, state no sector.
        at_most(unstated("sector"), (*children, *not_scored)),
        # A visit, and a person who was not interviewed, state neither sex nor language.
        at_most(unstated("sex"), (*unstated("age_band"), *not_scored)),
        at_most(unstated("lang"), (*unstated("age_band"), *not_scored)),
    ]
    return [each for each in ties if each.plus]


def _propagate(bounds: Bounds, sums: list[Sum]) -> None:
    """Narrow the bounds until no sum narrows them further."""
    changed = True
    while changed:
        changed = False
        for each in sums:
            for cell in each.plus + each.minus:
                changed |= _narrow(bounds, each, cell)


def _narrow(bounds: Bounds, each: Sum, cell: Cell) -> bool:
    sign = 1 if cell in each.plus else -1
    others_least = sum(bounds.least[other] for other in each.plus if other != cell)
    others_least -= sum(bounds.most[other] for other in each.minus if other != cell)
    others_most = sum(bounds.most[other] for other in each.plus if other != cell)
    others_most -= sum(bounds.least[other] for other in each.minus if other != cell)
    ends = sorted(sign * end for end in (each.least - others_most, each.most - others_least))
    least, most = max(bounds.least[cell], ends[0]), min(bounds.most[cell], ends[1])
    assert least <= most, f"the published tables contradict each other at {cell}"
    changed = (least, most) != (bounds.least[cell], bounds.most[cell])
    bounds.least[cell], bounds.most[cell] = least, most
    return changed
