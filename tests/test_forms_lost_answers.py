"""Forms that look right and lose answers: each is stopped in its cell, and the advice, pasted, puts it right."""

from __future__ import annotations

import re

import pytest

from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import FormProblem
from screening_forms.workbook.reader import Workbook, parse_markdown
from support.author_edits import LABEL, blocks, cell_at, of_code, problems, with_cell_at, with_cells, with_row
from support.catalogue import book
from support.forms import CATALOGUE_FORMS, SMALL, WHOLE, compiled

SEVERAL = "expression.several_answers"
SELECTED = re.compile(r"selected\((\$\{\w+\}), ?('\w+')\)")


def corrected(form: Workbook, found: FormProblem) -> Workbook:
    """The form after its author put the advice of a problem with `=` in place of what it names."""
    wrong = found.advice_es.split("»: «")[0].removeprefix("«")
    text = re.sub(r"\s*([=!<>]+)\s*", r" \1 ", cell_at(form, found))
    assert text.count(wrong) == 1, (text, wrong)
    return with_cell_at(form, found, text.replace(wrong, found.advice_es.rpartition("escriba ")[2]))


def equals(form: Workbook, code: str) -> Workbook:
    """The form with `=` in place of `selected` in the condition of an indicator."""
    when = next(row for row in form.indicators if row.get("code") == code).get("when")
    return with_cells(form, "indicators", code, {"when": SELECTED.sub(r"\1=\2", when)})


@pytest.mark.parametrize("code", ["X.01", "X.02", "X.03", "D5.04"])
def test_an_indicator_that_a_second_answer_would_lose_is_stopped_in_its_row(code: str) -> None:
    wrong = equals(book("pe_nna"), code)
    (found,) = of_code(wrong, SEVERAL)
    row = next(row for row in wrong.indicators if row.get("code") == code)
    assert (found.sheet, found.row, found.column) == ("indicators", row.number, "when")
    assert blocks(wrong, SEVERAL)
    assert problems(corrected(wrong, found)) == []


def test_two_answers_to_one_question_really_lose_the_indicator() -> None:
    """The reason for the check, on the engine of the tablets."""
    form, indicator = compiled("small").xform, re.compile(r"""if\(selected\((\s*/data\S+mentira)\s*, 'job'\), 1""")
    assert len(indicator.findall(form)) == 1
    engine = load_engine(indicator.sub(r"if(\1 = 'job', 1", form))
    answers = {"peligro": "no", "permiso": "yes", "edad": "30_59", "oferta": "yes"}
    fired = {text: engine.drop_irrelevant({**answers, "mentira": text}).values["fired"] for text in ("job", "job pay")}
    assert "D1.01" in fired["job"]
    assert "D1.01" not in fired["job pay"]


def small(old: str, new: str) -> Workbook:
    assert SMALL.count(old) == 1, old
    return parse_markdown(SMALL.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "place", "better"),
    [
        (
            "selected(${mentira},'job') or selected(${mentira},'pay') |",
            "${mentira} != 'none' |",
            ("survey", 9, "relevant"),
            "not(selected(${mentira}, 'none'))",
        ),
        (
            "selected(${mentira},'job') or selected(${mentira},'pay') |",
            "'job' = (${mentira}) |",
            ("survey", 9, "relevant"),
            "selected(${mentira}, 'job')",
        ),
        (
            "selected(${mentira},'job') or selected(${mentira},'pay') |",
            "${mentira} > 1 |",
            ("survey", 9, "relevant"),
            "count-selected(${mentira}) > 1",
        ),
        (
            "not(selected(., 'none') and count-selected(.) > 1)",
            ". != 'none'",
            ("survey", 8, "constraint"),
            "not(selected(., 'none'))",
        ),
        (
            "region=${region} or region='all'",
            "region=${mentira} or region='all'",
            ("survey", 18, "choice_filter"),
            "selected(${mentira}, region)",
        ),
        (
            "| select_one ynd | deuda | ¿Tiene una deuda? | ${oferta}='yes' or ${oferta}='no' | |",
            "| select_one ynd | deuda | ¿Tiene una deuda? | ${oferta}='yes' | ${mentira} = 'pay' |",
            ("survey", 11, "required"),
            "selected(${mentira}, 'pay')",
        ),
        (
            "| D1.05 | selected(${mentira},'housing') |",
            "| D1.05 | ${mentira} != 'none' |",
            ("indicators", 8, "when"),
            "(selected(${mentira}, 'job') or selected(${mentira}, 'pay') or selected(${mentira}, 'housing'))",
        ),
        (
            "(${deuda}='yes' or selected(${mentira},'pay')) |",
            "(${deuda}='yes' or ${mentira}='pay') |",
            ("indicators", 12, "when"),
            "selected(${mentira}, 'pay')",
        ),
    ],
)
def test_one_value_is_never_compared_with_several_answers(
    old: str, new: str, place: tuple[str, int, str], better: str
) -> None:
    wrong = small(old, new)
    (found,) = of_code(wrong, SEVERAL)
    assert (found.sheet, found.row, found.column) == place
    assert found.advice_es.endswith(f"escriba {better}")
    assert found.advice_en.endswith(f"write {better}")
    assert "when.negation" not in {each.code for each in problems(wrong)}
    assert of_code(corrected(wrong, found), SEVERAL) == []
    assert not blocks(corrected(wrong, found), "expression.syntax")


