"""The families of indicators by the letter of their codes, and the rule by which those found make a dimension positive.

Indicator sets, policies and the compiler of scores rest on this. A rule is data, so that a reviewer can read it here
and every engine counts by the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STRENGTHS = {"strong": "S", "medium": "M", "weak": "W"}
SIGNS = ("involuntariness", "penalty")


@dataclass(frozen=True)
class Rule:
    """When a dimension is positive: at least one clause is met, which says how many of which kind it takes.

    A kind is a strength or a sign; an indicator that has both counts under both.
    """

    source: str
    clauses: tuple[Mapping[str, int], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is counted, in order of appearance."""
        return tuple(dict.fromkeys(kind for clause in self.clauses for kind in clause))

    def holds(self, counts: Mapping[str, int]) -> bool:
        """Whether a clause is met; a kind that is left out counts as none."""
        return any(all(counts.get(kind, 0) >= least for kind, least in clause.items()) for clause in self.clauses)


DELPHI = Rule(
    "ILO/EC 2009, WCMS_105023",
    (
        {"strong": 2},
        {"strong": 1, "medium": 1},
        {"strong": 1, "weak": 1},
        {"medium": 3},
        {"medium": 2, "weak": 1},
    ),
)
HARD_TO_SEE = Rule("ILO 2012, Hard to see, harder to count", ({"involuntariness": 1, "penalty": 1, "strong": 1},))

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("D1", "D2", "D3", "D4", "D5", "D6"), DELPHI),
    **dict.fromkeys(("F1", "F2", "F3"), HARD_TO_SEE),
}
DIMENSIONS = tuple(RULES)
BRIGHT_LINES, PROFIT, OBSERVED = "X", "P", "O"
UNCOUNTED = (BRIGHT_LINES, PROFIT, OBSERVED)
"""Beside the dimensions, without strength or tally: bright lines for children, what a third party controls or gains,
what was seen at a site. A policy names their codes, or all of a family by one of `ANY_OF`."""
ANY_OF: Mapping[str, str] = {"any_P": PROFIT, "any_O": OBSERVED}
INDICATOR_CODE = re.compile(rf"({'|'.join((*DIMENSIONS, *UNCOUNTED))})\.\d\d")
FACTS = ("minor", "danger", "consent", "place")
"""Rows of the sheet `indicators` that are never unknown: certain or not."""


@dataclass(frozen=True)
class Tally:
    """How many indicators of each kind were found in one dimension."""

    rule: Rule
    counts: Mapping[str, int]

    @property
    def positive(self) -> bool:
        """The dimension's rule on this tally."""
        return self.rule.holds(self.counts)


@dataclass(frozen=True)
class Bounds:
    """One dimension's tallies when every unknown is a no (`low`) and when every unknown is a yes (`high`)."""

    low: Tally
    high: Tally

    def as_dict(self) -> dict[str, bool | int]:
        """As `forms assess` prints it."""
        counts = {
            f"{kind}_{name}": count
            for name, tally in (("min", self.low), ("max", self.high))
            for kind, count in tally.counts.items()
        }
        return {"min": self.low.positive, "max": self.high.positive, **counts}


def in_rule_order(dimensions: Iterable[str]) -> tuple[str, ...]:
    """Return those that are dimensions with a tally, each once, in the order of the rules."""
    given = frozenset(dimensions)
    return tuple(dimension for dimension in DIMENSIONS if dimension in given)
