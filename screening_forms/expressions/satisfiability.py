"""Finds conditions that no answers can meet, such as `${sexo}='female' and ${sexo}='male'`.

The checks report them to the author. It must never report a condition that can hold: parts that it cannot judge count
as possible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from screening_forms.expressions.parser import COMPARISONS, LITERALS, Token

Atom = tuple[str, str, str]
"""A question, an operator and a value."""

_MOST = 500
"""The most alternatives that are examined. With more, the conditions count as possible."""

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def is_unsatisfiable(conditions: Sequence[Token], types: Mapping[str, str]) -> bool:
    """True if the conditions can never all hold together. `types`: each question's type, such as `integer`."""
    ways: list[tuple[Atom, ...]] = [()]
    for condition in conditions:
        ways = [(*way, *more) for way, more in product(ways, _ways(condition, types))]
        if len(ways) > _MOST:
            return False
    return not any(_consistent(way, types) for way in ways)


def _ways(token: Token, types: Mapping[str, str]) -> list[tuple[Atom, ...]]:
    """Return the alternatives of a condition; each is the comparisons that must all hold."""
    if token.symbol == "(":
        return _ways(token[0], types)
    if token.symbol == "or":
        return [way for part in token for way in _ways(part, types)][: _MOST + 1]
    if token.symbol == "and":
        ways: list[tuple[Atom, ...]] = [()]
        for part in token:
            ways = [(*way, *more) for way, more in product(ways, _ways(part, types))][: _MOST + 1]
        return ways
    if token.symbol == "false":
        return []
    return [_atoms(token, types)]


def _atoms(token: Token, types: Mapping[str, str]) -> tuple[Atom, ...]:
    """Return the comparison of one question with a fixed value; empty for every other token."""
    if token.symbol not in (*COMPARISONS, "selected") or len(token) != 2:
        return ()
    left, right = token
    operator = token.symbol
    if _literal(left) is not None:
        left, right, operator = right, left, _TURNED.get(operator, operator)
    value = _literal(right)
    if left.symbol != "$" or value is None:
        return ()
    if operator == "selected":
        return ((left.value, "=", value),) if types.get(left.value) == "select_one" else ()
    return ((left.value, operator, value),)


def _literal(token: Token) -> str | None:
    """Return the text of a fixed value, such as `'yes'`, 12 or -12; None for another token."""
    if token.symbol == "-" and len(token) == 1 and token[0].symbol in ("(integer)", "(decimal)"):
        return f"-{token[0].value}"
    return token.value if token.symbol in LITERALS else None


def _consistent(way: Sequence[Atom], types: Mapping[str, str]) -> bool:
    comparisons: dict[str, list[tuple[str, str]]] = {}
    for question, operator, value in way:
        comparisons.setdefault(question, []).append((operator, value))
    return all(is_satisfiable(pairs, types.get(question, "")) for question, pairs in comparisons.items())


def is_satisfiable(comparisons: Sequence[tuple[str, str]], kind: str) -> bool:
    """True if one answer can meet all comparisons (operator, value); `kind` is the question's type."""
    if kind != "integer":
        equal = {value for operator, value in comparisons if operator == "="}
        return len(equal) < 2 and not equal & {value for operator, value in comparisons if operator == "!="}
    least, most = -math.inf, math.inf
    for operator, value in comparisons:
        number = _number(value)
        if number is None:
            return True
        if operator in ("=", ">", ">="):
            least = max(least, math.floor(number) + 1 if operator == ">" else math.ceil(number))
        if operator in ("=", "<", "<="):
            most = min(most, math.ceil(number) - 1 if operator == "<" else math.floor(number))
    return least <= most


def largest_number(condition: Token, question: str) -> float:
    """Return the largest whole number that meets a condition on a question; infinity if there is no limit."""
    types = {question: "integer"}
    ways = _ways(condition, types)
    if len(ways) > _MOST:
        return math.inf
    possible = [way for way in ways if _consistent(way, types)]
    return max((_limit(way, question) for way in possible), default=-math.inf)


def _limit(way: Sequence[Atom], question: str) -> float:
    uppers = [
        number if operator != "<" else math.ceil(number) - 1
        for name, operator, value in way
        if name == question and operator in ("=", "<", "<=") and (number := _number(value)) is not None
    ]
    return min(uppers, default=math.inf)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
