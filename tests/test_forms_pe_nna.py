"""Tests of the short form for children and adolescents: it checks their safety and never interviews them."""

import itertools
import re

import pytest

from screening_forms.checks.cases import case_answers, case_failures
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.engine.evaluator import Answer
from screening_forms.rules.dimensions import FACTS
from screening_forms.texts.translations import language_coverage
from support.catalogue import HINT, LABEL, asked, book, came, compiled, form, guidance, questions, within
from support.forms import sealed_size
from sync.envelope.route import AUTHOR_FIELDS

NAME = "pe_nna"
SEEN: dict[str, Answer] = {"peligro": "no", "edad": "14_17", "region": "21", "distrito": "211001", "tipo_lugar": "home"}
ALONE: dict[str, Answer] = {**SEEN, "sin_jefe": "yes", "interprete": "none_needed"}
TALKS: dict[str, Answer] = {**ALONE, "consiente": "yes"}
TALK = ("g_permiso", "g_preguntas")


def test_the_form_passes_every_blocking_check_and_all_of_its_cases() -> None:
    assert blocking_problems(check_form(book(NAME), AUTHOR_FIELDS)) == []
    assert len(book(NAME).cases) >= 8
    assert list(case_failures(book(NAME), form(NAME))) == []


def test_the_questions_to_a_child_are_not_about_past_abuse() -> None:
    read_aloud = within(NAME, *TALK)
    lists = {row.get("type").split()[-1] for row in questions(NAME) if row.get("name") in read_aloud}
    rows = [row for row in book(NAME).survey if row.get("name") in read_aloud]
    rows += [row for row in book(NAME).choices if row.get("list_name") in lists]
    telling = re.compile(r"golpe|pega|maltrat|abus|sexo|sexual|deuda|violen|tocar|droga|fuerza|trata\b|víctim", re.I)
    assert len(read_aloud) >= 8
    assert [row.get(LABEL) for row in rows if telling.search(row.get(LABEL))] == []


def test_only_observations_count_and_a_hint_forbids_the_interviewer_to_ask() -> None:
    scoring = {row.get("when") for row in book(NAME).indicators if row.get("code") not in FACTS}
    assert {name for when in scoring for name in re.findall(r"\$\{(\w+)\}", when)} == {"menor_ve", "menor_trabajo"}
    for seen in ("menor_ve", "menor_trabajo"):
        assert "No pregunte." in next(row.get(HINT) for row in questions(NAME) if row.get("name") == seen)
        assert seen not in within(NAME, *TALK)


def test_every_answer_is_referred_to_the_child_desk_and_is_never_negative() -> None:
    lists = {row.get("name"): row.get("type").split()[1] for row in questions(NAME) if "select" in row.get("type")}
    codes = {
        list_: [c.get("name") for c in book(NAME).choices if c.get("list_name") == list_] for list_ in lists.values()
    }
    varied = ("edad", "tipo_lugar", "consiente", "menor_ve")
    for chosen in itertools.product(*([*codes[lists[name]], ""] for name in varied)):
        given = {**ALONE, **{name: code for name, code in zip(varied, chosen, strict=True) if code}}
        filled = form(NAME).run(given)
        assert filled.values["queue_kinds"] == "child", chosen
        found = filled.values["outcome"], filled.values["urgency"]
        assert found in (("positive", "immediate"), ("review", "prompt")), chosen


@pytest.mark.parametrize("answer", ["no", "no_answer"])
def test_a_child_who_does_not_consent_gets_no_more_questions(answer: str) -> None:
    filled = form(NAME).run({**ALONE, "consiente": answer})
    assert asked(filled, NAME, "g_preguntas") == set()
    assert "nota_gracias" in filled.relevant
    assert came(filled) == ("review", "child", "child")


@pytest.mark.parametrize(
    "gate",
    [
        {},
        {"sin_jefe": "no"},
        {"sin_jefe": "yes"},
        {"sin_jefe": "yes", "interprete": "related"},
        {"sin_jefe": "yes", "interprete": "none_found"},
    ],
)
def test_a_child_is_not_asked_for_consent_where_others_can_listen(gate: dict[str, Answer]) -> None:
    filled = form(NAME).run({**SEEN, **gate})
    assert asked(filled, NAME, *TALK) == set()
    assert filled.values["queue_kinds"] == "child"


def test_questions_about_present_needs_come_before_questions_about_the_home() -> None:
    talk = ["idioma", "menor_antes", "necesita", "menor_seguro", "menor_con", "peligro_hoy", "nota_cierre"]
    assert within(NAME, "g_preguntas") == talk


def test_danger_ends_the_interview_and_shows_the_guidance_at_once() -> None:
    at_arrival = form(NAME).run({**SEEN, "peligro": "yes"})
    during_talk = form(NAME).run({**TALKS, "peligro_hoy": "yes"})
    assert asked(at_arrival, NAME, "g_puerta", *TALK) == set()
    for filled in (at_arrival, during_talk):
        assert came(filled) == ("positive", "danger", "child")
        assert guidance(filled) == {"guidance_danger"}


def test_guidance_is_hidden_until_only_the_interviewer_sees_the_screen() -> None:
    assert guidance(form(NAME).run(TALKS)) == set()
    assert guidance(form(NAME).run({**TALKS, "a_salvo": "OK"})) == {"guidance_child"}


def test_only_danger_age_and_place_are_required_and_the_child_is_not_asked_them() -> None:
    needed = [row.get("name") for row in questions(NAME) if row.get("required") == "yes"]
    assert needed == ["peligro", "edad", "region", "distrito", "tipo_lugar"]
    assert set(needed).isdisjoint(within(NAME, *TALK))


def test_a_child_can_refuse_every_question() -> None:
    for row in questions(NAME):
        if row.get("name") in within(NAME, "g_preguntas") and row.get("name") != "idioma":
            codes = {c.get("name") for c in book(NAME).choices if c.get("list_name") == row.get("type").split()[1]}
            assert {"no_answer", "does_not_know"} <= codes, row.get("name")


def test_the_form_has_no_free_text_and_no_numbers() -> None:
    assert {row.get("type").split()[0] for row in questions(NAME)} == {"select_one", "select_multiple", "acknowledge"}


def test_a_sealed_screening_of_this_form_fits_the_smallest_bucket() -> None:
    for case in book(NAME).cases:
        sealed = form(NAME).write_instance(form(NAME).run(case_answers(book(NAME), case)))
        assert sealed_size(sealed, 1024) == compiled(NAME).bucket == 1024


@pytest.mark.parametrize("lang", ["quz", "ayr"])
def test_every_text_has_a_draft(lang: str) -> None:
    assert language_coverage(book(NAME), lang).missing == ()
