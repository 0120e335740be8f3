"""The work list: what people have to decide about tablets and screenings. The staff API calls it.

It decides who sees an item, which decisions are allowed and what a decision causes. Item kinds and their decisions are
rows of work_kinds.csv.

It must not delete anything. A screening that a person sets aside (`keep_apart`) stays stored, and a later release
routes it by its own route. Its deadline still runs from receipt.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from server.database.connection import Connection, Database
from server.flows.desks import queues, referrals, routing, tablet_budget
from server.flows.desks.routing import Rulebook
from server.problems import Problem
from server.store import audit, devices, envelopes, keyrings, people, statistics, worklist
from server.store import referrals as referral_store
from server.store.audit import AuditEvent
from server.store.envelopes import EnvelopeRecord
from server.store.people import StaffAccount
from server.store.worklist import KEEP_APART, RELEASE, Viewer, WorkItem
from sync.documents.registry import NATIONAL
from sync.envelope.route import Route

MOST_EVIDENCE = 10
"""The most envelopes that an item shows. A thief may have given thousands one name or number."""
_AUDIT_ACTIONS = {RELEASE: "envelope.released", KEEP_APART: "envelope.kept_apart"}


@dataclass(frozen=True)
class ItemKind:
    """The allowed decisions on items of one kind, and a sentence that says what the item means and asks for."""

    decisions: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class DescribedItem:
    """An item, the tablet's label, and the item's kind."""

    item: WorkItem
    label: str
    kind: ItemKind


@dataclass(frozen=True)
class Evidence:
    """A stored envelope that an item is about, the route as far as the server could read it, and its referrals' ids."""

    stored: EnvelopeRecord
    route: Route | None
    referrals: list[str]


def read_item_kinds() -> dict[str, ItemKind]:
    """Return the item kinds of work_kinds.csv by name."""
    lines = resources.files("server.flows.desks").joinpath("work_kinds.csv").read_text(encoding="utf-8").splitlines()
    return {row["kind"]: ItemKind(tuple(row["decisions"].split()), row["es"]) for row in csv.DictReader(lines)}


ITEM_KINDS = read_item_kinds()


def list_items(
    db: Database, person: StaffAccount, *, kept: bool, after: int = 0, most: int = 1000
) -> list[DescribedItem]:
    """Return a page of the open items, or with `kept` of the screenings that are set aside and can still be released;
    oldest first. `after` is the id of the item before the page.

    Administrators and the national desk see every item. Publishers also see items about rollouts. A desk sees the items
    about screenings that it could open.
    """
    connection = db.read()
    kids = tuple(sorted({each.kid for each in keyrings.list_wrapped_keys(connection, person.id)}))
    viewer = Viewer(_may_see_all(person), kids, _kinds_of(person))
    found = worklist.list_page(connection, viewer, kept=kept, after=after, most=most)
    return [DescribedItem(item, label, ITEM_KINDS[item.kind]) for item, label in found]


def get_item(db: Database, person: StaffAccount, id_: int) -> tuple[DescribedItem, list[Evidence]]:
    """Return an item with its envelopes (two for a conflict or a fork), as far as the person may see them."""
    connection = db.read()
    item = _require_visible(connection, person, id_)
    held = {each.kid for each in keyrings.list_wrapped_keys(connection, person.id)}
    shown = [each for each in _list_envelopes(connection, item) if _may_see_all(person) or each.kid in held]
    ids = [each.id for each in shown]
    routes, opened = envelopes.list_routes(connection, ids), referral_store.list_ids_by_envelope(connection, ids)
    return _describe(connection, item), [Evidence(each, routes.get(each.id), opened.get(each.id, [])) for each in shown]


def read_envelope(db: Database, person: StaffAccount, id_: int, envelope: str, *, now: int) -> bytes:
    """Return the exact bytes of an envelope that an item is about, to a member of the keyring it is sealed to."""
    with db.write() as w:
        item = _require_visible(w, person, id_)
        found = next((stored for stored in _list_envelopes(w, item) if stored.id == envelope), None)
        if found is None:
            raise Problem("work.unknown", f"{id_}/{envelope}")
        _require_key(w, person, found)
        body = envelopes.get_body(w, envelope)
        audit.append(w, at=now, action="envelope.read", actor=person.id, subject=envelope, detail={"item": id_})
    assert body is not None, "it was found above"
    return body


