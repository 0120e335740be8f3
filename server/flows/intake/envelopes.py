"""Stores arriving envelopes: parse, verify, choose the outcome, store, route, open referrals, count, audit.

The sync request calls it for all envelopes of a batch, inside the one transaction of the request. It must not decrypt a
screening. A broken envelope must not stop the others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from server.database.connection import Connection, savepoint
from server.database.sqlite import is_damage
from server.flows import damage
from server.flows.damage import Fault
from server.flows.desks import referrals, routing, tablet_budget
from server.flows.desks.routing import RoutingDecision, Rulebook
from server.flows.forms import halts
from server.flows.intake import gaps, storage_budget
from server.flows.intake.shared_facts import GroupFacts, SharedFacts
from server.flows.intake.storage_budget import StorageAccount, StorageBudget
from server.problems import Problem
from server.store import devices, envelopes, keyrings, statistics, versions
from server.store.audit import AuditEvent
from server.store.devices import Device
from server.store.envelopes import KnownParts
from server.store.statistics import ScreeningFacts
from sync.documents.receipt import ReceiptItem
from sync.envelope.route import Route, open_route
from sync.envelope.verify import Envelope, envelope_id, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, VerifyKey

NOT_STORED, UNKNOWN_DEVICE = "envelope.not_stored", "envelope.unknown_device"
OWN_CODES = {NOT_STORED, UNKNOWN_DEVICE}
"""The server's own reasons for rejecting an envelope (SPEC 10). They speak against no form version."""


@dataclass(frozen=True)
class ParsedEnvelope:
    """A parsed envelope. A non-empty `code` means: rejected. `route` None means: a desk must sort it."""

    id: str
    envelope: Envelope | None
    route: Route | None
    code: str


class _Batch:
    """The envelopes of one request: what its tablets may store, and the audit events and counts to write at the
    end."""

    def __init__(self, sender: _Sender, shared: SharedFacts) -> None:
        self._sender, self.shared = sender, shared
        self.accounts: dict[str, StorageAccount] = {}
        self.events: list[AuditEvent] = []
        self.counted: list[ScreeningFacts] = []

    def get_device(self, dev: str) -> Device | None:
        """Return a tablet, or None."""
        return self._sender.device if dev == self._sender.device.dev else self.shared.get_device(dev)

    def charge(self, dev: str, size: int) -> None:
        """Count an envelope that is stored. Raises Problem `storage.quota` if the tablet has no room for it."""
        if dev not in self.accounts:
            device = self.get_device(dev)
            if device is None:  # The sender's account is charged.
                return
            self.accounts[dev] = storage_budget.open_account(self.shared.w, device, self._sender.budget)
        self.accounts[dev].charge(size)


def inspect_envelope(
    raw: bytes, key_of: Callable[[str], VerifyKey], route_keys: Mapping[str, RouteKey]
) -> ParsedEnvelope:
    """Parse an envelope and verify its signature, without a transaction. `key_of` raises Problem for an unknown
    tablet."""
    try:
        envelope = parse_envelope(raw)
        verify_envelope(envelope, key_of(envelope.header.dev))
    except Problem:
        return ParsedEnvelope(envelope_id(raw), None, None, UNKNOWN_DEVICE)
    except SyncError as error:
        return ParsedEnvelope(envelope_id(raw), None, None, error.code)
    except sqlite3.DatabaseError as error:  # Its tablet stands on a damaged page, which concerns no other tablet.
        if not is_damage(error):
            raise
        return ParsedEnvelope(envelope_id(raw), None, None, NOT_STORED)
    return ParsedEnvelope(envelope.id, envelope, _open_route(envelope, route_keys), "")


def _open_route(envelope: Envelope, route_keys: Mapping[str, RouteKey]) -> Route | None:
    # The route is optional (SPEC 7.2). A screening with an unreadable route is stored, and a desk sorts it by hand.
    try:
        return open_route(envelope.header.route, route_keys, envelope.header.jti)
    except SyncError:
        return None


