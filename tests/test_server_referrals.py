"""Tests of referrals: only the transitions in the table are allowed, claims lapse, and tablets get their status
events."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from conftest import FOUNDED
from server.database.connection import Database
from server.flows.desks import referrals
from server.flows.desks.referrals import TRANSITIONS
from server.problems import Problem
from server.store import referrals as referral_store
from server.store.referrals import Referral
from support.intake import Field, Tablet
from sync.durations import MINUTE

ANA, BEA = "ana", "bea"
STATES = ("waiting", "claimed", "accepted", "closed")
Act = Callable[[Database, str, str], object]
ACTIONS: dict[str, Act] = {
    "claim": lambda db, id_, who: referrals.claim_referral(db, id_, who, now=FOUNDED, lease_minutes=30),
    "accept": lambda db, id_, who: referrals.accept_referral(db, id_, who, now=FOUNDED),
    "close": lambda db, id_, who: referrals.close_referral(db, id_, who, "attended", now=FOUNDED),
}
# How Ana brings a referral into each state.
PATHS = {"waiting": (), "claimed": ("claim",), "accepted": ("claim", "accept"), "closed": ("claim", "accept", "close")}
# The expected table: (action, state, by the holder, by another) -> new state, or the problem.
EXPECTED = {
    ("claim", "waiting"): ("claimed", "claimed"),
    ("claim", "claimed"): ("claimed", "referral.held_by_another"),
    ("claim", "accepted"): ("referral.wrong_state", "referral.wrong_state"),
    ("claim", "closed"): ("referral.wrong_state", "referral.wrong_state"),
    ("accept", "waiting"): ("accepted", "accepted"),
    ("accept", "claimed"): ("accepted", "referral.held_by_another"),
    ("accept", "accepted"): ("accepted", "referral.wrong_state"),
    ("accept", "closed"): ("referral.wrong_state", "referral.wrong_state"),
    ("close", "waiting"): ("referral.wrong_state", "referral.wrong_state"),
    ("close", "claimed"): ("referral.wrong_state", "referral.wrong_state"),
    ("close", "accepted"): ("closed", "referral.held_by_another"),
    ("close", "closed"): ("closed", "referral.wrong_state"),
}


@pytest.fixture
def tablet(field: Field) -> Tablet:
    return field.tablet()


@pytest.fixture
def opened(field: Field, tablet: Tablet) -> Referral:
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    (referral,) = field.referrals(raw)
    return referral


def state(field: Field, id_: str) -> Referral:
    found = referral_store.get_referral(field.services.db.read(), id_)
    assert found is not None
    return found


def test_the_transition_table_has_every_state_and_no_other() -> None:
    assert {start for _, start in TRANSITIONS.transitions} | {
        each.end for each in TRANSITIONS.transitions.values()
    } == set(STATES)
    assert set(EXPECTED) == set(product(ACTIONS, STATES))


@pytest.mark.parametrize("who", [ANA, BEA])
@pytest.mark.parametrize(("action", "start"), list(EXPECTED))
def test_each_transition_is_allowed_or_refused_by_the_table(
    field: Field, opened: Referral, action: str, start: str, who: str
) -> None:
    db = field.services.db
    for step in PATHS[start]:
        ACTIONS[step](db, opened.id, ANA)
    expected = EXPECTED[action, start][who != ANA]
    before = field.rows("select count(*) from audit")
    if "." in expected:
        with pytest.raises(Problem) as refused:
            ACTIONS[action](db, opened.id, who)
        assert refused.value.code == expected
        assert state(field, opened.id).state == start
        assert field.rows("select count(*) from audit") == before
    else:
        ACTIONS[action](db, opened.id, who)
        now = state(field, opened.id)
        assert (now.state, now.holder) == (expected, who)
        repeated = expected == start != "claimed"
        assert field.rows("select count(*) from audit") == [(before[0][0] + (not repeated),)]


def test_a_claim_without_acceptance_lapses_and_the_referral_waits_again(field: Field, opened: Referral) -> None:
    db = field.services.db
    referrals.claim_referral(db, opened.id, ANA, now=FOUNDED, lease_minutes=30)
    assert referrals.release_lapsed(db, now=FOUNDED + 30 * MINUTE - 1) == 0
    assert referrals.release_lapsed(db, now=FOUNDED + 30 * MINUTE) == 1
    waiting = state(field, opened.id)
    assert (waiting.state, waiting.holder, waiting.lease) == ("waiting", None, None)
    assert referrals.claim_referral(db, opened.id, BEA, now=FOUNDED, lease_minutes=30).holder == BEA


def test_an_accepted_referral_never_lapses(field: Field, opened: Referral) -> None:
    referrals.claim_referral(field.services.db, opened.id, ANA, now=FOUNDED, lease_minutes=30)
    referrals.accept_referral(field.services.db, opened.id, ANA, now=FOUNDED)
    assert referrals.release_lapsed(field.services.db, now=FOUNDED + 10**12) == 0


def test_the_tablet_gets_the_statuses_accepted_and_closed_but_no_result(
    field: Field, opened: Referral, tablet: Tablet
) -> None:
    for step in PATHS["closed"]:
        ACTIONS[step](field.services.db, opened.id, ANA)
    response = field.ask(tablet, field.message(tablet))
    assert [(event.id, event.status) for event in response.events] == [
        (opened.envelope, "accepted"),
        (opened.envelope, "closed"),
    ]
    told = field.message(tablet, cursor=response.cursor, generation=response.generation)
    assert field.ask(tablet, told).events == ()
    restored = field.message(tablet, cursor=response.cursor, generation="another0000")
    assert len(field.ask(tablet, restored).events) == 2


def test_a_closed_referral_leaves_the_queue_and_keeps_its_result(field: Field, opened: Referral) -> None:
    c = field.services.db.read()
    assert [item.id for item in referral_store.list_open(c, "17-protection", "field")] == [opened.id]
    for step in PATHS["closed"]:
        ACTIONS[step](field.services.db, opened.id, ANA)
    assert referral_store.list_open(c, "17-protection", "field") == []
    assert state(field, opened.id).result == "attended"


def test_an_unknown_referral_or_result_is_named(field: Field, opened: Referral) -> None:
    with pytest.raises(Problem, match=r"referral\.unknown"):
        referrals.accept_referral(field.services.db, "000000000000", ANA, now=FOUNDED)
    referrals.accept_referral(field.services.db, opened.id, ANA, now=FOUNDED)
    with pytest.raises(Problem, match=r"referral\.unknown_result"):
        referrals.close_referral(field.services.db, opened.id, ANA, "la señora se fue", now=FOUNDED)


@pytest.mark.parametrize(("action", "start"), [("accept", "waiting"), ("accept", "claimed"), ("close", "accepted")])
def test_a_step_asked_twice_answers_the_same_and_is_written_down_once(
    field: Field, opened: Referral, action: str, start: str
) -> None:
    db = field.services.db
    for step in PATHS[start]:
        ACTIONS[step](db, opened.id, ANA)
    first = ACTIONS[action](db, opened.id, ANA)
    kept = [field.rows(f"select * from {table}") for table in ("audit", "status_events", "referrals")]  # noqa: S608
    assert ACTIONS[action](db, opened.id, ANA) == first
    assert [field.rows(f"select * from {table}") for table in ("audit", "status_events", "referrals")] == kept  # noqa: S608
    with pytest.raises(Problem):
        ACTIONS[action](db, opened.id, BEA)


def test_a_referral_closed_with_one_result_is_not_closed_with_another(field: Field, opened: Referral) -> None:
    for step in PATHS["closed"]:
        ACTIONS[step](field.services.db, opened.id, ANA)
    with pytest.raises(Problem, match=r"referral\.wrong_state"):
        referrals.close_referral(field.services.db, opened.id, ANA, "declined", now=FOUNDED)


@pytest.mark.parametrize(
    ("action", "start", "first"),
    [
        ("close", "waiting", ["accept"]),
        ("close", "claimed", ["accept"]),
        ("accept", "closed", []),
        ("claim", "closed", []),
    ],
)
def test_a_step_in_the_wrong_state_says_what_to_do_first(
    field: Field, opened: Referral, action: str, start: str, first: list[str]
) -> None:
    for step in PATHS[start]:
        ACTIONS[step](field.services.db, opened.id, ANA)
    with pytest.raises(Problem) as refused:
        ACTIONS[action](field.services.db, opened.id, ANA)
    assert (refused.value.code, refused.value.members["first"]) == ("referral.wrong_state", first)
    assert all(step in refused.value.detail for step in first)
