"""Changes cells of a workbook as an author does, and asks the checks about the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.errors import FormProblem
from screening_forms.workbook.reader import Row, Workbook
from sync.envelope.route import AUTHOR_FIELDS

LABEL = "label::Español (es)"
KEYS = {"survey": "name", "choices": "name", "indicators": "code", "cases": "case"}


def with_cells(book: Workbook, sheet: str, key: str, cells: Mapping[str, str]) -> Workbook:
    """Return the workbook with other cells in the rows of a name or a code; "" empties a cell."""
    rows = getattr(book, sheet)
    changed = tuple(_row(row, cells) if row.get(KEYS[sheet]) == key else row for row in rows)
    assert changed != rows, key
    headings = {**book.headings, sheet: tuple(dict.fromkeys((*book.headings[sheet], *cells)))}
    return replace(book, **{sheet: changed}, headings=headings)


def with_cell_at(book: Workbook, problem: FormProblem, text: str) -> Workbook:
    """Return the workbook with another text in the cell of a problem."""
    rows = getattr(book, problem.sheet)
    assert [row.number for row in rows].count(problem.row) == 1
    changed = tuple(_row(row, {problem.column: text}) if row.number == problem.row else row for row in rows)
    headings = {**book.headings, problem.sheet: tuple(dict.fromkeys((*book.headings[problem.sheet], problem.column)))}
    return replace(book, **{problem.sheet: changed}, headings=headings)


def cell_at(book: Workbook, problem: FormProblem) -> str:
    """Return the text in the cell of a problem."""
    return next(row for row in getattr(book, problem.sheet) if row.number == problem.row).get(problem.column)


def with_row(book: Workbook, sheet: str, after: str, cells: Mapping[str, str]) -> Workbook:
    """Return the workbook with a new row after the first row of a name; the rows after it move down."""
    rows = getattr(book, sheet)
    at = next(place for place, row in enumerate(rows) if row.get(KEYS[sheet]) == after)
    new = Row(sheet, rows[at].number + 1, cells)
    moved = (replace(row, number=row.number + 1) for row in rows[at + 1 :])
    headings = tuple(dict.fromkeys((*book.headings[sheet], *cells)))
    return replace(book, **{sheet: (*rows[: at + 1], new, *moved)}, headings={**book.headings, sheet: headings})


def without(book: Workbook, sheet: str, *keys: str) -> Workbook:
    """Return the workbook without the rows of some names or codes; the other rows keep their numbers."""
    rows = tuple(row for row in getattr(book, sheet) if row.get(KEYS[sheet]) not in keys)
    assert len(rows) < len(getattr(book, sheet)), keys
    return replace(book, **{sheet: rows})


def problems(book: Workbook) -> list[FormProblem]:
    """Return every problem of a workbook."""
    return check_form(book, AUTHOR_FIELDS)


def of_code(book: Workbook, code: str) -> list[FormProblem]:
    """Return the problems of one code."""
    return [found for found in problems(book) if found.code == code]


def blocks(book: Workbook, code: str, channel: str = "training") -> bool:
    """True if a problem of a code stops the compiler for a channel."""
    return code in {found.code for found in blocking_problems(problems(book), channel)}


def _row(row: Row, cells: Mapping[str, str]) -> Row:
    return replace(row, cells={column: text for column, text in {**row.cells, **cells}.items() if text})
