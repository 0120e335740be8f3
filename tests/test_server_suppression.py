"""Tests of the suppression by exhaustion: a reader who knows every rule tries each table that would look the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.flows.operations.suppression import (
    SMALLEST,
    Figure,
    Mark,
    children_are_covered,
    hiding_order,
    protect_tables,
    suppress_table,
    withhold,
)
from server.store.statistics import UNSTATED, VALUES

Table = Mapping[str, int]
Release = tuple[tuple[str, Figure], ...]


def every_table(values: tuple[str, ...], total: int) -> Iterator[dict[str, int]]:
    """Yield every table with these rows and this total."""
    first, *rest = values
    if not rest:
        yield {first: total}
        return
    for count in range(total + 1):
        for others in every_table(tuple(rest), total - count):
            yield {first: count, **others}


def published(table: Table, *, smallest: int, fact: str = "") -> Release:
    return tuple(suppress_table(table, hiding_order(fact, table), smallest=smallest).items())


def assert_hidden_cells_stay_wide(release: Release, tables: Iterable[Table], *, smallest: int) -> None:
    """Check what a reader can say of each cell: a small one can be 0 to 10, a hidden one has eleven values in a row."""
    possible = list(tables)
    for value, figure in release:
        counts = {table[value] for table in possible}
        if figure is Mark.BELOW:
            assert counts == set(range(smallest)), (release, value)
        elif figure is Mark.HIDDEN:
            runs = (set(range(start, start + smallest)) for start in counts)
            assert any(run <= counts for run in runs), (release, value, sorted(counts))
        else:
            assert counts == {figure}


@pytest.mark.parametrize(
    ("rows", "smallest", "total"),
    [(3, 11, 33), (3, 11, 34), (3, 11, 55), (3, 11, 77), (4, 11, 45), (4, 5, 30), (5, 3, 20), (6, 2, 15)],
)
def test_no_reader_narrows_a_hidden_count_by_knowing_all_rules(rows: int, smallest: int, total: int) -> None:
    values = (*"abcdefg"[: rows - 1], UNSTATED)
    groups: dict[Release, list[Table]] = defaultdict(list)
    for table in every_table(values, total):
        groups[published(table, smallest=smallest)].append(table)
    assert len(groups) > 5
    for release, tables in groups.items():
        assert_hidden_cells_stay_wide(release, tables, smallest=smallest)


AGES = ("under_14", "14_17", "in_doubt", "30_59", UNSTATED)
OUTCOMES = ("negative", "review", "positive", UNSTATED)


def children(age_band: Table) -> int:
    return sum(age_band[band] for band in AGES[:3])


def room_for_children(outcome: Table) -> int:
    return outcome["review"] + outcome["positive"]


def grouped(fact: str, values: tuple[str, ...], smallest: int, total: int) -> dict[Release, list[Table]]:
    groups: dict[Release, list[Table]] = defaultdict(list)
    for table in every_table(values, total):
        groups[published(table, smallest=smallest, fact=fact)].append(table)
    return groups


@pytest.mark.parametrize(("smallest", "total"), [(3, 12), (3, 15), (4, 17)])
def test_a_child_is_never_negative_and_this_narrows_no_hidden_count(smallest: int, total: int) -> None:
    outcomes = grouped("outcome", OUTCOMES, smallest, total)
    ages = grouped("age_band", AGES, smallest, total)
    shown = 0
    for outcome, with_outcome in outcomes.items():
        room = max(map(room_for_children, with_outcome))
        withheld: list[Table] = []
        for age_band, with_ages in ages.items():
            fitting = [table for table in with_ages if children(table) <= room]
            if not fitting:
                continue
            if not children_are_covered(dict(outcome), dict(age_band), smallest=smallest):
                withheld += fitting
                continue
            shown += 1
            assert_hidden_cells_stay_wide(age_band, fitting, smallest=smallest)
            fewest = min(map(children, fitting))
            also = (table for table in with_outcome if room_for_children(table) >= fewest)
            assert_hidden_cells_stay_wide(outcome, also, smallest=smallest)
        assert_hidden_cells_stay_wide(tuple(withhold(dict.fromkeys(AGES)).items()), withheld, smallest=smallest)
        fewest = min(map(children, withheld))
        also = (table for table in with_outcome if room_for_children(table) >= fewest)
        assert_hidden_cells_stay_wide(outcome, also, smallest=smallest)
    assert shown > 10, "some age tables are published"


def suppressed(**counts: int) -> dict[str, Figure]:
    return suppress_table(counts, hiding_order("", counts))


def test_ten_and_zero_look_alike_and_eleven_is_shown() -> None:
    assert suppressed(a=40, b=30, c=0) == suppressed(a=30, b=30, c=10) == {"a": "hidden", "b": 30, "c": "< 11"}
    assert suppressed(a=40, b=30, c=11) == {"a": 40, "b": 30, "c": 11}


def test_the_row_hidden_second_does_not_depend_on_which_is_next_smallest() -> None:
    assert suppressed(a=400, b=12, c=3) == {"a": "hidden", "b": 12, "c": "< 11"}
    assert suppressed(a=12, b=400, c=10) == {"a": "hidden", "b": 400, "c": "< 11"}


def test_a_second_row_that_is_too_small_for_cover_takes_a_third() -> None:
    assert suppressed(a=12, b=400, c=3) == {"a": "hidden", "b": "hidden", "c": "< 11"}


@pytest.mark.parametrize(
    "counts",
    [{"a": 1, "b": 0, UNSTATED: 76}, {"a": 10, "b": 10, UNSTATED: 2}, {"a": 11, "b": 0, UNSTATED: 66}],
)
def test_a_table_without_enough_cover_is_withheld_with_all_its_rows(counts: dict[str, int]) -> None:
    assert suppress_table(counts, hiding_order("", counts)) == dict.fromkeys(counts, Mark.HIDDEN)


def test_the_number_of_unstated_values_is_never_used_as_cover() -> None:
    counts = {"a": 50, "b": 3, UNSTATED: 30}
    assert suppress_table(counts, hiding_order("", counts)) == {"a": "hidden", "b": "< 11", UNSTATED: 30}


@given(st.lists(st.integers(0, 60), min_size=7, max_size=7).filter(lambda counts: sum(counts) >= 7 * SMALLEST))
def test_a_short_table_of_a_whole_period_is_withheld_only_if_ten_state_a_value(counts: list[int]) -> None:
    table = dict(zip((*"abcdef", UNSTATED), counts, strict=True))
    withheld = set(suppress_table(table, hiding_order("", table)).values()) == {Mark.HIDDEN}
    assert withheld == (sum(counts[:6]) < SMALLEST)


@pytest.mark.parametrize("fact", VALUES)
def test_every_table_hides_in_an_order_that_covers_its_whole_list(fact: str) -> None:
    assert sorted([*hiding_order(fact, dict.fromkeys(VALUES[fact])), UNSTATED]) == sorted(VALUES[fact])


def test_many_children_among_the_positive_withhold_the_age_table_alone() -> None:
    counts = {fact: {**dict.fromkeys(values, 0), UNSTATED: 200} for fact, values in VALUES.items()}
    counts["outcome"] |= {"negative": 150, "positive": 45, "review": 5, UNSTATED: 0}
    counts["age_band"] |= {"30_59": 152, "14_17": 48, UNSTATED: 0}
    figures = protect_tables(counts)
    assert set(figures["age_band"].values()) == {Mark.HIDDEN}, "48 children and 45 positive: review is 3 or more"
    assert figures["outcome"]["positive"] == 45
    counts["age_band"] |= {"30_59": 176, "14_17": 24}
    assert protect_tables(counts)["age_band"]["14_17"] == 24
