"""The sheet `cases`: every check runs the author's cases, and a form that fails one does not compile."""

from functools import cache

import pytest

from screening_forms.checks.run import blocking_problems
from screening_forms.compiler.compile_form import check_and_compile, compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook.reader import parse_markdown
from support.forms import SMALL
from sync.envelope.route import AUTHOR_FIELDS

PLAIN, BEGIN, REST = SMALL.partition("| cases |")
CASES = BEGIN + REST


@cache
def problems(cases: str, channel: str = "training") -> list[FormProblem]:
    return check_and_compile(parse_markdown(PLAIN + cases), channel=channel, route_vocabulary=AUTHOR_FIELDS)[0]


def of_cases(cases: str) -> list[tuple[int, str, str]]:
    return [(p.row, p.column, p.code) for p in problems(cases) if p.sheet == "cases"]


def test_cases_with_the_expected_results_give_no_problem() -> None:
    assert of_cases(CASES) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("| T1 | protection", "| T2 | protection", (3, "tier", "case.failed")),
        ("| review | T4 | review |", "| negative | T4 | review |", (4, "outcome", "case.failed")),
        ("| not_scored | | |", "| not_scored | | review |", (5, "queue_kinds", "case.failed")),
        ("| positive | T1 |", "| | T1 |", (3, "outcome", "case.no_outcome")),
        ("| No contesta |", "| Peligro ahora |", (4, "case", "case.duplicate")),
        ("| horas |", "| hora |", (1, "hora", "case.unknown_question")),
        ("| horas |", "| gracias |", (1, "gracias", "case.unknown_question")),
        ("| 14 |", "| muchas |", (3, "horas", "case.bad_answer")),
        ("| job pay |", "| job, pay |", (3, "mentira", "case.bad_answer")),
        ("| no | no | 30_59 | |", "| no | no | 30_59 | yes |", (5, "oferta", "case.bad_answer")),
    ],
)
def test_a_failed_case_is_reported_in_its_cell(old: str, new: str, expected: tuple[int, str, str]) -> None:
    assert CASES.count(old) == 1
    changed = CASES.replace(old, new)
    assert expected in of_cases(changed)
    with pytest.raises(FormError):
        compile_form(parse_markdown(PLAIN + changed), channel="training", route_vocabulary=AUTHOR_FIELDS)


def test_a_failed_case_shows_the_actual_result() -> None:
    told = next(p for p in problems(CASES.replace("| positive | T1 |", "| negative | none |")) if p.sheet == "cases")
    assert "salió «positive», no «negative»" in told.advice_es
    assert "positive / T1 / protection" in told.advice_en


def test_queue_kinds_may_have_any_order_and_only_given_columns_are_compared() -> None:
    without = "\n".join(
        "|".join(cell for place, cell in enumerate(line.split("|")) if place not in (4, 5))
        for line in CASES.splitlines()
    )
    assert of_cases(without) == []


def test_a_form_without_cases_compiles_for_training_but_not_for_the_field() -> None:
    assert [p.code for p in problems("") if p.sheet == "cases"] == ["case.none"]
    assert "case.none" not in {p.code for p in blocking_problems(problems(""))}
    assert "case.none" in {p.code for p in blocking_problems(problems(""), "field")}
    with pytest.raises(FormError, match=r"case\.none"):
        compile_form(parse_markdown(PLAIN), channel="field", route_vocabulary=AUTHOR_FIELDS)


def test_a_draft_compiles_without_its_cases_and_cases_change_no_byte() -> None:
    failing = parse_markdown(PLAIN + CASES.replace("| T1 |", "| T2 |"))
    looked_at = compile_form(failing, channel="training", route_vocabulary=AUTHOR_FIELDS, run_cases=False)
    plain = compile_form(parse_markdown(PLAIN), channel="training", route_vocabulary=AUTHOR_FIELDS)
    assert looked_at.to_bytes() == plain.to_bytes()
    assert load_engine(looked_at.xform).questions
