"""The `chaski` command as people and programs use it: what it prints, and how it fails."""

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
    """Every command there is, by its words."""
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += every_command(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
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
def test_assess_gives_the_reference_classes_when_all_else_is_known_to_be_absent(
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


def test_score_says_what_the_form_finds(tmp_path: Path) -> None:
    result = chaski("forms", "score", FORM, "--answers", str(ANSWERS / "4_inambari_minor.json"), "--json")
    assert json.loads(result.stdout)["queue_kinds"] == ["child"]


def test_score_names_a_question_that_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text('{"nothing_like_it": "yes"}', encoding="utf-8")
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 1
    assert "nothing_like_it" in result.stderr


def test_broken_json_is_named_by_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text('{"a": \n oops}', encoding="utf-8")
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 2
    assert "line 2" in result.stderr


def test_check_tells_a_program_every_problem_with_its_place(tmp_path: Path) -> None:
    form = (ANSWERS.parent / "form.md").read_text(encoding="utf-8")
    broken = tmp_path / "form.md"
    broken.write_text(form.replace("| relevant |", "| relevent |", 1).replace("D4.01", "D4.91"), encoding="utf-8")
    result = chaski("forms", "check", str(broken), "--json")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert {"column.unknown", "indicator.unknown"} <= {problem["code"] for problem in problems}
    assert all(problem["sheet"] and problem["advice_es"] and problem["advice_en"] for problem in problems)


def test_author_and_reviewer_sign_what_compiles_here_and_nothing_else(world: World, tmp_path: Path) -> None:
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


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = chaski("forms", "check", str(tmp_path / "missing.md"))
    assert result.exit_code == 1
    assert "missing.md" in result.stderr


def test_the_audit_trail_of_a_founded_server_holds_and_its_trust_is_marked_demo(world: World) -> None:
    verdict = json.loads(chaski("audit", "verify", "--data", str(world.data), "--json").stdout)
    assert verdict["broken_at"] is None
    shown = json.loads(chaski("trust", "show", "--data", str(world.data), "--json").stdout)
    assert shown["demo"] is True
    assert shown["threshold"] == 2


def test_a_tablet_that_has_not_enrolled_says_so(tmp_path: Path) -> None:
    assert "Not enrolled" in chaski("device", "status", "--tablet", str(tmp_path / "tablet")).stdout


def test_an_audit_trail_that_is_not_there_does_not_hold(tmp_path: Path) -> None:
    result = chaski("audit", "verify", "--data", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"[1]", "one JSON object"), (b'{"a": 1, "a": 2}', "twice"), (b"\xff\xfe", "answers.json"), (b"", "not JSON")],
)
def test_a_file_of_answers_that_is_none_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "answers.json"
    file.write_bytes(content)
    result = chaski("forms", "score", FORM, "--answers", str(file))
    assert result.exit_code == 2
    assert why in result.stderr


def test_check_tells_a_program_of_a_workbook_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "form.xlsx"
    file.write_bytes(b"no workbook")
    result = chaski("forms", "check", str(file), "--json")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert problems
    assert all(problem["blocking"] for problem in problems)
