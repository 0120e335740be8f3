"""Tests of the questionnaire for local workers, in addition to test_forms_adult_questionnaires.py."""

import re

import pytest

from screening_forms.checks.cases import case_answers
from screening_forms.engine.evaluator import Answer
from screening_forms.rules.dimensions import FACTS
from screening_forms.scoring.assessment import explain_screening
from screening_forms.workbook.resources import BUILT_IN
from support.catalogue import LABEL, book, came, compiled, form

NAME = "pe_trabajo_forzoso"
UNWILLING: dict[str, list[dict[str, Answer]]] = {
    "F1": [{"empezo": ["debt"], "deuda": "yes", "deuda_que": ["work_off"]}, {"empezo": ["family"]}],
    "F2": [{"obligan": ["overtime"]}, {"libre": "no"}, {"vivienda": "yes", "vive_falta": ["food"]}],
    "F3": [{"dejar": "no", "motivo": ["not_let"]}, {"deuda": "yes", "deuda_que": ["stay"]}],
}
PENALTY: dict[str, str] = {"F1": "start", "F2": "during", "F3": "leave"}


def story(case: str) -> dict[str, Answer]:
    row = next(row for row in book(NAME).cases if row.get("case") == case)
    return dict(case_answers(book(NAME), row))


@pytest.mark.parametrize("dimension", UNWILLING)
@pytest.mark.parametrize("penalty", ["documento", "golpes", "amenaza", "familia", "denuncia", "contar", "excluir"])
def test_unwilling_work_with_a_penalty_is_positive(dimension: str, penalty: str) -> None:
    for unwilling in UNWILLING[dimension]:
        filled = form(NAME).drop_irrelevant({**story("trabajo_libre"), **unwilling, penalty: [PENALTY[dimension]]})
        assert came(filled) == ("positive", "T2", "protection")


@pytest.mark.parametrize("dimension", UNWILLING)
def test_unwilling_work_without_a_penalty_is_not_positive(dimension: str) -> None:
    for unwilling in UNWILLING[dimension]:
        assert form(NAME).drop_irrelevant({**story("trabajo_libre"), **unwilling}).values["outcome"] in (
            "review",
            "labour_rights",
        )


def test_no_single_answer_counts_both_as_unwilling_work_and_as_a_penalty() -> None:
    known = BUILT_IN.indicator_set(book(NAME).settings["indicator_set"]).indicators
    uses: dict[tuple[str, str], set[str]] = {}
    for row in book(NAME).indicators:
        if row.get("code") not in FACTS and row.get("code")[0] == "F":
            indicator = known[row.get("code")]
            for answer in re.findall(r"\$\{(\w+)\},? ?=?'(\w+)'", row.get("when")):
                uses.setdefault((indicator.dimension, "=".join(answer)), set()).add(indicator.sign)
    assert len(uses) > 40
    assert {place: signs for place, signs in uses.items() if len(signs) > 1} == {}


def test_poverty_and_living_at_the_employers_place_are_not_indicators() -> None:
    poor: dict[str, Answer] = {"vivienda": "yes", "vive_falta": ["water"], "depende": "yes", "dejar": "no"}
    filled = form(NAME).drop_irrelevant({**story("trabajo_libre"), **poor, "motivo": ["other"]})
    assert came(filled) == ("negative", "none", "")


def test_an_advance_alone_gives_a_negative_outcome() -> None:
    advance: dict[str, Answer] = {"empezo": ["debt"], "deuda": "yes", "deuda_que": ["advance"]}
    assert came(form(NAME).drop_irrelevant({**story("trabajo_libre"), **advance})) == ("negative", "none", "")


@pytest.mark.parametrize(
    "trouble",
    [{"descuento": ["shop"]}, {"obligan": ["house"], "negarse": ["none"]}],
)
def test_problems_with_pay_and_hours_are_referred_to_the_labour_desk(trouble: dict[str, Answer]) -> None:
    assert came(form(NAME).drop_irrelevant({**story("trabajo_libre"), **trouble})) == ("labour_rights", "T3", "labour")


@pytest.mark.parametrize(
    "kept", [{"dinero": ["during"]}, {"dejar": "no", "motivo": ["wages"]}, {"descuento": ["unpaid"]}]
)
def test_wages_that_are_kept_are_reviewed(kept: dict[str, Answer]) -> None:
    assert came(form(NAME).drop_irrelevant({**story("trabajo_libre"), **kept})) == ("review", "T4", "review")


@pytest.mark.parametrize("more", [{}, {"obligan": ["overtime"], "negarse": ["none"]}])
def test_a_fine_for_being_late_is_no_penalty(more: dict[str, Answer]) -> None:
    late = came(form(NAME).drop_irrelevant({**story("trabajo_libre"), "descuento": ["fines"], **more}))
    assert late == (("labour_rights", "T3", "labour") if more else ("negative", "none", ""))
    forced: dict[str, Answer] = {"negarse": ["fine"], "obligan": ["overtime"]}
    assert came(form(NAME).drop_irrelevant({**story("trabajo_libre"), **forced})) == ("positive", "T2", "protection")


def test_the_form_has_no_questions_about_travel_or_recruitment() -> None:
    names = {row.get("name") for row in book(NAME).survey}
    assert names.isdisjoint({"recluta", "viaje", "a_fuerza", "usa_pena"})
    assert [row.get("name") for row in book(NAME).survey if "trajo" in row.get(LABEL)] == []


def test_the_reasons_for_a_desk_name_involuntariness_or_penalty_for_each_indicator() -> None:
    why = "\n".join(explain_screening(compiled(NAME), form(NAME).run(story("horas_y_golpes"))).why)
    assert "F2.01 Obligación de trabajar más horas o días de lo legal (fuerte, sin quererlo)" in why
    assert "F2.11 Violencia física o sexual, hecha o anunciada (fuerte, castigo o amenaza)" in why
