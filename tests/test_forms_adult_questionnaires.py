"""What every questionnaire for adults promises: to the person who answers, and to the inspector who asks."""

import re

import pytest

from screening_forms.checks.cases import case_answers, case_failures
from screening_forms.checks.run import check_form
from screening_forms.engine.evaluator import Answer
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.workbook.reader import Row
from screening_forms.workbook.resources import BUILT_IN
from support.catalogue import LABEL, asked, book, came, form, guidance, questions, within
from sync.envelope.route import AUTHOR_FIELDS

FORMS = ("pe_laboral_adulto", "pe_sexual_adulto", "pe_trabajo_forzoso")
PLACE: dict[str, Answer] = {"region": "21", "distrito": "211002", "tipo_lugar": "home"}
ALONE: dict[str, Answer] = {
    **PLACE,
    **{"peligro": "no", "a_solas": "yes", "privado": "yes", "seguro_ahora": "yes", "interprete": "none_needed"},
}
TALKS: dict[str, Answer] = {**ALONE, "consiente": "yes", "edad": "30_59"}
RANK = ("negative", "labour_rights", "review", "positive")

for_each_form = pytest.mark.parametrize("name", FORMS)


def told(name: str) -> list[tuple[Row, dict[str, str]]]:
    """The author's own cases of adults who agreed to talk and in which nobody is in danger."""
    rows = [(row, case_answers(book(name), row)) for row in book(name).cases]
    return [(row, given) for row, given in rows if row.get("tier") not in ("child", "danger") and "deriva" in given]


@for_each_form
def test_the_form_has_no_problem_and_each_of_its_cases_comes_out_as_written(name: str) -> None:
    assert check_form(book(name), AUTHOR_FIELDS) == []
    assert 8 <= len(book(name).cases) <= 15
    assert list(case_failures(book(name), form(name))) == []


@for_each_form
def test_the_cases_show_every_outcome_that_the_policy_knows(name: str) -> None:
    policy = BUILT_IN.policy(book(name).settings["policy"])
    known = {(row.outcome, row.tier) for row in policy.step("outcome")}
    shown = {(row.get("outcome"), row.get("tier") or "none") for row in book(name).cases}
    assert shown == {*known, ("not_scored", "none")}


@for_each_form
def test_every_guidance_is_on_the_screen_in_some_case_or_for_who_must_report(name: str) -> None:
    notes = {row.get("name") for row in book(name).survey if row.get("name").startswith("guidance_")}
    shown = [guidance(form(name).run({**given, "a_salvo": "OK"})) for _, given in told(name)]
    in_danger = guidance(form(name).run({**PLACE, "peligro": "yes", "edad": "30_59"}))
    child = guidance(form(name).run({**TALKS, "edad": "14_17", "a_salvo": "OK"}))
    assert set.union(in_danger, child, *shown) == notes - {"guidance_duty"}


@for_each_form
def test_a_refusal_is_never_a_no(name: str) -> None:
    refusable = [node for node in form(name).questions if node.choices.keys() >= set(NO_ANSWERS)]
    for row, given in told(name):
        asked_and_answered = [node.name for node in refusable if given.get(node.name, "no_answer") not in NO_ANSWERS]
        for question in asked_and_answered:
            silent = form(name).drop_irrelevant({**given, question: "no_answer"}).values["outcome"]
            least = "negative" if row.get("outcome") == "negative" else "labour_rights"
            assert RANK.index(silent) >= RANK.index(least), (row.get("case"), question)


@for_each_form
def test_who_agrees_to_talk_and_answers_nothing_is_looked_at_by_a_person(name: str) -> None:
    assert came(form(name).run({**TALKS, "deriva": "yes"})) == ("review", "T4", "review")
    silent: dict[str, Answer] = {
        node.name: "no_answer"
        for node in form(name).questions
        if node.name in within(name, "g_adulto") and "no_answer" in node.choices
    }
    assert came(form(name).drop_irrelevant({**TALKS, **silent, "deriva": "yes"})) == ("review", "T4", "review")


@for_each_form
@pytest.mark.parametrize("age", ["under_14", "14_17", "in_doubt"])
def test_a_child_is_asked_nothing_of_an_adults_and_is_never_negative(name: str, age: str) -> None:
    for seen, outcome in (("none", "review"), ("companion", "positive")):
        filled = form(name).run({**TALKS, "edad": age, "menor_ve": [seen]})
        assert asked(filled, name, "g_adulto", "g_derivar") == set()
        assert came(filled) == (outcome, "child", "child")
    found_there = form(name).run({**TALKS, "edad": age, "tipo_lugar": "lodging"})
    assert came(found_there) == ("positive", "child", "child")


@for_each_form
@pytest.mark.parametrize(
    "gate", [{"a_solas": "no"}, {"privado": "no"}, {"seguro_ahora": "no"}, {"interprete": "related"}]
)
def test_where_one_cannot_talk_nothing_is_asked_and_no_adult_is_scored(name: str, gate: dict[str, Answer]) -> None:
    filled = form(name).run({**ALONE, **gate, "edad": "30_59"})
    assert "nota_parar" in filled.relevant
    assert not {"consiente", "score", *within(name, "g_adulto")} & filled.relevant


@for_each_form
def test_danger_needs_no_talk_and_shows_at_once_what_to_do(name: str) -> None:
    for danger in ({**PLACE, "edad": "30_59", "peligro": "yes"}, {**TALKS, "peligro_hoy": "yes", "deriva": "no"}):
        filled = form(name).run(danger)
        assert came(filled) == ("positive", "danger", "protection")
        assert guidance(filled) == {"guidance_danger"}
        assert filled.missing == ()


@for_each_form
def test_everything_an_adult_is_asked_can_be_refused_and_nothing_is_required(name: str) -> None:
    for row in questions(name):
        if row.get("name") in within(name, "g_adulto"):
            kind, _, list_name = row.get("type").partition(" ")
            codes = {choice.get("name") for choice in book(name).choices if choice.get("list_name") == list_name}
            refusable = kind == "integer" or row.get("name") == "sector" or codes >= set(NO_ANSWERS)
            assert (refusable, row.get("required")) == (True, ""), row.get("name")


@for_each_form
def test_no_legal_word_is_read_to_the_person_and_nobody_is_called_a_victim(name: str) -> None:
    heard = [row for row in (*book(name).survey, *book(name).choices) if not row.get("name").startswith("guidance_")]
    forbidden = re.compile(r"\btrata\b|víctim|explota|delito|denuncia|esclav|prostitu|forzos|sirvient", re.IGNORECASE)
    assert [row.get("name") for row in heard if forbidden.search(row.get(LABEL))] == []


@pytest.mark.parametrize("name", ["pe_sexual_adulto", "pe_trabajo_forzoso"])
def test_a_talk_in_a_bar_or_beside_the_work_is_short(name: str) -> None:
    assert len(questions(name)) <= 46
    longest = max(len(form(name).run(given).relevant & set(within(name, "g_adulto"))) for _, given in told(name))
    assert longest <= 30
