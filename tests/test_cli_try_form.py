"""Tests of `forms try`, `diff`, `impact` and `tables` on the author's own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from screening_forms.engine.evaluator import load_engine
from screening_forms.workbook.reader import read_workbook
from screening_forms.workbook.resources import BUILT_IN
from server.cli.main import main
from support.clients import Office, office  # noqa: F401 (a fixture)
from support.forms import SMALL, compiled
from support.terminal import Commands, Inspector, answer_all
from sync.exchange.staff_session import StaffSession

GIVEN = {
    "peligro": "no",
    "permiso": "yes",
    "edad": "18_29",
    "oferta": "yes",
    "deuda": "yes",
    "atado": "yes",
    "horas": 13,
}


@pytest.fixture
def form(tmp_path: Path) -> Path:
    """A small workbook in the author's folder."""
    path = tmp_path / "form.md"
    path.write_text(SMALL, encoding="utf-8")
    return path


def chaski(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def told(*words: object) -> Any:
    result = chaski(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def answers(tmp_path: Path, **given: object) -> Path:
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({**GIVEN, **given}), encoding="utf-8")
    return file


# Trying


def test_a_trial_shows_the_outcome_the_desk_and_the_data_for_the_server(form: Path, tmp_path: Path) -> None:
    found = told("forms", "try", form, "--answers", answers(tmp_path))
    assert (found["outcome"], found["tier"], found["queue_kinds"], found["desk"]) == (
        "positive",
        "T2",
        ["protection"],
        "protection",
    )
    assert found["server_learns"].keys() == {
        *("form", "sha", "outcome", "tier", "urgency", "queue_kinds", "age_band", "consent", "mode", "taken")
    }
    assert any("D5.02" in sentence for sentence in found["why"])
    learned = " ".join(map(str, found["server_learns"].values()))
    assert not {"oferta", "deuda", "atado", "horas", "13"} & set(learned.split())


def test_every_trial_of_a_form_has_the_same_envelope_size(form: Path, tmp_path: Path) -> None:
    long = told("forms", "try", form, "--answers", answers(tmp_path, mentira=["job", "pay"], region="17"))
    child = told(
        "forms", "try", form, "--answers", answers(tmp_path, edad="14_17", oferta="", deuda="", atado="", horas="")
    )
    assert long["envelope_bytes"] == child["envelope_bytes"] > compiled("small").bucket
    assert child["desk"] == "child"


def test_a_trial_writes_no_file(form: Path, tmp_path: Path) -> None:
    given = answers(tmp_path)
    assert chaski("forms", "try", form, "--answers", given).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [given.name, form.name]
    assert form.read_text(encoding="utf-8") == SMALL


def test_a_trial_refuses_answers_that_a_tablet_would_not_seal(form: Path, tmp_path: Path) -> None:
    result = chaski(
        "forms", "try", form, "--answers", answers(tmp_path, edad="", oferta="", deuda="", atado="", horas="")
    )
    assert result.exit_code == 1
    assert "edad" in result.output


def test_a_trial_becomes_a_case_that_the_next_check_runs(form: Path, tmp_path: Path) -> None:
    before = read_workbook(form).cases
    kept = told("forms", "try", form, "--answers", answers(tmp_path, mentira=["job"]), "--keep-as", "deuda y engaño")
    after = read_workbook(form).cases
    assert after[: len(before)] == before
    assert after[-1].get("case") == "deuda y engaño"
    assert (after[-1].get("outcome"), after[-1].get("mentira")) == (kept["outcome"], "job")
    again = told("forms", "try", form, "--case", "deuda y engaño")
    assert again["why"] == kept["why"]
    problems = told("forms", "impact", form, form, "--count", 0)
    assert problems["cases"] == len(before) + 1


def test_keep_as_writes_only_into_a_workbook_of_the_author(tmp_path: Path) -> None:
    result = chaski("forms", "try", "pe_laboral_adulto", "--answers", answers(tmp_path), "--keep-as", "x")
    assert result.exit_code == 2
    assert "workbook" in result.output


def test_a_trial_interview_asks_like_a_tablet_and_then_shows_the_outcome(form: Path) -> None:
    commands = Commands()
    inspector = Inspector(commands, "forms", "try", form)
    inspector.see()
    answer_all(load_engine(compiled("small").xform), inspector, {**GIVEN, "a_salvo": ""})
    assert inspector.seal() == 0
    commands.close()
    shown = inspector.written.rpartition("\x1b[?1049l")[2]
    assert "positive" in shown
    assert "Sealed to the protection desk" in shown
    assert "Nothing of this interview was kept." in shown


# With a server


def test_report_sends_only_the_outcome_of_a_trial_to_the_server(
    office: Office,  # noqa: F811
    form: Path,
    tmp_path: Path,
) -> None:
    world = office.field.world
    file = world.people / "autora" / "passphrase.txt"
    who = ("--server", office.people_url, "--login", "autora", "--passphrase-file", file, "--pin", office.pin)
    with StaffSession.sign_in(office.people_url, "autora", world.passphrase("autora"), pin=office.pin) as staff:
        draft = staff.post("/v1/drafts?channel=training", data=form.read_bytes())
        told("forms", "try", form, "--answers", answers(tmp_path), "--report", draft["id"], *who)
        (trial,) = staff.get(f"/v1/versions/{draft['id']}")["trials"]
    assert (trial["outcome"], trial["tier"], trial["queue_kinds"]) == ("positive", "T2", ["protection"])
    assert trial.keys() <= {"outcome", "tier", "queue_kinds", "fired", "at"}
    same = told("forms", "diff", draft["id"], form, "--count", 50, *who)
    assert same["changes"] == []
    assert same["impact"]["moved"] == 0


# Comparing


def test_two_workbooks_are_compared_in_words_and_by_interviews(form: Path, tmp_path: Path) -> None:
    stricter = tmp_path / "new.md"
    stricter.write_text(SMALL.replace("D4.01 | ${horas} >= 12", "D4.01 | ${horas} >= 8"), encoding="utf-8")
    found = told("forms", "diff", form, stricter)
    assert [each["code"] for each in found["changes"]] == ["mapping.changed"]
    assert found["impact"]["moved_outcomes"] > 0
    page = chaski("forms", "diff", form, stricter).output
    assert "D4.01 se marca si: «horas» es al menos 12 → «horas» es al menos 8" in page
    assert "outcomes could change" in page
    moved = chaski("forms", "impact", form, stricter, "--count", "150").output
    assert "before \\ after" in moved
    assert "D4.01" in moved


def test_a_compiled_file_can_be_compared_with_a_workbook(form: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "form.bundle"
    assert chaski("forms", "compile", form, "--out", bundle).exit_code == 0
    assert told("forms", "diff", bundle, form, "--count", 0)["changes"] == []


def test_a_version_on_the_server_needs_a_login(form: Path) -> None:
    result = chaski("forms", "diff", "12", form)
    assert result.exit_code == 2
    assert "--login" in result.output


# Tables


def test_tables_check_and_effect_show_the_changes_of_each_form(form: Path, tmp_path: Path) -> None:
    file = tmp_path / "pe_adult_2026_9.csv"
    text = BUILT_IN.policies["pe_adult_2026_1"].replace("outcome,D4,labour_rights,T3", "outcome,D4,review,T4")
    file.write_text(text, encoding="utf-8")
    checked = told("forms", "tables", "check", file, "--kind", "policy")
    assert checked["former"] == "pe_adult_2026_2"
    assert {each["code"] for each in checked["changes"]} >= {"policy.name", "policy.row_changed"}
    (effect,) = told("forms", "tables", "effect", file, "--kind", "policy", "--form", form, "--count", 100)
    assert effect["impact"]["moved_outcomes"] > 0
    page = chaski("forms", "tables", "effect", file, "--kind", "policy", "--form", form, "--count", 100).output
    assert "labour_rights" in page


def test_tables_check_lists_the_problems_with_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(BUILT_IN.policies["pe_adult_2026_1"], encoding="utf-8")
    result = chaski("forms", "tables", "check", file, "--kind", "policy", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["problems"][0]["code"] == "policy.bad_name"
