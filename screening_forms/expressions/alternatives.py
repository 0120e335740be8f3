"""Splits a condition into its alternatives: the lists of comparisons of which one must hold as a whole.

The checks use them to find conditions that can never hold. A part that this module cannot read, such as a sum, is left
out of its alternative. So an alternative may seem possible and never be impossible by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable

from screening_forms.expressions.parser import COMPARISONS, LITERALS, Comparison, Token

Alternative = tuple[Comparison, ...]

NOT_SELECTED = "not selected"
"""The operator of `not(selected(...))`."""

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"=": "!=", "!=": "=", "selected": NOT_SELECTED}
"""A comparison of numbers is not here: a blank fails both `<` and `>=`."""


def comparison(token: Token) -> Comparison | None:
    """Return the comparison of a question with a fixed value, the question on the left; None for another token."""
    if token.symbol not in (*COMPARISONS, "selected") or len(token) != 2:
        return None
    left, right, operator = *token.parts, token.symbol
    if operator != "selected" and _literal(left) is not None:
        left, right, operator = right, left, _TURNED.get(operator, operator)
    value = _literal(right)
    return None if left.symbol != "$" or value is None else Comparison(left.value, operator, value)


def alternatives(token: Token, most: int, *, holds: bool = True) -> list[Alternative] | None:
    """Return the ways in which a condition can be true, or false with `holds=False`; None for more than `most`."""
    if token.symbol in ("(", "not"):
        return alternatives(token[0], most, holds=holds == (token.symbol == "("))
    if token.symbol in ("true", "false"):
        return [()] if (token.symbol == "true") == holds else []
    if token.symbol in ("and", "or"):
        parts = [alternatives(part, most, holds=holds) for part in token]
        return joined(parts, most) if (token.symbol == "and") == holds else _either(parts, most)
    found = comparison(token)
    if found is not None and not holds:
        negated = _NEGATED.get(found.operator)
        found = Comparison(found.question, negated, found.value) if negated else None
    return [(found,)] if found else [()]


def joined(parts: Iterable[list[Alternative] | None], most: int) -> list[Alternative] | None:
    """Return the ways in which all parts hold together; None for more than `most`."""
    ways: dict[Alternative, None] = {(): None}
    for part in parts:
        if part is None:
            return None
        ways = {tuple(dict.fromkeys((*way, *more))): None for way in ways for more in part}
        if len(ways) > most:
            return None
    return list(ways)


def needs_an_answer(compared: Comparison) -> bool:
    """True if a blank answer fails the comparison."""
    if compared.operator in ("!=", NOT_SELECTED):
        return compared.operator == "!=" and compared.value == ""
    return compared.operator != "=" or compared.value != ""


def _either(parts: Iterable[list[Alternative] | None], most: int) -> list[Alternative] | None:
    ways: dict[Alternative, None] = {}
    for part in parts:
        if part is None:
            return None
        ways.update(dict.fromkeys(part))
        if len(ways) > most:
            return None
    return list(ways)


def _literal(token: Token) -> str | None:
    if token.symbol == "-" and len(token) == 1 and token[0].symbol in ("(integer)", "(decimal)"):
        return f"-{token[0].value}"
    return token.value if token.symbol in LITERALS else None
