"""Tests of the suppression by exhaustion: a reader who knows every rule tries each table that would look the same."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.flows.operations.suppression import COMPLETE_FACTS, SMALLEST, Figure, Mark, hiding_order, suppress_table
from server.store.statistics import UNSTATED, VALUES
from support.exhaustion import assert_counts_stay_open, every_table

Release = tuple[tuple[str, Figure], ...]


@pytest.mark.parametrize("fact", ["lang", "region"])
@pytest.mark.parametrize(
    ("rows", "smallest", "total"),
    [(3, 11, 33), (3, 11, 34), (3, 11, 55), (3, 11, 77), (4, 11, 45), (4, 5, 30), (5, 3, 20), (6, 2, 15), (7, 2, 9)],
)
def test_no_reader_narrows_a_hidden_count_by_knowing_all_rules(fact: str, rows: int, smallest: int, total: int) -> None:
    complete = fact in COMPLETE_FACTS
    stated = tuple("abcdefg"[:rows] if complete else "abcdefg"[: rows - 1])
    groups: dict[Release, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for each in every_table(stated if complete else (*stated, UNSTATED), total):
        table = each if UNSTATED in each else {**each, UNSTATED: 0}
        if figures := suppress_table(fact, table, smallest=smallest):
            for value, count in table.items():
                groups[tuple(figures.items())][value].add(count)
    assert len(groups) > 3
    for release, possible in groups.items():
        known = (UNSTATED,) if complete else ()
        assert_counts_stay_open(dict(release), possible, smallest=smallest, known=known)


def suppressed(fact: str = "lang", unstated: int = 0, **counts: int) -> dict[str, Figure]:
    figures = suppress_table(fact, {**counts, UNSTATED: unstated})
    assert figures is not None
    assert figures.pop(UNSTATED) is Mark.HIDDEN, "it is never shown"
    return figures


def test_ten_and_zero_look_alike_and_eleven_is_shown() -> None:
    assert suppressed(a=40, b=30, c=0) == suppressed(a=30, b=30, c=10) == {"a": "hidden", "b": 30, "c": "< 11"}
    assert suppressed(a=40, b=30, c=11, d=0, unstated=11) == {"a": 40, "b": 30, "c": 11, "d": "< 11"}


def test_the_row_hidden_second_does_not_depend_on_which_is_next_smallest() -> None:
    assert suppressed(a=400, b=12, c=3) == {"a": "hidden", "b": 12, "c": "< 11"}
    assert suppressed(a=12, b=400, c=10) == {"a": "hidden", "b": 400, "c": "< 11"}


def test_a_second_row_that_is_too_small_for_cover_takes_a_third() -> None:
    assert suppressed(a=12, b=400, c=3) == {"a": "hidden", "b": "hidden", "c": "< 11"}


@pytest.mark.parametrize("unstated", [0, 10, 30, 500])
def test_the_number_of_unstated_values_is_never_shown(unstated: int) -> None:
    for fact in VALUES:
        figures = suppress_table(fact, {"a": 60, "b": 50, "c": 40, UNSTATED: unstated})
        assert figures is not None
        assert figures[UNSTATED] is Mark.HIDDEN
        hidden = [value for value, figure in figures.items() if figure is Mark.HIDDEN]
        cover = ["a", "b"] if fact in COMPLETE_FACTS else ["a"]
        assert hidden == [*cover, UNSTATED], "subtracting from the total does not give it back"


def test_unstated_covers_small_rows_only_where_people_may_leave_the_question_out() -> None:
    assert suppressed("sex", a=40, b=30, c=3, unstated=30) == {"a": 40, "b": 30, "c": "< 11"}
    assert suppressed("region", a=40, b=30, c=3, d=9) == {"a": "hidden", "b": 30, "c": "< 11", "d": "< 11"}


@pytest.mark.parametrize("regions", [7, 8, 25])
def test_a_table_with_eleven_in_each_row_has_no_cover(regions: int) -> None:
    counts = dict.fromkeys(VALUES["region"], 0) | {f"{number:02d}": 11 for number in range(1, regions + 1)}
    assert suppress_table("region", counts) is None
    assert suppress_table("region", {**counts, "01": 22}) is not None


@given(st.lists(st.integers(0, 60), min_size=7, max_size=7).filter(lambda counts: sum(counts) >= 7 * SMALLEST))
def test_a_table_of_six_values_always_has_cover_in_a_whole_period(counts: list[int]) -> None:
    assert suppress_table("age_band", dict(zip((*"abcdef", UNSTATED), counts, strict=True))) is not None


@given(st.data(), st.integers(SMALLEST * 26, 600))
def test_no_region_table_lacks_cover_beyond_286_screenings(data: st.DataObject, total: int) -> None:
    counts = dict.fromkeys(VALUES["region"], 0)
    while left := total - sum(counts.values()):
        counts[data.draw(st.sampled_from(VALUES["region"]))] += min(left, data.draw(st.sampled_from([11, 10, 12, 300])))
    assert suppress_table("region", counts) is not None


@pytest.mark.parametrize("fact", VALUES)
def test_every_table_hides_in_an_order_that_covers_its_whole_list(fact: str) -> None:
    assert sorted([*hiding_order(fact, dict.fromkeys(VALUES[fact])), UNSTATED]) == sorted(VALUES[fact])
