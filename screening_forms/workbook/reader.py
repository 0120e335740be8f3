"""Reads an author's workbook: an XLSForm as an .xlsx file or as Markdown tables.

It keeps the author's row numbers and headings, so that the checks can show each problem at its cell. It must not
interpret the cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath

from screening_forms.errors import FormError, FormProblem
from screening_forms.problems import Cell, problem
from screening_forms.workbook.xlsx_reader import MOST_ROWS, SIGNATURES, Line, SheetLines, column_letter, read_tables

SHEETS = ("survey", "choices", "settings", "indicators", "cases")
"""The sheets that are read; all other sheets are the author's notes."""

SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods")
TEXT_COLUMNS = (
    "label",
    "hint",
    "guidance_hint",
    "constraint_message",
    "required_message",
    "note",
    "form_title",
    "case",
)
"""Columns with texts for people; all other cells are names, codes or conditions."""

_SEPARATOR = re.compile(r"[\s|:-]*")  # Also matches an empty line.
_PIPE = re.compile(r"(?<!\\)\|")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")  # XML, and so an XForm, cannot contain them.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_BLANKS = re.compile(r"[^\S\n]+")  # Also no-break spaces, as copied from a web page.


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its cells that are not empty, by the heading of their column."""

    sheet: str
    number: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """Return the cell's text, or an empty string."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Workbook:
    """An author's workbook.

    `headings`: each sheet's columns as typed, misspelt ones included. `file_problems`: problems of the file, such as
    hidden rows; the checks find the problems of the form.
    """

    settings: Mapping[str, str]
    survey: tuple[Row, ...]
    choices: tuple[Row, ...]
    indicators: tuple[Row, ...]
    headings: Mapping[str, tuple[str, ...]]
    cases: tuple[Row, ...] = ()
    file_problems: tuple[FormProblem, ...] = ()


def read_workbook(path: Path) -> Workbook:
    """Read an .xlsx or .md workbook. The heading is row 1 of its sheet or table.

    Raises FormError if the file is not a workbook, OSError if the file cannot be opened.
    """
    return parse_workbook(path.read_bytes(), path.name)


def parse_workbook(content: bytes, name: str) -> Workbook:
    """Read the bytes of a workbook; `name` is its file name. Raises FormError if they are not a workbook."""
    suffix = PurePath(name).suffix.lower()
    if suffix in SPREADSHEETS or content.startswith(SIGNATURES):
        return _workbook(read_tables(content, name, SHEETS))
    if suffix == ".md":
        return parse_markdown(_decoded(content, name), name=name)
    raise FormError([problem("workbook.other_file", Cell(name), "")])


def parse_markdown(text: str, *, name: str = "Markdown") -> Workbook:
    """Read an XLSForm written as Markdown tables. The first cell of a table's heading names its sheet.

    Raises FormError on a text without tables, and on control characters.
    """
    if "|" not in text:
        raise FormError([problem("workbook.no_table", Cell(name), "")])
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise FormError([problem("workbook.control_sign", Cell(name), "", repr(found[0]), line)])
    return _workbook(_markdown(text))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormError([problem("workbook.not_utf8", Cell(name), "")]) from error


def _markdown(text: str) -> list[SheetLines]:
    """Split Markdown into tables; all other lines are the author's remarks.

    Inside a table, a first cell that is neither empty nor one of `SHEETS` raises FormError. The row only lacks its
    empty first cell; read as a new sheet, it would take all rows after it out of the form.
    """
    tables: list[SheetLines] = []
    inside = False
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        before, inside = inside, line.startswith("|")
        if not inside or _SEPARATOR.fullmatch(line):
            continue
        sheet, *cells = (cell.strip().replace(r"\|", "|") for cell in _PIPE.split(line.removesuffix("|"))[1:])
        if sheet and before and sheet.lower() not in SHEETS:
            place = Cell(tables[-1].title if tables else sheet)
            raise FormError([problem("workbook.stray_cell", place, "", number, sheet)])
        if sheet:
            tables.append(SheetLines(sheet))
        if tables and any(cells):
            lines = tables[-1].lines
            lines.append((len(lines) + 1, cells))
            if len(lines) > MOST_ROWS:
                raise FormError([problem("workbook.too_many_rows", Cell(sheet), "", MOST_ROWS)])
    return tables


def _workbook(tables: Sequence[SheetLines]) -> Workbook:
    """Build the workbook from the sheets of `SHEETS`. The first line of a sheet is its heading."""
    problems: list[FormProblem] = []
    file_problems = list(_misspelt_sheets([table.title for table in tables]))
    sheets: dict[str, tuple[Row, ...]] = {}
    headings: dict[str, tuple[str, ...]] = {}
    for table in tables:
        name = table.title.strip().lower()
        if name in sheets:
            problems.append(problem("workbook.sheet_twice", Cell(name), "", name))
        elif name in SHEETS:
            columns = [_BLANKS.sub(" ", column) for column in (table.lines[0][1] if table.lines else [])]
            headings[name] = tuple(column for column in columns if column)
            sheets[name] = tuple(_rows(name, columns, table.lines[1:]))
            file_problems += table.problems
            file_problems += _cells_without_heading(name, columns, table.lines[1:])
    for name in ("survey", "settings"):
        if not sheets.get(name):
            problems.append(problem("workbook.sheet_missing", Cell(name), "", name))
    if problems:
        raise FormError([*problems, *file_problems])
    survey, choices, settings, indicators, cases = (sheets.get(name, ()) for name in SHEETS)
    file_problems += [problem("settings.one_row", row, "") for row in settings[1:]]
    file_problems += [found for rows in sheets.values() for row in rows for found in _invisible_signs(row)]
    return Workbook(settings[0].cells, survey, choices, indicators, headings, cases, tuple(file_problems))


def _rows(name: str, columns: Sequence[str], lines: Sequence[Line]) -> Iterator[Row]:
    for number, line in lines:
        texts = {column: text for column, text in zip(columns, line, strict=False) if column and text}
        cells = {column: text if _is_text(column) else _BLANKS.sub(" ", text) for column, text in texts.items()}
        if cells:
            yield Row(name, number, cells)


def _cells_without_heading(name: str, columns: Sequence[str], lines: Sequence[Line]) -> Iterator[FormProblem]:
    """Find texts in columns without a heading. Without this check, a condition there would be dropped in silence."""
    seen: set[int] = set()
    for number, line in lines:
        for place, text in enumerate(line):
            if text and place not in seen and not (place < len(columns) and columns[place]):
                seen.add(place)
                yield problem("column.no_heading", Cell(name, number), "", column_letter(place))


def _misspelt_sheets(titles: Sequence[str]) -> Iterator[FormProblem]:
    """Find misspelt titles. A sheet `choice` would otherwise count as notes, and all lists would be missing."""
    names = [title.strip().lower() for title in titles]
    absent = [name for name in SHEETS if name not in names]
    for title, name in zip(titles, names, strict=True):
        if name not in SHEETS and (near := get_close_matches(name, absent, n=1, cutoff=0.8)):
            yield problem("workbook.sheet_misspelt", Cell(title), "", title, near[0])


def _invisible_signs(row: Row) -> Iterator[FormProblem]:
    for column, text in row.cells.items():
        if found := _INVISIBLE.search(text):
            yield problem("cell.invisible", row, column, f"U+{ord(found[0]):04X}")
        if "\n" in text and column in ("type", "name", "list_name", "code"):
            yield problem("cell.line_break", row, column)


def _is_text(column: str) -> bool:
    return column.partition("::")[0].lower() in TEXT_COLUMNS
