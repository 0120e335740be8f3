"""Writes into an author's own workbook, .xlsx or Markdown tables, and leaves everything else in it as it is.

Called to name another version of a table in the settings, and to keep a tried interview as a case.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import openpyxl

from screening_forms.errors import FormError, FormProblem

_PIPE = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:-]+")


def set_cells(content: bytes, name: str, sheet: str, cells: Mapping[str, str]) -> bytes:
    """Write cells into the first row under a sheet's heading, such as the settings; a column is added where needed."""
    return _excel(content, sheet, cells, row=2) if _is_excel(name) else _markdown(content, sheet, cells, append=False)


def add_row(content: bytes, name: str, sheet: str, cells: Mapping[str, str]) -> bytes:
    """Write a further row at a sheet's end; the sheet itself and its columns are added where needed."""
    return _excel(content, sheet, cells, row=0) if _is_excel(name) else _markdown(content, sheet, cells, append=True)


def _is_excel(name: str) -> bool:
    return name.lower().endswith(".xlsx")


def _excel(content: bytes, title: str, cells: Mapping[str, str], row: int) -> bytes:
    """Write into an .xlsx workbook; `row` 0 is the first free one."""
    try:
        book = openpyxl.load_workbook(io.BytesIO(content))
    except Exception as error:  # bytes from outside: the ZIP, XML and Excel readers raise whatever they meet
        advice = "no se puede leer como libro de Excel", f"cannot be read as an Excel workbook: {error}"
        raise FormError([FormProblem(title, 0, "", "workbook.unreadable", *advice)]) from error
    sheet = next((each for each in book.worksheets if each.title.strip().lower() == title), None)
    sheet = book.create_sheet(title) if sheet is None else sheet
    filled = [cell for line in sheet.iter_rows() for cell in line if cell.value not in (None, "")]
    columns: dict[str, int] = {str(cell.value).strip(): cell.column or 0 for cell in filled if cell.row == 1}
    number = row or max((cell.row or 1 for cell in filled), default=1) + 1
    for heading, text in cells.items():
        if heading not in columns:
            columns[heading] = max(columns.values(), default=0) + 1
            sheet.cell(1, columns[heading], heading)
        cell = sheet.cell(max(number, 2), columns[heading], text)
        cell.number_format = "@"  # As text: Excel would make numbers of codes such as 01.
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _markdown(content: bytes, title: str, cells: Mapping[str, str], *, append: bool) -> bytes:
    """Write into Markdown tables: the first cell of a table's heading names its sheet."""
    lines = content.decode("utf-8").split("\n")
    at = next(
        (
            number
            for number, line in enumerate(lines)
            if _cells(line)[:1] in ([title], [title.capitalize()], [title.upper()])
        ),
        None,
    )
    if at is None:
        lines += ["", _line([title])]
        at = len(lines) - 1
    columns = _cells(lines[at])
    columns += [heading for heading in cells if heading not in columns]
    lines[at] = _line(columns)
    rows = [at]
    while rows[-1] + 1 < len(lines) and lines[rows[-1] + 1].lstrip().startswith("|"):
        rows.append(rows[-1] + 1)
    held = [number for number in rows[1:] if not _RULE.fullmatch(lines[number])]
    if append or not held:
        lines.insert(rows[-1] + 1, _line([_escaped(cells.get(heading, "")) for heading in columns]))
    else:
        values = _cells(lines[held[0]]) + [""] * len(columns)
        lines[held[0]] = _line([_escaped(cells[h]) if h in cells else v for h, v in zip(columns, values, strict=False)])
    return "\n".join(lines).encode()


def _cells(line: str) -> list[str]:
    """A line's cells as written; none where it is no line of a table."""
    line = line.strip()
    return [cell.strip() for cell in _PIPE.split(line.removesuffix("|"))[1:]] if line.startswith("|") else []


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
