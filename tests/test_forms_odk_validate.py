"""ODK Validate: its findings in a compiled form become problems in the rows of the author's workbook."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyxform.xls2xform import convert

from screening_forms.checks import odk_rows, odk_validate
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import FindNodeRows
from screening_forms.workbook.reader import parse_markdown
from support.forms import CATALOGUE_FORMS, SMALL, compiled, workbook

FORM = """
| survey | type | name | label | relevant | constraint | calculation |
| | integer | horas | ¿Cuántas horas? | | . < 25 | |
| | begin_group | trato | El trato | | | |
| | select_one yn | golpes | ¿Le pegan? | ${horas} > 3 | | |
| | end_group | | | | | |
| | calculate | suma | | | | ${horas} + 1 |
| choices | list_name | name | label |
| | yn | yes | Sí |
| | yn | no | No |
| settings | form_id | form_title | version |
| | f | F | 1 |
"""

Told = list[tuple[str, int, str]]


def told(form: str, old: str = "", new: str = "") -> Told:
    """Return ODK Validate's findings in the XForm from pyxform, without Chaski's own checks."""
    xform = str(convert(form.encode(), file_type=".md").xform)
    assert xform.count(old)
    rows = odk_rows.node_rows(parse_markdown(form))
    return [(p.sheet, p.row, p.code) for p in odk_validate.validate(xform.replace(old, new, 1), rows)]


@pytest.mark.parametrize("form", ["small", *CATALOGUE_FORMS])
def test_odk_validate_accepts_every_form_of_the_catalogue(form: str) -> None:
    assert odk_validate.validate(compiled(form).xform, odk_rows.node_rows(workbook(form))) == []


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("| ${horas} > 3 |", "| ${golpes} = 'yes' |", [("survey", 4, "odk.cycle")]),
        ("| ${horas} + 1 |", "| ${suma} + 1 |", [("survey", 6, "odk.cycle")]),
        ("| . < 25 |", "| . <<= 25 |", [("survey", 2, "odk.expression")]),
        ("| ${horas} > 3 |", "| ${horas} > |", [("survey", 4, "odk.expression")]),
    ],
)
def test_odk_validates_findings_are_reported_in_the_authors_rows(old: str, new: str, problems: Told) -> None:
    assert FORM.count(old) == 1
    assert told(FORM.replace(old, new)) == problems


def test_a_sound_form_has_no_findings() -> None:
    assert told(FORM) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<name>yes</name>", "<name/>", "odk.choices"),
        ("instance('yn')", "instance('otra')", "odk.choices"),
        ("</h:body>", "", "odk.invalid"),
        ("<label>El trato</label>", "<label ref=\"jr:itext('otro')\"/>", "odk.text"),
    ],
)
def test_a_damaged_xform_gives_the_code_of_its_damage(old: str, new: str, code: str) -> None:
    assert {found for _, _, found in told(FORM, old, new)} == {code}


def test_a_finding_in_a_compilers_node_is_reported_in_its_source_row() -> None:
    xform, book = compiled("small").xform, parse_markdown(SMALL)
    rows = sandbox.run(FindNodeRows(SMALL.encode())).rows
    hours = next(row for row in book.survey if row.get("name") == "horas")
    node = 'nodeset="/data/g1/horas" type="int"'
    assert node in xform
    found = odk_validate.validate(xform.replace(node, f'{node} relevant="/data/score/outcome = 1"'), rows)
    assert {(p.sheet, p.code) for p in found} >= {("survey", "odk.cycle"), ("indicators", "odk.cycle")}
    assert hours.number in {p.row for p in found if p.sheet == "survey"}
    codes = {row.number: row.get("code") for row in book.indicators}
    assert {codes[p.row] for p in found if p.sheet == "indicators"} >= {"D4.01"}


def test_a_validator_that_does_not_finish_never_counts_as_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(odk_validate, "SECONDS", 0.01)
    assert told(FORM) == [("survey", 0, "odk.not_run")]
    monkeypatch.setattr(odk_validate, "JAVA", tmp_path / "java")
    assert told(FORM) == [("survey", 0, "odk.not_run")]