def test_a_calculate_that_repeats_several_answers_is_no_way_around() -> None:
    rows = (
        "| | calculate | copia | | | | | | | ${mentira} |\n| | begin_group | score | Orientación | ${copia}='job' or "
    )
    text = SMALL.replace("choice_filter | route |", "choice_filter | route | calculation |", 1)
    wrong = parse_markdown(text.replace("| | begin_group | score | Orientación | ", rows))
    (found,) = of_code(wrong, SEVERAL)
    assert "selected(${copia}, 'job')" in found.advice_es


def test_a_code_that_is_no_choice_is_found_in_the_constraint_of_its_own_question() -> None:
    wrong = small(
        "not(selected(., 'none') and count-selected(.) > 1)", "not(selected(., 'non') and count-selected(.) > 1)"
    )
    (found,) = of_code(wrong, "reference.unknown_choice")
    assert (found.sheet, found.row, found.column) == ("survey", 8, "constraint")
    assert "¿quiso decir «none»?" in found.advice_es


def test_several_answers_may_be_compared_with_a_blank() -> None:
    assert (
        of_code(small("selected(${mentira},'job') or selected(${mentira},'pay') |", "${mentira} != '' |"), SEVERAL)
        == []
    )


def region(form: Workbook, was: str, now: str) -> Workbook:
    """The form after a spreadsheet changed a code in the column `region` of the choices."""
    for row in [row for row in form.choices if row.get("region") == was]:
        form = with_cells(form, "choices", row.get("name"), {"region": now})
    return form


@pytest.mark.parametrize(("was", "now"), [("08", "8"), ("04", "4"), ("17", "71"), ("21", "21.0")])
def test_a_code_that_a_spreadsheet_changed_is_named_with_the_right_one(was: str, now: str) -> None:
    wrong = region(book("pe_nna"), was, now)
    found = of_code(wrong, "choice.filter_value")
    first = next(row for row in wrong.choices if row.get("region") == now)
    assert (found[0].sheet, found[0].row, found[0].column) == ("choices", first.number, "region")
    assert all(each.advice_es.endswith(f"escriba {was}") for each in found)
    assert "choice.nothing_offered" not in {each.code for each in problems(wrong)}, "the cause alone"
    assert blocks(wrong, "choice.filter_value")
    assert problems(region(wrong, now, was)) == []


def test_every_row_that_a_spreadsheet_changed_is_named() -> None:
    wrong = region(book("pe_nna"), "08", "8")
    changed = {row.number for row in wrong.choices if row.get("region") == "8"}
    told = " ".join(re.search(r"\(([\d, -]+)\)", each.advice_es)[1] for each in of_code(wrong, "choice.filter_value"))  # type: ignore[index]
    spans = [span.split("-") for span in told.replace(",", "").split()]
    assert {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)} == changed


def test_an_answer_for_which_nothing_is_offered_is_named_at_the_question() -> None:
    last = book("pe_nna").choices[-1].get("name")
    wrong = with_row(book("pe_nna"), "choices", last, {"list_name": "region", "name": "99", LABEL: "Otra región"})
    (found,) = of_code(wrong, "choice.nothing_offered")
    assert (found.sheet, found.column) == ("survey", "choice_filter")
    assert "region = 99" in found.advice_es
    assert blocks(wrong, "choice.nothing_offered")
    district = {"list_name": "district", "name": "990000", LABEL: "Otro distrito", "region": "99"}
    assert of_code(with_row(wrong, "choices", last, district), "choice.nothing_offered") == []


CASCADE = """
| survey | type | name | label | relevant | required | choice_filter |
| | select_one region | region | ¿Región? | | yes | |
| | select_one province | provincia | ¿Provincia? | | yes | region=${region} |
| | select_one district | distrito | ¿Distrito? | RELEVANT | yes | region=${region} and province=${provincia} |
| | begin_group | score | Fin | | | |
| | end_group | | | | | |
| choices | list_name | name | label | region | province |
| | region | 08 | Cusco | | |
| | region | 17 | Madre de Dios | | |
| | province | 0801 | Cusco | 08 | |
| | province | 0812 | Quispicanchi | 08 | |
| | province | 1701 | Tambopata | 17 | |
| | district | 080101 | Cusco | 08 | 0801 |
| | district | 081203 | Camanti | 08 | 0812 |
| | district | 170102 | Inambari | 17 | 1701 |
| settings | form_id | form_title | version | default_language | indicator_set | policy | profile |
| | f | F | 1 | Español (es) | ilo_delphi_2009 | pe_adult_2026_1 | adult_labour |
"""
OFFERS = (
    *("choice.filter_value", "choice.filter_blank", "choice.never_offered"),
    *("choice.nothing_offered", "choice.nothing_offered_blank"),
)


