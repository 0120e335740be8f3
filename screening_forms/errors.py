"""Exceptions for a wrong form or a wrong answer, with advice for the author or the interviewer.

All modules of this package raise them; the command line and the API show them. Every problem names its place.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class FormProblem:
    """One mistake in a form: its place, a stable code, and advice to the author.

    `row` counts as the author's program shows it. Row 0 is the whole sheet; an empty column is the whole row.
    """

    sheet: str
    row: int
    column: str
    code: str
    advice_es: str
    advice_en: str

    def __str__(self) -> str:
        where = self.sheet + (f":{self.row}" if self.row else "") + (f" [{self.column}]" if self.column else "")
        return f"{where} {self.code}: {self.advice_es}"


class FormError(ValueError):
    """The form cannot be used. `problems` contains every problem found, in the order of the sheets' rows."""

    def __init__(self, problems: list[FormProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class AnswerError(ValueError):
    """The form does not accept an answer. `question` names the question; `why` is the reason in Spanish."""

    def __init__(self, question: str, why: str) -> None:
        self.question = question
        self.why = why
        super().__init__(f"{question}: {why}")
