"""Finds conditions that no answers can meet, such as `${sexo}='female' and ${sexo}='male'`; used by the checks alone.

It is careful rather than clever: what it does not understand may hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from screening_forms.expressions.parser import COMPARISONS, LITERALS, Token

Atom = tuple[str, str, str]
"""A question, a comparison, a value."""

_MOST = 500
"""Ways in which conditions can be met that are looked at; where there are more, they may hold."""

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def is_unsatisfiable(conditions: Sequence[Token], types: Mapping[str, str]) -> bool:
    """Whether all conditions together can never hold. `types`: each question's type, such as `integer`."""
    ways: list[tuple[Atom, ...]] = [()]
    for condition in conditions:
        ways = [(*way, *more) for way, more in product(ways, _ways(condition, types))]
        if len(ways) > _MOST:
            return False
    return not any(_consistent(way, types) for way in ways)


def _ways(token: Token, types: Mapping[str, str]) -> list[tuple[Atom, ...]]:
    """The ways in which a condition holds, each a list of comparisons that do."""
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
    """The comparison of one question with a fixed value; nothing where it is anything else."""
    if token.symbol not in (*COMPARISONS, "selected") or len(token) != 2:
        return ()
    left, right = token
    operator = token.symbol
    if left.symbol in LITERALS:
        left, right, operator = right, left, _TURNED.get(operator, operator)
    if left.symbol != "$" or right.symbol not in LITERALS:
        return ()
    if operator == "selected":
        return ((left.value, "=", right.value),) if types.get(left.value) == "select_one" else ()
    return ((left.value, operator, right.value),)


def _consistent(way: Sequence[Atom], types: Mapping[str, str]) -> bool:
    held: dict[str, list[tuple[str, str]]] = {}
    for question, operator, value in way:
        held.setdefault(question, []).append((operator, value))
    return all(is_satisfiable(found, types.get(question, "")) for question, found in held.items())


def is_satisfiable(found: Sequence[tuple[str, str]], kind: str) -> bool:
    """Whether one answer meets every comparison."""
    if kind != "integer":
        equal = {value for operator, value in found if operator == "="}
        return len(equal) < 2 and not equal & {value for operator, value in found if operator == "!="}
    least, most = -math.inf, math.inf
    for operator, value in found:
        number = _number(value)
        if number is None:
            return True
        if operator in ("=", ">", ">="):
            least = max(least, math.floor(number) + 1 if operator == ">" else math.ceil(number))
        if operator in ("=", "<", "<="):
            most = min(most, math.ceil(number) - 1 if operator == "<" else math.floor(number))
    return least <= most


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
