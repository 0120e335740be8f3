"""Checks that each condition can hold, and that each constraint accepts some answer. Called by `run.py`.

Numbers are judged by their limits, choices by trying them with the engine of the tablets. A constraint that cannot be
judged counts as possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from screening_forms.checks.context import CheckContext
from screening_forms.checks.trial_form import engine_of
from screening_forms.engine.evaluator import LARGEST_INTEGER
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, subexpressions
from screening_forms.expressions.satisfiability import is_unsatisfiable
from screening_forms.problems import problem
from screening_forms.workbook.columns import PLACEHOLDER
from screening_forms.workbook.reader import Row

_MOST_NAMED = 10
"""The most choices of a constraint that are tried in all combinations."""


def check_possible(context: CheckContext) -> Iterator[FormProblem]:
    """Every condition and every constraint is satisfiable together with the conditions of its groups."""
    types = {name: row.get("type").partition(" ")[0] for name, row in context.questions.items()}
    above: list[list[Token]] = [[]]
    for row in context.workbook.survey:
        kind = row.get("type").replace(" ", "_", 1)
        if kind == "end_group":
            above = above[:-1] or [[]]
            continue
        conditions = [*above[-1], *_parsed(row.get("relevant"))]
        if never := row.get("relevant") and is_unsatisfiable(conditions, types):
            yield problem("expression.never", row, "relevant", row.get("relevant"))
        elif row.get("constraint") and _accepts_nothing(context, row, conditions, types):
            yield problem("expression.never", row, "constraint", row.get("constraint"))
        if kind == "begin_group":
            above.append([] if never else conditions)  # reported once, not for every row in the group
    for row in context.workbook.indicators:
        if row.get("when") and is_unsatisfiable(_parsed(row.get("when")), types):
            yield problem("expression.never", row, "when", row.get("when"))


def _accepts_nothing(context: CheckContext, row: Row, conditions: list[Token], types: Mapping[str, str]) -> bool:
    """True if no answer meets the constraint while the question is asked."""
    name, text, kind = row.get("name"), row.get("constraint"), row.get("type").partition(" ")[0]
    limits = _parsed(f". >= -{LARGEST_INTEGER + 1} and . <= {LARGEST_INTEGER}") if kind == "integer" else []
    own = [own_answer(token, name) for token in (*_parsed(text), *limits)]
    around = conditions if PLACEHOLDER.search(text) else []  # otherwise nothing ties the answer to other questions
    if own and is_unsatisfiable([*around, *own], types):
        return True
    codes = [choice.get("name") for choice in context.choices_of(row)]
    if not codes or PLACEHOLDER.search(text):
        return False
    parts = {part.value for token in _parsed(text) for part in subexpressions(token)}
    named = tuple(code for code in codes if code in parts)
    return len(named) <= _MOST_NAMED and _refuses_every_choice(kind, text, named, len(codes) - len(named))


@lru_cache(maxsize=512)
def _refuses_every_choice(kind: str, constraint: str, named: tuple[str, ...], others: int) -> bool:
    """Try every answer of a list with the engine. Choices that the constraint does not name are alike."""
    codes = (*named, *(f"other_{number}" for number in range(others)))
    choices = {code: Choice(code, {}, {}) for code in codes}
    engine = engine_of([Node("q", kind, (), choices=choices, constraint=constraint)])
    if engine is None:
        return False
    answers = ((code,) for code in codes) if kind == "select_one" else _answers(named, codes[len(named) :])
    return all(engine.evaluate({"q": " ".join(answer)})[3] for answer in answers if answer)


def _answers(named: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(len(named) + 1):
        for chosen in combinations(named, count):
            yield from ((*chosen, *others[:more]) for more in range(len(others) + 1))


def own_answer(token: Token, name: str) -> Token:
    """Return a constraint with the question's name in place of `.`."""
    if token.symbol == ".":
        return Token("$", name)
    return replace(token, parts=tuple(own_answer(part, name) for part in token.parts))


def _parsed(text: str) -> list[Token]:
    try:
        return [parse_expression(text)] if text else []
    except ExpressionError:
        return []  # `check_expressions` reports it
