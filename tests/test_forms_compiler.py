"""The compiler: the same workbook gives the same bytes, and the compiled form contains its score."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest
import rfc8785
from pyxform.xls2json_backends import md_table_to_workbook

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler import padding
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import LONGEST_TEXT, load_engine
from screening_forms.errors import AnswerError, FormError
from screening_forms.expressions.parser import Token, parse_expression, parse_when
from screening_forms.ubigeo import place_name
from screening_forms.workbook.reader import Row, parse_markdown, read_workbook
from support.forms import CATALOGUE_FORMS, SMALL, compiled, sealed_size, walk, wishes
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import AUTHOR_FIELDS

HASH = """
import hashlib, sys
sys.path.insert(0, "tests")
from support.forms import compiled
print(hashlib.sha256(compiled("small").to_bytes()).hexdigest())
"""


def problems_of(text: str) -> list[tuple[str, int, str]]:
    with pytest.raises(FormError) as caught:
        compile_form(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    return [(found.sheet, found.row, found.code) for found in caught.value.problems]


def test_the_same_workbook_gives_the_same_bytes_in_every_process() -> None:
    root = Path(__file__).parent.parent
    hashes = {
        subprocess.run(
            [sys.executable, "-c", HASH],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_a_compiled_form_loads_from_its_own_bytes_and_from_no_others() -> None:
    form = compiled("small")
    content = form.to_bytes()
    assert CompiledForm.from_bytes(content) == form
    values = json.loads(content)
    for other in (
        content + b" ",
        json.dumps(values).encode(),
        content.replace(b'"training"', b'"secret"', 1),
        content.replace(b'"bucket":1024', b'"bucket":1024,"more":1', 1),
        b"[]",
        b"{}",
        b"\xff",
    ):
        with pytest.raises(FormError):
            CompiledForm.from_bytes(other)


@pytest.mark.parametrize(
    "other",
    [{"left_out": [0]}, {"left_out": [None]}, {"left_out": 5}, {"title": 5}, {"languages": "es"}, {"audio": ["es"]}],
)
def test_a_compiled_form_with_a_member_of_another_type_is_refused(other: dict[str, Any]) -> None:
    values = json.loads(compiled("small").to_bytes())
    with pytest.raises(FormError):
        CompiledForm.from_bytes(rfc8785.dumps(values | other))


def test_a_spreadsheet_and_markdown_tables_compile_to_the_same_bytes(tmp_path: Path) -> None:
    md_table_to_workbook(SMALL).save(tmp_path / "form.xlsx")
    uploaded = compile_form(read_workbook(tmp_path / "form.xlsx"), channel="training", route_vocabulary=AUTHOR_FIELDS)
    assert uploaded.to_bytes() == compiled("small").to_bytes()


def is_condition(token: Token) -> bool:
    """True if any branch of the expression has a boolean value."""
    if token.symbol == "(":
        return is_condition(token[0])
    if token.symbol == "if":
        return is_condition(token[1]) or is_condition(token[2])
    return token.symbol in ("=", "!=", "<", "<=", ">", ">=", "and", "or", "not", "true", "false", "selected")


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_no_calculate_is_a_bare_condition(form: str) -> None:
    calculates = [node for node in load_engine(compiled(form).xform).nodes.values() if node.calculate]
    assert len(calculates) > 20
    assert not [node.name for node in calculates if is_condition(parse_expression(node.calculate))]


def test_a_bare_condition_in_an_authors_calculate_is_rejected_in_its_row() -> None:
    bare = "| | calculate | listo | | | | | | |\n| | select_one region"
    text = SMALL.replace("| | select_one region", bare, 1).replace(
        "choice_filter | route |", "choice_filter | route | calculation |"
    )
    text = text.replace("| | calculate | listo | | | | | | |", "| | calculate | listo | | | | | | | ${horas} > 8 |")
    found = problems_of(text)
    assert [(sheet, row) for sheet, row, _ in found] == [("survey", 17)]


def test_an_expression_not_allowed_in_when_is_rejected_in_its_cell() -> None:
    for condition, code in (
        ("not(${deuda}='yes')", "when.negation"),
        ("${deuda} != 'no'", "when.negation"),
        ("${deuda}", "when.bare_condition"),
        ("${deuda}='yes' and ${horas}", "when.bare_condition"),
        ("'yes' = ${deuda}", "when.operands"),
        ("${deuda} = ${atado}", "when.operands"),
        ("${deuda} = 'no_answer'", "when.open_answer"),
        ("count(${deuda}) > 1", "expression.syntax"),
        ("${deuda} = 'yes' and", "expression.syntax"),
    ):
        with pytest.raises(FormError) as caught:
            parse_when(Row("indicators", 7, {"code": "D1.01", "when": condition}))
        assert [(found.row, found.column, found.code) for found in caught.value.problems] == [(7, "when", code)]


def test_the_when_of_a_fact_may_test_for_a_refused_answer() -> None:
    row = Row("indicators", 2, {"code": "minor", "when": "${edad}='14_17' or ${edad}='no_answer' or ${edad}=''"})
    assert parse_when(row, fact=True).questions == ("edad",)


def test_the_reason_for_free_text_is_part_of_the_signed_bytes() -> None:
    asked = "| | text | tarea | ¿Qué hace en un día? | | | | | | Para entender qué trabajo hace. |"
    text = SMALL.replace("choice_filter | route |", "choice_filter | route | reason |", 1)
    text = text.replace("| | select_one age | edad", f"{asked}\n| | select_one age | edad", 1)
    form = compile_form(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    assert form.free_text == {"tarea": "Para entender qué trabajo hace."}
    assert "Para entender" in form.to_bytes().decode()
    assert "Para hablarle" not in form.xform
    assert compiled("small").free_text == {}


def test_free_text_is_short_enough_to_fit_the_padded_size() -> None:
    asked = "| | text | tarea | ¿Qué hace en un día? | | | | | | Para entender qué trabajo hace. |"
    text = SMALL.replace("choice_filter | route |", "choice_filter | route | reason |", 1)
    text = text.replace("| | select_one age | edad", f"{asked}\n| | select_one age | edad", 1)
    form = compile_form(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    filler, draws = load_engine(form.xform), Random("words")
    words = "".join(chr(draws.randrange(0xC0, 0x17F)) for _ in range(LONGEST_TEXT))
    for _ in range(20):
        sealed = filler.write_instance(walk(filler, [{**wishes(filler, draws), "tarea": words}]))
        assert sealed_size(sealed, form.bucket) == form.bucket
    with pytest.raises(AnswerError, match="200 letras"):
        filler.run({"peligro": "no", "tarea": words + "x"})


def test_a_district_without_a_label_gets_ineis_name() -> None:
    districts = load_engine(compiled("pe_laboral_adulto").xform).nodes["distrito"].choices
    assert districts["170204"].label["es"] == "Huepetuhe"
    assert districts["211002"].label["es"] == "Ananea"
    assert all(choice.label["es"] for choice in districts.values())


def test_a_province_or_a_region_without_a_label_gets_ineis_name() -> None:
    names = {
        code: place_name(code) for code in ("0203", "1902", "0505", "17", "1700", "170000", "170200", "1799", "26")
    }
    assert names == {
        "0203": "Provincia de Antonio Raimondi",
        "1902": "Provincia de Daniel Alcides Carrión",
        "0505": "Provincia de La Mar",
        "17": "Madre de Dios",
        "1700": "Madre de Dios: otra provincia",
        "170000": "Madre de Dios: otro lugar",
        "170200": "Manu: otro distrito",
        "1799": "",
        "26": "",
    }
    text = SMALL.replace(
        "| | begin_group | score",
        "| | select_one en | donde | ¿Dónde? | | | | | province |\n| | begin_group | score",
        1,
    )
    text = text.replace(
        "\n| settings | form_id |", "| | en | 0203 | | |\n| | en | 17 | Aquí | |\n\n| settings | form_id |", 1
    )
    text = text.replace("| languages |", "| languages | ubigeo_lists |", 1).replace(
        "| adult_labour | es |", "| adult_labour | es | en |", 1
    )
    form = compile_form(parse_markdown(text), channel="training", route_vocabulary=AUTHOR_FIELDS)
    choices = load_engine(form.xform).nodes["donde"].choices
    assert {code: choice.label["es"] for code, choice in choices.items()} == {
        "0203": "Provincia de Antonio Raimondi",
        "17": "Aquí",
    }


def test_the_route_names_questions_of_the_form() -> None:
    form = compiled("small")
    assert form.route == {"consent": "permiso", "age_band": "edad"}
    assert "route" not in form.xform


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_every_interview_fits_the_padded_size(form: str) -> None:
    made = compiled(form)
    filler, draws = load_engine(made.xform), Random("length")
    for _ in range(40):
        sealed = filler.write_instance(walk(filler, [wishes(filler, draws)]))
        assert sealed_size(sealed, made.bucket) == made.bucket
    assert made.bucket == 1024, "ten full screenings no longer go through in 32 kB"


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_the_compiler_measures_the_bytes_that_a_tablet_seals(form: str) -> None:
    filler, draws = load_engine(compiled(form).xform), Random("measured")
    for number in range(20):
        instance = filler.write_instance(walk(filler, [wishes(filler, draws)]))
        content = Content(instance, Context(hashlib.sha256(bytes([number])).hexdigest())).to_bytes()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=seal.DICTIONARY)
        sealed = seal.LENGTH_BYTES + len(packer.compress(content) + packer.flush())
        assert abs(padding.packed_size(instance) - sealed) <= 8
        before = len(zlib.compress(instance, 9, -15)) + seal.LENGTH_BYTES
        assert sealed <= max(before, 512), "a version published before contexts needs a larger size"


def test_calculates_stand_only_inside_the_group_score() -> None:
    nodes = list(load_engine(compiled("small").xform).nodes.values())
    score = [node.name for node in nodes if node.group == "score"]
    assert score.index("outcome") < score.index("a_salvo")
    assert not [node.name for node in nodes if node.calculate and node.groups not in (("score",), ())]
    assert re.findall(r"<group ref=\"/data/(\w+)\"", compiled("small").xform)[-1] == "score"


def spreadsheet(*, without: str = "") -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for table in ("survey", "settings"):
        if table != without:
            sheet = book.create_sheet(table, 0)
            sheet.append(["type", "form_id"])
            sheet.append(["note", "f"])
    book.save(content)
    return content.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return content.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("form.xlsx", b"no zip", "workbook.unreadable"),
        ("form.md", b"no table", "workbook.no_table"),
        ("form.ods", b"", "workbook.unreadable"),
        ("form.md", b"| survey | type |\n| | note |\n", "workbook.sheet_missing"),
        ("form.md", b"| s\xedntesis |", "workbook.not_utf8"),
        ("form.md", b"| survey | type |\n| | no\x01te |\n", "workbook.control_sign"),
        ("form.md", b"| what/why | type |\n| | note |\n", "workbook.sheet_missing"),
        (
            "form.md",
            b"| survey | type |\n| | note |\n| Survey | type |\n| settings | form_id |\n| | f |\n",
            "workbook.sheet_twice",
        ),
        ("form.md", b"| survey | type |\n| | note |\n| note |\n", "workbook.stray_cell"),
        ("FORM.XLSX", b"", "workbook.unreadable"),
        ("form.xlsx", zipped({"a.txt": b"no workbook"}), "workbook.unreadable"),
        ("form.xlsx", spreadsheet()[:-300], "workbook.unreadable"),
        ("form.xlsx", zipped({**unzipped(spreadsheet()), "xl/workbook.xml": b"<broken"}), "workbook.unreadable"),
        ("form.xlsx", zipped({**unzipped(spreadsheet()), "xl/worksheets/sheet1.xml": b"<x"}), "workbook.unreadable"),
        ("form.xlsx", spreadsheet(without="survey"), "workbook.sheet_missing"),
        ("form.xlsx", spreadsheet(without="settings"), "workbook.sheet_missing"),
    ],
)
def test_a_file_that_is_not_a_workbook_is_rejected_with_its_name(
    name: str, content: bytes, code: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormError) as caught:
        read_workbook(tmp_path / name)
    assert {found.code for found in caught.value.problems} == {code}


def test_own_tables_and_texts_that_look_like_formulas_stay_as_typed() -> None:
    notes = "\n| what / why? \\ | x |\n| | = 1 |\n"
    form = parse_markdown(SMALL.replace("¿Hay peligro?", "= ¿Hay \\| peligro?") + notes)
    assert form.survey[0].get("label::Español (es)") == "= ¿Hay | peligro?"
    assert form.settings == parse_markdown(SMALL).settings
