"""Tests that every questionnaire for adults passes: they protect the person who answers and the interviewer."""

import re

import pytest

from screening_forms.checks.cases import case_answers, case_failures
from screening_forms.checks.run import check_form
from screening_forms.engine.evaluator import Answer
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.workbook.reader import Row
from screening_forms.workbook.resources import BUILT_IN
from support.catalogue import LABEL, asked, book, came, form, guidance, questions, within
from support.read_aloud import ease_of_reading, interview_length, texts_read_aloud, words
from sync.envelope.route import AUTHOR_FIELDS

FORMS = ("pe_laboral_adulto", "pe_sexual_adulto", "pe_trabajo_forzoso")
PLACE: dict[str, Answer] = {"region": "21", "distrito": "211002", "tipo_lugar": "home"}
ALONE: dict[str, Answer] = {
    **PLACE,
    **{"peligro": "no", "a_solas": "yes", "privado": "yes", "seguro_ahora": "yes", "interprete": "none_needed"},
}
ACCOMPANIED: dict[str, Answer] = {**ALONE, "a_solas": "no", "edad": "30_59"}
TALKS: dict[str, Answer] = {**ALONE, "consiente": "yes", "edad": "30_59"}
RANK = ("negative", "labour_rights", "review", "positive")

for_each_form = pytest.mark.parametrize("name", FORMS)


def adult_cases(name: str) -> list[tuple[Row, dict[str, str]]]:
    """Return the author's cases of adults who consent and are not in danger, with their answers."""
    rows = [(row, case_answers(book(name), row)) for row in book(name).cases]
    return [(row, given) for row, given in rows if row.get("tier") not in ("child", "danger") and "deriva" in given]


@for_each_form
def test_the_form_has_no_problem_and_each_of_its_cases_passes(name: str) -> None:
    assert check_form(book(name), AUTHOR_FIELDS) == []
    assert 8 <= len(book(name).cases) <= 22
    assert list(case_failures(book(name), form(name))) == []


@for_each_form
def test_the_cases_cover_every_outcome_of_the_policy(name: str) -> None:
    policy = BUILT_IN.policy(book(name).settings["policy"])
    known = {(row.outcome, row.tier) for row in policy.step("outcome")}
    shown = {(row.get("outcome"), row.get("tier") or "none") for row in book(name).cases}
    assert shown == {*known, ("not_scored", "none")}


@for_each_form
def test_every_guidance_except_the_duty_to_report_is_shown_in_some_case(name: str) -> None:
    notes = {row.get("name") for row in book(name).survey if row.get("name").startswith("guidance_")}
    shown = [guidance(form(name).run({**given, "a_salvo": "OK"})) for _, given in adult_cases(name)]
    in_danger = guidance(form(name).run({**PLACE, "peligro": "yes", "edad": "30_59"}))
    child = guidance(form(name).run({**TALKS, "edad": "14_17", "a_salvo": "OK"}))
    seen = guidance(form(name).run({**ACCOMPANIED, "acompana": ["injuries"], "a_salvo": "OK"}))
    assert set.union(in_danger, child, seen, *shown) == notes - {"guidance_duty"}


@for_each_form
def test_a_refusal_never_counts_as_a_no(name: str) -> None:
    refusable = [node for node in form(name).questions if node.choices.keys() >= set(NO_ANSWERS)]
    for row, given in adult_cases(name):
        asked_and_answered = [node.name for node in refusable if given.get(node.name, "no_answer") not in NO_ANSWERS]
        for question in asked_and_answered:
            silent = form(name).drop_irrelevant({**given, question: "no_answer"}).values["outcome"]
            least = "negative" if row.get("outcome") == "negative" else "labour_rights"
            assert RANK.index(silent) >= RANK.index(least), (row.get("case"), question)


@for_each_form
def test_consent_without_any_answer_leads_to_a_review(name: str) -> None:
    assert came(form(name).run({**TALKS, "deriva": "yes"})) == ("review", "T4", "review")
    silent: dict[str, Answer] = {
        node.name: "no_answer"
        for node in form(name).questions
        if node.name in within(name, "g_adulto") and "no_answer" in node.choices
    }
    assert came(form(name).drop_irrelevant({**TALKS, **silent, "deriva": "yes"})) == ("review", "T4", "review")


