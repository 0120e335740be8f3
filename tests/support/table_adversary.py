"""A reader who adds and subtracts all published tables, in exact integers, and knows the rules of the publication.

`list_possible_counts` returns what each cell can be. The tests of the statistics use it as their adversary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SMALLEST = 11
CHILD_BANDS = ("under_14", "14_17", "in_doubt")
CHILD_OUTCOMES = ("positive", "review")
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
    counts = {(str(each["period"]), str(each["table"])): each for each in tables}
    for (period, table), each in counts.items():
        shown, total = each["counts"], each["total"]
        assert isinstance(shown, dict)
        assert isinstance(total, int)
        cells = tuple((period, table, value) for value in shown)
        withheld = set(shown.values()) == {"hidden"}
        for cell, figure in zip(cells, shown.values(), strict=True):
            bounds.least[cell], bounds.most[cell] = _bounds_of(figure, total, withheld=withheld)
        sums.append(Sum(cells, (), total, total))
        if table == "outcome":
            sums.append(_children_have_few_outcomes(period, total))
    _propagate(bounds, sums)
    return bounds


def _bounds_of(figure: str, total: int, *, withheld: bool) -> tuple[int, int]:
    if figure == "< 11":
        return 0, SMALLEST - 1
    if figure == "hidden":
        return (0 if withheld else SMALLEST), total
    return int(figure), int(figure)


def _children_have_few_outcomes(period: str, total: int) -> Sum:
    """Policies give a child `positive` or `review`: the people with these outcomes are at least the children."""
    outcomes = tuple((period, "outcome", value) for value in CHILD_OUTCOMES)
    return Sum(outcomes, tuple((period, "age_band", value) for value in CHILD_BANDS), 0, total)


def _propagate(bounds: Bounds, sums: list[Sum]) -> None:
    """Narrow the bounds until no sum narrows them further. Totals are constants, so the sums form no ring: exact."""
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
