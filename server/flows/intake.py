"""One screening's way in: parse, signature, outcome, store, route, referrals, count, audit. The exchange calls it for
each envelope of a batch, inside the request's one transaction. It opens no screening; a broken one costs no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.db import Connection
from server.flows import referrals, routing
from server.flows.routing import FIELD, Decision, Rule
from server.store import audit, bundles, devices, envelopes, keyrings, rejections, statistics, worklist
from sync import envelope as sealed
from sync import route as routes
from sync.envelope import Envelope
from sync.errors import SyncError
from sync.keys import RouteKey, VerifyKey
from sync.receipt import Item
from sync.route import Route

SERVER = "server"


@dataclass(frozen=True)
class Arrival:
    """An envelope as far as it could be read: with `code`, it is rejected; without `route`, a desk must sort it."""

    id: str
    envelope: Envelope | None
    route: Route | None
    code: str


@dataclass(frozen=True)
class Rulebook:
    """What routing needs: the ordered rules, and hours to the deadline per urgency."""

    rules: Sequence[Rule]
    hours: Mapping[str, int]


def inspect(c: Connection, raw: bytes, route_keys: Mapping[str, RouteKey]) -> Arrival:
    """Read an envelope and check its signature; only reads, so it runs before the write lock is taken."""
    try:
        envelope = sealed.parse(raw)
        device = devices.get(c, envelope.header.dev)
        if device is None or device.state == "pending":
            raise SyncError("envelope.unknown_device", envelope.header.dev)
        sealed.verify(envelope, VerifyKey.from_raw(device.key))
    except SyncError as wrong:
        return Arrival(sealed.identity(raw), None, None, wrong.code)
    return Arrival(envelope.id, envelope, _open(envelope, route_keys), "")


def _open(envelope: Envelope, route_keys: Mapping[str, RouteKey]) -> Route | None:
    # The route is an aid, never a condition (SPEC 7.2): a screening whose route is broken is stored and sorted by hand.
    try:
        return routes.open(envelope.header.route, route_keys, envelope.header.jti)
    except SyncError:
        return None


def take(w: Connection, arrivals: Iterable[Arrival], *, sender: str, rulebook: Rulebook, now: int) -> list[Item]:
    """Give each envelope its fate; return one receipt item for each, in order."""
    items = []
    for arrival in arrivals:
        try:
            with w.atomic():
                items.append(_take_one(w, arrival, sender, rulebook, now))
        except sqlite3.IntegrityError:
            # The tables refuse this one. It stays on the tablet and is counted; the others of its batch are stored.
            items.append(_reject(w, arrival.id, "envelope.not_stored", sender, now))
    return items


def _take_one(w: Connection, arrival: Arrival, sender: str, rulebook: Rulebook, now: int) -> Item:
    envelope = arrival.envelope
    if envelope is None:
        return _reject(w, arrival.id, arrival.code, sender, now)
    if envelopes.get(w, envelope.id) is not None:
        return Item(envelope.id, "duplicate", envelope.header.seq)
    outcome = _outcome(w, envelope)
    decisions: tuple[Decision, ...] = ()
    if outcome in ("stored", "fork"):
        keyring = keyrings.of_kid(w, envelope.header.kid)
        decisions = routing.decide(arrival.route, rulebook.rules, keyring=keyring, received=now, hours=rulebook.hours)
        if outcome == "stored" and _is_held(w, arrival.route, decisions):
            outcome = "held"
    envelopes.put(w, envelope, outcome=outcome, at=now)
    audit.append(w, at=now, action=f"envelope.{outcome}", actor=envelope.header.dev, subject=envelope.id)
    _note(w, envelope, arrival.route, outcome, now)
    for decision in decisions:
        referrals.open_one(w, envelope.id, decision, mark="" if outcome == "stored" else outcome, now=now)
    _count(w, arrival.route, outcome, now)
    return Item(envelope.id, outcome, envelope.header.seq)


def _reject(w: Connection, id_: str, code: str, sender: str, now: int) -> Item:
    rejections.add(w, dev=sender, code=code, at=now)
    return Item(id_, "rejected", code=code)


def _outcome(w: Connection, envelope: Envelope) -> str:
    """What became of it, before routing: the table of SPEC 10, the graver first."""
    header = envelope.header
    device = devices.get(w, header.dev)
    if device is None or device.state != "certified":
        return "quarantined"
    if envelopes.has_jti(w, header.dev, header.jti):
        return "conflict"
    if envelopes.has_seq(w, header.dev, header.chain, header.seq):
        return "fork"
    return "stored"


def _is_held(w: Connection, route: Route | None, decisions: Sequence[Decision]) -> bool:
    unknown_version = route is not None and route.sha is not None and not bundles.known(w, route.sha)
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


def _count(w: Connection, route: Route | None, outcome: str, now: int) -> None:
    """Count a screening once; what waits for a decision, or contradicts an earlier one, is not counted."""
    if route is None or outcome in ("conflict", "quarantined"):
        return
    facts = {**vars(route), "region": (route.province or "")[:2]}
    statistics.count(w, mode=route.mode or FIELD, at=now, facts=facts)


def advance(w: Connection, chains: Iterable[tuple[str, str]], *, now: int) -> dict[str, int]:
    """Bring each touched chain's contiguous number up to date; a gap is on the work list until it is filled."""
    reached = {}
    for dev, chain in sorted(set(chains)):
        held, highest = envelopes.advance(w, dev, chain)
        if highest > held:
            worklist.add(w, kind="gap", dev=dev, chain=chain, reason=f"seq.{held + 1}", at=now)
        else:
            worklist.settle(w, kind="gap", dev=dev, chain=chain, by=SERVER, at=now)
        reached[chain] = held
    return reached
