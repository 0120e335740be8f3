"""Decides which desks a screening goes to. Pure: the rules are rows of routing_rules.csv, tried in order; the last one
is the country's desk, so that nothing ever goes nowhere. Intake calls it; it reads no clock and no database."""

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
    """One row: a site (UBIGEO prefix, empty fits all) and a kind of queue (`*` fits all) lead to a queue.

    `keyring` is whose members work there; `mark` is written on every referral that the row decides.
    """

    site: str
    queue_kind: str
    queue: str
    keyring: str
    title_es: str
    mark: str

    def matches(self, province: str, kind: str) -> bool:
        """Whether the row is for work of this kind from this province."""
        return province.startswith(self.site) and self.queue_kind in (kind, "*")


@dataclass(frozen=True)
class Rulebook:
    """What routing needs: the ordered rules, and hours to the deadline per urgency."""

    rules: Sequence[RoutingRule]
    hours: Mapping[str, int]


@dataclass(frozen=True)
class RoutingDecision:
    """One referral to open. `deadline` in milliseconds, None in training."""

    queue: str
    kind: str
    mode: str
    urgency: str
    deadline: int | None
    mark: str


def read_rules() -> tuple[RoutingRule, ...]:
    """The rules of routing_rules.csv. Raises ValueError when the last one does not fit everything."""
    lines = resources.files("server.flows.desks").joinpath("routing_rules.csv").read_text(encoding="utf-8").splitlines()
    rules = tuple(RoutingRule(**row) for row in csv.DictReader(lines))
    if not rules or (rules[-1].site, rules[-1].queue_kind) != ("", "*"):
        raise ValueError("routing_rules.csv: the last rule must fit every site and every kind")
    return rules


def choose_queues(
    route: Route | None, rules: Sequence[RoutingRule], *, keyring: str | None, received: int, hours: Mapping[str, int]
) -> tuple[RoutingDecision, ...]:
    """Say which queues a screening goes to, by when. Empty: it is counted only.

    `route` None means that the server could not read it; then the desk of the keyring it is sealed to (None: unknown)
    sorts it, at the most urgent deadline (SPEC 7.2). A route whose form left out the kinds is as good as unread.
    One screening is sealed to one keyring (SPEC 5.2): a desk that it also concerns but that cannot open it is told so.
    """
    if route is None or route.queue_kinds is None:
        rule = next((rule for rule in rules if rule.keyring == keyring), rules[-1])
        mode = (route.mode if route else None) or FIELD
        return (_make_decision(rule, "review", mode, MOST_URGENT, received, hours, mark=UNREADABLE),)
    # What does not say how urgent it is, or that it is only training, is taken for the worst and the real.
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
