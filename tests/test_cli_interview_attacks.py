"""Tests of what an attack on the terminal interview found: stale guidance, lost danger, English, and narrow windows."""

# ruff: noqa: F811  (pytest passes the imported fixtures as arguments)
from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.clients import FORM, answers
from support.terminal import CLEAR, END, Inspector, answer_all, question_on_page
from sync.tablet.client import Tablet
from sync.tablet.unshown_guidance import Guidance
from test_cli_interview import Field, again, field, folder, to_question  # noqa: F401
from test_cli_interview_texts import ENGLISH

DECLINED = "No hubo un sí"


def guidance_files(folder: Path) -> list[Path]:
    return [*(folder / "drafts").glob("*.guidance")]


# Guidance of a sealing that did not happen


def interrupted_sealing(field: Field, folder: Path) -> Inspector:
    """Say no to a referral, and cut the power after `sellar` stored the guidance. Return the next start."""
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, answers("5_declines") | {"a_salvo": ""})
    inspector.kill()
    with Tablet(folder) as tablet:
        [draft] = tablet.drafts.list_all()
        tablet.drafts.guidance.save(Guidance(draft.id, draft.sha, "guidance_declined"))
    inspector = again(field, folder)
    inspector.type("1")
    return inspector


def correct_to_yes(field: Field, inspector: Inspector) -> None:
    while question_on_page(field.engine, inspector).name != "deriva":
        inspector.type("<")
    inspector.type("1")


def test_guidance_of_a_cut_sealing_is_gone_after_the_right_one_was_read(field: Field, folder: Path) -> None:
    inspector = interrupted_sealing(field, folder)
    correct_to_yes(field, inspector)
    answer_all(field.engine, inspector, {"a_salvo": "OK", "deriva": "yes"})
    inspector.seal()
    assert "sin leer" not in again(field, folder).page
    assert guidance_files(folder) == []


def test_guidance_of_a_cut_sealing_is_replaced_while_the_right_one_is_unread(field: Field, folder: Path) -> None:
    inspector = interrupted_sealing(field, folder)
    correct_to_yes(field, inspector)
    answer_all(field.engine, inspector, {"a_salvo": "", "deriva": "yes"})
    inspector.seal()
    inspector = again(field, folder)
    assert "sin leer" in inspector.page
    inspector.type("ver")
    assert DECLINED not in " ".join(inspector.read_to_end().split())
    inspector.kill()


