"""Tests of `forms export`, `check` and `compile`: export a form as a spreadsheet, break it, check it, correct it."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner, Result

from screening_forms.checks import odk_validate
from screening_forms.problems import Cell, problem
from screening_forms.workbook.package import load_package
from server.cli.main import main
from support.forms import SMALL

FORM = "pe_nna"


def chaski(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def found(form: Path, *options: str) -> list[tuple[str, int, str, bool]]:
    result = chaski("forms", "check", form, "--json", *options)
    problems = json.loads(result.stdout)["problems"]
    assert result.exit_code == (1 if problems else 0)
    return [(each["sheet"], each["row"], each["code"], each["blocking"]) for each in problems]


def test_an_exported_spreadsheet_is_changed_checked_and_corrected(tmp_path: Path) -> None:
    file = tmp_path / "mine.xlsx"
    assert chaski("forms", "export", FORM, file).exit_code == 0
    assert [each for each in found(file) if each[3]] == []

    book = openpyxl.load_workbook(file)
    outcome = next(cell for cell in book["cases"][1] if cell.value == "outcome")
    expected = book["cases"].cell(2, outcome.column)
    kept, expected.value = expected.value, "negative"
    book.save(file)
    assert ("cases", 2, "case.failed", True) in found(file)

    expected.value = kept
    book["survey"]["A3"] = "geopoint"
    book.save(file)
    assert ("survey", 3, "type.place", True) in found(file)


def test_an_exported_source_package_compiles_to_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    assert chaski("forms", "export", FORM, file).exit_code == 0
    assert "policies/pe_child_2026_2.csv" in {f"policies/{name}.csv" for name in load_package(file).included.policies}
    compiled = [json.loads(chaski("forms", "compile", form, "--json").stdout)["sha256"] for form in (FORM, file)]
    assert compiled[0] == compiled[1]


def test_export_refuses_a_format_that_it_cannot_read_again(tmp_path: Path) -> None:
    result = chaski("forms", "export", FORM, tmp_path / "mine.ods")
    assert result.exit_code == 2
    assert ".xlsx or .zip" in result.stderr


def test_a_form_without_cases_may_ship_for_training_and_not_for_field(tmp_path: Path) -> None:
    file = tmp_path / "form.md"
    file.write_text(SMALL.partition("| cases |")[0], encoding="utf-8")
    assert ("cases", 0, "case.none", False) in found(file)
    assert ("cases", 0, "case.none", True) in found(file, "--channel", "field")


def test_odk_validate_runs_only_when_there_is_no_other_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "form.md"
    file.write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(odk_validate, "validate", lambda *_: [problem("odk.invalid", Cell("survey", 3), "", "so")])
    assert ("survey", 3, "odk.invalid", True) in found(file, "--odk")
    assert "odk.invalid" not in {code for _, _, code, _ in found(file)}
    file.write_text(SMALL.replace("| integer | horas", "| geopoint | horas"), encoding="utf-8")
    assert "odk.invalid" not in {code for _, _, code, _ in found(file, "--odk")}
