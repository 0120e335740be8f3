"""Tests of satisfiability: only conditions that no answers can meet are reported."""

from __future__ import annotations

from itertools import product
from operator import eq, ge, gt, le, lt, ne

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.expressions.parser import Token, parse_expression
from screening_forms.expressions.satisfiability import is_unsatisfiable

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
numbers = st.builds(lambda sign, n: f"${{n}} {sign} {n}", st.sampled_from(tuple(COMPARE)), st.integers(0, 4))
turned = st.builds(lambda sign, n: f"{n} {sign} ${{n}}", st.sampled_from(tuple(COMPARE)), st.integers(0, 4))
conditions = st.recursive(
    texts | several | numbers | turned | st.just("not(${a} = 'x')"),
    lambda inner: st.builds("({}) and ({})".format, inner, inner) | st.builds("({}) or ({})".format, inner, inner),
    max_leaves=6,
)


def holds(token: Token, answers: dict[str, str]) -> bool:
    if token.symbol == "(":
        return holds(token[0], answers)
    if token.symbol in ("and", "or"):
        return (all if token.symbol == "and" else any)(holds(part, answers) for part in token)
    if token.symbol == "not":
        return not holds(token[0], answers)
    left, right = (answers[side.value] if side.symbol == "$" else side.value for side in token)
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
