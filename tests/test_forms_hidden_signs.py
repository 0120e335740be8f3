"""A sign that an author asks for can be found: no constraint and no condition of a form hides it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.checks.accepted_answers import accepts
from screening_forms.checks.context import CheckContext
from screening_forms.engine.evaluator import Engine
from screening_forms.engine.xform_reader import Node, XForm
from screening_forms.expressions.alternatives import alternatives
from screening_forms.expressions.parser import Comparison, parse_expression
from screening_forms.workbook.reader import Workbook, parse_markdown
from screening_forms.workbook.resources import BUILT_IN
from support.author_edits import blocks, of_code, problems, with_cell_at, with_cells, with_row
from support.catalogue import book
from support.forms import CATALOGUE_FORMS, WHOLE
from sync.envelope.route import AUTHOR_FIELDS

ADULT, CHILD, SEXUAL = book("pe_laboral_adulto"), book("pe_nna"), book("pe_sexual_adulto")
REFUSED, NUMBER, NEVER = "expression.refused_answer", "when.refused_number", "when.never"


def constrained(form: Workbook, name: str, constraint: str) -> Workbook:
    return with_cells(form, "survey", name, {"constraint": constraint})


def on(form: Workbook, code: str, when: str) -> Workbook:
    return with_cells(form, "indicators", code, {"when": when})


def codes(form: Workbook) -> set[str]:
    return {found.code for found in problems(form)}


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_no_form_of_the_catalogue_hides_a_sign(name: str) -> None:
    assert not codes(book(name)) & {REFUSED, NUMBER, NEVER}


@pytest.mark.parametrize(
    ("form", "name", "constraint", "better"),
    [
        (ADULT, "encierro", "not(selected(., 'here'))", "not(selected(., 'none') and count-selected(.) > 1)"),
        (CHILD, "menor_trabajo", "not(selected(., 'locked'))", "not(selected(., 'none') and count-selected(.) > 1)"),
        (ADULT, "golpes", "count-selected(.) = 1 and not(selected(., 'before'))", "count-selected(.) = 1"),
        (SEXUAL, "documento", "count-selected(.) = 1 and selected(., 'given')", "count-selected(.) = 1"),
        (CHILD, "peligro", ". != 'yes'", ". != ''"),
        (CHILD, "peligro_hoy", ". = 'no' or . = 'no_answer' or . = 'does_not_know'", ". != ''"),
        (ADULT, "consiente", "not(. = 'yes')", ". != ''"),
        (ADULT, "edad", ". = '18_29' or . = '30_59' or . = '60_plus'", ". != ''"),
        (ADULT, "horas", ". >= 0 and . <= 8", ". >= 0 and . <= 1000"),
        (ADULT, "dias", ". >= 0 and not(. > 5)", ". >= 0 and . <= 1000"),
    ],
)
def test_a_constraint_that_refuses_the_sign_itself_is_put_right(
    form: Workbook, name: str, constraint: str, better: str | None
) -> None:
    wrong = constrained(form, name, constraint)
    (found,) = of_code(wrong, REFUSED)
    assert (found.sheet, found.column) == ("survey", "constraint")
    assert blocks(wrong, REFUSED, "field")
    pasted = found.advice_es.rpartition("escriba en constraint ")[2]
    assert better is None or pasted == better
    assert problems(with_cell_at(wrong, found, pasted)) == []
    assert not codes(wrong) & {NEVER, "expression.never"}, "one fault, one problem"


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("encierro", "not(selected(., 'does_not_know'))"),
        ("encierro", "count-selected(.) <= 2 and not(selected(., 'none') and selected(., 'here'))"),
        ("horas", ". > -1 and not(. > 24)"),
        ("horas", "(. >= 1 and . <= 24) or . = 99"),
        ("horas", ". >= 3 and . + 1 <= 25"),
        ("edad", "not(. = '')"),
    ],
)
def test_a_constraint_that_lets_every_sign_pass_is_allowed(name: str, constraint: str) -> None:
    assert not codes(constrained(ADULT, name, constraint)) & {REFUSED, NUMBER, NEVER}


@pytest.mark.parametrize(
    ("code", "when", "better"),
    [
        ("D4.04", "${sueldo_mes} < 0", "${sueldo_mes} <= 1"),
        ("D4.01", "${horas} > 24", "${horas} >= 24"),
        ("D4.01", "${horas} >= 9 and ${dias} >= 8", "${dias} >= 7"),
    ],
)
def test_a_number_that_cannot_be_written_is_named_with_the_nearest_one(code: str, when: str, better: str) -> None:
    form = on(ADULT, code, when)
    (found,) = of_code(form, NUMBER)
    assert (found.sheet, found.column) == ("indicators", "when")
    assert found.advice_es.rpartition("when ")[2] == better
    assert blocks(form, NUMBER)
    assert not codes(with_cell_at(form, found, better)) & {NUMBER, NEVER, REFUSED}


@pytest.mark.parametrize(
    ("form", "code", "when", "better"),
    [
        (ADULT, "D5.02", "selected(${deuda_que},'stay') and ${deuda}='no'", "selected(${deuda_que}, 'stay')"),
        (ADULT, "N.01", "${pago}='nothing' and ${por_cuenta}='yes'", "${pago} = 'nothing'"),
        (ADULT, "D4.03", "${proteccion}='no' and selected(${riesgo},'none')", "${proteccion} = 'no'"),
        (ADULT, "D1.01", "selected(${falso_trab},'job') and ${recluta}='no'", "selected(${falso_trab}, 'job')"),
        (ADULT, "D5.03", "selected(${salir},'here') and selected(${salir},'none')", "selected(${salir}, 'here')"),
        (
            ADULT,
            "D5.04",
            "(selected(${golpes},'here') and ${edad}='14_17') or selected(${tocado},'here')",
            "selected(${golpes}, 'here') or selected(${tocado}, 'here')",
        ),
        (SEXUAL, "D5.02", "selected(${deuda_que},'stay') and (${deuda}='no' or ${consiente}='no')", None),
    ],
)
def test_a_sign_that_the_order_of_the_questions_hides_is_named(
    form: Workbook, code: str, when: str, better: str | None
) -> None:
    wrong = on(form, code, when)
    (found,) = of_code(wrong, NEVER)
    assert (found.sheet, found.column) == ("indicators", "when")
    assert blocks(wrong, NEVER)
    pasted = found.advice_es.rpartition("escriba en when ")[2]
    assert better is None or pasted == better
    assert not codes(with_cell_at(wrong, found, pasted)) & {NEVER, NUMBER, REFUSED, "expression.never"}


@pytest.mark.parametrize(
    ("code", "when"),
    [
        ("D5.02", "selected(${deuda_que},'stay') and ${deuda}='yes'"),
        ("D4.03", "${proteccion}='no' and selected(${riesgo},'mercury')"),
        ("D5.03", "selected(${salir},'here') and selected(${salir},'before')"),
        ("D5.03", "selected(${salir},'here') and ${horas} > 20 and ${dias} > 6"),
        ("N.01", "${pago}='nothing' and (${por_cuenta}='no' or ${por_cuenta}='does_not_know')"),
        ("D4.04", "(${pago}='money' or ${pago}='gold') and ${sueldo_mes} <= 1 and ${dias} = 7"),
    ],
)
def test_a_sign_that_some_interview_can_show_is_allowed(code: str, when: str) -> None:
    assert not codes(on(ADULT, code, when)) & {NEVER, NUMBER, REFUSED, "expression.never"}


def test_a_question_that_no_one_reaches_is_named_once_in_its_own_row() -> None:
    for relevant in (
        "count-selected(${salir}) > 9",
        "${edad}='14_17'",
        "selected(${riesgo},'none') and ${proteccion}='no'",
    ):
        form = with_cells(ADULT, "survey", "influye", {"relevant": relevant})
        found = [each for each in problems(form) if each.code in (NEVER, "expression.never")]
        hidden = [("survey", "relevant")] if relevant[0] != "c" else []
        assert [(each.sheet, each.column) for each in found] == hidden, relevant


def test_a_long_condition_counts_as_possible_and_does_not_stop_the_checks() -> None:
    form = parse_markdown(WHOLE)
    any_of = " or ".join(["${oferta}='yes'", "${deuda}='yes'", "${atado}='no'"])
    when = " and ".join(f"({any_of})" for _ in range(12)) + " and ${permiso}='no'"
    assert NEVER not in codes(on(form, "D5.02", when))


OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
NUMBERS = st.integers(-4, 4)


@given(st.lists(st.tuples(OPERATORS, NUMBERS), min_size=1, max_size=3), st.tuples(OPERATORS, NUMBERS))
def test_numbers_are_judged_as_the_tablet_judges_them(rules: list[tuple[str, int]], needed: tuple[str, int]) -> None:
    constraint = " and ".join(f". {operator} {number}" for operator, number in rules)
    form = with_row(
        parse_markdown(WHOLE), "survey", "region", {"type": "integer", "name": "n", "constraint": constraint}
    )
    context = CheckContext(form, AUTHOR_FIELDS, BUILT_IN)
    compared = [Comparison("n", needed[0], str(needed[1])), Comparison("n", ">=", "-99")]
    both = f"({constraint}) and . {needed[0]} {needed[1]} and . >= -99"
    engine = Engine(XForm("data", "t", "1", "", ("es",), (Node("n", "integer", (), constraint=both),)))
    possible = any(not engine.evaluate({"n": str(number)})[3] for number in range(-100, 101))
    assert accepts(context, compared) is possible


@given(st.sampled_from(["yes", "no", ""]), st.sampled_from(["yes", "no", ""]), st.data())
def test_alternatives_lose_no_way_in_which_a_condition_holds(a: str, b: str, data: st.DataObject) -> None:
    atoms = st.sampled_from(["${a}='yes'", "${a}!='no'", "${b}='no'", "selected(${b},'yes')", "${a}=''"])
    text = data.draw(
        st.recursive(
            atoms,
            lambda part: st.one_of(
                part.map("not({})".format),
                st.tuples(part, part).map(lambda two: f"({two[0]} and {two[1]})"),
                st.tuples(part, part).map(lambda two: f"({two[0]} or {two[1]})"),
            ),
            max_leaves=6,
        )
    )
    rule = text.replace("${a}", "/data/a").replace("${b}", "/data/b")
    nodes = [Node(name, "select_one", ()) for name in "ab"]
    engine = Engine(
        XForm("data", "t", "1", "", ("es",), (*nodes, Node("t", "calculate", (), calculate=f"if({rule}, 1, 0)")))
    )
    held = engine.evaluate({"a": a, "b": b})[1]["t"] == "1"
    ways = alternatives(parse_expression(text), 500)
    assert ways is not None
    given_answers = {"a": a, "b": b}
    meets = {
        "=": lambda answer, value: answer == value,
        "!=": lambda answer, value: answer != value,
        "selected": lambda answer, value: answer == value,
        "not selected": lambda answer, value: answer != value,
    }
    assert held == any(all(meets[c.operator](given_answers[c.question], c.value) for c in way) for way in ways)
