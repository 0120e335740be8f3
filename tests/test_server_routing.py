"""Tests of routing: the first matching rule of the table decides, and every screening has a destination."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.flows.desks import routing
from server.flows.desks.routing import RoutingDecision
from support.intake import ROUTE
from sync.documents.registry import sealed_to
from sync.durations import HOUR
from sync.envelope.route import VOCABULARY, Route

RULES = routing.read_rules()
HOURS = {"immediate": 1, "prompt": 24, "routine": 72}
NOW = 1_000_000


def decide(route: Route | None, keyring: str | None = None) -> tuple[RoutingDecision, ...]:
    return routing.choose_queues(route, RULES, keyring=keyring, received=NOW, hours=HOURS)


@pytest.mark.parametrize(
    ("province", "kind", "queue"),
    [
        ("1702", "protection", "17-protection"),
        ("2110", "labour", "21-labour"),
        ("2110", "review", "21-review"),
        ("1701", "child", "17-child"),
        ("0812", "protection", "08-protection"),
        ("0403", "labour", "04-labour"),
        ("1601", "child", "16-child"),
        ("1501", "review", "15-review"),
    ],
)
def test_a_screening_goes_to_the_desk_of_its_region_and_kind(province: str, kind: str, queue: str) -> None:
    keyring = queue.replace("review", "protection")
    (decision,) = decide(replace(ROUTE, province=province, queue_kinds=(kind,)), keyring)
    assert (decision.queue, decision.kind, decision.mark) == (queue, kind, "")


@pytest.mark.parametrize(("urgency", "hours"), [("immediate", 1), ("prompt", 24), ("routine", 72), (None, 1)])
def test_the_deadline_runs_from_receipt_and_unknown_urgency_is_the_most_urgent(urgency: str, hours: int) -> None:
    (decision,) = decide(replace(ROUTE, urgency=urgency))
    assert decision.deadline == NOW + hours * HOUR


def test_training_goes_to_the_same_queue_without_a_deadline() -> None:
    (decision,) = decide(replace(ROUTE, mode="training"))
    assert (decision.queue, decision.mode, decision.deadline) == ("17-protection", "training", None)


def test_a_screening_without_a_mode_is_field_work() -> None:
    (decision,) = decide(replace(ROUTE, mode=None))
    assert (decision.mode, decision.deadline is None) == ("field", False)


def test_several_kinds_open_several_referrals() -> None:
    found = decide(replace(ROUTE, queue_kinds=("child", "labour")), "17-child")
    assert [decision.queue for decision in found] == ["17-child", "17-labour"]
    assert [decision.mark for decision in found] == ["", "sealed_elsewhere"], "the desk that cannot open it gets a mark"


@pytest.mark.parametrize("kinds", [("labour",), ("protection",), ("review",), ("child",), ("child", "labour"), ()])
@pytest.mark.parametrize("region", ["17", "21", "08", "04", "16", "15", "05"])
def test_the_desk_that_works_a_screening_first_is_one_that_can_open_it(region: str, kinds: tuple[str, ...]) -> None:
    """The tablet seals by the registry, the server routes by its rules; both must lead to the same desk."""
    sites = {rule.site for rule in RULES if rule.site}
    sealed = f"{region}-{sealed_to(kinds)}" if region in sites else "national"
    found = decide(replace(ROUTE, province=f"{region}01", queue_kinds=kinds), sealed)
    assert [decision.mark for decision in found][:1] in ([], [""], ["no_suitable_service"])


def test_no_kinds_means_counted_only() -> None:
    assert decide(replace(ROUTE, queue_kinds=())) == ()


@pytest.mark.parametrize("province", ["0501", None])
def test_a_screening_without_a_desk_goes_marked_to_the_national_one(province: str | None) -> None:
    (decision,) = decide(replace(ROUTE, province=province, queue_kinds=("child", "protection")))
    assert (decision.queue, decision.mark) == ("national", "no_suitable_service")


@pytest.mark.parametrize(
    ("keyring", "queue"),
    [("17-protection", "17-protection"), ("21-child", "21-child"), ("99-child", "national"), (None, "national")],
)
@pytest.mark.parametrize("route", [None, replace(ROUTE, queue_kinds=None, urgency="routine")])
def test_an_unreadable_route_is_sorted_by_the_desk_that_can_open_it_at_once(
    route: Route | None, keyring: str | None, queue: str
) -> None:
    (decision,) = decide(route, keyring)
    assert (decision.queue, decision.mark, decision.deadline) == (queue, "route_unreadable", NOW + HOUR)


codes = {name: sorted(allowed) for name, allowed in VOCABULARY.items() if isinstance(allowed, frozenset)}


@given(
    kinds=st.none() | st.sets(st.sampled_from(codes["queue_kinds"])).map(sorted).map(tuple),
    province=st.none() | st.from_regex(r"[0-9]{4}", fullmatch=True),
    urgency=st.none() | st.sampled_from(codes["urgency"]),
    mode=st.none() | st.sampled_from(codes["mode"]),
)
def test_each_chosen_queue_exists_and_is_used_once_for_any_route(
    kinds: tuple[str, ...] | None, province: str | None, urgency: str | None, mode: str | None
) -> None:
    found = decide(Route(queue_kinds=kinds, province=province, urgency=urgency, mode=mode))
    queues = [decision.queue for decision in found]
    assert set(queues) <= {rule.queue for rule in RULES}
    assert len(queues) == len(set(queues))
    assert bool(queues) == (kinds is None or bool(kinds))
    assert all((decision.deadline is None) == (mode == "training") for decision in found)
