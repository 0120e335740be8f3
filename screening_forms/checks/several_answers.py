"""Checks comparisons with a select_multiple. Called by `run.py`.

`${q} = 'a'` holds only while `a` is the only answer: with a second answer the condition is false, and an indicator is
lost without any sign. `selected(${q}, 'a')` holds with any number of answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import (
    COMPARISONS,
    LITERALS,
    NO_ANSWERS,
    ExpressionError,
    Token,
    parse_expression,
    subexpressions,
    write_expression,
)
from screening_forms.problems import problem
from screening_forms.workbook.reader import Row

_BLANK = Token("(string)")


def check_several_answers(context: CheckContext) -> Iterator[FormProblem]:
    """No condition compares a question that takes several answers with one value. A blank may be compared."""
    several = questions_of_several_answers(context)
    for row, column, text in context.expressions():
        for found in wrong_comparisons(several, row, column, text):
            question, value = _sides(found, several)
            named = question.value or row.get("name")
            codes = [choice.get("name") for choice in context.choices_of(context.questions.get(named, row))]
            better = _correction(found.symbol, question, value, codes, positive=column == "when")
            yield problem("expression.several_answers", row, column, write_expression(found), named, better)


def questions_of_several_answers(context: CheckContext) -> frozenset[str]:
    """Return the select_multiple questions, and the calculates that repeat the answer of one."""
    found = {name for name, row in context.questions.items() if row.get("type").startswith("select_multiple")}
    for row in context.workbook.survey:
        try:
            token = _bare(parse_expression(row.get("calculation"))) if row.get("calculation") else _BLANK
        except ExpressionError:
            continue  # `check_expressions` reports it
        if token.symbol == "$" and token.value in found:
            found.add(row.get("name"))
    return frozenset(found)


def wrong_comparisons(several: frozenset[str], row: Row, column: str, text: str) -> Iterator[Token]:
    """Yield each comparison of one value with a question of `several`; `.` is the row's own question."""
    own = column == "constraint" and row.get("name") in several
    try:
        parts = list(subexpressions(parse_expression(text)))
    except ExpressionError:
        return  # `check_expressions` reports it
    for part in parts:
        if part.symbol in COMPARISONS and len(part) == 2:
            sides = [_bare(side) for side in part]
            named = any(side.value in several if side.symbol == "$" else own and side.symbol == "." for side in sides)
            if named and _BLANK not in sides:
                yield part


def _bare(token: Token) -> Token:
    return _bare(token[0]) if token.symbol == "(" else token


def _sides(found: Token, several: frozenset[str]) -> tuple[Token, Token]:
    """Return the question of several answers and the value that it is compared with."""
    left, right = map(_bare, found)
    first = left.symbol == "." or (left.symbol == "$" and left.value in several)
    return (left, right) if first else (right, left)


def _correction(symbol: str, question: Token, value: Token, codes: Sequence[str], *, positive: bool) -> str:
    """Return the condition to write instead. `positive`: it may not use `not`, so it names the other choices."""
    asked = write_expression(question)
    if symbol not in ("=", "!=") or (value.symbol in ("(integer)", "(decimal)") and value.value not in codes):
        return f"count-selected({asked}) {symbol} {write_expression(value)}"
    wanted = f"'{value.value}'" if value.symbol in LITERALS else write_expression(value)
    if symbol == "=":
        return f"selected({asked}, {wanted})"
    if not positive:
        return f"not(selected({asked}, {wanted}))"
    others = [f"selected({asked}, '{code}')" for code in codes if code not in (value.value, *NO_ANSWERS)]
    return f"({' or '.join(others)})" if len(others) > 1 else "".join(others) or f"selected({asked}, {wanted})"