def offers(text: str, relevant: str = "") -> list[tuple[str, int, str, str]]:
    found = problems(parse_markdown(text.replace("RELEVANT", relevant)))
    return [(each.sheet, each.row, each.column, each.code) for each in found if each.code in OFFERS]


def test_a_cascade_of_three_that_offers_a_choice_for_every_path_is_sound() -> None:
    assert offers(CASCADE) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("| 08 | 0812 |", "| 8 | 0812 |", ("choices", 8, "region", "choice.filter_value")),
        ("| 08 | 0812 |", "| 08 | 812 |", ("choices", 8, "province", "choice.filter_value")),
        ("| 08 | 0812 |", "| 08 | |", ("choices", 8, "province", "choice.filter_blank")),
        ("| 08 | 0812 |", "| 17 | 0812 |", ("choices", 8, "name", "choice.never_offered")),
        (
            "| | district | 081203 | Camanti | 08 | 0812 |\n",
            "",
            ("survey", 4, "choice_filter", "choice.nothing_offered"),
        ),
        ("| Quispicanchi | 08 |", "| Quispicanchi | 17 |", ("survey", 4, "choice_filter", "choice.nothing_offered")),
        (
            "| select_one region | region | ¿Región? | | yes |",
            "| select_one region | region | ¿Región? | | |",
            ("survey", 3, "relevant", "choice.nothing_offered_blank"),
        ),
    ],
)
def test_a_path_of_a_cascade_that_ends_without_choices_is_found(
    old: str, new: str, expected: tuple[str, int, str, str]
) -> None:
    assert CASCADE.count(old) == 1
    assert expected in offers(CASCADE.replace(old, new))


def test_a_question_that_is_not_asked_needs_no_choices() -> None:
    without_camanti = CASCADE.replace("| | district | 081203 | Camanti | 08 | 0812 |\n", "")
    assert offers(without_camanti, "${provincia} != '0812'") == []
    assert offers(without_camanti, "${region} = '17' or ${provincia} = '0801'") == []
    assert offers(without_camanti, "${region} = '08'")


def test_a_question_that_is_always_reached_needs_no_condition_for_a_blank() -> None:
    reached = "¿Provincia? | ${region} = '08' or ${region} = '17' |"
    assert offers(CASCADE.replace("¿Provincia? | |", reached)) == []
    assert offers(CASCADE.replace("¿Provincia? | |", "¿Provincia? | ${region} = '08' |")) != []


def test_the_condition_for_a_blank_answer_puts_the_question_right() -> None:
    optional = CASCADE.replace("¿Región? | | yes |", "¿Región? | | |")
    assert offers(optional) != []
    asked = optional.replace("¿Provincia? | |", "¿Provincia? | ${region} != '' |")
    assert offers(asked, "${region} != '' and ${provincia} != ''") == []


NEVER = "expression.never"


@pytest.mark.parametrize(
    ("kind", "constraint", "never"),
    [
        ("integer", ". > 100 and . < 10", True),
        ("integer", ". > 3 and . < 4", True),
        ("integer", ". > 2147483647", True),
        ("integer", ". > 999999999", False),
        ("integer", ". < 0 and . > 1000", True),
        ("integer", ". >= 0 and . <= 0", False),
        ("integer", ". < 0 or . > 1000", False),
        ("select_multiple lies", "count-selected(.) > 6", True),
        ("select_multiple lies", "count-selected(.) > 5", False),
        ("select_multiple lies", "count-selected(.) < 1", True),
        ("select_multiple lies", "selected(., 'job') and not(selected(., 'job'))", True),
        ("select_multiple lies", "selected(., 'job') and selected(., 'pay')", False),
        ("select_multiple lies", "selected(., 'work') and count-selected(.) >= 1", True),
        ("select_one ynd", ". = 'yes' and . = 'no'", True),
        ("select_one ynd", ". = 'maybe' or . = 'later'", True),
        ("select_one ynd", ". != 'yes'", False),
    ],
)
def test_a_constraint_that_no_answer_meets_is_found(kind: str, constraint: str, never: bool) -> None:
    cells = {"type": kind, "name": "nueva", LABEL: "¿Cuánto?", "constraint": constraint}
    form = with_row(parse_markdown(SMALL), "survey", "region", cells)
    expected = [("survey", 18, "constraint")] if never else []
    assert [(each.sheet, each.row, each.column) for each in of_code(form, NEVER)] == expected
    assert blocks(form, NEVER) is never


def test_a_constraint_is_judged_with_the_condition_of_its_question() -> None:
    cells = {"type": "integer", "name": "nueva", LABEL: "¿Cuánto?", "relevant": "${region}='17'"}
    for constraint, never in (("${region}='21' and . > 0", True), ("${region}='17' and . > 0", False)):
        form = with_row(parse_markdown(SMALL), "survey", "region", {**cells, "constraint": constraint})
        assert blocks(form, NEVER) is never


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_the_forms_of_the_catalogue_lose_no_answer(name: str) -> None:
    assert problems(book(name)) == []


def test_the_whole_form_of_the_tests_has_no_problem() -> None:
    assert problems(parse_markdown(WHOLE)) == []
