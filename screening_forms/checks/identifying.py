"""Checks that no number, date or text identifies a person. Called by `run.py`.

A document number, a telephone number or a date of birth leads to one person, even in a sealed screening that a desk
opens among others. Words that name such a thing are in `identifying_words.csv`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from screening_forms.checks.constraints import own_answer
from screening_forms.checks.context import CheckContext
from screening_forms.checks.spanish_words import EMPTY_REASON_WORDS, IDENTIFYING_WORDS, fold
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import ExpressionError, parse_expression
from screening_forms.expressions.satisfiability import largest_number
from screening_forms.languages import SOURCE
from screening_forms.problems import problem
from screening_forms.workbook.columns import cell_text
from screening_forms.workbook.reader import Row

MOST = 9_999_999
"""The largest number that a form may ask for: soles have at most seven digits, a DNI has eight."""
MOST_NAMED = 99_999
"""The largest number where the text of a question counts what it names: how many telephones, how many documents."""
FEWEST_WORDS, FEWEST_LETTERS = 2, 12
"""A reason has at least two words of its own, and so many letters."""

_HOW_MANY = re.compile(
    r"\bcuant[oa]s\b(?!.*\b(numero|cifra|digito)s?\b)|\bcuanto (le |te )?(pag|cobr|cuest|gast|deb|descuent)"
)
_HOW_MANY = re.compile(
    r"\bcuant[oa]s\b(?!.*\b(numero|cifra|digito)s?\b)|\bcuanto (le |te )?(pag|cobr|cuest|gast|deb|descuent)"
)
_LETTERS = re.compile(r"[a-z]{2,}")


def check_identifying(context: CheckContext) -> Iterator[FormProblem]:
    """No number or text asks for what identifies a person, and every number has an upper limit."""
    for row in context.workbook.survey:
        kind, largest = row.get("type"), _largest(row)
        named = _identifying(row, kind)
        if named and (kind != "integer" or largest > MOST_NAMED or not _counts(row)):
            yield problem("question.identifies", row, "name", row.get("name"), *named)
        elif kind == "integer" and largest > MOST:
            yield problem("question.unbounded", row, "constraint", row.get("name"), _limited(row.get("constraint")))


def check_reasons(context: CheckContext) -> Iterator[FormProblem]:
    """Every date has a reason, and every reason says why a list of choices is not enough."""
    for row in context.workbook.survey:
        reason = row.get("reason")
        if row.get("type") == "date" and not reason and not _identifying(row, "date"):
            yield problem("question.date_without_reason", row, "reason", row.get("name"))
        elif row.get("type") in ("date", "text") and reason and not is_real_reason(reason):
            yield problem("question.empty_reason", row, "reason", reason)


def is_real_reason(text: str) -> bool:
    """True if a reason is a Spanish sentence with words of its own.

    "Porque sí", "n/a" and "x x x" have no words of their own; "asdfgh qwerty" has none that joins words.
    """
    words = {word for word in _LETTERS.findall(fold(text)) if len(set(word)) > 1}
    own = words - EMPTY_REASON_WORDS
    return len(own) >= FEWEST_WORDS and own != words and sum(map(len, words)) >= FEWEST_LETTERS


def _identifying(row: Row, kind: str) -> tuple[str, str] | None:
    """Return the Spanish and the English advice for the first thing that a question's name or label names."""
    said = f"{fold(row.get('name'))} {fold(cell_text(row, 'label', SOURCE))}"
    for pattern, listed in IDENTIFYING_WORDS:
        if kind in listed["types"].split() and pattern.search(said):
            return listed["es"], listed["en"]
    return None


def _counts(row: Row) -> bool:
    """True if a question asks how many there are. A birth or a number in parts is never counted."""
    return bool(_HOW_MANY.search(fold(cell_text(row, "label", SOURCE))))


def _largest(row: Row) -> float:
    text, name = row.get("constraint"), row.get("name")
    if row.get("type") != "integer" or not text:
        return math.inf
    try:
        return largest_number(own_answer(parse_expression(text), name), name)
    except ExpressionError:
        return math.inf


def _limited(constraint: str) -> str:
    """Return a constraint with an upper limit, for the author to adapt."""
    return f"({constraint}) and . <= 1000" if constraint else ". >= 0 and . <= 1000"
