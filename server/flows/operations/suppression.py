"""Hides small counts in the tables of one period, so that no hidden count can be computed from what is shown.

The flow `statistics` calls it before it publishes. It is pure. The proof assumes a reader who knows these rules, the
total and every other table; docs/decisions.md, "Statistics", has it. No rule may read a hidden count, except through a
sum that the published figures bound to at least eleven possible values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from server.store.statistics import UNSTATED, Counts

# CTDC practice (DOMAIN 4): no count of fewer than eleven people is shown, and zero looks like ten.
SMALLEST = 11


class Mark(StrEnum):
    """What stands in place of a number that is not shown."""

    BELOW = "< 11"
    HIDDEN = "hidden"


Figure = int | Mark
Figures = Mapping[str, Figure]

# The rows that are hidden first when small ones need cover; the others follow in the order of their codes. The order
# must not depend on counts: "the next smallest" would bound the hidden ones from above. What readers need most is last.
_HIDDEN_FIRST: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "outcome": ("negative", "labour_rights", "not_scored", "review", "positive"),
        "sex": ("male", "female"),
        "age_band": ("30_59", "18_29", "60_plus"),
        "sector": ("other",),
        "lang": ("es",),
    }
)
# Policies give a child one of these outcomes only (DOMAIN 1), so both tables count the same people in part.
_CHILD_BANDS = ("under_14", "14_17", "in_doubt")
_CHILD_OUTCOMES = ("positive", "review")


def protect_tables(counts: Counts) -> dict[str, Figures]:
    """Return the figures of all tables of a period: fact -> value -> a number or a mark."""
    figures: dict[str, Figures] = {
        fact: suppress_table(table, hiding_order(fact, table)) for fact, table in counts.items()
    }
    if not children_are_covered(figures["outcome"], figures["age_band"]):
        figures["age_band"] = withhold(counts["age_band"])
    return figures


def hiding_order(fact: str, values: Mapping[str, object]) -> list[str]:
    """Return the values that may cover small counts, the first to hide first.

    "Unstated" is none of them. The same screenings leave out several facts, so another table may show that number.
    """
    first = [value for value in _HIDDEN_FIRST.get(fact, ()) if value in values]
    return first + sorted(set(values) - set(first) - {UNSTATED})


def suppress_table(counts: Mapping[str, int], order: Sequence[str], *, smallest: int = SMALLEST) -> dict[str, Figure]:
    """Mark every count below `smallest`, and hide as many others in `order` as the small ones need for cover.

    If the rows of `order` do not suffice, the whole table is withheld. `smallest` differs in tests alone.
    """
    small = {value for value, count in counts.items() if count < smallest}
    if not small:
        return dict(counts)
    cover = _choose_cover(counts, order, smallest)
    if cover is None:
        return withhold(counts)
    marks = {value: Mark.BELOW if value in small else Mark.HIDDEN for value in small | cover}
    return {value: marks.get(value, count) for value, count in counts.items()}


def _choose_cover(counts: Mapping[str, int], order: Sequence[str], smallest: int) -> set[str] | None:
    """Return the rows to hide besides the small ones; None if there are too few.

    A reader knows the sum of all hidden rows. Each of n covering rows has at least 11, so one small row can be 10 only
    if the sum is 10 + 11 n or more. The rule asks for one more. A rejected n therefore tells no more than that too.
    """
    hidden = sum(count for count in counts.values() if count < smallest)
    cover: set[str] = set()
    for value in order:
        if counts[value] >= smallest:
            cover.add(value)
            hidden += counts[value]
            if hidden >= smallest * (len(cover) + 1):
                return cover
    return None


def withhold(table: Mapping[str, object]) -> dict[str, Figure]:
    """Return a table of which no figure is shown. Its rows are all there."""
    return dict.fromkeys(table, Mark.HIDDEN)


def children_are_covered(outcome: Figures, age_band: Figures, *, smallest: int = SMALLEST) -> bool:
    """Return True if the shown outcomes of children are at least as many as the age table lets children be.

    Otherwise the age table would tell how small `positive` or `review` cannot be. The rule reads published figures
    only, so it adds no knowledge when the age table is shown.
    """
    most = 0
    for band in _CHILD_BANDS:
        figure = age_band[band]
        if figure is Mark.HIDDEN:
            return False
        most += smallest - 1 if isinstance(figure, Mark) else figure
    shown = [outcome[value] for value in _CHILD_OUTCOMES]
    return most <= sum(figure for figure in shown if not isinstance(figure, Mark))
