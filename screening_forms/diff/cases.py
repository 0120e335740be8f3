"""Compares the author's test cases in two workbooks: added, removed, and with other answers or expected results.

Cases are not part of the compiled form, so `form_changes` cannot see them. This module must compare nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from screening_forms.checks.cases import EXPECTED, case_questions
from screening_forms.diff.changes import Change, change, differing_values
from screening_forms.languages import Bilingual
from screening_forms.workbook.reader import Row, Workbook

_NOTHING = Bilingual("nada", "nothing")


def case_changes(old: Workbook, new: Workbook) -> Iterator[Change]:
    """Yield the changes between two workbooks' cases, matched by name."""
    before, after = _named(old), _named(new)
    for name in {**before, **after}:
        if name not in after:
            yield change("case.removed", "cases", name, name=name, expected=_expected(before[name]))
        elif name not in before:
            yield change("case.added", "cases", name, name=name, expected=_expected(after[name]))
        else:
            was, now = _expected(before[name]), _expected(after[name])
            if was != now:
                yield change("case.expected", "cases", name, name=name, before=was, after=now)
            for question, said, says in differing_values(_answers(old, before[name]), _answers(new, after[name])):
                values = {"before": said or _NOTHING, "after": says or _NOTHING}
                yield change("case.answer", "cases", name, name=name, question=question, **values)


def _named(workbook: Workbook) -> dict[str, Row]:
    return {row.get("case") or str(row.number): row for row in workbook.cases}


def _expected(row: Row) -> str:
    return ", ".join(row.get(column) or "-" for column in EXPECTED)


def _answers(workbook: Workbook, row: Row) -> Mapping[str, str]:
    return {question: row.get(question) for question in case_questions(workbook) if row.get(question)}
