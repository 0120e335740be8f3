"""Contains `InterviewPaths`: which answers lead to each question, and which questions a person hears.

The checks of the method use it. It knows no question by its name: it reads conditions, facts, route fields and lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from screening_forms.checks.context import CheckContext
from screening_forms.checks.spanish_words import fold
from screening_forms.expressions.answer_sets import AnswerSets, all_of, possible_answers
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression
from screening_forms.languages import SOURCE
from screening_forms.rules.dimensions import BRIGHT_LINES, FACTS, OBSERVED
from screening_forms.workbook.columns import PLACEHOLDER, cell_text
from screening_forms.workbook.reader import Row

ANSWERED = ("select_one", "select_multiple", "integer", "date", "text")
"""Types with an answer of the person or of the interviewer."""

_SILENT = re.compile(r"no lea(?: esto)? en voz alta|no pregunte\b(?! detalles)")
"""In a hint: only the interviewer sees this question."""


class InterviewPaths:
    """The questions of a workbook, with their groups and the answers that lead to them."""

    def __init__(self, context: CheckContext) -> None:
        self.context = context
        self.groups = context.groups

    @cached_property
    def asked(self) -> list[Row]:
        """The questions with an answer, in the order of the form."""
        rows = (self.context.questions[name] for name in self.groups if name in self.context.questions)
        return [row for row in rows if row.get("type").partition(" ")[0] in ANSWERED]

    def codes(self, name: str) -> frozenset[str]:
        """Return the answers of a question with a fixed list, without the blank."""
        row = self.context.questions[name]
        if row.get("type") == "acknowledge":
            return frozenset({"OK"})
        return frozenset(choice.get("name") for choice in self.context.choices_of(row))

    @cached_property
    def _domains(self) -> AnswerSets:
        fixed = [
            name
            for name, row in self.context.questions.items()
            if row.get("type").startswith("select_one ") or row.get("type") == "acknowledge"
        ]
        return {name: self.codes(name) | {""} for name in fixed if self.codes(name)}

    @cached_property
    def _needed(self) -> dict[str, AnswerSets]:
        """The needed answers of every question, in the order of the form: a condition refers only to earlier ones."""
        found: dict[str, AnswerSets] = {}
        for name in self.groups:
            if name in self.context.questions:
                own = all_of(self._conditions(name)) or {}
                answered = [found[each] for each, answers in own.items() if each in found and "" not in answers]
                found[name] = all_of([own, *answered]) or own
        return found

    def needed(self, name: str) -> AnswerSets:
        """Return, by earlier question, the answers of which one must have been given before `name` is asked.

        An answer to an earlier question needs in turn the answers that lead to that question.
        """
        return self._needed[name]

    def answers_without(self, row: Row) -> AnswerSets:
        """Return, by question, the answers with which a row's own condition can be false."""
        token = _parsed(row.get("relevant"))
        found = possible_answers(token, self._domains, self._formula, holds=False) if token else None
        return found if found is not None else dict.fromkeys(self._domains, frozenset[str]())

    def _conditions(self, name: str) -> Iterator[AnswerSets | None]:
        for row in (*self.groups.get(name, ()), self.context.questions[name]):
            if token := _parsed(row.get("relevant")):
                yield possible_answers(token, self._domains, self._formula)

    def _formula(self, name: str) -> Token | None:
        row = self.context.questions.get(name)
        return _parsed(row.get("calculation")) if row and row.get("type") == "calculate" else None

    def is_always_asked(self, name: str) -> bool:
        """True if neither the question nor a group around it has a condition."""
        return not any(row.get("relevant") for row in (*self.groups[name], self.context.questions[name]))

    def is_silent(self, row: Row) -> bool:
        """True if the hint says that the interviewer does not read the question aloud."""
        return bool(_SILENT.search(fold(cell_text(row, "hint", SOURCE))))

    def fact(self, fact: str) -> list[str]:
        """Return the questions in the conditions of a fact, in the order of the form."""
        return self._questions_of([row for row in self.context.workbook.indicators if row.get("code") == fact])

    @cached_property
    def interview_questions(self) -> list[str]:
        """The questions whose answers a person tells and that count for an indicator. Observations are left out."""
        observed = (*FACTS, BRIGHT_LINES, OBSERVED)
        rows = [row for row in self.context.workbook.indicators if row.get("code").split(".")[0] not in observed]
        return [name for name in self._questions_of(rows) if not self.is_silent(self.context.questions[name])]

    def _questions_of(self, rows: list[Row]) -> list[str]:
        named = {name for row in rows for name in PLACEHOLDER.findall(row.get("when"))}
        return [row.get("name") for row in self.asked if row.get("name") in named]


def _parsed(text: str) -> Token | None:
    try:
        return parse_expression(text) if text else None
    except ExpressionError:
        return None  # `check_expressions` reports it