@for_each_form
@pytest.mark.parametrize("age", ["under_14", "14_17", "in_doubt"])
def test_a_child_gets_no_questions_for_adults_and_is_never_negative(name: str, age: str) -> None:
    for seen, outcome in (("none", "review"), ("companion", "positive")):
        filled = form(name).run({**TALKS, "edad": age, "menor_ve": [seen]})
        assert asked(filled, name, "g_adulto", "g_derivar") == set()
        assert came(filled) == (outcome, "child", "child")
    found_there = form(name).run({**TALKS, "edad": age, "tipo_lugar": "lodging"})
    assert came(found_there) == ("positive", "child", "child")


@for_each_form
@pytest.mark.parametrize("sign", ["locked", "escaped", "hurt", "debt"])
def test_a_child_with_a_sign_of_forced_work_is_positive_anywhere(name: str, sign: str) -> None:
    child = {**TALKS, "edad": "14_17", "menor_ve": ["none"]}
    assert came(form(name).run({**child, "menor_trabajo": ["none"]})) == ("review", "child", "child")
    assert came(form(name).run({**child, "menor_trabajo": [sign]})) == ("positive", "child", "child")


@for_each_form
@pytest.mark.parametrize(
    "gate", [{"a_solas": "no"}, {"privado": "no"}, {"seguro_ahora": "no"}, {"interprete": "related"}]
)
def test_a_place_that_is_not_private_ends_the_questions_and_gives_no_score(name: str, gate: dict[str, Answer]) -> None:
    filled = form(name).run({**ALONE, **gate, "edad": "30_59"})
    assert "nota_parar" in filled.relevant
    assert not {"consiente", "score", *within(name, "g_adulto")} & filled.relevant


@for_each_form
def test_danger_needs_no_interview_and_shows_its_guidance_at_once(name: str) -> None:
    for danger in ({**PLACE, "edad": "30_59", "peligro": "yes"}, {**TALKS, "peligro_hoy": "yes", "deriva": "no"}):
        filled = form(name).run(danger)
        assert came(filled) == ("positive", "danger", "protection")
        assert guidance(filled) == {"guidance_danger"}
        assert filled.missing == ()


@for_each_form
def test_an_adult_can_refuse_every_question(name: str) -> None:
    for row in questions(name):
        if row.get("name") in within(name, "g_adulto"):
            kind, _, list_name = row.get("type").partition(" ")
            codes = {choice.get("name") for choice in book(name).choices if choice.get("list_name") == list_name}
            refusable = kind == "integer" or row.get("name") == "sector" or codes >= set(NO_ANSWERS)
            assert (refusable, row.get("required")) == (True, ""), row.get("name")


@for_each_form
def test_the_texts_read_aloud_have_no_legal_words_and_no_word_for_victim(name: str) -> None:
    read_aloud = [
        row for row in (*book(name).survey, *book(name).choices) if not row.get("name").startswith("guidance_")
    ]
    forbidden = re.compile(r"\btrata\b|víctim|explota|delito|denuncia|esclav|prostitu|forzos|sirvient", re.IGNORECASE)
    assert [row.get("name") for row in read_aloud if forbidden.search(row.get(LABEL))] == []


@for_each_form
def test_an_interview_reads_at_most_700_words_aloud_in_easy_spanish(name: str) -> None:
    engine = form(name)
    length = interview_length(engine, drawn=300, seed=1)
    assert length.interviews >= 80
    assert length.words <= 700
    assert length.settled <= length.questions * 2 / 3, "the desk is settled late"
    read = [list(texts_read_aloud(engine, node)) for node in engine.questions]
    assert ease_of_reading(text for texts in read for text in texts) >= 80
    hard = [texts[0] for texts in read if texts and words(texts[:1]) > 5 and ease_of_reading(texts[:1]) < 55]
    assert hard == []


@pytest.mark.parametrize("name", ["pe_sexual_adulto", "pe_trabajo_forzoso"])
def test_an_interview_at_the_place_of_work_is_short(name: str) -> None:
    longest = max(len(form(name).run(given).relevant & set(within(name, "g_adulto"))) for _, given in adult_cases(name))
    assert longest <= 31
