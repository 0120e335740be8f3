"""Decides which desks a screening goes to. Intake calls it.

The rules are rows of routing_rules.csv, tried in order. The last rule is the national desk, so every screening has a
destination. This module is pure: it must not read a clock or the database.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from sync.durations import HOUR
from sync.envelope.route import Route

MOST_URGENT = "immediate"
TRAINING = "training"
FIELD = "field"
UNREADABLE = "route_unreadable"
SEALED_ELSEWHERE = "sealed_elsewhere"


@dataclass(frozen=True)
class RoutingRule:
    """One rule: a site (UBIGEO prefix, empty = all) and a kind of queue (`*` = all) lead to a queue.

    The members of `keyring` work in that queue. `mark` is written on every referral that the rule decides.
    """

    site: str
    queue_kind: str
    queue: str
    keyring: str
    title_es: str
    mark: str

    def matches(self, province: str, kind: str) -> bool:
        """Return True if the rule is for work of this kind from this province."""
        return province.startswith(self.site) and self.queue_kind in (kind, "*")


@dataclass(frozen=True)
class Rulebook:
    """The input of routing: the ordered rules, and the hours to the deadline per urgency."""

    rules: Sequence[RoutingRule]
    hours: Mapping[str, int]


@dataclass(frozen=True)
class RoutingDecision:
    """One referral to open. `deadline` is in milliseconds, None in training."""

    queue: str
    kind: str
    mode: str
    urgency: str
    deadline: int | None
    mark: str


def read_rules() -> tuple[RoutingRule, ...]:
    """Return the rules of routing_rules.csv. Raises ValueError if the last rule does not match every site and kind."""
    lines = resources.files("server.flows.desks").joinpath("routing_rules.csv").read_text(encoding="utf-8").splitlines()
    rules = tuple(RoutingRule(**row) for row in csv.DictReader(lines))
    if not rules or (rules[-1].site, rules[-1].queue_kind) != ("", "*"):
        raise ValueError("routing_rules.csv: the last rule must fit every site and every kind")
    return rules


def choose_queues(
    route: Route | None, rules: Sequence[RoutingRule], *, keyring: str | None, received: int, hours: Mapping[str, int]
) -> tuple[RoutingDecision, ...]:
    """Return the queues that a screening goes to, each with its deadline. An empty result means: only count the
    screening.

    `route` is None if the server could not read it. Then the desk of `keyring` (None = unknown) sorts the screening, at
    the most urgent deadline (SPEC 7.2). A route without kinds is treated as unreadable.

    One screening is sealed to one keyring (SPEC 5.2). A desk that it also concerns, but that cannot open it, gets a
    mark that says so.
    """
    if route is None or route.queue_kinds is None:
        rule = next((rule for rule in rules if rule.keyring == keyring), rules[-1])
        mode = (route.mode if route else None) or FIELD
        return (_make_decision(rule, "review", mode, MOST_URGENT, received, hours, mark=UNREADABLE),)
    # A route without a known urgency counts as most urgent. A route without a mode counts as field work, not training.
    urgency = route.urgency if route.urgency and route.urgency in hours else MOST_URGENT
    mode = route.mode or FIELD
    found = ((_first_match(rules, route.province or "", kind), kind) for kind in route.queue_kinds)
    return _one_per_queue(
        _make_decision(
            rule, kind, mode, urgency, received, hours, mark=rule.mark or _mark_if_sealed_elsewhere(rule, keyring)
        )
        for rule, kind in found
    )


def _first_match(rules: Sequence[RoutingRule], province: str, kind: str) -> RoutingRule:
    return next(rule for rule in rules if rule.matches(province, kind))


def _mark_if_sealed_elsewhere(rule: RoutingRule, keyring: str | None) -> str:
    return "" if rule.keyring == keyring else SEALED_ELSEWHERE


def _make_decision(
    rule: RoutingRule, kind: str, mode: str, urgency: str, received: int, hours: Mapping[str, int], *, mark: str
) -> RoutingDecision:
    deadline = None if mode == TRAINING else received + hours[urgency] * HOUR
    return RoutingDecision(rule.queue, kind, mode, urgency, deadline, mark)


def _one_per_queue(decisions: Iterable[RoutingDecision]) -> tuple[RoutingDecision, ...]:
    by_queue: dict[str, RoutingDecision] = {}
    for decision in decisions:
        by_queue.setdefault(decision.queue, decision)
    return tuple(by_queue.values())
