"""Checks that every number of a form is the same number in ODK Collect, in ODK Web Forms and in our engine.

Called by `run.py`. It must report the cell with the expression, because there the author can correct it.
"""

from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.expressions.numbers import is_clear_number, is_fraction
from screening_forms.expressions.parser import (
    COMPARISONS,
    LITERALS,
    ExpressionError,
    Token,
    parse_expression,
    subexpressions,
    write_expression,
)
from screening_forms.problems import problem
from screening_forms.workbook.reader import Row

_SUMS = ("+", "-")
_BLANK = ("(string)", "")
_NO_NUMBERS = {"text": "expression.text_as_number", "date": "expression.date_as_number"}
_NUMBERS = ("(integer)", "(decimal)", "count-selected", *_SUMS)


def check_numbers(context: CheckContext) -> Iterator[FormProblem]:
    """No free text and no code such as `1e3` is used as a number, and no calculation writes a fraction."""
    for row, column, text in context.expressions():
        token = _parse(text)
        if token is None:
            continue
        leaves = [leaf for part in _used_as_numbers(token) for leaf in _leaves(context, row, part)]
        for asked in (asked for _, asked in leaves if asked):
            if asked.get("type") in _NO_NUMBERS:
                yield problem(_NO_NUMBERS[asked.get("type")], row, column, asked.get("name"))
        for part in subexpressions(token):
            if part.symbol in ("=", "!=") and _compares_with_text(context, row, part):
                yield problem("expression.number_as_text", row, column, write_expression(part))
        for code in dict.fromkeys(code for leaf, asked in leaves for code in _codes(context, leaf, asked)):
            if not is_clear_number(code):
                yield problem("expression.code_as_number", row, column, code)
        if column == "calculation" and any(_is_fraction(context, row, part) for part in _written_sums(token)):
            yield problem("expression.fraction", row, column, text)


def _parse(text: str) -> Token | None:
    try:
        return parse_expression(text)
    except ExpressionError:
        return None  # `check_expressions` reports it


def _used_as_numbers(token: Token) -> Iterator[Token]:
    """Yield the operands that XPath converts to numbers."""
    for part in subexpressions(token):
        ordered = part.symbol in (*_SUMS, "<", "<=", ">", ">=")
        if ordered or (part.symbol in COMPARISONS and any(_is_number(side) for side in part)):
            yield from part


def _is_number(token: Token) -> bool:
    if token.symbol == "(":
        return _is_number(token[0])
    return token.symbol in _NUMBERS or (token.symbol == "if" and any(map(_is_number, token.parts[1:])))


def _leaves(
    context: CheckContext, row: Row, token: Token, seen: frozenset[str] = frozenset()
) -> Iterator[tuple[Token, Row | None]]:
    """Yield the literals and questions (with their rows) whose text an operand can have, also through calculations."""
    if token.symbol in LITERALS:
        yield token, None
    elif token.symbol in ("$", "."):
        asked = context.questions.get(token.value, row) if token.symbol == "$" else row
        calculation = _parse(asked.get("calculation")) if asked.get("type") == "calculate" else None
        if calculation is None:
            yield token, asked
        elif asked.get("name") not in seen:
            yield from _leaves(context, asked, calculation, seen | {asked.get("name")})
    elif token.symbol in ("(", "if", "concat", *_SUMS):
        for part in token.parts[1:] if token.symbol == "if" else token:
            yield from _leaves(context, row, part, seen)


def _compares_with_text(context: CheckContext, row: Row, comparison: Token) -> bool:
    """True if one side is a question with a number, and the other is neither a number nor a blank."""
    sides = [_unwrapped(side) for side in comparison]
    integers = [_is_integer(context, row, side) for side in sides]
    others = [side for side, integer in zip(sides, integers, strict=True) if not integer]
    return any(integers) and any(not _is_number(side) and (side.symbol, side.value) != _BLANK for side in others)


def _unwrapped(token: Token) -> Token:
    return _unwrapped(token[0]) if token.symbol == "(" else token


def _is_integer(context: CheckContext, row: Row, token: Token) -> bool:
    asked = context.questions.get(token.value, row) if token.symbol == "$" else row
    return token.symbol in ("$", ".") and asked.get("type") == "integer"


def _codes(context: CheckContext, leaf: Token, asked: Row | None) -> list[str]:
    return [leaf.value] if asked is None else [choice.get("name") for choice in context.choices_of(asked)]


def _written_sums(token: Token) -> Iterator[Token]:
    """Yield the sums whose result a calculation writes as text."""
    if token.symbol in _SUMS:
        yield token
    elif token.symbol in ("(", "if", "concat"):
        for part in token.parts[1:] if token.symbol == "if" else token:
            yield from _written_sums(part)


def _is_fraction(context: CheckContext, row: Row, token: Token) -> bool:
    leaves = _leaves(context, row, token)
    return any(is_fraction(code) for leaf, asked in leaves for code in _codes(context, leaf, asked))
