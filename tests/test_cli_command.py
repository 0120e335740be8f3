"""Tests of the `chaski` command: its help, its JSON output, its error messages and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from conftest import World
from server.cli.main import main

FORM = "pe_laboral_adulto"
ANSWERS = Path(__file__).parents[1] / "screening_forms" / "catalogue" / FORM / "answers"


def chaski(*words: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, list(words))


def assess(tmp_path: Path, values: dict[str, Any], *more: str) -> Result:
    """Run `forms assess` on indicator values."""
    file = tmp_path / "indicators.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    options = ("--profile", "adult_labour", "--policy", "pe_adult_2026_1", "--indicators", str(file), *more)
    return chaski("forms", "assess", *options)


def every_command(group: Any = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command as its words, such as ("forms", "check")."""
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += every_command(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_a_help_text(words: tuple[str, ...]) -> None:
    result = chaski(*words, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize(
    ("found", "outcome", "tier"),
    [
        ({"D4.01": 1, "D4.02": 1}, "labour_rights", "T3"),
        ({"D4.01": 1, "D4.02": 1, "D1.01": 1, "D1.02": 1}, "positive", "T2"),
        ({"D4.01": 1, "D4.02": 1, "D1.01": 1, "D1.02": 1, "D5.01": 1, "D5.02": 1}, "positive", "T1"),
        ({"D1.01": 1, "D1.02": 1}, "review", "T4"),
        ({}, "negative", "none"),
        ({"danger": 1}, "positive", "danger"),
        ({"minor": 1, "X.02": 1}, "positive", "child"),
        ({"minor": 1}, "review", "child"),
    ],
)
def test_assess_gives_the_reference_classes_when_all_other_codes_are_absent(
    tmp_path: Path, found: dict[str, int], outcome: str, tier: str
) -> None:
    counts = {"D1": 10, "D2": 10, "D3": 16, "D4": 9, "D5": 15, "D6": 7, "X": 3}
    nothing = {f"{dimension}.{n:02}": 0 for dimension, last in counts.items() for n in range(1, last + 1)}
    result = assess(tmp_path, nothing | found, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["outcome"], said["tier"]) == (outcome, tier)
    assert set(said) == {"outcome", "tier", "urgency", "queue_kinds", "dimensions", "why"}
    assert set(said["dimensions"]) == {"D1", "D2", "D3", "D4", "D5", "D6"}
    assert all(
        isinstance(bounds["min"], bool) and bounds["min"] <= bounds["max"] for bounds in said["dimensions"].values()
    )


def test_assess_names_a_code_that_does_not_exist(tmp_path: Path) -> None:
    result = assess(tmp_path, {"D9.99": 1})
    assert result.exit_code == 1
    assert "D9.99" in result.stderr


def test_score_prints_the_result_of_the_form(tmp_path: Path) -> None:
    result = chaski("forms", "score", FORM, "--answers", str(ANSWERS / "4_inambari_minor.json"), "--json")
    assert json.loads(result.stdout)["queue_kinds"] == ["child"]


def test_score_names_a_question_that_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text('{"nothing_like_it": "yes"}', encoding="utf-8")
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 1
    assert "nothing_like_it" in result.stderr


def test_a_json_error_has_its_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text('{"a": \n oops}', encoding="utf-8")
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 2
    assert "line 2" in result.stderr


def test_check_lists_every_problem_with_its_place_as_json(tmp_path: Path) -> None:
    form = (ANSWERS.parent / "form.md").read_text(encoding="utf-8")
    broken = tmp_path / "form.md"
    broken.write_text(form.replace("| relevant |", "| relevent |", 1).replace("D4.01", "D4.91"), encoding="utf-8")
    result = chaski("forms", "check", str(broken), "--json")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert {"column.unknown", "indicator.unknown"} <= {problem["code"] for problem in problems}
    assert all(problem["sheet"] and problem["advice_es"] and problem["advice_en"] for problem in problems)


def test_sign_signs_only_bytes_that_compile_on_this_machine(world: World, tmp_path: Path) -> None:
    file = tmp_path / "form.bundle"
    assert chaski("forms", "compile", FORM, "--out", str(file)).exit_code == 0
    for login, office in (("autora", "author"), ("revisor", "reviewer")):
        folder = world.people / login
        key, phrase = str(folder / f"{office}.key"), str(folder / "passphrase.txt")
        signed = chaski("forms", "sign", FORM, str(file), "--key", key, "--passphrase-file", phrase)
        assert signed.exit_code == 0, signed.output
    assert file.read_bytes().count(b"\n") == 2
    file.write_bytes(file.read_bytes().replace(b"pe_laboral_adulto", b"pe_laboral_adultX", 1))
    refused = chaski("forms", "sign", FORM, str(file), "--key", key, "--passphrase-file", phrase)
    assert refused.exit_code == 1
    assert "nothing was signed" in refused.stderr


def test_the_error_for_a_missing_file_names_it(tmp_path: Path) -> None:
    result = chaski("forms", "check", str(tmp_path / "missing.md"))
    assert result.exit_code == 1
    assert "missing.md" in result.stderr


def test_a_new_demo_server_has_a_valid_audit_trail_and_a_trust_marked_demo(world: World) -> None:
    verdict = json.loads(chaski("audit", "verify", "--data", str(world.data), "--json").stdout)
    assert verdict["broken_at"] is None
    shown = json.loads(chaski("trust", "show", "--data", str(world.data), "--json").stdout)
    assert shown["demo"] is True
    assert shown["threshold"] == 2


def test_status_of_a_tablet_says_that_it_is_not_enrolled(tmp_path: Path) -> None:
    assert "Not enrolled" in chaski("device", "status", "--tablet", str(tmp_path / "tablet")).stdout


def test_audit_verify_fails_without_a_server_and_creates_nothing(tmp_path: Path) -> None:
    result = chaski("audit", "verify", "--data", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"[1]", "one JSON object"), (b'{"a": 1, "a": 2}', "twice"), (b"\xff\xfe", "answers.json"), (b"", "not JSON")],
)
def test_an_invalid_file_of_answers_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "answers.json"
    file.write_bytes(content)
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 2
    assert why in result.stderr


def test_check_lists_an_unreadable_workbook_as_a_blocking_problem(tmp_path: Path) -> None:
    file = tmp_path / "form.xlsx"
    file.write_bytes(b"no workbook")
    result = chaski("forms", "check", str(file), "--json")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert problems
    assert all(problem["blocking"] for problem in problems)
