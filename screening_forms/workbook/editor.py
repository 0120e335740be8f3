"""Changes cells of an author's workbook, an .xlsx file or Markdown tables.

The command line names a new version of a table in the settings, and adds a tried interview as a case. It must leave
all other cells as they are.
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
    """Write cells into the first row under a sheet's heading, such as the settings. It adds missing columns.

    Raises FormError if an .xlsx file cannot be read.
    """
    return _excel(content, sheet, cells, row=2) if _is_excel(name) else _markdown(content, sheet, cells, append=False)


def add_row(content: bytes, name: str, sheet: str, cells: Mapping[str, str]) -> bytes:
    """Append a row to a sheet. It adds the sheet and its columns if they are missing.

    Raises FormError if an .xlsx file cannot be read.
    """
    return _excel(content, sheet, cells, row=0) if _is_excel(name) else _markdown(content, sheet, cells, append=True)


def _is_excel(name: str) -> bool:
    return name.lower().endswith(".xlsx")


def _excel(content: bytes, title: str, cells: Mapping[str, str], row: int) -> bytes:
    """Write into an .xlsx workbook; `row` 0 is the first free row."""
    try:
        book = openpyxl.load_workbook(io.BytesIO(content))
    except Exception as error:  # Untrusted bytes: the ZIP, XML and Excel readers raise errors of many types.
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
        cell.number_format = "@"  # As text: Excel would change codes such as 01 into numbers.
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _markdown(content: bytes, title: str, cells: Mapping[str, str], *, append: bool) -> bytes:
    """Write into Markdown tables. The first cell of a table's heading names its sheet."""
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
    filled = [number for number in rows[1:] if not _RULE.fullmatch(lines[number])]
    if append or not filled:
        lines.insert(rows[-1] + 1, _line([_escaped(cells.get(heading, "")) for heading in columns]))
    else:
        values = _cells(lines[filled[0]]) + [""] * len(columns)
        lines[filled[0]] = _line(
            [_escaped(cells[h]) if h in cells else v for h, v in zip(columns, values, strict=False)]
        )
    return "\n".join(lines).encode()


def _cells(line: str) -> list[str]:
    """Return the cells of a table's line as written; an empty list for a line outside tables."""
    line = line.strip()
    return [cell.strip() for cell in _PIPE.split(line.removesuffix("|"))[1:]] if line.startswith("|") else []


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
