"""One screening's way in: parse, signature, outcome, store, route, referrals, count, audit. The exchange calls it for
each envelope of a batch, inside the request's one transaction. It opens no screening; a broken one costs no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from server.database.connection import Connection, savepoint
from server.flows.desks import referrals, routing
from server.flows.desks.routing import Decision, Rulebook
from server.flows.forms import halts
from server.flows.intake import gaps
from server.problems import Problem
from server.store import audit, devices, envelopes, keyrings, statistics, versions, worklist
from server.store.audit import Deed
from server.store.devices import Device
from server.store.envelopes import Met
from server.store.statistics import ScreeningFacts
from sync.documents.receipt import Item
from sync.envelope import route as routes
from sync.envelope import verify as sealed
from sync.envelope.route import Route
from sync.envelope.verify import Envelope
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, VerifyKey

T = TypeVar("T")


@dataclass(frozen=True)
class Arrival:
    """An envelope as far as it could be read: with `code`, it is rejected; without `route`, a desk must sort it."""

    id: str
    envelope: Envelope | None
    route: Route | None
    code: str


class _Batch:
    """One request's envelopes together: what is asked once for all of them, and what is written once for all."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Any, str], Any] = {}
        self.deeds: list[Deed] = []
        self.screened: list[ScreeningFacts] = []

    def once(self, w: Connection, ask: Callable[[Connection, str], T], about: str) -> T:
        """Ask a store about something that no envelope changes, once."""
        if (ask, about) not in self._answers:
            self._answers[ask, about] = ask(w, about)
        answer: T = self._answers[ask, about]
        return answer


def inspect(raw: bytes, key_of: Callable[[str], VerifyKey], route_keys: Mapping[str, RouteKey]) -> Arrival:
    """Read an envelope and check its signature; needs no transaction. `key_of` raises Problem for a stranger."""
    try:
        envelope = sealed.parse(raw)
        sealed.verify(envelope, key_of(envelope.header.dev))
    except Problem:
        return Arrival(sealed.identity(raw), None, None, "envelope.unknown_device")
    except SyncError as wrong:
        return Arrival(sealed.identity(raw), None, None, wrong.code)
    return Arrival(envelope.id, envelope, _open(envelope, route_keys), "")


def _open(envelope: Envelope, route_keys: Mapping[str, RouteKey]) -> Route | None:
    # The route is an aid, never a condition (SPEC 7.2): a screening whose route is broken is stored and sorted by hand.
    try:
        return routes.open(envelope.header.route, route_keys, envelope.header.jti)
    except SyncError:
        return None


def take(w: Connection, arrivals: Sequence[Arrival], *, sender: str, rulebook: Rulebook, now: int) -> list[Item]:
    """Give each envelope its fate; return one receipt item for each, in order."""
    items = _taken(w, arrivals, sender, rulebook, now)
    if codes := [item.code for item in items if item.outcome == "rejected"]:
        halts.rejected(w, sender, codes[-1], now=now)
    return items


def _taken(w: Connection, arrivals: Sequence[Arrival], sender: str, rulebook: Rulebook, now: int) -> list[Item]:
    try:
        with savepoint(w):
            return _take_all(w, arrivals, sender, rulebook, now)
    except sqlite3.IntegrityError:
        return [_take_alone(w, arrival, sender, rulebook, now) for arrival in arrivals]


def _take_alone(w: Connection, arrival: Arrival, sender: str, rulebook: Rulebook, now: int) -> Item:
    # The tables refuse one of the batch. That one stays on the tablet and is counted; the others are stored.
    try:
        with savepoint(w):
            return _take_all(w, [arrival], sender, rulebook, now)[0]
    except sqlite3.IntegrityError:
        return _reject(w, arrival.id, "envelope.not_stored", sender, now)


def _take_all(w: Connection, arrivals: Sequence[Arrival], sender: str, rulebook: Rulebook, now: int) -> list[Item]:
    batch = _Batch()
    items = [_take_one(w, arrival, batch, sender, rulebook, now) for arrival in arrivals]
    audit.append_all(w, batch.deeds, at=now)
    statistics.count(w, batch.screened, at=now)
    return items


def _take_one(w: Connection, arrival: Arrival, batch: _Batch, sender: str, rulebook: Rulebook, now: int) -> Item:
    envelope = arrival.envelope
    if envelope is None:
        return _reject(w, arrival.id, arrival.code, sender, now)
    met = envelopes.met(w, envelope)
    if met.bytes:
        return Item(envelope.id, "duplicate", envelope.header.seq)
    outcome = _outcome(batch.once(w, devices.get, envelope.header.dev), met)
    decisions: tuple[Decision, ...] = ()
    if outcome != "quarantined":
        keyring = batch.once(w, keyrings.of_kid, envelope.header.kid)
        decisions = routing.decide(arrival.route, rulebook.rules, keyring=keyring, received=now, hours=rulebook.hours)
        if outcome == "stored" and _is_held(w, batch, arrival.route, decisions):
            outcome = "held"
    envelopes.put(w, envelope, outcome=outcome, at=now)
    batch.deeds.append(Deed(f"envelope.{outcome}", envelope.header.dev, envelope.id))
    _note(w, envelope, arrival.route, outcome, now)
    for decision in decisions:
        mark = _retired(w, batch, arrival.route) if outcome == "stored" else outcome
        batch.deeds.append(referrals.open_one(w, envelope.id, decision, mark=mark, now=now))
    if outcome not in ("conflict", "quarantined"):  # Counted when a person releases it.
        batch.screened += statistics.screening_facts(arrival.route)
    return Item(envelope.id, outcome, envelope.header.seq)


def _reject(w: Connection, id_: str, code: str, sender: str, now: int) -> Item:
    statistics.count_rejection(w, dev=sender, code=code, at=now)
    return Item(id_, "rejected", code=code)


def _outcome(device: Device | None, met: Met) -> str:
    """What became of it, before routing: the table of SPEC 10, the graver first."""
    if device is None or device.state != "certified":
        return "quarantined"
    if met.jti:
        return "conflict"
    return "fork" if met.seq else "stored"


def _retired(w: Connection, batch: _Batch, route: Route | None) -> str:
    """The mark of a screening under a version that is retired: accepted all the same, and seen."""
    state = batch.once(w, versions.standing, route.sha) if route is not None and route.sha is not None else ""
    return "retired_form" if state == "retired" else ""


def _is_held(w: Connection, batch: _Batch, route: Route | None, decisions: Sequence[Decision]) -> bool:
    unknown_version = route is not None and route.sha is not None and not batch.once(w, versions.standing, route.sha)
    return unknown_version or any(decision.mark == "no_suitable_service" for decision in decisions)


_WORK = {"quarantined": "quarantine", "conflict": "conflict", "fork": "fork", "held": "held"}


def _note(w: Connection, envelope: Envelope, route: Route | None, outcome: str, now: int) -> None:
    """Keep the route, and put on the work list what a person has to look at."""
    header = envelope.header
    kinds = [_WORK[outcome]] if outcome in _WORK else []
    if route is None:
        kinds.append("route")
    else:
        envelopes.put_route(w, envelope.id, route)
    for kind in kinds:
        worklist.add(w, kind=kind, dev=header.dev, chain=header.chain, envelope=envelope.id, at=now)


def advance(w: Connection, chains: Iterable[tuple[str, str]], *, now: int) -> dict[str, int]:
    """Bring each touched chain up to date; return, for each, the number up to which every screening is here."""
    return {chain: gaps.look(w, dev, chain, now=now)[0] for dev, chain in sorted(set(chains))}
