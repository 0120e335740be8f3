"""Stores arriving envelopes: parse, verify, choose the outcome, store, route, open referrals, count, audit.

The sync request calls it for all envelopes of a batch, inside the one transaction of the request. It must not decrypt a
screening. A broken envelope must not stop the others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from server.database.connection import Connection, savepoint
from server.flows.desks import referrals, routing
from server.flows.desks.routing import RoutingDecision, Rulebook
from server.flows.forms import halts
from server.flows.intake import gaps
from server.problems import Problem
from server.store import audit, devices, envelopes, keyrings, statistics, versions, worklist
from server.store.audit import AuditEvent
from server.store.devices import Device
from server.store.envelopes import KnownParts
from server.store.statistics import ScreeningFacts
from sync.documents.receipt import ReceiptItem
from sync.envelope.route import Route, open_route
from sync.envelope.verify import Envelope, envelope_id, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, VerifyKey

T = TypeVar("T")


@dataclass(frozen=True)
class ParsedEnvelope:
    """A parsed envelope. A non-empty `code` means: rejected. `route` None means: a desk must sort it."""

    id: str
    envelope: Envelope | None
    route: Route | None
    code: str


class _Batch:
    """The envelopes of one request: cached store queries, and the audit events and counts to write once at the end."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Any, str], Any] = {}
        self.events: list[AuditEvent] = []
        self.facts: list[ScreeningFacts] = []

    def cached(self, w: Connection, ask: Callable[[Connection, str], T], about: str) -> T:
        """Run a store query about something that no envelope changes, and cache its result for the batch."""
        if (ask, about) not in self._answers:
            self._answers[ask, about] = ask(w, about)
        answer: T = self._answers[ask, about]
        return answer


def inspect_envelope(
    raw: bytes, key_of: Callable[[str], VerifyKey], route_keys: Mapping[str, RouteKey]
) -> ParsedEnvelope:
    """Parse an envelope and verify its signature, without a transaction. `key_of` raises Problem for an unknown
    tablet."""
    try:
        envelope = parse_envelope(raw)
        verify_envelope(envelope, key_of(envelope.header.dev))
    except Problem:
        return ParsedEnvelope(envelope_id(raw), None, None, "envelope.unknown_device")
    except SyncError as error:
        return ParsedEnvelope(envelope_id(raw), None, None, error.code)
    return ParsedEnvelope(envelope.id, envelope, _open_route(envelope, route_keys), "")


def _open_route(envelope: Envelope, route_keys: Mapping[str, RouteKey]) -> Route | None:
    # The route is optional (SPEC 7.2). A screening with an unreadable route is stored, and a desk sorts it by hand.
    try:
        return open_route(envelope.header.route, route_keys, envelope.header.jti)
    except SyncError:
        return None


def store_all(
    w: Connection, arrivals: Sequence[ParsedEnvelope], *, sender: str, rulebook: Rulebook, now: int
) -> list[ReceiptItem]:
    """Store or reject each envelope; return one receipt item for each, in order."""
    items = _store_batch(w, arrivals, sender, rulebook, now)
    if codes := [item.code for item in items if item.outcome == "rejected"]:
        halts.record_rejection(w, sender, codes[-1], now=now)
    return items


def _store_batch(
    w: Connection, arrivals: Sequence[ParsedEnvelope], sender: str, rulebook: Rulebook, now: int
) -> list[ReceiptItem]:
    try:
        with savepoint(w):
            return _store_together(w, arrivals, sender, rulebook, now)
    except sqlite3.IntegrityError:
        return [_store_alone(w, arrival, sender, rulebook, now) for arrival in arrivals]


def _store_alone(w: Connection, arrival: ParsedEnvelope, sender: str, rulebook: Rulebook, now: int) -> ReceiptItem:
    # A constraint of the tables rejects one envelope. It stays on the tablet and is counted; the others are stored.
    try:
        with savepoint(w):
            return _store_together(w, [arrival], sender, rulebook, now)[0]
    except sqlite3.IntegrityError:
        return _count_rejection(w, arrival.id, "envelope.not_stored", sender, now)


