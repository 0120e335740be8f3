"""Tests that read workbooks from Excel and LibreOffice.

The reader reports each change by those programs at its cell. It repairs a cell only if one meaning is possible."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import openpyxl
import pytest
from openpyxl import Workbook as OpenpyxlWorkbook

from screening_forms.checks.run import check_form
from screening_forms.compiler.compile_form import compile_form
from screening_forms.errors import FormError
from screening_forms.problems import FIELD_ONLY
from screening_forms.workbook.reader import Workbook, parse_markdown, parse_workbook
from screening_forms.workbook.resources import BUILT_IN
from screening_forms.workbook.xlsx_writer import write_xlsx
from support.forms import CATALOGUE_FORMS, SMALL, compiled, workbook
from sync.envelope.route import AUTHOR_FIELDS

Change = Callable[[OpenpyxlWorkbook], object]


@cache
def small() -> bytes:
    return write_xlsx(parse_markdown(SMALL), BUILT_IN)


def saved(change: Change) -> bytes:
    """Return the small form as an .xlsx file with one change."""
    book = openpyxl.load_workbook(io.BytesIO(small()))
    change(book)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def found_problems(content: bytes, name: str = "form.xlsx") -> list[tuple[str, int, str, str]]:
    """Return the form's problems by sheet, row, column and code, without those that only the field has."""
    try:
        problems = check_form(parse_workbook(content, name), AUTHOR_FIELDS)
    except FormError as error:
        problems = error.problems
    assert all(problem.advice_es and problem.advice_en for problem in problems)
    return [(p.sheet, p.row, p.column, p.code) for p in problems if not p.code.startswith(FIELD_ONLY)]


def code(content: bytes, name: str = "form.xlsx") -> str:
    with pytest.raises(FormError) as refused:
        parse_workbook(content, name)
    return refused.value.problems[0].code


def put(sheet: str, cell: str, value: object) -> Change:
    def change(book: OpenpyxlWorkbook) -> None:
        book[sheet][cell] = value

    return change


def hide_row(book: OpenpyxlWorkbook) -> None:
    book["survey"].row_dimensions[6].hidden = True


def hide_columns(book: OpenpyxlWorkbook) -> None:
    book["survey"].column_dimensions["D"].hidden = True


def hide_sheet(book: OpenpyxlWorkbook) -> None:
    book["indicators"].sheet_state = "hidden"


def rename(old: str, new: str) -> Change:
    def change(book: OpenpyxlWorkbook) -> None:
        book[old].title = new

    return change


def test_the_small_form_written_as_xlsx_has_no_problem() -> None:
    assert found_problems(small()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda book: book["survey"].merge_cells("B3:B4"), ("survey", 3, "name", "cell.merged")),
        (put("survey", "C5", '="Tra"&"bajo"'), ("survey", 5, "label::Español (es)", "cell.formula")),
        (put("settings", "C2", "=1+1"), ("settings", 2, "version", "cell.formula")),
        (put("choices", "C2", "#REF!"), ("choices", 2, "label::Español (es)", "cell.error")),
        (put("choices", "B2", datetime.datetime(2026, 2, 1)), ("choices", 2, "name", "cell.date")),
        (put("choices", "B2", datetime.time(1, 2)), ("choices", 2, "name", "cell.date")),
        (put("settings", "C2", 1.1), ("settings", 2, "version", "cell.decimal")),
        (put("survey", "B3", "permi\u200bso"), ("survey", 3, "name", "cell.invisible")),
        (put("survey", "C3", "\u202eobartse"), ("survey", 3, "label::Español (es)", "cell.invisible")),
        (put("survey", "B3", "per\nmiso"), ("survey", 3, "name", "cell.line_break")),
        (put("survey", "D1", None), ("survey", 3, "", "column.no_heading")),
        (put("settings", "A3", "otro"), ("settings", 3, "", "settings.one_row")),
        (hide_row, ("survey", 6, "", "row.hidden")),
        (hide_columns, ("survey", 0, "relevant", "column.hidden")),
        (hide_sheet, ("indicators", 0, "", "sheet.hidden")),
        (rename("choices", "choice"), ("choice", 0, "", "workbook.sheet_misspelt")),
        (rename("cases", "casos"), ("casos", 0, "", "workbook.sheet_misspelt")),
        (rename("survey", "encuesta"), ("survey", 0, "", "workbook.sheet_missing")),
        (lambda book: book.remove(book["settings"]), ("settings", 0, "", "workbook.sheet_missing")),
        (lambda book: book.remove(book["choices"]), ("survey", 2, "type", "choice.unknown_list")),
        (lambda book: book.remove(book["indicators"]), ("indicators", 0, "", "indicator.none")),
    ],
)
def test_a_change_by_a_spreadsheet_program_is_reported_at_its_cell(
    change: Change, problem: tuple[str, int, str, str]
) -> None:
    assert problem in found_problems(saved(change))


@pytest.mark.parametrize(
    "change",
    [
        put("survey", "B3", "  permiso\u00a0"),
        put("survey", "A3", "select_one\u00a0 consent"),
        put("survey", "C1", " label::Español (es) "),
        put("settings", "C2", 1.0),
        rename("survey", " Survey "),
        lambda book: book["survey"].insert_rows(3, 4),
        lambda book: book.create_sheet("mis notas").append(["=1+1"]),
        lambda book: book.move_sheet("settings", -2),
    ],
    ids=["blanks", "blanks inside", "blanks in a heading", "number", "title", "empty rows", "notes", "order"],
)
def test_a_change_with_only_one_meaning_is_repaired(change: Change) -> None:
    content = saved(change)
    assert found_problems(content) == []
    read = parse_workbook(content, "form.xlsx")
    assert compile_form(read, channel="training", route_vocabulary=AUTHOR_FIELDS) == compiled("small")


