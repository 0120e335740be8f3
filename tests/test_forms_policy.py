"""Tests of policies: the policies of the release are complete, and a problem of a table names its row and reason."""

import pytest

from screening_forms.errors import FormError
from screening_forms.rules.policy import (
    NAMES_BY_STEP,
    POLICY_TABLE,
    Policy,
    parse_condition,
    parse_policy,
    policy_from_dict,
)
from screening_forms.workbook.resources import BUILT_IN

HEADING = ",".join(POLICY_TABLE.columns)
ROWS = (
    "outcome,D4 and X.01 or F2 and any_O or any_P,positive,T1,,,,s,p",
    "outcome,always,negative,none,,,,s,p",
    "undecided,always,review,T4,,,,s,p",
    "referral,T1 and consent or O.01 and any_P,,,prompt,child protection,note,s,p",
    "referral,always,,,none,,note,s,p",
)
NAMES = dict.fromkeys("abc", True) | dict.fromkeys("xyz", False)


def parse(*rows: str) -> Policy:
    return parse_policy("t", "\n".join([HEADING, *rows]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", True),
        ("x or a", True),
        ("a and x", False),
        ("a or b and x", True),
        ("(a or b) and x", False),
        ("x or (y or (z or (c)))", True),
        ("a and b and c and x", False),
    ],
)
def test_and_binds_tighter_than_or_and_parentheses_override_both(text: str, value: bool) -> None:
    assert parse_condition(text).holds(NAMES) is value


@pytest.mark.parametrize(
    "text", ["", "and", "a and", "a b", "(a", "a)", "not(a)", "a != b", "a = 1", "()", "a or or b"]
)
def test_a_condition_outside_the_grammar_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_condition(text)


def test_a_condition_can_be_written_as_xpath() -> None:
    assert (
        parse_condition("D4 and (D1 or D2)").write(lambda name: f"${{{name}}}=1")
        == "(${D4}=1 and (${D1}=1 or ${D2}=1))"
    )


@pytest.mark.parametrize("name", BUILT_IN.policies)
def test_the_policies_of_the_release_are_complete_and_round_trip_through_json(name: str) -> None:
    shipped = BUILT_IN.policy(name)
    assert policy_from_dict(shipped.as_dict()) == shipped
    assert all(shipped.step(step)[-1].when == "always" for step in NAMES_BY_STEP)
    codes = {code for name in BUILT_IN.indicator_sets for code in BUILT_IN.indicator_set(name).indicators}
    assert {name for name in shipped.names("outcome") if "." in name} <= codes


def test_a_valid_table_is_read_in_the_order_of_its_rows() -> None:
    rows = parse(*ROWS).rows
    assert [row.number for row in rows] == [2, 3, 4, 5, 6]
    assert rows[3].queue_kinds == ("child", "protection")


@pytest.mark.parametrize(
    ("at", "row", "code", "column"),
    [
        (0, "outcom,always,positive,T1,,,,s,p", "bad_step", "step"),
        (0, "outcome,D4 andd D1,positive,T1,,,,s,p", "bad_when", "when"),
        (0, "outcome,not(D4),positive,T1,,,,s,p", "bad_when", "when"),
        (0, "outcome,D7,positive,T1,,,,s,p", "unknown_name", "when"),
        (0, "outcome,any_X,positive,T1,,,,s,p", "unknown_name", "when"),
        (0, "outcome,D4 and consent,positive,T1,,,,s,p", "unknown_name", "when"),
        (0, "outcome,D4,positve,T1,,,,s,p", "bad_value", "outcome"),
        (0, "outcome,D4,positive,T9,,,,s,p", "bad_value", "tier"),
        (0, "outcome,D4,positive,T1,,,,,p", "empty", "source"),
        (1, "outcome,D4,negative,none,,,,s,p", "no_last_row", "when"),
        (2, "undecided,D4,review,T4,,,,s,p", "unknown_name", "when"),
        (3, "referral,T1,,,soon,child,note,s,p", "bad_value", "urgency"),
        (3, "referral,T1,,,prompt,police,note,s,p", "bad_value", "queue_kinds"),
        (3, "referral,T1,,,prompt,child,,s,p", "empty", "guidance"),
        (2, "undecided,X.01,review,T4,,,,s,p", "unknown_name", "when"),
        (3, "referral,D4,,,prompt,child,note,s,p", "unknown_name", "when"),
    ],
)
def test_a_problem_names_the_line_and_the_column_of_the_wrong_row(at: int, row: str, code: str, column: str) -> None:
    rows = list(ROWS)
    rows[at] = row
    with pytest.raises(FormError) as caught:
        parse(*rows)
    problem = caught.value.problems[0]
    assert (problem.sheet, problem.row, problem.column, problem.code) == ("t.csv", at + 2, column, f"policy.{code}")


def test_all_wrong_rows_are_reported_at_once() -> None:
    with pytest.raises(FormError) as caught:
        parse(*(row.replace(",s,p", ",,p") for row in ROWS))
    assert [problem.row for problem in caught.value.problems] == [2, 3, 4, 5, 6]


def test_missing_columns_and_unknown_policies_are_reported_by_name() -> None:
    with pytest.raises(FormError, match="urgency"):
        parse_policy("t", HEADING.replace(",urgency", "") + "\n")
    with pytest.raises(FormError, match="tiers"):
        parse_policy("t", HEADING.replace(",tier,", ",tiers,") + "\n")
    with pytest.raises(FormError, match="pe_adult_2026_1"):
        BUILT_IN.policy("pe_adult")