def _store_together(
    w: Connection, arrivals: Sequence[ParsedEnvelope], sender: str, rulebook: Rulebook, now: int
) -> list[ReceiptItem]:
    batch = _Batch()
    items = [_store_one(w, arrival, batch, sender, rulebook, now) for arrival in arrivals]
    audit.append_all(w, batch.events, at=now)
    statistics.count_screenings(w, batch.facts, at=now)
    return items


def _store_one(
    w: Connection, arrival: ParsedEnvelope, batch: _Batch, sender: str, rulebook: Rulebook, now: int
) -> ReceiptItem:
    envelope = arrival.envelope
    if envelope is None:
        return _count_rejection(w, arrival.id, arrival.code, sender, now)
    known = envelopes.known_parts(w, envelope)
    if known.bytes:
        return ReceiptItem(envelope.id, "duplicate", envelope.header.seq)
    outcome = _choose_outcome(batch.cached(w, devices.get_device, envelope.header.dev), known)
    decisions: tuple[RoutingDecision, ...] = ()
    if outcome != "quarantined":
        keyring = batch.cached(w, keyrings.find_keyring, envelope.header.kid)
        decisions = routing.choose_queues(
            arrival.route, rulebook.rules, keyring=keyring, received=now, hours=rulebook.hours
        )
        if outcome == "stored" and _is_held(w, batch, arrival.route, decisions):
            outcome = "held"
    envelopes.put_envelope(w, envelope, outcome=outcome, at=now)
    batch.events.append(AuditEvent(f"envelope.{outcome}", envelope.header.dev, envelope.id))
    is_new = _store_route_and_work(w, envelope, arrival.route, outcome, now)
    for decision in decisions:
        mark = _mark_of_retired_form(w, batch, arrival.route) if outcome == "stored" else outcome
        batch.events += referrals.open_referral(w, envelope.id, decision, mark=mark, now=now)
    if is_new and outcome not in ("conflict", "quarantined"):  # These are counted when a person releases them.
        batch.facts += statistics.screening_facts(arrival.route)
    return ReceiptItem(envelope.id, outcome, envelope.header.seq)


def _count_rejection(w: Connection, id_: str, code: str, sender: str, now: int) -> ReceiptItem:
    statistics.count_rejection(w, dev=sender, code=code, at=now)
    return ReceiptItem(id_, "rejected", code=code)


def _choose_outcome(device: Device | None, known: KnownParts) -> str:
    """Return the outcome before routing, by the table of SPEC 10. The most serious outcome comes first."""
    if device is None or device.state != "certified":
        return "quarantined"
    if known.jti:
        return "conflict"
    return "fork" if known.seq else "stored"


def _mark_of_retired_form(w: Connection, batch: _Batch, route: Route | None) -> str:
    """Return the mark "retired_form" for a screening under a retired version. The server still accepts it."""
    state = batch.cached(w, versions.get_state_in_use, route.sha) if route is not None and route.sha is not None else ""
    return "retired_form" if state == "retired" else ""


def _is_held(w: Connection, batch: _Batch, route: Route | None, decisions: Sequence[RoutingDecision]) -> bool:
    unknown_version = (
        route is not None and route.sha is not None and not batch.cached(w, versions.get_state_in_use, route.sha)
    )
    return unknown_version or any(decision.mark == "no_suitable_service" for decision in decisions)


_WORK_KINDS = {"quarantined": "quarantine", "conflict": "conflict", "fork": "fork", "held": "held"}


def _store_route_and_work(w: Connection, envelope: Envelope, route: Route | None, outcome: str, now: int) -> bool:
    """Store the route, and add the items that a person has to decide to the work list. Returns False if the route
    outlived an envelope that was lost: that screening is counted already."""
    header, is_new = envelope.header, True
    kinds = [_WORK_KINDS[outcome]] if outcome in _WORK_KINDS else []
    if route is None:
        kinds.append("route")
    else:
        is_new = envelopes.put_route(w, envelope.id, route)
    for kind in kinds:
        worklist.add_item(w, kind=kind, dev=header.dev, chain=header.chain, envelope=envelope.id, at=now)
    return is_new


def advance_chains(w: Connection, chains: Iterable[tuple[str, str]], *, now: int) -> dict[str, int]:
    """Update each chain in the request. Returns, for each, the number up to which no screening is missing."""
    return {chain: gaps.update_gap(w, dev, chain, now=now)[0] for dev, chain in sorted(set(chains))}
