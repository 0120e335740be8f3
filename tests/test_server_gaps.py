"""Tests of gaps: a missing number in a tablet's chain stays on the work list until it is filled or given up.

A decision about one gap does not close another, and a new chain does not hide losses in the old one.
"""

from __future__ import annotations

import time
from typing import cast

import pytest

from server.database.sqlite import SqliteConnection
from server.flows.intake import gaps
from server.store import chains, envelopes, worklist
from support.intake import Field, Tablet
from sync.durations import DAY


def told(field: Field, kind: str = "gap") -> list[str]:
    return sorted(item.reason for item in worklist.list_open(field.services.db.read()) if item.kind == kind)


def watched(field: Field, days: int) -> list[str]:
    gaps.update_all_gaps(field.services.db, now=field.now + days * DAY)
    return told(field)


def decide(field: Field, decision: str, *, days: int = 0, kind: str = "gap") -> None:
    (item,) = (each for each in worklist.list_open(field.services.db.read()) if each.kind == kind)
    with field.services.db.write() as w:
        worklist.record_decision(w, item.id, decision=decision, by="tests", at=field.now + days * DAY)


def push(field: Field, tablet: Tablet, raws: list[bytes], *numbers: int) -> None:
    field.push(tablet, *(raws[number - 1] for number in numbers))


def test_each_gap_of_a_chain_is_reported_after_an_earlier_one_was_given_up(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(9)]
    push(field, tablet, raws, 1, 3)
    assert told(field) == ["seq.2"]
    decide(field, "lost")
    push(field, tablet, raws, 4)
    assert told(field) == []
    push(field, tablet, raws, 7, 9)
    assert told(field) == ["seq.5-6"]
    decide(field, "lost")
    assert watched(field, 1) == ["seq.8"]
    push(field, tablet, raws, 8)
    assert told(field) == watched(field, 30) == []
    assert field.ask(tablet, field.message(tablet, raws[1])).seq == {tablet.chain: 4}


def test_the_rest_of_a_gap_that_is_filled_in_part_is_reported_again(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(6)]
    push(field, tablet, raws, 1, 6)
    decide(field, "lost")
    push(field, tablet, raws, 2)
    assert told(field) == [], "the gap up to 5 was given up, and is now shorter"
    push(field, tablet, raws, 4)
    assert told(field) == ["seq.3"]


def test_a_screening_far_ahead_hides_no_gap_that_comes_later(field: Field) -> None:
    """A thief sends a screening with the largest number, and a person gives up the huge gap below it."""
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(4)]
    push(field, tablet, raws, 1)
    field.push(tablet, field.envelope(tablet, at=(2**53 - 1, "0" * 64)))
    decide(field, "lost")
    push(field, tablet, raws, 2)
    assert told(field) == []
    push(field, tablet, raws, 4)
    assert told(field) == ["seq.3"]


def test_a_gap_decided_as_found_is_reported_again_after_three_days(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(4)]
    push(field, tablet, raws, 1, 3)
    decide(field, "found", days=1)
    push(field, tablet, raws, 4)
    assert told(field) == watched(field, 2) == []
    assert watched(field, 4) == ["late.seq.2"], "its age counts from the first report"
    decide(field, "found", days=4)
    assert watched(field, 6) == []
    assert watched(field, 7) == ["late.seq.2"]
    decide(field, "lost", days=7)
    assert watched(field, 99) == []


