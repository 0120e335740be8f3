"""The dimensions and the other families of indicators, and the rules that make a dimension positive.

Indicator sets, policies and the scoring compiler use these. A rule is data: a reviewer can read it, and every engine
counts with the same numbers. It must not read a table or a form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

STRENGTHS = {"strong": "S", "medium": "M", "weak": "W"}
SIGNS = ("involuntariness", "penalty")


@dataclass(frozen=True)
class Rule:
    """The rule of a dimension: it is positive if at least one clause holds.

    A clause maps kinds to least counts. A kind is a strength or a sign; an indicator with both counts for both.
    """

    source: str
    clauses: tuple[Mapping[str, int], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in the clauses, in order of appearance."""
        return tuple(dict.fromkeys(kind for clause in self.clauses for kind in clause))

    def holds(self, counts: Mapping[str, int]) -> bool:
        """True if at least one clause holds; a missing kind counts as 0."""
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
BRIGHT_LINES, PROFIT, OBSERVED, UNPAID = "X", "P", "O", "N"
UNCOUNTED = (BRIGHT_LINES, PROFIT, OBSERVED, UNPAID)
"""Families without strengths and tallies: bright lines for children (X), control or profit of a third party (P),
observations at a site (O), no pay at all (N). A policy uses their codes, or a name of `ANY_OF` for a whole family."""
ANY_OF: Mapping[str, str] = {"any_P": PROFIT, "any_O": OBSERVED}
STRONG_IN: Mapping[str, str] = {f"strong_{dimension}": dimension for dimension in DIMENSIONS}
"""Names by which a policy asks for any one strong indicator of a dimension, without the dimension's rule."""
INDICATOR_CODE = re.compile(rf"({'|'.join((*DIMENSIONS, *UNCOUNTED))})\.\d\d")


@dataclass(frozen=True)
class Facts:
    """The facts that a policy reads beside the indicators: each is 1 or 0, never unknown."""

    minor: int = 0
    danger: int = 0
    consent: int = 1
    place: int = 0


DEFAULT_FACTS = Facts()
"""Consent to a referral, and neither a minor nor danger nor a place of risk."""
FACTS = tuple(field.name for field in fields(Facts))
"""The codes of the sheet `indicators` that stand for facts."""


@dataclass(frozen=True)
class Tally:
    """The number of indicators found of each kind in one dimension."""

    rule: Rule
    counts: Mapping[str, int]

    @property
    def positive(self) -> bool:
        """True if the dimension's rule holds for the counts."""
        return self.rule.holds(self.counts)


@dataclass(frozen=True)
class Bounds:
    """The tallies of one dimension: with every unknown as a no (`low`), and with every unknown as a yes (`high`)."""

    low: Tally
    high: Tally

    def as_dict(self) -> dict[str, bool | int]:
        """Return the bounds as `forms assess` prints them."""
        counts = {
            f"{kind}_{name}": count
            for name, tally in (("min", self.low), ("max", self.high))
            for kind, count in tally.counts.items()
        }
        return {"min": self.low.positive, "max": self.high.positive, **counts}


def in_rule_order(dimensions: Iterable[str]) -> tuple[str, ...]:
    """Return the given dimensions, each once, in the order of the rules; other families are left out."""
    given = frozenset(dimensions)
    return tuple(dimension for dimension in DIMENSIONS if dimension in given)
