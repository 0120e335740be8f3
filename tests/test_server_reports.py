"""Tests of the reports: no small count is shown, and none can be computed from the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conftest import FOUNDED, World
from server.database.connection import Database
from server.flows.operations import reports
from server.flows.operations.reports import SMALLEST, suppress_small_counts
from server.store import audit, statistics
from server.store.statistics import ScreeningFacts
from sync.durations import DAY

LATER = FOUNDED + 40 * DAY


def test_hiding_a_small_cell_also_hides_the_next_smallest() -> None:
    assert suppress_small_counts({"T1": 40, "T2": 3, "T3": 12}) == ({"T1": 40, "T2": None, "T3": None}, 55)
    assert suppress_small_counts({"T1": 40, "T2": 12}) == ({"T1": 40, "T2": 12}, 52)
    assert suppress_small_counts({"T1": 4, "T2": 5}) == ({"T1": None, "T2": None}, None)
    assert suppress_small_counts({"T1": 4}) == ({"T1": None}, None)
    assert suppress_small_counts({}) == ({}, None)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60)))
def test_hidden_counts_cannot_be_computed_and_no_small_count_is_shown(counts: dict[str, int]) -> None:
    shown, total = suppress_small_counts(counts)
    hidden = [value for value, count in shown.items() if count is None]
    assert all(count is None or count == counts[value] >= SMALLEST for value, count in shown.items())
    if total is not None and hidden:
        assert len(hidden) >= 2
        assert total - sum(count for count in shown.values() if count) >= SMALLEST
    assert total is not None or all(count is None for count in shown.values())


def test_training_is_never_counted_with_the_field(world_db: Database) -> None:
    with world_db.write() as w:
        for mode, times in (("field", 30), ("training", 12)):
            facts = {"outcome": "review", "unknown": "x", "sex": ""}
            statistics.count_screenings(w, [ScreeningFacts(mode, facts)] * times, at=FOUNDED)
    field = reports.list_tables(world_db, mode="field", now=LATER)
    training = reports.list_tables(world_db, mode="training", now=LATER)
    found = {table.dimension: table for table in field}["outcome"]
    assert (found.month, found.counts, found.total) == ("2026-11", {"review": 30}, 30)
    assert {table.total for table in training} == {12}


def test_a_month_is_shown_when_it_is_over_and_unstated_values_are_counted(world_db: Database) -> None:
    with world_db.write() as w:
        for number in range(30):
            facts = {"outcome": "review", "sex": "" if number else "male"}
            statistics.count_screenings(w, [ScreeningFacts("field", facts)], at=FOUNDED)
    assert reports.list_tables(world_db, mode="field", now=FOUNDED) == [], (
        "otherwise the next count reveals the addition"
    )
    tables = {table.dimension: table for table in reports.list_tables(world_db, mode="field", now=LATER)}
    assert tables["sex"].counts == {"male": None, "unstated": None}
    assert {table.total for table in tables.values()} == {30}, "no difference of totals reveals a person"


def test_audit_rows_are_paged_and_end_at_the_head(world: World, world_db: Database) -> None:
    with world_db.write() as w:
        audit.append(w, at=FOUNDED, action="test.done", actor="tests", subject="x")
    every = reports.read_audit(world_db, after=0)
    rest = reports.read_audit(world_db, after=every.head.number - 1)
    assert [each.hash for each in rest.entries] == [every.head.hash]
    assert len(every.entries) == every.head.number