def test_a_failed_sealing_leaves_no_guidance_and_loses_nothing(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, answers("5_declines") | {"a_salvo": ""})
    with closing(sqlite3.connect(folder / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "No se pudo sellar" in inspector.type("sellar")
        assert guidance_files(folder) == []
        other.execute("ROLLBACK")
    assert inspector.seal() == 0
    assert len(field.sealed(folder)) == 1
    assert len(guidance_files(folder)) == 1, "the guidance of a sealed interview stays until it was read"


# Danger


def test_danger_needs_no_confirmation_although_it_drops_other_answers(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "seguro_ahora", given)
    while question_on_page(field.engine, inspector).name != "peligro_suyo":
        inspector.type("<")
    assert "se borran" not in inspector.type("1")
    assert "se borraron: 2" in inspector.words
    inspector.type("")
    inspector.kill()
    with Tablet(folder) as tablet:
        assert tablet.drafts.list_all()[0].content["answers"]["peligro_suyo"] == "yes"


def test_the_danger_key_before_consent_notes_danger_without_a_confirmation(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "privado", given)
    inspector.type("*")
    inspector.type("1")
    if question_on_page(field.engine, inspector).name in ("peligro", "peligro_suyo"):
        inspector.type("1")
    assert "se borran" not in inspector.words
    inspector.type("")
    inspector.kill()
    with Tablet(folder) as tablet:
        kept = tablet.drafts.list_all()[0].content["answers"]
    assert "yes" in (kept.get("peligro"), kept.get("peligro_suyo"))


def test_a_declined_change_while_danger_is_noted_restores_the_whole_interview(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "recluta", given)
    inspector.type("*")
    inspector.type("*")
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "peligro_hoy"
    while question_on_page(field.engine, inspector).name != "deuda":
        inspector.type("<")
    assert "se borran" in inspector.type("2")
    inspector.type("")
    assert question_on_page(field.engine, inspector).name == "recluta", "the interview goes on, and is not closed"
    assert "No quedó anotado" in inspector.words
    inspector.kill()
    with Tablet(folder) as tablet:
        assert tablet.drafts.list_all()[0].content["closing"] is False


def test_a_declined_change_after_a_stop_keeps_the_stop(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "recluta", given)
    inspector.type(".")
    inspector.type("2")
    while question_on_page(field.engine, inspector).name != "deuda":
        inspector.type("<")
    assert "se borran" in inspector.type("2")
    inspector.type("")
    assert question_on_page(field.engine, inspector).name == "nota_cierre"
    assert "anotado" not in inspector.words
    inspector.kill()


# Spanish


def said_by(field: Field, *words: object) -> tuple[int, str]:
    """Run a command at a terminal that ends by itself; return its exit code and its text as one line."""
    inspector = Inspector(field.commands, *words)
    code = inspector.leave()
    return code, " ".join(inspector.written.split())


def assert_spanish(text: str, folder: Path) -> None:
    words = text.replace(str(folder), "").replace("chaski device screen", "").partition("chaski: ")[2]
    words = re.sub(r"[a-z]+\.[a-z_]+:", "", words)  # The code of an error is for maintainers.
    assert words, text
    assert not ENGLISH.search(words.replace("--tablet", "")), text
    assert not re.search(r"Usage|Error|Try|Invalid|Missing", text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--language", "xx"), "no está en xx"),
        (("--taken", "2999-01-01"), "todavía no llega"),
        (("--taken", "mañana"), "el valor de '--taken' no sirve"),
        (("--languages", "es"), "no existe la opción --languages"),
        (("--taken",), "la opción --taken está mal escrita"),
        (("otra",), "sobra una palabra"),
    ],
)
def test_a_wrong_option_is_told_in_spanish(field: Field, folder: Path, options: tuple[str, ...], told: str) -> None:
    code, text = said_by(field, "device", "screen", FORM, "--tablet", folder, *options)
    assert (code, told in text) == (2, True), text
    assert_spanish(text.rpartition(CLEAR)[2], folder)
    assert "Uso: " in text


def test_a_missing_folder_in_the_command_line_is_told_in_spanish(field: Field, folder: Path) -> None:
    code, text = said_by(field, "device", "screen", FORM)
    assert (code, "falta '--tablet'" in text) == (2, True), text
    assert_spanish(text, folder)


def test_a_second_start_is_refused_in_spanish(field: Field, folder: Path) -> None:
    first = field.begin(folder)
    code, text = said_by(field, "device", "screen", FORM, "--tablet", folder)
    assert (code, "otro programa está usando esta tableta" in text) == (1, True), text
    assert_spanish(text, folder)
    first.kill()


@pytest.mark.parametrize("damage", ["foreign", "torn", "folder"])
def test_a_damaged_store_is_told_in_spanish(field: Field, folder: Path, damage: str) -> None:
    store = folder / "outbox.db"
    body = store.read_bytes()
    for path in folder.glob("outbox.db*"):
        path.unlink()
    if damage == "folder":
        store.mkdir()
    else:
        store.write_bytes(b"no es una base de datos" * 500 if damage == "foreign" else body[:4096] + b"\xff" * 20000)
    code, text = said_by(field, "device", "screen", FORM, "--tablet", folder)
    assert code == 1
    assert damage == "folder" or "están dañados" in text, text
    assert_spanish(text, folder)


@pytest.mark.parametrize("form", [FORM, "no_hay"])
def test_an_empty_folder_and_an_unknown_form_are_told_in_spanish(
    field: Field, folder: Path, tmp_path: Path, form: str
) -> None:
    place = tmp_path if form == FORM else folder
    code, text = said_by(field, "device", "screen", form, "--tablet", place)
    assert (code, "tableta" in text) == (1, True), text
    assert_spanish(text.rpartition("\x1b[?1049l")[2], folder)


# Narrow windows


@pytest.mark.parametrize(("columns", "lines"), [(24, 10), (20, 8), (34, 15), (13, 7)])
def test_no_line_scrolls_off_a_narrow_window(field: Field, folder: Path, columns: int, lines: int) -> None:
    inspector = field.begin(folder, columns=columns, lines=lines)
    seen = [inspector.page]
    while re.search(r"\((\d+)\s+de\s+(?!\1\))\d+\)", inspector.page):
        seen.append(inspector.type("" if len(seen) % 2 else "1"))
    for page in seen:
        assert len(page.splitlines()) <= lines
        assert max(map(len, page.splitlines())) <= columns
    assert "peligro" in " ".join("".join(seen).split())
    inspector.type("2")
    inspector.kill()
    with Tablet(folder) as tablet:
        assert len(tablet.drafts.list_all()) == 1, "the answer counted after all parts were shown"


@pytest.mark.parametrize(("columns", "lines"), [(24, 3), (24, 2), (8, 20), (10, 10)])
def test_a_window_that_is_too_small_takes_no_answer(field: Field, folder: Path, columns: int, lines: int) -> None:
    inspector = field.begin(folder, columns=columns, lines=lines)
    assert "Ventana" in inspector.page
    for line in ("2", "", "2"):
        assert "Ventana" in inspector.type(line)
    assert "peligro" in " ".join(inspector.resize(80, 24).split())
    assert question_on_page(field.engine, inspector).name == "peligro"
    inspector.type("2")
    assert question_on_page(field.engine, inspector).name == "peligro_suyo"
    assert "Ventana" in inspector.resize(columns, lines)
    assert "Ventana" in inspector.type("2"), "it was read, but the answer cannot be seen"
    inspector.resize(80, 24)
    assert question_on_page(field.engine, inspector).name == "peligro_suyo"
    assert END not in inspector.page
    inspector.kill()