def store_all(
    w: Connection,
    arrivals: Sequence[ParsedEnvelope],
    *,
    sender: Device,
    rulebook: Rulebook,
    now: int,
    budget: StorageBudget = storage_budget.DEFAULT,
    counted: bool = True,
    shared: SharedFacts | None = None,
) -> list[ReceiptItem]:
    """Store or reject each envelope; return one receipt item for each, in order.

    `counted`: rejections count. Those of a repeated or refused request do not: a stranger may have recorded it.

    Raises Problem `storage.quota` if the sender, or a tablet that signed, has used up its bytes. Then the request must
    store nothing.
    """
    if not arrivals:
        return []
    about = _Sender(sender, rulebook, budget, now, counted)
    if isinstance(shared, GroupFacts):  # A fault leaves the request out of its group; then it is answered alone.
        items = _store_together(arrivals, about, shared)
    else:
        items = _store_batch(w, arrivals, about)
    codes = [item.code for item in items if item.outcome == "rejected" and item.code not in OWN_CODES]
    if codes and counted:
        halts.record_rejection(w, sender.dev, codes[-1], now=now)
    return items


@dataclass(frozen=True)
class _Sender:
    """The tablet that sends a batch, and what applies to all of its envelopes."""

    device: Device
    rulebook: Rulebook
    budget: StorageBudget
    now: int
    counted: bool


def _store_batch(w: Connection, arrivals: Sequence[ParsedEnvelope], sender: _Sender) -> list[ReceiptItem]:
    try:
        with savepoint(w):
            return _store_together(arrivals, sender, SharedFacts(w, now=sender.now))
    except sqlite3.IntegrityError:
        return [_store_alone(w, arrival, sender) for arrival in arrivals]


def _store_alone(w: Connection, arrival: ParsedEnvelope, sender: _Sender) -> ReceiptItem:
    # A constraint of the tables rejects one envelope. It stays on the tablet and is counted; the others are stored.
    try:
        with savepoint(w):
            device = devices.get_device(w, sender.device.dev) or sender.device  # What it stored has grown.
            facts = SharedFacts(w, now=sender.now)
            return _store_together([arrival], replace(sender, device=device), facts)[0]
    except sqlite3.IntegrityError:
        return _count_rejection(w, arrival.id, NOT_STORED, sender)


def _store_together(arrivals: Sequence[ParsedEnvelope], sender: _Sender, shared: SharedFacts) -> list[ReceiptItem]:
    batch = _Batch(sender, shared)
    items = [_store_one(shared.w, arrival, batch, sender) for arrival in arrivals]
    stored = [storage_budget.close_account(account) for account in batch.accounts.values()]
    shared.record(batch.events, batch.counted, stored)
    return items


def _store_one(w: Connection, arrival: ParsedEnvelope, batch: _Batch, sender: _Sender) -> ReceiptItem:
    envelope, now = arrival.envelope, sender.now
    if envelope is None:
        return _count_rejection(w, arrival.id, arrival.code, sender)
    known = envelopes.known_parts(w, envelope)
    if known.id:
        if not known.intact:
            batch.events.append(_repair(w, envelope, now))
        elif known.damaged:
            envelopes.clear_damaged(w, envelope.id)
            damage.close_repaired(w, now=now)
        return ReceiptItem(envelope.id, "duplicate", envelope.header.seq)
    outcome = _choose_outcome(batch.get_device(envelope.header.dev), known)
    for dev in sorted({sender.device.dev, envelope.header.dev}):
        batch.charge(dev, len(envelope.raw))
    decisions: tuple[RoutingDecision, ...] = ()
    if outcome != "quarantined":
        keyring = batch.shared.ask_about(keyrings.find_keyring, envelope.header.kid)
        decisions = routing.choose_queues(
            arrival.route, sender.rulebook.rules, keyring=keyring, received=now, hours=sender.rulebook.hours
        )
        if outcome == "stored" and _is_held(batch, arrival.route, decisions):
            outcome = "held"
    arrival_number = envelopes.put_envelope(w, envelope, outcome=outcome, at=now)
    if known.damaged:  # The server had lost it, and asked for it.
        envelopes.clear_damaged(w, envelope.id)
        damage.close_repaired(w, now=now)
    batch.events.append(AuditEvent(f"envelope.{outcome}", envelope.header.dev, envelope.id))
    is_new = _store_route_and_work(w, envelope, arrival.route, outcome, now)
    for decision in decisions:
        mark = _mark_of_retired_form(batch, arrival.route) if outcome == "stored" else outcome
        batch.events += referrals.open_referral(
            w, envelope.id, decision, arrival=arrival_number, received=now, mark=mark, now=now
        )
    if is_new and outcome not in ("conflict", "quarantined"):  # These are counted when a person releases them.
        batch.counted += statistics.screening_facts(arrival.route)
    return ReceiptItem(envelope.id, outcome, envelope.header.seq)


