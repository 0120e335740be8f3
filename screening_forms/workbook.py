"""Reads what a form author writes, an XLSForm as .xlsx or as Markdown tables, and keeps the author's own row numbers.

Called by checks and the compiler; it interprets nothing, so that every problem can be shown where the author typed it.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import openpyxl
from pyxform.xls2json_backends import xlsx_value_to_str

from screening_forms.errors import FormError, FormProblem

SHEETS = ("survey", "choices", "settings", "indicators", "cases")
"""The sheets that mean something here; further sheets are the author's own notes."""

Table = tuple[str, list[list[str]]]
"""A sheet's name and its lines of cells, the heading first."""

_SEPARATOR = re.compile(r"[\s|:-]*")  # also a line without anything in it
# Ten times the largest form there is.
_MOST_BYTES, _MOST_CELLS = 64 * 2**20, 500_000
_PIPE = re.compile(r"(?<!\\)\|")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")  # XML, and so an XForm, has no way to hold them


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
    cases: tuple[Row, ...] = ()


def read(path: Path) -> Workbook:
    """Read an .xlsx or .md workbook. Rows count from the heading, which is row 1 of its sheet or table.

    Raises FormError if the file is no workbook, OSError if it is not there.
    """
    return parse(path.read_bytes(), path.name)


def parse(content: bytes, name: str) -> Workbook:
    """Read a workbook's bytes, of the kind that its file's name tells. Raises FormError if it is no workbook."""
    suffix = PurePath(name).suffix.lower()
    if suffix == ".md":
        return parse_markdown(_decoded(content, name), name=name)
    if suffix == ".xlsx":
        return _workbook(_spreadsheet(content, name))
    raise _unreadable(name, "el archivo debe terminar en .xlsx o .md", "must end in .xlsx or .md")


def parse_markdown(text: str, *, name: str = "Markdown") -> Workbook:
    """Read an XLSForm written as Markdown tables: the first cell of a table's heading names its sheet."""
    if "|" not in text:
        raise _unreadable(name, "no hay ninguna tabla Markdown", "holds no Markdown table")
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _unreadable(
            name,
            f"quite el signo de control {found[0]!r} de la línea {line}",
            f"remove the control character {found[0]!r} from line {line}",
        )
    return _workbook(_markdown(text))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(name, "el archivo no está en UTF-8", "is not in UTF-8") from error


def _markdown(text: str) -> list[Table]:
    """Split Markdown into tables; whatever is not a line of a table is the author's own remark.

    In the middle of a table only our sheets may begin: a row that lacks its empty first cell would take all rows
    after it away with it, and a form would ask or score less than its author wrote.
    """
    tables: list[Table] = []
    inside = False
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        before, inside = inside, line.startswith("|")
        if not inside or _SEPARATOR.fullmatch(line):
            continue
        sheet, *cells = (_text(cell).replace(r"\|", "|") for cell in _PIPE.split(line.removesuffix("|"))[1:])
        if sheet and before and sheet.lower() not in SHEETS:
            es = f"línea {number}: «{sheet}» no es una hoja; deje vacía la primera celda de cada fila"
            en = f"line {number}: '{sheet}' is no sheet; leave the first cell of every row empty"
            raise FormError([FormProblem(tables[-1][0] if tables else sheet, 0, "", "workbook.stray_cell", es, en)])
        if sheet:
            tables.append((sheet, []))
        if tables and any(cells):
            tables[-1][1].append(cells)
    return tables


def _spreadsheet(content: bytes, name: str) -> list[Table]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # A member never gives more than it announces, so this bounds what is unpacked.
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 20} MiB")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        return [
            (sheet.title, list(_lines(sheet.iter_rows(values_only=True))))
            for sheet in book.worksheets
            if sheet.title.strip().lower() in SHEETS
        ]
    except Exception as error:  # bytes from outside: the ZIP, XML and Excel readers raise whatever they meet
        raise _unreadable(name, "no se puede leer como libro de Excel", f"is no workbook: {error}") from error


def _lines(rows: Iterable[tuple[object, ...]]) -> Iterator[list[str]]:
    """The texts of a sheet's rows. One filled cell far below or far right makes Excel count all that lie between."""
    seen = 0
    for row in rows:
        seen += 1 + len(row)
        if seen > _MOST_CELLS:
            raise ValueError(f"a sheet has more than {_MOST_CELLS} cells; delete empty rows and columns at its end")
        yield [_text(value) for value in row]


def _text(value: object) -> str:
    return "" if value is None else str(xlsx_value_to_str(value)).strip()


def _workbook(tables: Sequence[Table]) -> Workbook:
    sheets: dict[str, tuple[Row, ...]] = {}
    headings: dict[str, tuple[str, ...]] = {}
    problems = []
    for title, lines in tables:
        name = title.strip().lower()
        if name in sheets:
            es, en = f"la hoja «{name}» está dos veces", f"the sheet {name} is there twice"
            problems.append(FormProblem(name, 0, "", "workbook.sheet_twice", es, en))
        elif name in SHEETS:
            columns = lines[0] if lines else []
            headings[name] = tuple(column for column in columns if column)
            sheets[name] = tuple(_rows(name, columns, lines[1:]))
    for name in ("survey", "settings"):
        if not sheets.get(name):
            es, en = f"falta la hoja «{name}», o está vacía", f"the sheet {name} is missing or empty"
            problems.append(FormProblem(name, 0, "", "workbook.sheet_missing", es, en))
    if problems:
        raise FormError(problems)
    survey, choices, settings, indicators, cases = (sheets.get(name, ()) for name in SHEETS)
    return Workbook(settings[0].cells, survey, choices, indicators, headings, cases)


def _rows(name: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=2):
        cells = {column: text for column, text in zip(columns, line, strict=False) if column and text}
        if cells:
            yield Row(name, number, cells)


def _unreadable(name: str, advice_es: str, advice_en: str) -> FormError:
    return FormError([FormProblem(name, 0, "", "workbook.unreadable", advice_es, advice_en)])
