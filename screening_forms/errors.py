"""What can be wrong with a form or with an answer, in words its author or interviewer can act on.

Raised by every module here, shown by the command line and the publishing pages; never says less than where to look.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class FormProblem:
    """One thing a form author got wrong: where it is, as the author counts rows, and what to do about it.

    Row 0 stands for the whole sheet, an empty column for the whole row.
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
    """A form that cannot be used; holds every problem that was found, in the order of the sheets' rows."""

    def __init__(self, problems: list[FormProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class AnswerError(ValueError):
    """An answer that the form does not accept: which question and, in Spanish, why."""

    def __init__(self, question: str, why: str) -> None:
        self.question = question
        self.why = why
        super().__init__(f"{question}: {why}")
