"""Finds the answers that a condition leaves possible: `${a}='yes' and ${b}!='no'` leaves one answer to `a`.

The checks of the method use it to learn which answers lead to a question. The sets may be too large, never too small:
an answer that is missing from a set can never occur where the condition holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from screening_forms.expressions.parser import LITERALS, Token

AnswerSets = Mapping[str, frozenset[str]]
"""By question, the answers that remain possible; "" is a blank. A question without an entry may have any answer."""

Resolve = Callable[[str], Token | None]
"""Takes the name of a calculate; returns its formula, or None for a question."""

_DEEPEST = 5
"""The most calculates that are followed from one to the next. Beyond, every answer counts as possible."""


def possible_answers(
    token: Token, domains: AnswerSets, resolve: Resolve = lambda _: None, *, holds: bool = True
) -> AnswerSets | None:
    """Return the answers with which a condition can hold; None if it can never hold.

    `domains`: every answer of each question that has a fixed list of them. With `holds=False`, return the answers with
    which the condition can be false.
    """

    return _Solver(domains, resolve).sets(token, holds)


@dataclass(frozen=True)
class _Solver:
    domains: AnswerSets
    resolve: Resolve
    depth: int = 0

    def sets(self, part: Token, holds: bool) -> AnswerSets | None:
        """Return the answers with which a part of the condition is true, or false."""
        if part.symbol == "(":
            return self.sets(part[0], holds)
        if part.symbol == "not":
            return self.sets(part[0], not holds)
        if part.symbol in ("and", "or"):
            each = [self.sets(inner, holds) for inner in part]
            return all_of(each) if (part.symbol == "and") == holds else any_of(each)
        if part.symbol in ("true", "false"):
            return {} if (part.symbol == "true") == holds else None
        if part.symbol in ("=", "!=", "selected") and len(part) == 2:
            left, right = part if part[0].symbol == "$" else reversed(part.parts)
            if left.symbol == "$" and right.symbol in LITERALS:
                return self._question(left.value, right.value, (part.symbol != "!=") == holds)
        return {}

    def _question(self, name: str, value: str, is_equal: bool) -> AnswerSets | None:
        if (formula := self.resolve(name)) is not None:
            if self.depth == _DEEPEST:
                return {}
            return replace(self, depth=self.depth + 1)._formula(formula, value, is_equal)
        domain = self.domains.get(name)
        if domain is None:
            return {}
        left = domain & {value} if is_equal else domain - {value}
        return {name: left} if left else None

    def _formula(self, formula: Token, value: str, is_equal: bool) -> AnswerSets | None:
        """Return the answers with which a calculate such as `if(condition, text, text)` has a value, or another one."""
        if formula.symbol == "(":
            return self._formula(formula[0], value, is_equal)
        if formula.symbol in LITERALS:
            return {} if (formula.value == value) == is_equal else None
        if formula.symbol == "$":
            return self._question(formula.value, value, is_equal)
        if formula.symbol != "if":
            return {}
        branches = ((self.sets(formula[0], True), formula[1]), (self.sets(formula[0], False), formula[2]))
        return any_of([all_of([found, self._formula(text, value, is_equal)]) for found, text in branches])


def all_of(found: Iterable[AnswerSets | None]) -> AnswerSets | None:
    """Return the answers that are possible where all conditions hold."""
    together: dict[str, frozenset[str]] = {}
    for each in found:
        if each is None:
            return None
        for question, answers in each.items():
            together[question] = together.get(question, answers) & answers
    return together if all(together.values()) else None


def any_of(found: Iterable[AnswerSets | None]) -> AnswerSets | None:
    """Return the answers that are possible where at least one condition holds."""
    possible = [each for each in found if each is not None]
    if not possible:
        return None
    named = set(possible[0]).intersection(*possible)
    return {name: frozenset[str]().union(*(each[name] for each in possible)) for name in sorted(named)}
