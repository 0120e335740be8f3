"""Reads what a form author writes, an XLSForm as .xlsx or as Markdown tables, and keeps the author's own row numbers.

Called by checks and the compiler; it interprets nothing, so that every problem can be shown where the author typed it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import openpyxl
from openpyxl.utils.exceptions import IllegalCharacterError
from openpyxl.worksheet.worksheet import Worksheet
from pyxform.xls2json_backends import md_table_to_workbook, xlsx_value_to_str

from screening_forms.errors import FormError, FormProblem

SHEETS = ("survey", "choices", "settings", "indicators")
"""The sheets that mean something here; further sheets are the author's own notes."""


@dataclass(frozen=True)
class Row:
    """One row of a sheet: only the cells that hold something, by their column's heading."""

    sheet: str
    number: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """Return the cell's text, or an empty string."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Workbook:
    """An author's workbook. `headings` keeps each sheet's columns as typed, misspelt ones included."""

    settings: Mapping[str, str]
    survey: tuple[Row, ...]
    choices: tuple[Row, ...]
    indicators: tuple[Row, ...]
    headings: Mapping[str, tuple[str, ...]]
    source: Path | None = field(default=None, compare=False)


def read(path: Path) -> Workbook:
    """Read an .xlsx or .md workbook. Rows count from the heading, which is row 1 of its sheet or table."""
    if path.suffix == ".md":
        return parse_markdown(_decoded(path), source=path)
    if path.suffix == ".xlsx":
        return _parse_xlsx(path.read_bytes(), path)
    raise FormError([_unreadable(path.name, "el archivo debe terminar en .xlsx o .md", "must end in .xlsx or .md")])


def parse_markdown(text: str, *, source: Path | None = None) -> Workbook:
    """Read an XLSForm written as Markdown tables, through the same reader as a spreadsheet's."""
    if "|" not in text:
        name = source.name if source else "Markdown"
        raise FormError([_unreadable(name, "no hay ninguna tabla Markdown", "holds no Markdown table")])
    spreadsheet = io.BytesIO()
    try:
        md_table_to_workbook(text).save(spreadsheet)
    except (ValueError, IllegalCharacterError) as error:
        name = source.name if source else "Markdown"
        problem = _unreadable(name, f"una tabla no se puede leer: {error}", f"a table cannot be read: {error}")
        raise FormError([problem]) from error
    return _parse_xlsx(spreadsheet.getvalue(), source)


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormError([_unreadable(path.name, "el archivo no está en UTF-8", "is not in UTF-8")]) from error


def _parse_xlsx(content: bytes, source: Path | None) -> Workbook:
    label = source.name if source else "workbook"
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (BadZipFile, KeyError, OSError, ValueError) as error:
        problem = _unreadable(label, "no se puede leer como libro de Excel", f"is no workbook: {error}")
        raise FormError([problem]) from error
    sheets: dict[str, tuple[Row, ...]] = dict.fromkeys(SHEETS, ())
    headings: dict[str, tuple[str, ...]] = {}
    for sheet in book.worksheets:
        title = sheet.title.strip().lower()
        if title in SHEETS:
            headings[title], sheets[title] = _table(title, sheet)
    problems = [
        FormProblem(name, 0, "", "workbook.sheet_missing", f"falta la hoja «{name}»", f"the sheet {name} is missing")
        for name in ("survey", "settings")
        if not sheets[name]
    ]
    if problems:
        raise FormError(problems)
    settings = sheets["settings"][0].cells
    return Workbook(settings, sheets["survey"], sheets["choices"], sheets["indicators"], headings, source)


def _table(title: str, sheet: Worksheet) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    lines = sheet.iter_rows(values_only=True)
    columns = [_text(value) for value in next(lines, ())]
    rows = tuple(_rows(title, columns, lines))
    return tuple(column for column in columns if column), rows


def _rows(title: str, columns: list[str], lines: Iterator[tuple[object, ...]]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=2):
        texts = [_text(value) for value in line]
        cells = {column: text for column, text in zip(columns, texts, strict=False) if column and text}
        if cells:
            yield Row(title, number, cells)


def _text(value: object) -> str:
    return "" if value is None else str(xlsx_value_to_str(value)).strip()


def _unreadable(name: str, advice_es: str, advice_en: str) -> FormProblem:
    return FormProblem(name, 0, "", "workbook.unreadable", advice_es, advice_en)
