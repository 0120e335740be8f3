"""Hides small counts in one table of a period, so that no hidden count can be computed from that table.

`joint_tables` calls it for each table. It is pure. The proof assumes a reader who knows these rules and the total;
docs/decisions.md, "Statistics", has it. No rule may read a hidden count, except through a sum that the published
figures bound to at least eleven possible values.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from server.store.statistics import UNSTATED

# CTDC practice (DOMAIN 4): no count of fewer than eleven people is shown, and zero looks like ten.
SMALLEST = 11
# Each form asks for its place, and each screening has an outcome. A reader knows that `unstated` is 0 in these tables.
COMPLETE_FACTS = ("outcome", "region")


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
        "outcome": ("negative", "not_scored", "labour_rights", "review", "positive"),
        "sex": ("male", "female"),
        "age_band": ("30_59", "18_29", "60_plus"),
        "sector": ("other",),
        "lang": ("es",),
    }
)


def hiding_order(fact: str, values: Mapping[str, object]) -> list[str]:
    """Return the values that may cover small counts, the first to hide first. "Unstated" is hidden in any case."""
    first = [value for value in _HIDDEN_FIRST.get(fact, ()) if value in values]
    return first + sorted(set(values) - set(first) - {UNSTATED})


def suppress_table(fact: str, counts: Mapping[str, int], *, smallest: int = SMALLEST) -> dict[str, Figure] | None:
    """Mark "unstated", every count below `smallest`, and as many others as these need for cover.

    Return None if all rows together give no cover. `smallest` differs in tests alone.
    """
    small = {value for value, count in counts.items() if count < smallest and value != UNSTATED}
    cover = _choose_cover(fact, counts, small, smallest)
    if cover is None:
        return None
    marks = {UNSTATED: Mark.HIDDEN} | dict.fromkeys(small, Mark.BELOW) | dict.fromkeys(cover, Mark.HIDDEN)
    return {value: marks.get(value, count) for value, count in counts.items()}


def _choose_cover(fact: str, counts: Mapping[str, int], small: set[str], smallest: int) -> set[str] | None:
    """Return the rows to hide besides the small ones and "unstated"; None if there are too few.

    A reader knows the sum of all hidden rows. Each of n covering rows has at least 11, so one small row can be 10 only
    if the sum is 10 + 11 n or more. The rule asks for one more. A rejected n therefore tells no more than that too.
    Without small rows, a single covering row would be known where "unstated" is known to be 0: there it takes two.
    """
    fewest = 2 if fact in COMPLETE_FACTS and not small else 1
    hidden = counts[UNSTATED] + sum(counts[value] for value in small)
    cover: set[str] = set()
    if _cover_each_other(fact, hidden, len(small), smallest):
        return cover
    for value in hiding_order(fact, counts):
        if counts[value] >= smallest:
            cover.add(value)
            hidden += counts[value]
            if len(cover) >= fewest and hidden >= smallest * (len(cover) + 1):
                return cover
    return None


def _cover_each_other(fact: str, hidden: int, small: int, smallest: int) -> bool:
    """Return True if small rows and "unstated", with this sum, leave each other open without another row.

    Where a reader knows that "unstated" is 0, a sum close to 10 in each row would give the small counts back.
    """
    most = smallest - 1
    solved = fact in COMPLETE_FACTS and most * (small - 1) < hidden <= most * small
    return small > 0 and hidden >= smallest and not solved


def withhold(table: Mapping[str, object]) -> dict[str, Figure]:
    """Return a table of which no figure is shown. Its rows are all there."""
    return dict.fromkeys(table, Mark.HIDDEN)
