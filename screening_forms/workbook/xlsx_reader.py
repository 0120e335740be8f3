"""Reads the sheets of an .xlsx workbook as lines of texts, and finds invisible changes by Excel.

Called by reader.py. The bytes are untrusted, so it must raise no other exception than FormError and MemoryError.
"""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import openpyxl
from openpyxl.utils import column_index_from_string, get_column_letter, range_boundaries
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet._reader import WorkSheetParser

from screening_forms.errors import FormError, FormProblem
from screening_forms.problems import Cell, problem

# Fifty times the largest form. One list of choices has all 1,900 districts of the country.
MOST_ROWS, _MOST_CELLS, _MOST_BYTES = 5000, 500_000, 8 * 2**20
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
SIGNATURES = (_OLE, b"PK\x03\x04")
"""The first bytes of a file of Excel or LibreOffice."""
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")

Line = tuple[int, list[str]]
"""The number of a row, as the author counts, and the texts of its cells."""


@dataclass
class SheetLines:
    """A sheet: its title as typed, its lines that are not empty (the heading first), and its problems."""

    title: str
    lines: list[Line] = field(default_factory=list)
    problems: list[FormProblem] = field(default_factory=list)


def read_tables(content: bytes, name: str, wanted: Collection[str]) -> list[SheetLines]:
    """Read every sheet whose title is `wanted`, and the titles of the others. Raises FormError."""
    _require_xlsx(content, name)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
        return [
            _Sheet(sheet).table() if sheet.title.strip().lower() in wanted else SheetLines(sheet.title)
            for sheet in book.worksheets
            if isinstance(sheet, ReadOnlyWorksheet)
        ]
    except (FormError, MemoryError):
        raise
    except Exception as error:  # Untrusted bytes: the ZIP, XML and Excel readers raise errors of many types.
        raise FormError([problem("workbook.unreadable", Cell(name), "", error)]) from error


def _require_xlsx(content: bytes, name: str) -> None:
    code = ""
    if content.startswith(_OLE):
        code = "workbook.encrypted" if _ENCRYPTED in content else "workbook.old_excel"
    elif zipfile.is_zipfile(io.BytesIO(content)):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = archive.infolist()
        except Exception as error:  # Untrusted bytes: zipfile raises errors of many types.
            raise FormError([problem("workbook.unreadable", Cell(name), "", error)]) from error
        names = {member.filename.lower() for member in members}
        unpacked = sum(member.file_size for member in members if member.filename.lower().endswith((".xml", ".rels")))
        # zipfile never reads more bytes than a header announces, so this limits the unpacked size. The reader does not
        # unpack pictures.
        if unpacked > _MOST_BYTES:
            code = "workbook.too_large"
        elif any(name.endswith("vbaproject.bin") for name in names):
            code = "workbook.macros"
        elif "content.xml" in names:
            code = "workbook.old_excel"
    if code:
        raise FormError([problem(code, Cell(name), "")])


class _Sheet:
    """The state of reading one sheet.

    It calls openpyxl's parser directly. openpyxl's read-only sheets do not show merged, hidden and calculated cells.
    They also lose rows if a file announces too few.
    """

    def __init__(self, sheet: Any) -> None:
        self.sheet = sheet
        self.name = sheet.title.strip().lower()
        self.made = SheetLines(sheet.title)
        self.headings: list[str] = []

    def table(self) -> SheetLines:
        book = self.sheet.parent
        if self.sheet.sheet_state != "visible":
            self._add_problem("sheet.hidden", 0, 0)
        with self.sheet._get_source() as source:
            parser = WorkSheetParser(
                source,
                self.sheet._shared_strings,
                epoch=book.epoch,
                date_formats=book._date_formats,
                timedelta_formats=book._timedelta_formats,
            )
            self._read(parser.parse())
        self._check_hidden(parser)
        return self.made

    def _read(self, rows: Iterator[tuple[int, list[Mapping[str, Any]]]]) -> None:
        seen = 0
        for number, cells in rows:
            seen += 1 + len(cells)
            line: list[str] = []
            for cell in cells:
                place = int(cell["column"]) - 1
                if (text := _text(cell["value"])) and place >= len(line):
                    line += [""] * (place + 1 - len(line))
                if text:
                    line[place] = text
                    self._check_cell(cell, number)
            seen += len(line)
            if any(line):
                self.made.lines.append((number, line))
                self.headings = self.headings or line
            if len(self.made.lines) > MOST_ROWS:
                raise FormError([problem("workbook.too_many_rows", Cell(self.name), "", MOST_ROWS)])
            if seen > _MOST_CELLS:
                raise FormError([problem("workbook.too_large", Cell(self.name), "")])

    def _check_cell(self, cell: Mapping[str, Any], number: int) -> None:
        """Find a text that is not what the author typed or sees: a formula, an error, a date or a decimal number."""
        value, kind, column = cell["value"], cell["data_type"], int(cell["column"])
        if kind == "f":
            self._add_problem("cell.formula", number, column)
        elif kind == "e":
            self._add_problem("cell.error", number, column, value)
        elif self.name != "cases" and isinstance(value, datetime.date | datetime.time | datetime.timedelta):
            self._add_problem("cell.date", number, column, _text(value))
        elif self.name != "cases" and isinstance(value, float) and not value.is_integer():
            self._add_problem("cell.decimal", number, column, _text(value))

    def _check_hidden(self, parser: Any) -> None:
        filled = {number for number, _ in self.made.lines}
        for row, attributes in parser.row_dimensions.items():
            if int(row) in filled and _is_on(attributes.get("hidden")):
                self._add_problem("row.hidden", int(row), 0)
        for letter, attributes in parser.column_dimensions.items():
            first = column_index_from_string(letter)
            last = min(int(attributes.get("max", first)), len(self.headings))
            for column in range(first, last + 1) if _is_on(attributes.get("hidden")) else ():
                if self.headings[column - 1]:
                    self._add_problem("column.hidden", 0, column)
        for merged in parser.merged_cells.mergeCell if parser.merged_cells else ():
            left, top, *_ = range_boundaries(merged.ref)
            self._add_problem("cell.merged", int(top or 1), int(left or 1), merged.ref)

    def _add_problem(self, code: str, row: int, column: int, *values: object) -> None:
        heading = self.headings[column - 1] if 0 < column <= len(self.headings) else ""
        self.made.problems.append(problem(code, Cell(self.name, row), heading, *values))


def column_letter(place: int) -> str:
    """Return the letters of a column; `place` counts from 0."""
    return get_column_letter(place + 1)


def _is_on(attribute: str | None) -> bool:
    return attribute in ("1", "true")


def _text(value: object) -> str:
    """Return a cell's text as in Markdown: whole numbers without a decimal point, dates as YYYY-MM-DD."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(getattr(value, "text", value)).strip()
