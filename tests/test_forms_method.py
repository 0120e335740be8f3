"""A form of persons for the field holds the method: danger, gate, consent, age, referral, and no accusing question."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import screening_forms.checks
from screening_forms.checks.coverage import newest_table
from screening_forms.checks.method import instead_of_accusing, is_question, questions_in
from screening_forms.compiler.compile_form import check_and_compile, compile_form
from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook.reader import SHEETS, Workbook, parse_markdown
from screening_forms.workbook.resources import BUILT_IN
from support.author_edits import LABEL, blocks, of_code, problems, with_cell_at, with_cells, with_row, without
from support.catalogue import book
from support.forms import CATALOGUE_FORMS, SMALL, WHOLE
from sync.envelope.route import AUTHOR_FIELDS

FORM = parse_markdown(WHOLE)
PERSONS = ("pe_laboral_adulto", "pe_nna", "pe_sexual_adulto", "pe_trabajo_forzoso")
HINT = "hint::Español (es)"


def codes(form: Workbook) -> set[str]:
    return {found.code for found in problems(form)}


def place(found: FormProblem) -> tuple[str, int, str]:
    return found.sheet, found.row, found.column


def changed(*pairs: tuple[str, str]) -> Workbook:
    text = WHOLE
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_markdown(text)


def advised(found: FormProblem, words: str = "escriba en relevant ") -> str:
    """What the advice tells the author to write."""
    return found.advice_es.rpartition(words)[2]


# The whole form, and one that reaches too little.


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_every_form_of_the_catalogue_holds_the_method(name: str) -> None:
    assert not [found for found in problems(book(name)) if blocks(book(name), found.code, "field")]


def test_a_form_that_holds_the_method_compiles_for_the_field() -> None:
    found, form = check_and_compile(FORM, channel="field", route_vocabulary=AUTHOR_FIELDS)
    assert found == []
    assert form is not None


ONE_OF_SEVENTY = """
| survey | type | name | label | constraint |
| | integer | horas | ¿Cuántas horas trabaja? | . >= 0 and . <= 24 |
| | begin_group | score | Fin | |
| | end_group | | | |
| settings | form_id | form_title | version | default_language | indicator_set | policy | profile |
| | uno | Uno | 1 | Español (es) | ilo_delphi_2026_1 | pe_adult_2026_2 | adult_labour |
| indicators | code | when |
| | D4.01 | ${horas} > 12 |
| cases | case | outcome | horas |
| | Poco | negative | 8 |
"""


def test_a_form_that_reaches_one_of_seventy_indicators_is_not_for_the_field() -> None:
    form = parse_markdown(ONE_OF_SEVENTY)
    assert codes(form) == {
        *("indicator.unreached", "fact.missing", "policy.guidance_missing"),
        *("method.no_consent", "method.no_age", "method.no_referral_consent"),
    }
    with pytest.raises(FormError) as refused:
        compile_form(form, channel="field", route_vocabulary=AUTHOR_FIELDS)
    assert {found.code for found in refused.value.problems} == codes(form)
    assert compile_form(form, channel="training", route_vocabulary=AUTHOR_FIELDS)
    assert {each.advice_es.split("»")[0] for each in of_code(form, "fact.missing")} == {
        f"falta la fila «{fact}" for fact in ("minor", "danger", "consent", "place")
    }


def test_indicators_left_out_on_purpose_are_no_leave_to_call_everybody_negative() -> None:
    text = ONE_OF_SEVENTY.replace("| profile |", "| profile | unreached_on_purpose |")
    form = parse_markdown(text.replace("| adult_labour |", "| adult_labour | yes |"))
    (found,) = of_code(form, "indicator.dimension_unreached")
    assert "D1, D2, D5, D3, D6" in found.advice_es.replace("D4, ", "")
    assert place(found) == ("indicators", 0, "code")
    assert blocks(form, found.code, "field")
    assert not blocks(form, found.code, "training")
    children = parse_markdown(text.replace("pe_adult_2026_2", "pe_child_2026_2"))
    assert of_code(children, "indicator.dimension_unreached") == [], "this policy never says negative"


@pytest.mark.parametrize("code", ["D3.01", "D4.04", "D6.02"])
def test_a_dimension_that_loses_its_last_way_to_be_positive_is_named(code: str) -> None:
    (found,) = of_code(without(FORM, "indicators", code), "indicator.dimension_unreached")
    assert f"nadie sale positivo en {code.split('.')[0]}," in found.advice_es


ADULT, LOCAL = book("pe_laboral_adulto"), book("pe_trabajo_forzoso")


@pytest.mark.parametrize(
    ("form", "codes_left_out"),
    [
        (FORM, ("D5.03", "N.01")),
        (ADULT, ("D5.04", "X.01")),
        (ADULT, ("D5.07",)),
        (LOCAL, ("F2.10", "N.01")),
        (book("pe_sexual_adulto"), ("D5.06", "X.03")),
    ],
)
def test_no_form_that_can_acquit_leaves_out_a_sign_that_may_be_enough(
    form: Workbook, codes_left_out: tuple[str, ...]
) -> None:
    form = replace(form, settings={**form.settings, "unreached_on_purpose": "yes"})
    assert of_code(form, "indicator.essential") == []
    (found,) = of_code(without(form, "indicators", *codes_left_out), "indicator.essential")
    listed = found.advice_es.removeprefix("faltan ").partition(":")[0]
    assert set(listed.split(", ")) == set(codes_left_out)
    assert blocks(without(form, "indicators", *codes_left_out), found.code, "field")


def test_a_form_for_children_may_leave_signs_out_because_its_policy_acquits_no_one() -> None:
    assert of_code(book("pe_nna"), "indicator.essential") == []
    assert len(book("pe_nna").indicators) < 40


@pytest.mark.parametrize(
    "whens",
    [
        ("${estudio}='yes' and ${sin_parar}='yes'",),
        ("${estudio}='yes' and ${sin_parar}='yes'", "(${sin_parar}='yes') and ${estudio}='yes'"),
    ],
)
def test_two_questions_cannot_stand_for_every_indicator(whens: tuple[str, ...]) -> None:
    form = ADULT
    for number, row in enumerate(row for row in ADULT.indicators if row.get("code").startswith("D")):
        form = with_cells(form, "indicators", row.get("code"), {"when": whens[number % len(whens)]})
    (found,) = of_code(form, "indicator.alike")
    assert "D1.01, D1.02" in found.advice_es
    assert found.column == "when"
    assert blocks(form, found.code, "field")
    assert not blocks(form, found.code, "training")


def test_four_indicators_with_one_condition_are_too_many_and_three_are_not() -> None:
    when = {"when": "${oferta}='yes' and ${atado}='yes'"}
    form = FORM
    for code in ("D5.01", "D5.03", "D5.04"):
        form = with_cells(form, "indicators", code, when)
    assert of_code(form, "indicator.alike") == []
    assert len(of_code(with_cells(form, "indicators", "D5.07", when), "indicator.alike")) == 1


@pytest.mark.parametrize(
    ("setting", "former", "newest"),
    [
        ("policy", "pe_adult_2026_1", "pe_adult_2026_2"),
        ("policy", "pe_child_2026_1", "pe_child_2026_2"),
        ("indicator_set", "ilo_delphi_2009", "ilo_delphi_2026_1"),
        ("indicator_set", "pe_sexual_2026_1", "pe_sexual_2026_2"),
    ],
)
def test_a_corrected_table_is_not_used_in_its_old_version(setting: str, former: str, newest: str) -> None:
    form = replace(ADULT, settings={**ADULT.settings, setting: former})
    code = {"policy": "policy.superseded", "indicator_set": "indicator_set.superseded"}[setting]
    (found,) = of_code(form, code)
    assert (place(found), advised(found, f"escriba en {setting} ")) == (("settings", 2, setting), newest)
    assert blocks(form, code, "field")
    assert not blocks(form, code, "training")
    assert of_code(replace(ADULT, settings={**ADULT.settings, setting: newest}), code) == []


def test_an_office_s_own_table_has_no_successor_in_this_release() -> None:
    assert newest_table("pe_adult_2031_1", BUILT_IN.policies) == ""
    assert newest_table("own_2026_1", BUILT_IN.policies) == ""
    assert newest_table("own", {"own_2026_1", "own"}) == ""
    assert newest_table("own_2026_9", {"own_2026_10", "own_2026_9", "own_b_2027_1"}) == "own_2026_10"


# Consent.


def test_a_form_without_consent_to_the_interview_is_named_once() -> None:
    for form in (
        changed(("select_one consent | permiso", "select_one yn | permiso")),
        changed(("¿Quiere hablar?", "¿Habla castellano?")),
        without(FORM, "survey", "permiso"),
    ):
        (found,) = of_code(form, "method.no_consent")
        assert place(found) == ("survey", 0, "name")
        assert "¿Quiere conversar conmigo?" in found.advice_es
        assert "method.before_consent" not in codes(form)
        assert blocks(form, "method.no_consent", "field")
        assert not blocks(form, "method.no_consent", "training")


def test_a_question_that_counts_and_is_asked_without_the_consent_is_put_right() -> None:
    form = changed(("${permiso}='yes' and (${edad}='18_29' or ${edad}='30_59')", "${edad}='18_29' or ${edad}='30_59'"))
    found = of_code(form, "method.before_consent")
    assert [place(each) for each in found] == [("survey", 9, "relevant")], "once, at the group"
    assert advised(found[0]) == "(${edad}='18_29' or ${edad}='30_59') and ${permiso}='yes'"
    assert of_code(with_cell_at(form, found[0], advised(found[0])), "method.before_consent") == []


def test_one_question_outside_the_group_of_the_interview_is_put_right() -> None:
    asked = {"type": "select_one ynd", "name": "golpes", LABEL: "¿Le han pegado aquí?"}
    form = with_row(FORM, "survey", "edad", asked)
    form = with_row(form, "indicators", "D5.02", {"code": "D5.04", "when": "${golpes}='yes'"})
    (found,) = of_code(form, "method.before_consent")
    assert place(found) == ("survey", 9, "relevant")
    assert of_code(with_cell_at(form, found, advised(found)), "method.before_consent") == []
    observed = with_cells(form, "survey", "golpes", {HINT: "No lea en voz alta. Marque lo que ve."})
    assert of_code(observed, "method.before_consent") == [], "the interviewer only looks"


def test_a_refusal_that_leads_into_the_interview_is_no_consent() -> None:
    wrong = changed(("${permiso}='yes' and (${edad}", "${permiso}!='no' and (${edad}"))
    assert of_code(wrong, "method.before_consent")


# The gate.


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("a_solas", "si están a solas"),
        ("privado", "que nadie más oiga"),
        ("seguro", "si es seguro"),
        ("interprete", "quién traduce"),
    ],
)
def test_each_question_of_the_gate_is_missed_and_its_no_must_stop(name: str, topic: str) -> None:
    gate = "${a_solas}='yes' and ${privado}='yes' and ${seguro}='yes' and ${interprete}='yes'"
    rest = " and ".join(part for part in gate.split(" and ") if name not in part)
    opened = changed((gate, rest))
    (found,) = of_code(opened, "method.gate_open")
    assert (place(found), found.advice_es.startswith(f"ninguna respuesta a «{name}»")) == (
        ("survey", 7, "relevant"),
        True,
    )
    assert advised(found) == f"({rest}) and ${{{name}}}='yes'"
    assert problems(with_cell_at(opened, found, advised(found))) == []
    (gone,) = of_code(without(opened, "survey", name), "method.no_gate")
    assert place(gone) == ("survey", 7, "name")
    assert topic in gone.advice_es
    assert "que un «no» detenga la entrevista" in gone.advice_es
    assert blocks(without(opened, "survey", name), "method.no_gate", "field")


def test_a_gate_that_may_be_skipped_is_open() -> None:
    form = changed(
        ("¿Es seguro hablar ahora? | ${peligro}='no' | yes |", "¿Es seguro hablar ahora? | ${peligro}='no' | |")
    )
    assert of_code(form, "method.gate_open") == [], "a blank does not lead to the consent"
    skipped = with_cells(
        form,
        "survey",
        "permiso",
        {"relevant": "${a_solas}='yes' and ${privado}='yes' and ${seguro}!='no' and ${interprete}='yes'"},
    )
    assert of_code(skipped, "method.gate_open")


GOOD_INTERPRETERS = "(${interprete}='none_needed' or ${interprete}='independent')"


@pytest.mark.parametrize(
    "loose",
    [
        "${interprete}!='none_found'",
        "${interprete}!='none_found' and ${interprete}!='related'",
        "(${interprete}='none_needed' or ${interprete}='independent' or ${interprete}='related')",
        "not(${interprete}='none_found')",
    ],
)
@pytest.mark.parametrize("name", ["pe_laboral_adulto", "pe_sexual_adulto"])
def test_an_interpreter_of_the_boss_is_not_let_in(name: str, loose: str) -> None:
    before = next(row.get("relevant") for row in book(name).survey if row.get("name") == "g_permiso")
    assert GOOD_INTERPRETERS in before
    form = with_cells(book(name), "survey", "g_permiso", {"relevant": before.replace(GOOD_INTERPRETERS, loose)})
    (found,) = of_code(form, "method.gate_lets_in")
    assert found.column == "relevant"
    assert blocks(form, found.code, "field")
    assert not blocks(form, found.code, "training")
    assert advised(found).endswith(f" and {GOOD_INTERPRETERS}")
    assert of_code(with_cell_at(form, found, advised(found)), "method.gate_lets_in") == []


def test_a_doubt_whether_it_is_safe_does_not_open_the_gate() -> None:
    form = changed(("| | select_one yn | seguro |", "| | select_one ynd | seguro |"))
    assert of_code(form, "method.gate_lets_in") == []
    form = with_cells(
        form, "survey", "permiso", {"relevant": _gate_of(form).replace("${seguro}='yes'", "${seguro}!='no'")}
    )
    (found,) = of_code(form, "method.gate_lets_in")
    assert advised(found).endswith(" and (${seguro}='yes')")
    assert of_code(with_cell_at(form, found, advised(found)), "method.gate_lets_in") == []


def _gate_of(form: Workbook) -> str:
    return next(row.get("relevant") for row in form.survey if row.get("name") == "permiso")


def test_one_more_answer_that_names_the_family_is_not_let_in() -> None:
    row = {"list_name": "interpreter", "name": "aunt", LABEL: "Sí, una parienta"}
    form = with_row(ADULT, "choices", "related", row)
    before = next(row.get("relevant") for row in form.survey if row.get("name") == "g_permiso")
    loose = before.replace("${interprete}='independent'", "${interprete}='independent' or ${interprete}='aunt'")
    assert len(of_code(with_cells(form, "survey", "g_permiso", {"relevant": loose}), "method.gate_lets_in")) == 1
    assert of_code(form, "method.gate_lets_in") == []


def test_names_of_questions_and_the_way_to_write_the_gate_are_free() -> None:
    for old, new in (
        ("a_solas", "p1"),
        ("privado", "p2"),
        ("seguro", "p3"),
        ("interprete", "p4"),
        ("permiso", "acepta"),
    ):
        text = re.sub(rf"(?<=\| ){old}(?= \|)|(?<={{){old}(?=}})", new, WHOLE)
        assert text != WHOLE
        assert problems(parse_markdown(text)) == [], new
    gate = "${a_solas}='yes' and ${privado}='yes' and ${seguro}='yes' and ${interprete}='yes'"
    negated = changed((gate, "not(${a_solas}!='yes' or ${privado}!='yes') and ${seguro}='yes' and ${interprete}='yes'"))
    assert problems(negated) == []
    text = WHOLE.replace("| route | reason |", "| route | reason | calculation |")
    counted = f"| | calculate | puede | | | | | | | | if({gate}, 'si', 'no') |\n| | select_one consent | permiso"
    text = text.replace("| | select_one consent | permiso", counted).replace(f"| {gate} |", "| ${puede}='si' |")
    assert problems(parse_markdown(text)) == []


def test_a_question_before_the_gate_is_named_unless_only_the_interviewer_sees_it() -> None:
    asked = {"type": "select_one ynd", "name": "trabajo", LABEL: "¿Le gusta su trabajo aquí?"}
    form = with_row(FORM, "survey", "peligro", asked)
    (found,) = of_code(form, "method.before_gate")
    assert place(found) == ("survey", 3, "name")
    assert blocks(form, found.code, "field")
    silent = with_cells(form, "survey", "trabajo", {HINT: "No lea en voz alta."})
    assert "method.before_gate" not in codes(silent)


# Danger, age, referral.


def test_danger_is_asked_first_and_of_everybody() -> None:
    row = next(row for row in FORM.survey if row.get("name") == "peligro")
    others = tuple(replace(each, number=each.number - 1) for each in FORM.survey if 2 < each.number < 8)
    late = replace(FORM, survey=(*others, replace(row, number=7), *FORM.survey[6:]))
    (found,) = of_code(late, "method.danger_late")
    assert place(found) == ("survey", 7, "name")
    conditional = with_cells(FORM, "survey", "peligro", {"relevant": "${consent_policy}='person_decides'"})
    (found,) = of_code(conditional, "method.danger_late")
    assert place(found) == ("survey", 2, "relevant")
    assert of_code(with_cell_at(conditional, found, ""), "method.danger_late") == []


def test_danger_stops_the_interview() -> None:
    form = parse_markdown(WHOLE.replace("| ${peligro}='no' |", "| |"))
    (found,) = of_code(form, "method.gate_open")
    assert found.advice_es.startswith("ninguna respuesta a «peligro»")
    assert of_code(with_cell_at(form, found, advised(found)), "method.gate_open") == []


def test_danger_may_be_asked_in_two_questions_and_again_at_the_end() -> None:
    second = {"type": "select_one yn", "name": "peligro_suyo", LABEL: "¿Y para usted?", "relevant": "${peligro}='no'"}
    form = with_row(FORM, "survey", "peligro", {**second, "required": "yes"})
    form = with_cells(form, "indicators", "danger", {"when": "${peligro}='yes' or ${peligro_suyo}='yes'"})
    assert problems(form) == []


def test_a_doubt_about_age_counts_as_a_child() -> None:
    doubt = {"list_name": "age", "name": "in_doubt", LABEL: "No está claro"}
    form = with_row(FORM, "choices", "14_17", doubt)
    (found,) = of_code(form, "method.age_in_doubt")
    assert place(found) == ("indicators", 2, "when")
    assert "in_doubt" in found.advice_es
    assert of_code(with_cell_at(form, found, advised(found, "escriba en when ")), "method.age_in_doubt") == []
    optional = with_cells(FORM, "survey", "edad", {"required": ""})
    (blank,) = of_code(optional, "method.age_in_doubt")
    assert advised(blank, "escriba en when ") == "${edad}='14_17' or ${edad}=''"
    assert of_code(with_cell_at(optional, blank, "${edad}='14_17' or ${edad}=''"), "method.age_in_doubt") == []


def test_a_form_of_persons_asks_the_age_for_the_route() -> None:
    form = with_cells(FORM, "survey", "edad", {"route": ""})
    (found,) = of_code(form, "method.no_age")
    assert blocks(form, found.code, "field")
    assert "age_band" in found.advice_es


@pytest.mark.parametrize(
    ("scored", "lost"),
    [
        ("${permiso}='yes'", ["peligro", "edad"]),
        ("${permiso}='yes' or ${edad}='14_17'", ["peligro"]),
        ("${permiso}='yes' or ${peligro}='yes'", ["edad"]),
        ("(${permiso}='yes' or ${edad}='14_17') and ${peligro}!='yes'", ["peligro", "edad"]),
    ],
)
def test_a_child_and_a_person_in_danger_always_get_a_result(scored: str, lost: list[str]) -> None:
    form = changed(("${permiso}='yes' or ${peligro}='yes' or ${edad}='14_17'", scored))
    (found,) = of_code(form, "method.not_scored")
    row = next(row for row in form.survey if row.get("name") == "score")
    assert place(found) == ("survey", row.number, "relevant")
    assert [name for name in ("peligro", "edad") if f"${{{name}}}=" in found.advice_es.partition("puede")[0]] == lost
    assert of_code(with_cell_at(form, found, advised(found)), "method.not_scored") == []
    assert blocks(form, found.code, "field")


def test_a_result_for_everybody_needs_no_condition() -> None:
    form = with_cells(FORM, "survey", "score", {"relevant": ""})
    assert problems(form) == []


def test_consent_to_a_referral_is_a_question_of_its_own() -> None:
    for form in (
        with_cells(FORM, "survey", "deriva", {"route": ""}),
        with_cells(with_cells(FORM, "survey", "deriva", {"route": ""}), "survey", "permiso", {"route": "consent"}),
        with_cells(FORM, "survey", "deriva", {"type": "select_one yn"}),
    ):
        (found,) = of_code(form, "method.no_referral_consent")
        assert place(found) == ("survey", 0, "route")
        assert blocks(form, found.code, "field")


@pytest.mark.parametrize(
    "when", ["${deriva}='yes' or ${deriva}=''", "${deriva}='yes' or ${deriva}='no_answer'", "${permiso}='yes'"]
)
def test_silence_is_no_consent_to_a_referral(when: str) -> None:
    form = with_cells(FORM, "indicators", "consent", {"when": when})
    (found,) = of_code(form, "method.consent_assumed")
    assert place(found) == ("indicators", 4, "when")
    assert advised(found, "escriba en when ") == "${deriva}='yes'"
    assert of_code(with_cell_at(form, found, "${deriva}='yes'"), "method.consent_assumed") == []


def test_guidance_that_the_policy_chooses_is_there_and_can_be_shown() -> None:
    gone = without(FORM, "survey", "guidance_duty")
    (found,) = of_code(gone, "policy.guidance_missing")
    assert "guidance_duty" in found.advice_es
    assert blocks(gone, found.code, "field")
    assert not blocks(gone, found.code, "training")
    hidden = with_cells(
        FORM, "survey", "guidance_duty", {"relevant": "${a_salvo}='OK' and ${guidance}='guidance_child'"}
    )
    (found,) = of_code(hidden, "policy.guidance_hidden")
    assert (found.column, blocks(hidden, found.code, "field")) == ("relevant", True)
    better = found.advice_es.partition("escriba en relevant ")[2].partition(",")[0]
    assert problems(with_cell_at(hidden, found, better)) == []


# A place.


def test_a_form_about_a_place_needs_no_consent_until_it_asks_a_person_something() -> None:
    place_form = book("pe_sitio")
    assert problems(place_form) == []
    age = {"type": "select_one people", "name": "edad", LABEL: "¿Qué edad tiene usted?", "route": "age_band"}
    assert "method.no_consent" in codes(with_row(place_form, "survey", "sector", age))
    asked = with_cells(place_form, "indicators", "consent", {"when": "${armas}='no'"})
    assert "method.no_consent" in codes(asked), "consent is not assumed any more: there is someone to ask"


@pytest.mark.parametrize("name", PERSONS)
def test_a_form_of_persons_does_not_become_one_about_a_place_by_assuming_consent(name: str) -> None:
    always = "${peligro}='yes' or ${peligro}='no' or ${peligro}=''"
    form = with_cells(book(name), "indicators", "consent", {"when": always})
    consent = next(row.get("name") for row in form.survey if row.get("type") == "select_one consent")
    assert "method.no_consent" in codes(
        with_cells(form, "survey", consent, {"type": "select_one yes_no_na", LABEL: "¿Sí?"})
    )


# Words.

ACCUSING = (
    "¿Es usted víctima de trata?",
    "¿ES USTED UNA VICTIMA?",
    "Usted, ¿fue víctima de explotación?",
    "¿Se considera víctima?",
    "¿Eres una prostituta?",
    "¿Es prostituta?",
    "¿Trabaja aquí o se prostituye?",
    "¿Por qué no se fue?",
    "¿Por qué usted no se escapó?",
    "¿Y por qué no denunció?",
    "¿Por qué no pidió ayuda antes?",
    "¿Por qué no le dijo que no?",
    "¿Por qué aceptó ese trabajo?",
    "¿Por qué se dejó pegar?",
    "¿Es verdad que le encerraron?",
    "¿Es cierto que usted debe dinero?",
    "¿Está segura de que le quitaron el documento?",
    "¿De verdad le pegaron?",
    "¿Me está diciendo la verdad?",
    "¿Por qué miente?",
    "¿Qué nos oculta?",
    "¿Reconoce usted que vino por su voluntad?",
    "¿No es su culpa?",
    "¿Qué hizo para que le pegaran?",
    "¿Cómo iba vestida?",
    "¿No le pareció raro?",
    "¿Sabía que eso era ilegal?",
    "¿La han tratado como esclava?",
    "¿Trabaja usted de prostituta?",
    "¿Por qué se quedó?",
    "¿Por qué sigue trabajando aquí?",
    "¿Por qué nunca se escapó?",
    "¿Por qué no intentó escapar?",
    "¿Por qué no ha pedido ayuda?",
    "¿Usted provocó al jefe?",
    "¿Está usted aquí sin papeles, como ilegal?",
    "¿Por qué vino aquí si sabía lo que era?",
    "¿Usted sabía a qué venía?",
    "¿Se arrepiente de haber venido?",
    "¿Por qué no se va?",
    "¿Cree que es víctima de trata?",
    "¿Por qué todavía no se ha ido?",
    "¿Por qué jamás denunció?",
    "¿Por qué tampoco avisó a nadie?",
    "¿Por qué no ha querido irse?",
    "¿Por qué nunca lo ha denunciado?",
    "¿Por qué te quedas con él?",
    "¿La tienen como una esclava?",
    "¿Vive aquí como indocumentado?",
    "¿Por qué no se ha escapado?",
    "¿Por qué no trató de huir?",
    "¿Por qué no quiso salir?",
    "¿Por qué no buscó auxilio?",
    "¿Provocaste a tu jefe?",
    "¿La usan de puta?",
    "¿Por qué continúa aquí?",
    "¿Por qué no huyó?",
    "¿Por qué no dejó el trabajo?",
    "¿Por qué no salió de ahí?",
)
HARMLESS = (
    "¿Quién tiene hoy su DNI? ¿Se lo da cuando lo pide?",
    "¿Por qué no puede dejarlo?",
    "¿Puede dejar este trabajo cuando quiera?",
    "¿Le dijo algo de esto, y no era verdad?",
    "¿Qué resultó distinto de lo que le prometieron?",
    "¿Este trabajo le da seguro?",
    "¿Tiene un seguro que le pague el hospital?",
    "¿Se siente segura en el lugar donde duerme?",
    "¿Está seguro aquí?",
    "¿Le gustaría estudiar?",
    "¿Ha visto a otras personas que no pueden salir?",
    "¿Alguien le ha dicho que le acusarían con la policía?",
    "¿Le echaron la culpa de algo que se perdió?",
    "¿Cuánto paga un cliente por su compañía?",
    "¿Qué le toca hacer aquí con los clientes?",
    "¿Fue usted a la escuela?",
    "¿Es usted mujer, hombre u otro?",
    "¿Es usted de aquí?",
    "¿Aceptó usted ese adelanto por escrito?",
    "¿Cómo empezó a trabajar aquí?",
    "¿Qué pasa si un día no quiere trabajar?",
    "¿A quién puede pedir ayuda aquí?",
    "¿Alguien le ha golpeado o lastimado?",
    "¿Por qué motivo le descuentan?",
    "¿Por qué no le pagaron?",
    "¿Por qué no le devuelven su documento?",
    "¿Le dejan salir? Si no, ¿por qué?",
    "¿Está diciendo que le deben tres meses?",
    "¿Por qué no puede irse?",
    "¿Por qué no puede salir?",
    "¿Por qué no le dejan salir?",
    "¿Por qué le siguen cobrando?",
    "¿Por qué no le dejan pedir ayuda?",
    "¿Por qué sigue debiendo dinero?",
    "¿Le han dicho que la denunciarían por ilegal?",
    "¿Quién le dice cuándo puede salir?",
    "¿Alguien provocó un incendio en el campamento?",
    "¿Trabaja de noche?",
    "¿Cómo la tratan?",
    "¿El trabajo es de una empresa?",
    "¿Por qué no hay agua?",
    "¿La mina es ilegal?",
    "¿Le hacen descuentos ilegales?",
    "¿Por qué no la llevaron al hospital?",
    "¿Le cobraron un pago ilegal?",
    "¿Por qué no va a la escuela?",
    "¿Por qué no fue a la posta?",
    "¿Por qué vino el jefe?",
    "¿Por qué no salió el bus?",
    "¿Por qué sigue cobrando la tienda?",
    "¿Es legal su contrato?",
)


@pytest.mark.parametrize("text", ACCUSING)
def test_an_accusing_question_is_named_with_a_better_one(text: str) -> None:
    form = with_cells(FORM, "survey", "deuda", {LABEL: text})
    (found,) = of_code(form, "method.accusing")
    assert place(found)[2] == LABEL
    assert blocks(form, found.code, "field")
    assert not blocks(form, found.code, "training")
    better = found.advice_es.rpartition("por ejemplo «")[2].removesuffix("»")
    assert of_code(with_cell_at(form, found, better), "method.accusing") == []


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_question_is_not_called_accusing(text: str) -> None:
    assert instead_of_accusing([text, *questions_in(text)]) == ""


def test_an_accusing_question_in_a_note_or_a_hint_is_named_and_a_statement_is_not() -> None:
    hint = with_cells(FORM, "survey", "deuda", {HINT: "Si duda, insista: ¿por qué no se fue?"})
    assert [place(found)[2] for found in of_code(hint, "method.accusing")] == [HINT]
    note = with_cells(FORM, "survey", "guidance_none", {LABEL: "Nunca pregunte si es víctima de trata. Agradezca."})
    assert "method.accusing" not in codes(note)


def test_accents_and_capital_letters_hide_no_accusing_question() -> None:
    for text in ("¿Por que no se fue?", "¿POR QUÉ NO SE FUÉ?", "Por qué  no se fue"):
        assert instead_of_accusing([text])


@given(st.text())
def test_no_text_breaks_the_search_for_accusing_questions(text: str) -> None:
    assert isinstance(instead_of_accusing([text, *questions_in(text)]), str)


def test_neither_the_better_questions_nor_the_catalogue_accuse() -> None:
    file = Path(screening_forms.checks.__file__).with_name("accusing_questions.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8", newline="")))
    assert len(rows) >= 15
    assert [row["instead_es"] for row in rows if instead_of_accusing([row["instead_es"]])] == []
    texts = [row.get(LABEL) for name in CATALOGUE_FORMS for row in book(name).survey if is_question(row)]
    assert len(texts) > 150
    assert [text for text in texts if instead_of_accusing([text, *questions_in(text)])] == []


def test_the_small_form_may_be_tried_but_not_published_for_the_field() -> None:
    small = parse_markdown(SMALL)
    assert compile_form(small, channel="training", route_vocabulary=AUTHOR_FIELDS)
    with pytest.raises(FormError, match=r"method\.no_gate"):
        compile_form(small, channel="field", route_vocabulary=AUTHOR_FIELDS)


# Files that are not what they seem.

CELLS = sorted(set(re.findall(r"(?<=\| )[^|\n]+(?= \|)", WHOLE)) - {*SHEETS})
STRANGE = ("", "(", "${", "${}", "select_one", "end_group", "'", "\\", "1", "calculate", "${peligro}", "${deriva}='x'")


@given(st.sampled_from(CELLS), st.sampled_from([*CELLS, *STRANGE]))
def test_strange_cells_give_problems_and_never_break_the_checks(old: str, new: str) -> None:
    try:
        found = problems(parse_markdown(WHOLE.replace(f"| {old} |", f"| {new} |")))
    except FormError as error:
        found = error.problems
    assert all(each.advice_es and each.advice_en for each in found)


def long_form(row: Callable[[int], str]) -> Workbook:
    rows = "\n".join(row(number) for number in range(600))
    text = WHOLE.replace("| route | reason |", "| route | reason | calculation |")
    return parse_markdown(text.replace("| | select_one region | region", f"{rows}\n| | select_one region | region", 1))


@pytest.mark.parametrize(
    "row",
    [
        "| | select_one ynd | q{n} | ¿Y? | ${{q{after}}}='yes' | | | | | | |",
        "| | select_one ynd | q{n} | ¿Y? | ${{q{before}}}='yes' | | | | | | |",
        "| | calculate | q{n} | | | | | | | | if(${{q{before}}} = 'a', ${{q{after}}}, ${{q{n}}}) |",
        "| | select_one place | q{n} | ¿Y? | | yes | | region=${{q{before}}} or region=${{q{twice}}} | | | |",
    ],
)
def test_a_long_chain_of_conditions_does_not_stop_the_checks(row: str) -> None:
    form = long_form(lambda n: row.format(n=n, after=n + 1, before=n - 1, twice=n - 2))
    assert {"reference.unknown"} <= codes(form)
