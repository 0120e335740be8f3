"""Tests of satisfiability: only conditions that no answers can meet are reported."""

from __future__ import annotations

from itertools import product
from operator import eq, ge, gt, le, lt, ne

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.expressions.answer_sets import possible_answers
from screening_forms.expressions.parser import Token, parse_expression
from screening_forms.expressions.satisfiability import is_unsatisfiable, largest_number

TYPES = {"a": "select_one", "b": "select_one", "m": "select_multiple", "n": "integer"}
ANSWERS = {
    "a": ("x", "y", "no_answer"),
    "b": ("x", "y"),
    "m": ("", "x", "y", "x y"),
    "n": tuple(map(str, range(-1, 6))),
}
ALL_ANSWERS = [dict(zip(ANSWERS, answers, strict=True)) for answers in product(*ANSWERS.values())]
COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}

texts = st.sampled_from(("a", "b")).flatmap(
    lambda name: st.sampled_from(
        [f"${{{name}}} = 'x'", f"'y' = ${{{name}}}", f"${{{name}}} != 'x'", f"selected(${{{name}}}, 'y')"]
    )
)
several = st.sampled_from(("x", "y")).map(lambda code: f"selected(${{m}}, '{code}')")
numbers = st.builds(lambda sign, n: f"${{n}} {sign} {n}", st.sampled_from(tuple(COMPARE)), st.integers(-1, 4))
turned = st.builds(lambda sign, n: f"{n} {sign} ${{n}}", st.sampled_from(tuple(COMPARE)), st.integers(0, 4))
conditions = st.recursive(
    texts | several | numbers | turned | st.just("not(${a} = 'x')"),
    lambda inner: st.builds("({}) and ({})".format, inner, inner) | st.builds("({}) or ({})".format, inner, inner),
    max_leaves=6,
)


def written(side: Token) -> str:
    return f"-{side[0].value}" if side.symbol == "-" else side.value


def holds(token: Token, answers: dict[str, str]) -> bool:
    if token.symbol == "(":
        return holds(token[0], answers)
    if token.symbol in ("and", "or"):
        return (all if token.symbol == "and" else any)(holds(part, answers) for part in token)
    if token.symbol == "not":
        return not holds(token[0], answers)
    left, right = (answers[side.value] if side.symbol == "$" else written(side) for side in token)
    if token.symbol == "selected":
        return right in left.split()
    if "integer" in (TYPES.get(side.value) for side in token):
        return bool(COMPARE[token.symbol](int(left), int(right)))
    return bool(COMPARE[token.symbol](left, right))


@given(st.lists(conditions, min_size=1, max_size=3))
def test_a_condition_that_some_answers_meet_is_never_reported(found: list[str]) -> None:
    tokens = [parse_expression(text) for text in found]
    if is_unsatisfiable(tokens, TYPES):
        assert not [answers for answers in ALL_ANSWERS if all(holds(token, answers) for token in tokens)]


@pytest.mark.parametrize(
    ("condition", "impossible"),
    [
        ("${a} = 'x' and ${a} = 'y'", True),
        ("selected(${a}, 'x') and ${a} = 'y'", True),
        ("${a} = 'x' and ${a} != 'x'", True),
        ("${n} > 3 and 3 > ${n}", True),
        ("${n} > 3 and ${n} < 4", True),
        ("${n} < -3 and ${n} > -4", True),
        ("${n} > 3 and -1 >= ${n}", True),
        ("(${a} = 'x' or ${a} = 'y') and ${a} = 'no_answer'", True),
        ("false()", True),
        ("selected(${m}, 'x') and selected(${m}, 'y')", False),
        ("${n} > 3 and ${n} <= 4", False),
        ("${a} = 'x' and ${b} = 'y'", False),
    ],
)
def test_typical_contradictions_of_authors_are_found(condition: str, impossible: bool) -> None:
    assert is_unsatisfiable([parse_expression(condition)], TYPES) is impossible


def test_conditions_with_too_many_alternatives_count_as_possible() -> None:
    many = " and ".join(f"(${{q{n}}} = 'x' or ${{q{n}}} = 'y')" for n in range(40))
    assert not is_unsatisfiable([parse_expression(f"{many} and ${{a}} = 'x' and ${{a}} = 'y'")], TYPES)


DOMAINS = {name: frozenset(answers) for name, answers in ANSWERS.items() if TYPES[name] == "select_one"}


@given(conditions, st.booleans())
def test_an_answer_that_a_condition_allows_is_never_left_out(text: str, wanted: bool) -> None:
    token = parse_expression(text)
    found = possible_answers(token, DOMAINS, holds=wanted)
    for answers in ALL_ANSWERS:
        if holds(token, answers) is wanted:
            assert found is not None
            assert all(answers[name] in left for name, left in found.items())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("${a} = 'x'", {"a": {"x"}}),
        ("'x' = ${a} and ${b} != 'x'", {"a": {"x"}, "b": {"y"}}),
        ("${a} = 'x' or ${a} = 'y'", {"a": {"x", "y"}}),
        ("${a} = 'x' or ${b} = 'y'", {}),
        ("not(${a} != 'x' or ${b} = 'x')", {"a": {"x"}, "b": {"y"}}),
        ("selected(${a}, 'x') and true()", {"a": {"x"}}),
        ("selected(${m}, 'x') and ${n} > 3", {}),
        ("${ok} = 'si'", {"a": {"x"}}),
        ("${ok} != 'no'", {"a": {"x"}}),
        ("${copy} = 'y'", {"a": {"y"}}),
        ("${turns} = 'x'", {}),
        ("${a} = 'x' and ${a} = 'y'", None),
        ("false()", None),
    ],
)
def test_the_answers_that_a_condition_leaves_are_found(condition: str, expected: dict[str, set[str]] | None) -> None:
    formulas = {"ok": "if(${a} = 'x', 'si', 'no')", "copy": "(${a})", "turns": "if(${turns} = 'x', 'x', 'y')"}
    found = possible_answers(
        parse_expression(condition),
        DOMAINS,
        lambda name: parse_expression(formulas[name]) if name in formulas else None,
    )
    assert found == expected


numbers_of_n = st.recursive(
    st.builds(lambda sign, n: f"${{n}} {sign} {n}", st.sampled_from(tuple(COMPARE)), st.integers(-1, 5)),
    lambda inner: st.builds("({}) and ({})".format, inner, inner) | st.builds("({}) or ({})".format, inner, inner),
    max_leaves=5,
)


@given(numbers_of_n)
def test_no_number_above_the_largest_one_is_accepted(text: str) -> None:
    token = parse_expression(text)
    limit = largest_number(token, "n")
    assert all(n <= limit for n in range(-50, 50) if holds(token, {"n": str(n)}))


@pytest.mark.parametrize(
    ("condition", "limit"),
    [
        ("${n} >= 0 and ${n} <= 9", 9),
        ("${n} < 9", 8),
        ("9 > ${n}", 8),
        ("${n} < 9 or ${n} = 99", 99),
        ("${n} > 9", float("inf")),
        ("${n} < 9 or ${n} > 20", float("inf")),
        ("${n} < 9 and ${n} > 20", float("-inf")),
    ],
)
def test_the_largest_number_of_a_condition_is_found(condition: str, limit: float) -> None:
    assert largest_number(parse_expression(condition), "n") == limit
