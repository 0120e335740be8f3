"""What the talk in bars and lodgings promises beside what every talk with an adult does."""

import random

import pytest

from screening_forms.checks.cases import case_answers
from screening_forms.engine.evaluator import Answer
from screening_forms.scoring.assessment import explain_screening
from support.catalogue import asked, book, came, compiled, form, within

NAME = "pe_sexual_adulto"
OF_HER_OWN: dict[str, Answer] = {"clientes": ["drink", "alone"], "cobra": "mine", "manda_cli": ["none"]}
SOMEBODY_GAINS: list[dict[str, Answer]] = [
    {"cobra": "part"},
    {"cobra": "other"},
    *({"manda_cli": [code]} for code in ("price", "what", "find", "quota", "fine", "photos")),
]
HELD: list[dict[str, Answer]] = [
    {"recluta": "yes", "promesa": "yes", "falso_trab": ["job", "pay"]},
    {"golpes": ["before"], "amenaza": ["before"]},
    {"recluta": "yes", "usa_pena": ["money", "past", "family_care"]},
    {"documento": ["here"], "dinero": ["here"]},
    {"usa_aqui": ["money", "papers", "family"]},
]


def story(case: str) -> dict[str, Answer]:
    row = next(row for row in book(NAME).cases if row.get("case") == case)
    return dict(case_answers(book(NAME), row))


def test_to_work_with_clients_of_ones_own_will_is_no_sign_of_anything() -> None:
    assert came(form(NAME).drop_irrelevant({**story("cocina_libre"), **OF_HER_OWN})) == ("negative", "none", "")


def test_who_only_serves_or_cooks_is_not_asked_about_clients_or_their_money() -> None:
    assert asked(form(NAME).run(story("cocina_libre")), NAME, "g_clientes") == set()


@pytest.mark.parametrize("gains", SOMEBODY_GAINS)
@pytest.mark.parametrize("held", HELD)
def test_any_means_and_any_profit_or_control_of_somebody_else_is_positive(
    held: dict[str, Answer], gains: dict[str, Answer]
) -> None:
    filled = form(NAME).drop_irrelevant({**story("cocina_libre"), **OF_HER_OWN, **held, **gains})
    assert came(filled) == ("positive", "T2", "protection")


@pytest.mark.parametrize("held", HELD)
def test_whether_somebody_else_gains_left_unanswered_keeps_the_matter_open(held: dict[str, Answer]) -> None:
    for silence in ({"clientes": ["no_answer"]}, {**OF_HER_OWN, "cobra": "does_not_know"}, {**OF_HER_OWN, "cobra": ""}):
        answers = {**story("cocina_libre"), **held, **silence}
        assert came(form(NAME).drop_irrelevant(answers)) == ("review", "T4", "review")


def test_the_unverified_list_never_decides_without_the_profit_of_another_person() -> None:
    draws, seen = random.Random("A-S"), set()
    chosen: dict[str, Answer] = {**OF_HER_OWN, "recluta": "yes", "promesa": "yes"}
    for _ in range(150):
        answers: dict[str, Answer] = {**story("cocina_libre"), **chosen}
        for node in form(NAME).questions:
            codes = [code for code in node.choices if code != "none"]
            if codes and node.name in within(NAME, "g_adulto") and node.name not in chosen:
                answers[node.name] = draws.sample(codes, 2) if node.type == "select_multiple" else draws.choice(codes)
        seen.add(form(NAME).drop_irrelevant(answers).values["outcome"])
    assert seen == {"review"}


def test_the_desk_reads_who_gains_and_that_the_list_is_not_verified() -> None:
    held = explain_screening(compiled(NAME), form(NAME).run(story("enganiada_y_amenazada")))
    assert any(line.startswith("Otra persona manda o gana con esto: P.01") for line in held.why)
    alone = explain_screening(compiled(NAME), form(NAME).run(story("solo_la_lista")))
    assert "La lista A-S no está verificada" in alone.why[1]