def test_rows_below_empty_rows_keep_the_authors_row_numbers() -> None:
    def change(book: OpenpyxlWorkbook) -> None:
        book["survey"].insert_rows(3, 4)
        book["survey"]["A7"] = "geopoint"

    assert ("survey", 7, "type", "type.place") in found_problems(saved(change))


def test_codes_that_excel_changed_to_numbers_are_read_as_the_same_codes() -> None:
    as_numbers = saved(lambda book: put("choices", "B20", 17)(book) or put("choices", "B21", 21.0)(book))
    assert found_problems(as_numbers) == []
    assert parse_workbook(as_numbers, "form.xlsx").choices == parse_workbook(small(), "form.xlsx").choices


def test_a_date_cell_in_the_sheet_cases_is_read_as_an_answer() -> None:
    def change(book: OpenpyxlWorkbook) -> None:
        sheet = book["cases"]
        sheet.cell(1, sheet.max_column + 1, "desde")
        sheet.cell(3, sheet.max_column, datetime.datetime(2026, 10, 31))

    read = parse_workbook(saved(change), "form.xlsx")
    assert read.cases[1].get("desde") == "2026-10-31"
    assert read.file_problems == ()


def test_all_rows_are_read_if_a_file_announces_too_few() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(small())) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                assert b"<dimension " in text
                text = re.sub(rb'<dimension ref="[^"]+"', b'<dimension ref="A1:C3"', text)
            new.writestr(name, text)
    assert parse_workbook(packed.getvalue(), "form.xlsx").survey == parse_workbook(small(), "form.xlsx").survey


def test_rows_that_libreoffice_marks_as_not_hidden_are_not_hidden() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(small())) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.startswith("xl/worksheets/sheet"):
                text = text.replace(b"<row ", b'<row hidden="false" collapsed="false" ht="12.8" ')
                text = text.replace(b"<col ", b'<col hidden="false" collapsed="false" outlineLevel="0" ')
                assert b'hidden="false"' in text
            new.writestr(name, text)
    assert found_problems(packed.getvalue()) == []


def many_rows() -> bytes:
    book, packed = OpenpyxlWorkbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("survey")
    for number in range(10_000):
        sheet.append([f"n{number}"])
    book.save(packed)
    return packed.getvalue()


def far_away(book: OpenpyxlWorkbook) -> None:
    for number in range(40):
        book["survey"].cell(100 + number, 16_000, "x")


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (many_rows, "form.xlsx", "workbook.too_many_rows"),
        (lambda: saved(far_away), "form.xlsx", "workbook.too_large"),
        (lambda: with_member("xl/vbaProject.bin", b"macro"), "form.xlsm", "workbook.macros"),
        (lambda: with_member("xl/vbaProject.bin", b"macro"), "form.xlsx", "workbook.macros"),
        (lambda: with_member("xl/bomb.xml", bytes(9 * 2**20)), "form.xlsx", "workbook.too_large"),
        (lambda: OLE + "EncryptedPackage".encode("utf-16-le"), "form.xlsx", "workbook.encrypted"),
        (lambda: OLE + "Workbook".encode("utf-16-le"), "form.xls", "workbook.old_excel"),
        (lambda: with_member("content.xml", b"<office/>"), "form.ods", "workbook.old_excel"),
        (lambda: small()[:-200], "form.xlsx", "workbook.unreadable"),
        (lambda: b"", "form.xlsx", "workbook.unreadable"),
        (lambda: b"type,name", "form.csv", "workbook.other_file"),
        (lambda: b"no table", "form.md", "workbook.no_table"),
        (lambda: "| ñ |".encode("latin-1"), "form.md", "workbook.not_utf8"),
        (lambda: b"| a\0 |", "form.md", "workbook.control_sign"),
        (lambda: b"| survey | type |\n| note | n |", "form.md", "workbook.stray_cell"),
        (lambda: SMALL.replace("| choices |", "| survey |").encode(), "form.md", "workbook.sheet_twice"),
    ],
)
def test_a_file_that_is_not_a_form_is_rejected_with_its_own_code(
    content: Callable[[], bytes], name: str, expected: str
) -> None:
    assert code(content(), name) == expected


OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512)


def with_member(name: str, content: bytes) -> bytes:
    packed = io.BytesIO(small())
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize("form", CATALOGUE_FORMS)
def test_a_catalogue_form_exported_to_xlsx_compiles_to_the_same_bytes(form: str) -> None:
    content = write_xlsx(workbook(form), BUILT_IN)
    read = parse_workbook(content, f"{form}.xlsx")
    assert same(read, workbook(form))
    assert compile_form(read, channel="training", route_vocabulary=AUTHOR_FIELDS) == compiled(form)


def same(one: Workbook, other: Workbook) -> bool:
    return all(
        getattr(one, sheet) == getattr(other, sheet)
        for sheet in ("settings", "survey", "choices", "indicators", "cases")
    )


def test_an_exported_workbook_lists_the_allowed_words(tmp_path: Path) -> None:
    (tmp_path / "form.xlsx").write_bytes(small())
    book = openpyxl.load_workbook(tmp_path / "form.xlsx")
    assert [book[name].freeze_panes for name in ("survey", "choices", "cases")] == ["A2"] * 3
    assert book["survey"]["A1"].font.bold
    offered = {str(each.sqref): each.formula1 for each in book["cases"].data_validations.dataValidation}
    area = offered["B2:B1000"].rpartition("!")[2].replace("$", "")
    assert [cell.value for (cell,) in book["ayuda"][area]] == [
        *("negative", "labour_rights", "review", "positive", "not_scored"),
    ]
