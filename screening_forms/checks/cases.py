"""Checks and runs an author's own tests, the sheet `cases`: answers with the expected outcome, tier and queue.

`check_cases` checks the sheet. The compiler runs the cases on the compiled form with `case_failures`, and must not
return a form that fails one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from screening_forms.checks.context import CheckContext
from screening_forms.engine.evaluator import Engine, FilledForm
from screening_forms.errors import AnswerError, FormProblem
from screening_forms.problems import problem, suggest
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.xlsform_subset import COLUMNS_BY_SHEET, TYPES_WITHOUT_ANSWER

EXPECTED = ("outcome", "tier", "queue_kinds")
NOT_SCORED = {"outcome": "not_scored", "tier": "none", "queue_kinds": ""}
"""The values that replace blank results: without consent to the interview a form computes no score."""


def check_cases(context: CheckContext) -> Iterator[FormProblem]:
    """The sheet has cases; each has a unique name, answers to questions of the form, and an expected outcome."""
    sheet, questions = Row("cases", 0, {}), context.questions
    if not context.workbook.cases:
        yield problem("case.none", sheet, "")
        return
    asked = {name for name, row in questions.items() if row.get("type") not in (*TYPES_WITHOUT_ANSWER, "calculate")}
    for heading in case_questions(context.workbook):
        if heading not in asked:
            near = suggest(heading, {*asked, *COLUMNS_BY_SHEET["cases"]})
            yield problem("case.unknown_question", Row("cases", 1, {}), heading, heading, **near)
    seen: dict[str, int] = {}
    for row in context.workbook.cases:
        name = row.get("case")
        if seen.setdefault(name, row.number) != row.number:
            yield problem("case.duplicate", row, "case", name, seen[name])
        if not row.get("outcome"):
            yield problem("case.no_outcome", row, "outcome")


def case_questions(workbook: Workbook) -> tuple[str, ...]:
    """Return the columns of the sheet `cases` that hold answers."""
    return tuple(heading for heading in workbook.headings.get("cases", ()) if heading not in COLUMNS_BY_SHEET["cases"])


def case_answers(workbook: Workbook, case: Row) -> dict[str, str]:
    """Return a case's answers by question; an empty cell means no answer."""
    return {name: case.get(name) for name in case_questions(workbook) if case.get(name)}


def case_failures(workbook: Workbook, engine: Engine) -> Iterator[FormProblem]:
    """Run every case on the compiled form, and yield a problem for each result that differs from the expected one."""
    compared = [column for column in EXPECTED if column in workbook.headings.get("cases", ())]
    for row in workbook.cases:
        given = case_answers(workbook, row)
        try:
            came = _results(engine.run(given))
        except AnswerError as error:
            yield problem("case.bad_answer", row, error.question, given.get(error.question, ""), error.why)
            continue
        for column in compared:
            if set(came[column].split()) != set((row.get(column) or NOT_SCORED[column]).split()):
                yield problem("case.failed", row, column, came[column], row.get(column), **_found(came))


def _results(filled: FilledForm) -> Mapping[str, str]:
    return {name: filled.values.get(name) or blank for name, blank in NOT_SCORED.items()}


def _found(came: Mapping[str, str]) -> dict[str, str]:
    return {"found": " / ".join(value or "-" for value in came.values())}