def decide_item(
    db: Database, person: StaffAccount, id_: int, decision: str, *, rulebook: Rulebook, now: int
) -> DescribedItem:
    """Close an item with a person's decision. A release opens the screening's referrals and counts it now.

    Only a person who could open a screening may set it aside. She or another person may release it later. The same
    decision of the same person answers the same; another one is refused and names who decided what.
    """
    with db.write() as w:
        item = _require_visible(w, person, id_)
        if item.closed is not None and (item.decision, item.closed_by) == (decision, person.id):
            return _describe(w, item)
        if item.closed is not None and (item.decision, decision) != (KEEP_APART, RELEASE):
            raise _already_closed(w, item)
        if decision not in ITEM_KINDS[item.kind].decisions:
            raise Problem("work.unknown_decision", ", ".join(ITEM_KINDS[item.kind].decisions))
        if decision == KEEP_APART:
            _require_key(w, person, _get_envelope(w, item))
        worklist.record_decision(w, id_, decision=decision, by=person.id, at=now)
        detail: dict[str, str | int] = {"item": id_, "kind": item.kind, "decision": decision}
        events = [
            AuditEvent(_AUDIT_ACTIONS.get(decision, "work.decided"), person.id, item.envelope or item.dev, detail)
        ]
        audit.append_all(w, events + (_release(w, item, rulebook, now) if decision == RELEASE else []), at=now)
        tablet_budget.bring_forward(w, item.dev, now=now)
        closed = worklist.get_item(w, id_)
        assert closed is not None
        return _describe(w, closed)


def _already_closed(c: Connection, item: WorkItem) -> Problem:
    by, decision = item.closed_by or "", item.decision or ""
    by = people.list_logins(c, [by]).get(by, by)
    told = f"{item.id}: {by} ({decision})" if decision else f"{item.id}: {by}"
    return Problem("work.closed", told, by=by, decision=decision)


def report_disagreement(db: Database, person: StaffAccount, referral_id: str, *, now: int) -> None:
    """Add an item: the opened screening differs from the route by which the server sorted it."""
    with db.write() as w:
        referral = queues.require_visible(w, person, referral_id)
        found = envelopes.get_envelope(w, referral.envelope)
        assert found is not None, "a referral refers to a stored envelope"
        worklist.add_item(w, kind="disagrees", dev=found.dev, chain=found.chain, envelope=found.id, at=now)
        detail = {"referral": referral.id}
        audit.append(w, at=now, action="route.disagreed", actor=person.id, subject=found.id, detail=detail)


def _release(w: Connection, item: WorkItem, rulebook: Rulebook, now: int) -> list[AuditEvent]:
    """Open the referrals of a screening that waited for a person, and count it. Its deadline still runs from its
    receipt."""
    found, route = _get_envelope(w, item), envelopes.get_route(w, item.envelope)
    # Counted in the current month: the tables of a past month must not change. A change would reveal a single newcomer.
    statistics.count_screenings(w, statistics.screening_facts(route), at=now)
    if referral_store.list_ids_of_envelope(w, found.id):  # A conflict got its referrals at arrival.
        return []
    keyring = keyrings.find_keyring(w, found.kid)
    decisions = routing.choose_queues(
        route, rulebook.rules, keyring=keyring, received=found.received, hours=rulebook.hours
    )
    return [
        event
        for decision in decisions
        for event in referrals.open_referral(
            w, found.id, decision, arrival=found.arrival, received=found.received, mark=found.outcome, now=now
        )
    ]


def _get_envelope(c: Connection, item: WorkItem) -> EnvelopeRecord:
    found = envelopes.get_envelope(c, item.envelope)
    assert found is not None, "an item of this kind is about a stored envelope"
    return found


def _require_key(c: Connection, person: StaffAccount, found: EnvelopeRecord) -> None:
    if not keyrings.is_member(c, person.id, found.kid):
        raise Problem("referral.other_keyring", found.id)


def _list_envelopes(c: Connection, item: WorkItem) -> list[EnvelopeRecord]:
    found = envelopes.get_envelope(c, item.envelope) if item.envelope else None
    return envelopes.same_identity(c, found, most=MOST_EVIDENCE) if found else []


def _describe(c: Connection, item: WorkItem) -> DescribedItem:
    device = devices.get_device(c, item.dev)
    return DescribedItem(item, device.label if device else "", ITEM_KINDS[item.kind])


def _may_see_all(person: StaffAccount) -> bool:
    return "administrator" in person.roles or NATIONAL in person.groups


def _kinds_of(person: StaffAccount) -> tuple[str, ...]:
    return ("rollout",) if "publisher" in person.roles else ()


def _may_see(c: Connection, person: StaffAccount, item: WorkItem) -> bool:
    if _may_see_all(person) or item.kind in _kinds_of(person):
        return True
    found = envelopes.get_envelope(c, item.envelope) if item.envelope else None
    return found is not None and keyrings.is_member(c, person.id, found.kid)


def _require_visible(c: Connection, person: StaffAccount, id_: int) -> WorkItem:
    item = worklist.get_item(c, id_)
    if item is None:
        raise Problem("work.unknown", str(id_))
    if not _may_see(c, person, item):
        raise Problem("work.other_desk", str(id_))
    return item