def _repair(w: Connection, envelope: Envelope, now: int) -> AuditEvent:
    """Replace damaged stored bytes by the good ones that arrived: `duplicate` promises that these are stored."""
    try:
        with savepoint(w):
            is_done = envelopes.repair_envelope(w, envelope)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        is_done = False
    if not is_done:
        w.execute("reindex envelopes")  # An index entry is damaged, or is right where the row is not.
        if not envelopes.repair_envelope(w, envelope):
            raise sqlite3.IntegrityError("no row has this id")
    damage.close_repaired(w, now=now)
    return AuditEvent("envelope.repaired", envelope.header.dev, envelope.id)


def find_duplicate(w: Connection, id_: str, *, now: int) -> ReceiptItem | None:
    """Return the receipt of an envelope that arrived earlier, or None if its stored bytes are not those of its id.

    A damaged one gets no receipt, so the tablet sends it again while it still has it.
    """
    stored = envelopes.get_envelope(w, id_)
    if stored is None:
        return None
    if envelope_id(envelopes.get_body(w, id_) or b"") == id_:
        return ReceiptItem(id_, "duplicate", stored.seq)
    damage.record_faults(w, [Fault("envelope.changed", id_)], now=now)
    return None


def _count_rejection(w: Connection, id_: str, code: str, sender: _Sender) -> ReceiptItem:
    if sender.counted:
        statistics.count_rejection(w, dev=sender.device.dev, code=code, at=sender.now)
    return ReceiptItem(id_, "rejected", code=code)


def _choose_outcome(device: Device | None, known: KnownParts) -> str:
    """Return the outcome before routing, by the table of SPEC 10. The most serious outcome comes first."""
    if device is None or device.state != "certified":
        return "quarantined"
    if known.jti:
        return "conflict"
    return "fork" if known.seq else "stored"


def _mark_of_retired_form(batch: _Batch, route: Route | None) -> str:
    """Return the mark "retired_form" for a screening under a retired version. The server still accepts it."""
    sha = route.sha if route is not None else None
    retired = sha is not None and batch.shared.ask_about(versions.get_state_in_use, sha) == "retired"
    return "retired_form" if retired else ""


def _is_held(batch: _Batch, route: Route | None, decisions: Sequence[RoutingDecision]) -> bool:
    unknown_version = (
        route is not None and route.sha is not None and not batch.shared.ask_about(versions.get_state_in_use, route.sha)
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
        is_new = envelopes.put_route(w, envelope.id, route, at=now)
    for kind in kinds:
        tablet_budget.add_item(
            w, kind=kind, dev=header.dev, chain=header.chain, envelope=envelope.id, kid=header.kid, now=now
        )
    return is_new


def advance_chains(
    w: Connection,
    chains: Mapping[tuple[str, str], Collection[int]],
    *,
    now: int,
    may_have_items: Callable[[str], bool] = lambda dev: True,
) -> dict[str, int]:
    """Update the chains (tablet, chain) that a request touched, with the numbers that arrived in each.

    Returns, for each, the number up to which no screening is missing. Chains beyond a tablet's budget are left out.
    """
    return {
        chain: gaps.update_gap(w, dev, chain, arrived, now=now, may_have_items=may_have_items(dev))[0]
        for (dev, chain), arrived in sorted(chains.items())
        if tablet_budget.may_track(w, dev, chain, now=now)
    }
