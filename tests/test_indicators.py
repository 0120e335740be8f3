"""Indicator sets: the ILO's table is whole, the dimension rule keeps its laws, and a wrong table says where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms import indicators
from screening_forms.errors import FormError
from screening_forms.indicators import DIMENSIONS, FORCED_LABOUR, PROFILES, TIERS, dimension_positive, tallies
from screening_forms.shelf import SHIPPED

ILO = SHIPPED.indicator_set("ilo_delphi_2009")
COUNTS = st.integers(min_value=0, max_value=9)
HEADING = ",".join(indicators.TABLE.columns)
ROW = "D1.01,D1,Engaño,Deceit,S,M,W,-,deception,OIT,checked"


@pytest.mark.parametrize(
    ("strong", "medium", "weak", "positive"),
    [
        (1, 0, 0, False),
        (1, 1, 0, True),
        (1, 0, 1, True),
        (2, 0, 0, True),
        (0, 2, 0, False),
        (0, 2, 1, True),
        (0, 3, 0, True),
        (0, 1, 5, False),
        (0, 0, 9, False),
    ],
)
def test_the_dimension_rule_is_the_ilos(strong: int, medium: int, weak: int, positive: bool) -> None:
    assert dimension_positive(strong, medium, weak) is positive


@given(COUNTS, COUNTS, COUNTS, st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)]))
def test_one_more_indicator_never_makes_a_dimension_negative(
    s: int, m: int, w: int, more: tuple[int, int, int]
) -> None:
    assert dimension_positive(s + more[0], m + more[1], w + more[2]) >= dimension_positive(s, m, w)


@given(st.sets(st.sampled_from(sorted(ILO.indicators))), st.sets(st.sampled_from(sorted(ILO.indicators))))
def test_a_dimension_positive_at_min_is_positive_at_max(certain: set[str], unknown: set[str]) -> None:
    for profile in PROFILES:
        low, high = tallies(certain, ILO, profile), tallies(certain | unknown, ILO, profile)
        assert all(high[d].positive >= low[d].positive for d in DIMENSIONS)


def test_the_adult_labour_list_has_its_67_members_and_the_child_list_no_weak_tier() -> None:
    def size(profile: str, tiers: tuple[str, ...] = tuple(TIERS)) -> list[int]:
        return [sum(len(ILO.members(profile, dimension, tier)) for tier in tiers) for dimension in DIMENSIONS]

    assert size("adult_labour") == [10, 10, 16, 9, 15, 7]
    assert size("child_labour") == [10, 10, 15, 8, 15, 7]
    assert size("child_labour", ("weak",)) == size("child_sexual", ("weak",)) == [0] * 6
    assert size("adult_labour", ("strong",)) == [1, 1, 0, 1, 4, 0]


def test_a_strength_belongs_to_profile_and_dimension() -> None:
    assert ILO.strength("D2.05", "adult_labour") == "M"
    assert ILO.strength("D5.01", "adult_labour") == "S"
    assert ILO.strength("D1.10", "child_labour") == "S"
    assert ILO.strength("D4.06", "child_labour") == "-"
    assert "D4.06" not in ILO.used("child_labour")


def test_bright_lines_stand_beside_the_dimensions() -> None:
    assert {"X.01", "X.02", "X.03"} <= set(ILO.used("adult_labour"))
    assert not any(
        tally.strong + tally.medium + tally.weak for tally in tallies(["X.01"], ILO, "child_labour").values()
    )
    assert not any(code.startswith("X") for profile in PROFILES for code in ILO.strong(profile))


def test_every_indicator_speaks_both_languages_of_reporting_and_shows_its_provenance() -> None:
    used = {mapped for indicator in ILO.indicators.values() for mapped in indicator.forced_labour}
    assert used == set(FORCED_LABOUR)
    assert len(FORCED_LABOUR) == 11
    assert all("[unverified]" in indicator.provenance for indicator in ILO.indicators.values())


def test_a_set_survives_the_bundle() -> None:
    assert indicators.from_dict(ILO.as_dict()) == ILO


@pytest.mark.parametrize(
    ("row", "code", "column"),
    [
        (ROW.replace("D1.01", "D7.01"), "bad_code", "code"),
        (ROW.replace(",D1,", ",D2,"), "bad_dimension", "dimension"),
        (ROW.replace(",S,", ",Z,"), "bad_strength", "adult_labour"),
        (ROW.replace("D1", "X").replace("X.01,X", "X.01,X"), "bad_strength", "adult_labour"),
        (ROW.replace("deception", "deceit"), "bad_forced_labour", "forced_labour"),
        (ROW.replace("Engaño", ""), "empty", "label_es"),
        (ROW.replace(",OIT,", ",,"), "empty", "source"),
        (f"{ROW}\n{ROW}", "duplicate_code", "code"),
    ],
)
def test_a_wrong_row_is_named_with_line_and_column(row: str, code: str, column: str) -> None:
    with pytest.raises(FormError) as caught:
        indicators.parse("x", f"{HEADING}\n{row}\n")
    problem = caught.value.problems[0]
    assert (problem.sheet, problem.column, problem.code) == ("x.csv", column, f"indicator_set.{code}")
    assert problem.row == 1 + len(row.splitlines())
    assert problem.advice_es
    assert problem.advice_en


def test_all_wrong_rows_are_named_at_once() -> None:
    bad = ROW.replace("D1.01", "Q")
    with pytest.raises(FormError) as caught:
        indicators.parse("x", f"{HEADING}\n{bad}\n{ROW}\n{bad.replace('Q', 'R')}\n")
    assert [problem.row for problem in caught.value.problems] == [2, 4]


def test_missing_columns_and_unknown_sets_are_named() -> None:
    with pytest.raises(FormError, match="child_sexual"):
        indicators.parse("x", HEADING.replace(",child_sexual", "") + "\n")
    with pytest.raises(FormError, match="ilo_delphi_2009"):
        SHIPPED.indicator_set("ilo_delphi_2010")
