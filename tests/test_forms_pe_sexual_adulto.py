"""Tests of the questionnaire for bars and lodgings, in addition to test_forms_adult_questionnaires.py."""

import random

import pytest

from screening_forms.checks.cases import case_answers
from screening_forms.engine.evaluator import Answer
from screening_forms.scoring.assessment import explain_screening
from support.catalogue import asked, book, came, compiled, form, within

NAME = "pe_sexual_adulto"
OF_HER_OWN: dict[str, Answer] = {"clientes": ["drink", "alone"], "cobra": "mine", "manda_cli": ["none"]}
PROFIT_OF_ANOTHER: list[dict[str, Answer]] = [
    {"cobra": "part"},
    {"cobra": "other"},
    *({"manda_cli": [code]} for code in ("price", "what", "find", "quota", "fine", "photos")),
]
MEANS: list[dict[str, Answer]] = [
    {"recluta": "yes", "promesa": "yes", "falso_trab": ["job", "pay"]},
    {"golpes": ["before"], "amenaza": ["before"]},
    {"recluta": "yes", "usa_pena": ["money", "past", "family_care"]},
    {"documento": ["here"], "dinero": ["here"]},
    {"usa_aqui": ["money", "papers", "family"]},
]


def story(case: str) -> dict[str, Answer]:
    row = next(row for row in book(NAME).cases if row.get("case") == case)
    return dict(case_answers(book(NAME), row))


def test_voluntary_work_with_clients_gives_a_negative_outcome() -> None:
    assert came(form(NAME).drop_irrelevant({**story("cocina_libre"), **OF_HER_OWN})) == ("negative", "none", "")


def test_a_person_who_only_serves_or_cooks_gets_no_questions_about_clients() -> None:
    assert asked(form(NAME).run(story("cocina_libre")), NAME, "g_clientes") == set()


@pytest.mark.parametrize("gains", PROFIT_OF_ANOTHER)
@pytest.mark.parametrize("means", MEANS)
def test_any_means_with_any_profit_or_control_of_another_person_is_positive(
    means: dict[str, Answer], gains: dict[str, Answer]
) -> None:
    filled = form(NAME).drop_irrelevant({**story("cocina_libre"), **OF_HER_OWN, **means, **gains})
    assert came(filled) == ("positive", "T2", "protection")


@pytest.mark.parametrize("means", MEANS)
def test_an_open_question_about_another_persons_profit_leads_to_a_review(means: dict[str, Answer]) -> None:
    for silence in ({"clientes": ["no_answer"]}, {**OF_HER_OWN, "cobra": "does_not_know"}, {**OF_HER_OWN, "cobra": ""}):
        answers = {**story("cocina_libre"), **means, **silence}
        assert came(form(NAME).drop_irrelevant(answers)) == ("review", "T4", "review")


def test_without_profit_recruitment_or_captivity_the_list_gives_no_positive() -> None:
    draws, seen = random.Random("A-S"), set()
    free: dict[str, Answer] = {"documento": ["none"], "salir": ["none"], "encierro": ["none"], "deuda": "no"}
    chosen: dict[str, Answer] = {**OF_HER_OWN, **free, "recluta": "no", "golpes": ["here"], "amenaza": ["here"]}
    chosen |= {
        "a_fuerza": "no",
        "entrega": "no",
        "denuncia": ["here"],
        "contar": ["here"],
        "familia": ["here"],
        "dinero": ["here"],
    }
    for _ in range(150):
        answers: dict[str, Answer] = {**story("cocina_libre"), **chosen}
        for node in form(NAME).questions:
            codes = [code for code in node.choices if code != "none"]
            if codes and node.name in within(NAME, "g_adulto") and node.name not in chosen:
                answers[node.name] = draws.sample(codes, 2) if node.type == "select_multiple" else draws.choice(codes)
        seen.add(form(NAME).drop_irrelevant(answers).values["outcome"])
    assert seen == {"review"}


def test_the_reasons_for_a_desk_name_the_profit_and_the_unverified_list() -> None:
    positive = explain_screening(compiled(NAME), form(NAME).run(story("enganiada_y_amenazada")))
    assert any(line.startswith("Otra persona manda o gana con esto: P.01") for line in positive.why)
    alone = explain_screening(compiled(NAME), form(NAME).run(story("solo_la_lista")))
    assert "La lista A-S no está verificada" in alone.why[1]