def test_a_decision_under_a_clock_far_ahead_does_not_stop_a_new_report(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    push(field, tablet, raws, 1, 3)
    decide(field, "found", days=20_000)
    assert watched(field, 1) == ["seq.2"]


def test_a_gap_reported_under_a_clock_far_ahead_is_late(field: Field) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    field.now += 20_000 * DAY
    push(field, tablet, raws, 1, 3)
    field.now -= 20_000 * DAY
    assert watched(field, 0) == ["late.seq.2"]


# Chains that a tablet left


def test_missing_numbers_of_a_left_chain_are_a_gap_until_they_arrive(field: Field) -> None:
    tablet, old = field.tablet(), "B" * 11
    raws = [field.envelope(tablet) for _ in range(3)]
    push(field, tablet, raws, 1)
    answer = field.ask(tablet, field.message(tablet, ended={tablet.chain: 3, old: 2}))
    assert answer.seq == {tablet.chain: 1, old: 0}
    assert told(field) == ["seq.1-2", "seq.2-3"], "the server has no envelope of one chain"
    answer = field.ask(tablet, field.message(tablet, *raws[1:], ended={tablet.chain: 3, old: 2}))
    assert answer.seq == {tablet.chain: 3, old: 0}
    assert told(field) == ["seq.1-2"]
    assert watched(field, 3) == ["late.seq.1-2"]
    decide(field, "lost")
    field.ask(tablet, field.message(tablet, ended={old: 2}))
    assert told(field) == watched(field, 9) == []
    field.ask(tablet, field.message(tablet, ended={old: 5}))
    assert told(field) == ["seq.1-5"], "the tablet wrote more than was given up"
    field.ask(tablet, field.message(tablet, ended={old: 1}))
    assert told(field) == ["seq.1-5"]


def test_a_left_chain_is_on_the_work_list_once_whatever_the_decision(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.ask(tablet, field.message(tablet, raw, ended={tablet.chain: 1}))
    assert (told(field, "copied"), told(field)) == ([""], [])
    field.ask(tablet, field.message(tablet, ended={tablet.chain: 1}))
    assert told(field, "copied") == [""]
    decide(field, "checked", kind="copied")
    field.ask(tablet, field.message(tablet, ended={tablet.chain: 2}))
    assert told(field, "copied") == []
    field.ask(tablet, field.message(tablet, ended={"B" * 11: 1}))
    assert told(field, "copied") == [""]


@pytest.mark.parametrize("stored", [0, 1])
def test_a_tablet_that_claims_to_have_written_the_largest_number_costs_nothing(field: Field, stored: int) -> None:
    tablet = field.tablet()
    began = time.process_time()
    raws = [field.envelope(tablet) for _ in range(stored)]
    answer = field.ask(tablet, field.message(tablet, *raws, ended={tablet.chain: 2**53 - 1}))
    assert watched(field, 1) == [f"seq.{stored + 1}-{2**53 - 1}"]
    assert time.process_time() - began < 2
    assert answer.seq == {tablet.chain: stored}


def test_a_gap_that_shrinks_with_each_sync_stays_one_item(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet, at=(1, "")), field.envelope(tablet, at=(40, "0" * 64)))
    for seq in range(39, 2, -1):
        field.push(tablet, field.envelope(tablet, at=(seq, "0" * 64)))
    assert field.rows("select kind, reason from work_items") == [("gap", "seq.2")]


def put_chain(field: Field, count: int) -> Tablet:
    """Store the rows of a chain without a gap; the id of each is the chain's, followed by its number."""
    tablet = field.tablet()
    with field.services.db.write() as w:
        put = (
            "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
            " with recursive n (i) as (select 1 union all select i + 1 from n where i < ?)"
            " select ? || i, ?, i, ?, i, 1, '', '', 'stored', x'', 0, 0 from n"
        )
        w.execute(put, [count, tablet.chain, tablet.key.kid, tablet.chain])
        chains.recount_chain(w, tablet.key.kid, tablet.chain)
    return tablet


def count_steps(field: Field, tablet: Tablet, last: int) -> int:
    """Return the work of SQLite, in tens of its steps, for a tablet that claims receipts up to this number."""
    counted = [0]
    with field.services.db.write() as w:
        connection = cast("SqliteConnection", w).conn
        connection.set_progress_handler(lambda: counted.append(0), 10)
        gaps.list_lost(w, tablet.key.kid, {tablet.chain: last}, now=field.now)
        connection.set_progress_handler(None, 0)
    return len(counted)


def mark_damaged(field: Field, tablet: Tablet, *numbers: int) -> None:
    with field.services.db.write() as w:
        for seq in numbers:
            envelopes.mark_damaged(w, f"{tablet.chain}{seq}", at=field.now)


@pytest.mark.parametrize("claimed", [1, 5_000])
def test_what_a_tablet_claims_to_be_receipted_costs_the_same_in_a_long_chain(field: Field, claimed: int) -> None:
    def steps(stored: int) -> int:
        return count_steps(field, put_chain(field, stored), stored + claimed)

    assert steps(20_000) < steps(2_000) + 20


@pytest.mark.parametrize("is_own", [True, False])
def test_a_damaged_screening_costs_each_sync_as_much_as_its_chain_is_long(field: Field, is_own: bool) -> None:
    short, long, other = (put_chain(field, count) for count in (100, 1_000, 1))
    for tablet in (short, long) if is_own else (other,):
        mark_damaged(field, tablet, 1)
    assert count_steps(field, long, 1_000) < 20 * count_steps(field, short, 100)


def test_any_number_of_damaged_screenings_of_others_costs_a_sync_the_same(field: Field) -> None:
    tablet, other = put_chain(field, 100), put_chain(field, 2_000)
    mark_damaged(field, other, 1)
    before = count_steps(field, tablet, 100)
    mark_damaged(field, other, *range(2, 2_001))
    assert count_steps(field, tablet, 100) < before + 20


@pytest.mark.parametrize(("damaged", "missing"), [((1,), "1"), ((5, 6), "5-6"), ((2, 9, 10), "2 9-10"), ((), "")])
def test_damaged_screenings_are_asked_for_again_and_no_others(
    field: Field, damaged: tuple[int, ...], missing: str
) -> None:
    tablet, other = put_chain(field, 10), put_chain(field, 10)
    mark_damaged(field, tablet, *damaged)
    mark_damaged(field, other, 4)
    db = field.services.db.read()
    assert " ".join(map(str, chains.list_missing(db, tablet.key.kid, tablet.chain, 10))) == missing
