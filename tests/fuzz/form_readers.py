"""The readers of forms, answers and rule tables as functions of any bytes, for the fuzzer and the replay of its corpus.

Each lets FormError and AnswerError pass: that is what the readers promise.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openpyxl
import rfc8785

from screening_forms.checks.cases import case_failures
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import check_and_compile
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.rules.indicators import parse_indicator_set
from screening_forms.rules.policy import parse_policy
from screening_forms.workbook.package import parse_package
from screening_forms.workbook.reader import SHEETS, Row, parse_markdown, parse_workbook, read_workbook
from screening_forms.workbook.xlsx_reader import SheetLines
from support.forms import SMALL, compiled
from sync.envelope.route import AUTHOR_FIELDS

_CONTENT_TYPES = (
    b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Override PartName="/xl/workbook.xml"'
    b' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)
_RELATIONS = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    b'<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s"'
    b' Target="%s"/></Relationships>'
)
_BOOK = (
    b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    b' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    b'<sheets><sheet name="survey" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_NOT_IN_XML = re.compile("[^\\t\\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@cache
def engine() -> Engine:
    """The small form's engine; loading one costs."""
    return load_engine(compiled("small").xform)


def _opened(name: str, data: bytes) -> Any:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_workbook(path)


def xlsx(data: bytes) -> None:
    """Any bytes as an .xlsx upload."""
    check_form(_opened("form.xlsx", data), AUTHOR_FIELDS)


def sheet(data: bytes) -> None:
    """A good .xlsx whose one sheet is these bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as book:
        book.writestr("[Content_Types].xml", _CONTENT_TYPES)
        book.writestr("_rels/.rels", _RELATIONS % (b"officeDocument", b"xl/workbook.xml"))
        book.writestr("xl/workbook.xml", _BOOK)
        book.writestr("xl/_rels/workbook.xml.rels", _RELATIONS % (b"worksheet", b"worksheets/sheet1.xml"))
        book.writestr("xl/worksheets/sheet1.xml", data)
    xlsx(packed.getvalue())


def markdown(data: bytes) -> None:
    """Any text as a Markdown workbook, and every check of it."""
    check_form(_opened("form.md", data), AUTHOR_FIELDS)
    parse_markdown(data.decode("utf-8", "replace"))


def cells(data: bytes) -> None:
    """The small form with some cells written anew: each line is a sheet, a row and a column, a byte each, and a text.

    What still compiles is compiled, and its cases are run.
    """
    tables = _tables()
    for line in data.split(b"\n")[:20]:
        if len(line) > 2:
            lines = tables[line[0] % len(tables)].lines
            texts = lines[line[1] % len(lines)][1]
            texts[line[2] % len(texts)] = _NOT_IN_XML.sub("", line[3:].decode("utf-8", "replace"))
    check_and_compile(
        parse_workbook(_spreadsheet(tables), "form.xlsx"), channel="training", route_vocabulary=AUTHOR_FIELDS
    )


def _tables() -> list[SheetLines]:
    book = parse_markdown(SMALL)
    rows = {"settings": [Row("settings", 2, book.settings)]}
    return [
        SheetLines(name, [(1, [*headings]), *((row.number, [*map(row.get, headings)]) for row in found)])
        for name in SHEETS
        for headings, found in [(book.headings[name], rows.get(name) or getattr(book, name))]
    ]


def _spreadsheet(tables: list[SheetLines]) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    for table in tables:
        page = book.create_sheet(table.title)
        for _, line in table.lines:
            page.append(line)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def cases_table(data: bytes) -> None:
    """Any text as the sheet `cases` of the small form."""
    plain = SMALL.partition("| cases |")[0]
    book = parse_markdown(plain + "| cases |\n" + data.decode("utf-8", "replace"))
    if not blocking_problems(check_form(book, AUTHOR_FIELDS)):
        list(case_failures(book, engine()))


def source(data: bytes) -> None:
    """Any bytes as a source package: workbook, tables, translations, recordings."""
    found = parse_package(data)
    check_form(found.workbook, AUTHOR_FIELDS, resources=found.resources)


def form(data: bytes) -> None:
    """A compiled form as a tablet or a desk takes it out of a bundle."""
    try:
        written = rfc8785.dumps(json.loads(data))
    except (ValueError, RecursionError):
        written = data
    made = CompiledForm.from_bytes(written)
    assert CompiledForm.from_bytes(made.to_bytes()) == made


def xform(data: bytes) -> None:
    """The XForm within."""
    load_engine(data.decode("utf-8", "replace"))


def instance(data: bytes) -> None:
    """What a coordinator opens: a screening of whoever got hold of a tablet."""
    answers = engine().read_instance(data)
    filled = engine().drop_irrelevant(answers)
    again = engine().read_instance(engine().write_instance(filled, prune=False))
    assert engine().drop_irrelevant(again).answers == filled.answers


def answers(data: bytes) -> None:
    """A file of answers, as `chaski device screen` takes one."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(given, dict):
        filled = engine().run(given)
        assert engine().run(filled.answers) == filled


def policy_table(data: bytes) -> None:
    parse_policy("fuzz", data.decode("utf-8", "replace"))


def indicator_table(data: bytes) -> None:
    parse_indicator_set("fuzz", data.decode("utf-8", "replace"))


READERS: dict[str, Callable[[bytes], None]] = {
    "xlsx": xlsx,
    "sheet": sheet,
    "cells": cells,
    "cases": cases_table,
    "source": source,
    "markdown": markdown,
    "form": form,
    "xform": xform,
    "instance": instance,
    "answers": answers,
    "policy": policy_table,
    "indicators": indicator_table,
}
