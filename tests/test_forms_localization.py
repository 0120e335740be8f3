"""Tests of localization: training shows marked drafts, field ships only complete and reviewed languages."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest

from screening_forms.compiled_form import MARKS, CompiledForm, split_mark
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.texts.localization import LANGUAGE_NOTE
from screening_forms.workbook.reader import parse_markdown
from screening_forms.workbook.resources import load_built_in
from server.cli.tablet.interview_pages import ShownText
from support.forms import SMALL, compiled
from support.languages import compiled_in, drafted, edit, signed
from sync.desk.opened_screening import read_screening
from sync.envelope.route import AUTHOR_FIELDS


@pytest.fixture
def locales(tmp_path: Path) -> Path:
    return drafted(tmp_path)


def note(form: CompiledForm) -> str:
    return load_engine(form.xform).questions[0].label["es"]


def test_training_shows_drafts_and_marks_them(locales: Path) -> None:
    form = compiled_in("training", locales)
    assert (form.languages, form.left_out) == (("es", "quz", "ayr"), {})
    question = load_engine(form.xform).nodes["deuda"]
    assert question.label["quz"] == "[borrador] rimay small/deuda/label"
    assert question.choices["yes"].label["quz"] == "[borrador] rimay small/ynd.yes/label"


def test_training_shows_a_missing_text_in_spanish_and_the_bundle_lists_it(locales: Path) -> None:
    form = compiled_in("training", locales)
    assert load_engine(form.xform).nodes["peligro"].label["ayr"] == "[es] ¿Hay peligro?"
    assert form.fell_back == {"ayr": ["small/peligro/label"]}
    assert CompiledForm.from_bytes(form.to_bytes()) == form


def test_a_language_without_any_translation_is_left_out_of_training_too(tmp_path: Path) -> None:
    form = compiled_in("training", tmp_path)
    assert form.languages == ("es",)
    assert form.left_out["quz"].keys() == {"none"}
    assert note(form).startswith("Todavía no está en Runasimi (quz): no hay traducción. Todavía no está en Aymar aru")


def test_field_leaves_out_a_language_with_one_draft_and_notes_the_reason(locales: Path) -> None:
    edit(locales, "quz", signed("quz"))
    edit(locales, "quz", lambda entry: entry.flags.append("fuzzy") if entry.msgctxt == "small/deuda/label" else None)
    form = compiled_in("field", locales)
    assert form.languages == ("es",)
    assert form.left_out["quz"] == {"draft": 1}
    assert form.left_out["ayr"]["missing"] == 1
    assert load_engine(form.xform).questions[0].name == LANGUAGE_NOTE
    assert note(form).startswith(
        "Todavía no está en Runasimi (quz): borradores sin revisar: 1. Todavía no está en Aymar"
    )
    assert "sin traducir: 1, borradores sin revisar:" in note(form)
    assert note(form).endswith("busque un intérprete independiente.")


def test_field_ships_every_complete_and_signed_language(locales: Path) -> None:
    for lang in ("quz", "ayr"):
        edit(locales, lang, signed(lang))
    form = compiled_in("field", locales)
    assert (form.languages, form.left_out, form.fell_back) == (("es", "quz", "ayr"), {}, {})
    nodes = load_engine(form.xform).nodes
    assert LANGUAGE_NOTE not in nodes
    assert nodes["deuda"].label["ayr"] == "rimay small/deuda/label"
    assert not any(mark in form.xform for mark in MARKS.values())


def test_the_catalogue_ships_only_spanish_in_the_field_and_lists_the_other_languages() -> None:
    form = compiled("pe_laboral_adulto", "field")
    assert form.languages == ("es",)
    assert form.left_out.keys() == {"quz", "ayr"}
    assert "Runasimi (quz): borradores sin revisar: " in note(form)
    assert "Aymar aru (ayr): borradores sin revisar: " in note(form)


def test_the_language_note_is_not_in_a_sealed_screening() -> None:
    field = load_engine(compiled("pe_laboral_adulto", "field").xform)
    assert LANGUAGE_NOTE.encode() not in field.write_instance(field.run({}))


def test_a_shown_text_is_split_into_text_and_state() -> None:
    assert split_mark("[borrador] rimay") == ("rimay", "draft")
    assert split_mark("[es] ¿Hay peligro?") == ("¿Hay peligro?", "fallback")
    assert split_mark("rimay") == ("rimay", "reviewed")
    shown = ShownText.of({"es": "¿Hay peligro?", "ayr": "[es] ¿Hay peligro?"}, "ayr")
    assert shown == ShownText("¿Hay peligro?", "fallback")
    assert shown.marked(all_drafts=True) == "¿Hay peligro? (es)"


def test_one_entry_without_sign_off_keeps_its_language_out_of_the_field(locales: Path) -> None:
    for lang in ("quz", "ayr"):
        edit(locales, lang, signed(lang))

    def unsign(entry: polib.POEntry) -> None:
        if entry.msgctxt == "small/deuda/label":
            entry.tcomment = ""

    edit(locales, "quz", unsign)
    form = compiled_in("field", locales)
    assert form.languages == ("es", "ayr")
    assert form.left_out == {"quz": {"unsigned": 1}}


def test_a_desk_sees_which_questions_were_asked_in_spanish_without_a_translation(locales: Path) -> None:
    asked = "| | select_one tongue | idioma | ¿En qué idioma? | | | | | lang |\n| | begin_group | adulto"
    text = SMALL.replace("| | begin_group | adulto", asked, 1)
    text = text.replace("| | region | 17 |", "| | tongue | ayr | Aimara | |\n| | region | 17 |", 1)
    workbook = parse_markdown(text.replace("| es |\n\n| indic", "| es ayr |\n\n| indic"))
    form = compile_form(workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=load_built_in(locales))
    scorer = load_engine(form.xform)
    answers = {"peligro": "no", "permiso": "yes", "edad": "18_29", "idioma": "ayr", "oferta": "no", "deuda": "no"}
    reading = read_screening(form, scorer, scorer.write_instance(scorer.run(answers)))
    states = {answered.question: answered.text_state for answered in reading.answers}
    assert states["peligro"] == states["idioma"] == "fallback"
    assert states["deuda"] == "draft"
    fell_back = {context.split("/")[1] for context in form.fell_back[reading.lang]}
    assert {name for name, state in states.items() if state == "fallback"} == fell_back & states.keys()
