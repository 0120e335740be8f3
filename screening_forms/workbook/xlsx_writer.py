"""Writes a form as an .xlsx workbook that an author can edit in LibreOffice or Excel; `forms export` calls it.

A sheet `ayuda` lists the allowed words. Every cell must be text: a program would change other cells into dates or
numbers.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import openpyxl
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from screening_forms.rules.dimensions import FACTS
from screening_forms.rules.policy import CONSENT_POLICIES, OUTCOMES, QUEUE_KINDS, TIERS
from screening_forms.workbook.columns import TEXT_PARTS
from screening_forms.workbook.reader import SHEETS, TEXT_COLUMNS, Row, Workbook
from screening_forms.workbook.resources import Resources
from screening_forms.workbook.xlsform_subset import COLUMNS_BY_SHEET, QUESTION_TYPES

HELP_SHEET = "ayuda"
_HELP_LINES = (
    "Escriba en las hojas survey, choices, settings, indicators y cases. Esta hoja no se lee.",
    "Compruebe el formulario con: chaski forms check formulario.xlsx. Cada problema nombra hoja, fila y columna.",
    "Cada caso de la hoja cases es una entrevista: sus respuestas, y en outcome, tier y queue_kinds lo que debe salir.",
    "Toda pregunta que puntúa lleva en su lista no_answer y does_not_know. Ninguna frase pasa de 20 palabras.",
    "Suba el número de versión en settings con cada cambio. Un código de indicador no cambia nunca de significado.",
)
_WIDE, _NARROW = 60.0, 18.0
_TEXT = "@"


def write_xlsx(workbook: Workbook, resources: Resources) -> bytes:
    """Return the bytes of an .xlsx file. Each row keeps its number, and reading the file gives the same form."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    rows: Mapping[str, Sequence[Row]] = {
        "survey": workbook.survey,
        "choices": workbook.choices,
        "settings": [Row("settings", 2, workbook.settings)],
        "indicators": workbook.indicators,
        "cases": workbook.cases,
    }
    for name in SHEETS:
        headings = workbook.headings.get(name, COLUMNS_BY_SHEET[name])
        _fill_sheet(book.create_sheet(name), headings, rows[name])
    ranges = _fill_help(book.create_sheet(HELP_SHEET), _allowed_words(workbook, resources))
    for sheet, column, topic in _COLUMNS_WITH_CHOICES:
        _add_dropdown(book[sheet], column, ranges[topic])
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


_COLUMNS_WITH_CHOICES = (
    ("settings", "indicator_set", "indicator_set"),
    ("settings", "policy", "policy"),
    ("settings", "consent_policy", "consent_policy"),
    ("survey", "required", "required"),
    ("indicators", "code", "code"),
    ("cases", "outcome", "outcome"),
    ("cases", "tier", "tier"),
)
"""Sheet and column of cells that take one of a few words, and the topic that lists the words in the help sheet."""


def _allowed_words(workbook: Workbook, resources: Resources) -> dict[str, Sequence[str]]:
    name = workbook.settings.get("indicator_set", "")
    codes = resources.indicator_set(name).indicators if name in resources.indicator_sets else ()
    return {
        "type": QUESTION_TYPES,
        "required": ("yes", "no"),
        "code": (*codes, *sorted(FACTS)),
        "outcome": (*OUTCOMES, "not_scored"),
        "tier": TIERS,
        "queue_kinds": QUEUE_KINDS,
        "indicator_set": sorted(resources.indicator_sets),
        "policy": sorted(resources.policies),
        "consent_policy": CONSENT_POLICIES,
    }


def _fill_sheet(sheet: Worksheet, headings: Sequence[str], rows: Iterable[Row]) -> None:
    places = {heading: place for place, heading in enumerate(headings, start=1)}
    for heading, place in places.items():
        _write_cell(sheet, 1, place, heading, bold=True)
        wide = heading.partition("::")[0] in (*TEXT_PARTS, *TEXT_COLUMNS, "when")
        sheet.column_dimensions[get_column_letter(place)].width = _WIDE if wide else _NARROW
    for row in rows:
        for heading, text in row.cells.items():
            _write_cell(sheet, row.number, places[heading], text)
    sheet.freeze_panes = "A2"


def _fill_help(sheet: Worksheet, allowed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Write the help sheet; return the cell range of each topic's words."""
    for number, line in enumerate(_HELP_LINES, start=1):
        sheet.cell(number, 1, line)
    first, ranges = len(_HELP_LINES) + 2, {}
    for place, (topic, words) in enumerate(allowed.items(), start=1):
        letter = get_column_letter(place)
        _write_cell(sheet, first, place, topic, bold=True)
        for number, word in enumerate(words, start=first + 1):
            _write_cell(sheet, number, place, word)
        sheet.column_dimensions[letter].width = _NARROW
        ranges[topic] = f"{HELP_SHEET}!${letter}${first + 1}:${letter}${first + len(words)}"
    return ranges


def _add_dropdown(sheet: Worksheet, column: str, words: str) -> None:
    """Add a list of words to every cell of a column. An author can still type other words; the checks report them."""
    for cell in sheet[1]:
        if cell.value == column:
            offer = DataValidation(type="list", formula1=words, allow_blank=True, showErrorMessage=False)
            sheet.add_data_validation(offer)
            offer.add(f"{cell.column_letter}2:{cell.column_letter}1000")


def _write_cell(sheet: Worksheet, row: int, column: int, text: str, *, bold: bool = False) -> None:
    cell = sheet.cell(row, column)
    cell.value, cell.data_type = text, "s"  # Text, so that "=" begins no formula.
    cell.number_format = _TEXT
    cell.alignment = Alignment(wrap_text=True, vertical="top")
    if bold:
        cell.font = Font(bold=True)
