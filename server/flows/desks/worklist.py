"""What people have to decide about tablets and screenings: who sees which item, what may be decided, what follows.

The people's door calls it. The kinds, their decisions and what to do are rows of work_kinds.csv. Nothing is ever thrown
away here: what is kept apart stays stored and can be released later, and what is released is routed by its own route,
its deadline from receipt.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from server.database.connection import Connection, Database
from server.flows.desks import queues as desks
from server.flows.desks import referrals, routing
from server.flows.desks.routing import Rulebook
from server.problems import Problem
from server.store import audit, devices, envelopes, keyrings, statistics, worklist
from server.store import referrals as opened
from server.store.audit import Deed
from server.store.envelopes import Stored
from server.store.people import Person
from server.store.worklist import KEEP_APART, RELEASE, Item
from sync.documents.registry import NATIONAL
from sync.envelope.route import Route

_PAST = {RELEASE: "envelope.released", KEEP_APART: "envelope.kept_apart"}


@dataclass(frozen=True)
class Kind:
    """What an item of this kind means and asks for, and how it may be decided."""

    decisions: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Work:
    """An item, the tablet's name, and what its kind says."""

    item: Item
    label: str
    kind: Kind


@dataclass(frozen=True)
class Evidence:
    """A stored envelope that an item is about, what the server could read of it, and its referrals' ids."""

    stored: Stored
    route: Route | None
    referrals: list[str]


def read_kinds() -> dict[str, Kind]:
    """The table of kinds."""
    lines = resources.files("server.flows.desks").joinpath("work_kinds.csv").read_text(encoding="utf-8").splitlines()
    return {row["kind"]: Kind(tuple(row["decisions"].split()), row["es"]) for row in csv.DictReader(lines)}


KINDS = read_kinds()


def listed(db: Database, person: Person, *, kept: bool) -> list[Work]:
    """Return what waits for a decision, or what is kept apart and can still be released; oldest first.

    Administrators and the national desk see all of it, tablets' gaps and silences too; publishers see rollouts; a desk
    sees what is about screenings that it could open.
    """
    connection = db.read()
    items = worklist.kept_apart(connection) if kept else worklist.waiting(connection)
    return [_work(connection, item) for item in items if _sees(connection, person, item)]


def look(db: Database, person: Person, id_: int) -> tuple[Work, list[Evidence]]:
    """Return an item with the envelopes it is about, both of a conflict or fork, as far as the person may see them."""
    connection = db.read()
    item = _visible(connection, person, id_)
    return _work(connection, item), [
        Evidence(stored, envelopes.route(connection, stored.id), opened.of_envelope(connection, stored.id))
        for stored in _about(connection, item)
        if _sees_all(person) or keyrings.is_member(connection, person.id, stored.kid)
    ]


def hand_out_envelope(db: Database, person: Person, id_: int, envelope: str, *, now: int) -> bytes:
    """Return the exact bytes of an envelope that an item is about, to a member of the keyring it is sealed to."""
    with db.write() as w:
        item = _visible(w, person, id_)
        found = next((stored for stored in _about(w, item) if stored.id == envelope), None)
        if found is None:
            raise Problem("work.unknown", f"{id_}/{envelope}")
        _require_key(w, person, found)
        body = envelopes.body(w, envelope)
        audit.append(w, at=now, action="envelope.read", actor=person.id, subject=envelope, detail={"item": id_})
    assert body is not None, "it was found above"
    return body


def decide(db: Database, person: Person, id_: int, decision: str, *, rulebook: Rulebook, now: int) -> Work:
    """Close an item as a person decided; a release opens the screening's referrals and counts it, now.

    Only who could open a screening may keep it apart, and she or another may release it later all the same.
    """
    with db.write() as w:
        item = _visible(w, person, id_)
        if item.closed is not None and (item.decision, decision) != (KEEP_APART, RELEASE):
            raise Problem("work.closed", str(id_))
        if decision not in KINDS[item.kind].decisions:
            raise Problem("work.unknown_decision", ", ".join(KINDS[item.kind].decisions))
        if decision == KEEP_APART:
            _require_key(w, person, _stored(w, item))
        worklist.decide(w, id_, decision=decision, by=person.id, at=now)
        detail: dict[str, str | int] = {"item": id_, "kind": item.kind, "decision": decision}
        deeds = [Deed(_PAST.get(decision, "work.decided"), person.id, item.envelope or item.dev, detail)]
        audit.append_all(w, deeds + (_release(w, item, rulebook, now) if decision == RELEASE else []), at=now)
        closed = worklist.get(w, id_)
        assert closed is not None
        return _work(w, closed)


def disagrees(db: Database, person: Person, referral_id: str, *, now: int) -> None:
    """Put on the list that a screening, once opened, says something else than the route it was sorted by."""
    with db.write() as w:
        referral = desks.visible(w, person, referral_id)
        found = envelopes.get(w, referral.envelope)
        assert found is not None, "a referral refers to a stored envelope"
        worklist.add(w, kind="disagrees", dev=found.dev, chain=found.chain, envelope=found.id, at=now)
        detail = {"referral": referral.id}
        audit.append(w, at=now, action="route.disagreed", actor=person.id, subject=found.id, detail=detail)


def _release(w: Connection, item: Item, rulebook: Rulebook, now: int) -> list[Deed]:
    """Do for a stored envelope what intake left to a person; its deadline runs from its receipt all the same."""
    found, route = _stored(w, item), envelopes.route(w, item.envelope)
    # Counted in this month: the tables of a month that is over never change, or they would tell of each newcomer.
    statistics.count(w, statistics.screening_facts(route), at=now)
    if opened.of_envelope(w, found.id):  # A conflict is in its queues since it arrived.
        return []
    keyring = keyrings.of_kid(w, found.kid)
    decisions = routing.decide(route, rulebook.rules, keyring=keyring, received=found.received, hours=rulebook.hours)
    return [referrals.open_one(w, found.id, decision, mark=found.outcome, now=now) for decision in decisions]


def _stored(c: Connection, item: Item) -> Stored:
    found = envelopes.get(c, item.envelope)
    assert found is not None, "an item of this kind is about a stored envelope"
    return found


def _require_key(c: Connection, person: Person, found: Stored) -> None:
    if not keyrings.is_member(c, person.id, found.kid):
        raise Problem("referral.other_keyring", found.id)


def _about(c: Connection, item: Item) -> list[Stored]:
    found = envelopes.get(c, item.envelope) if item.envelope else None
    return envelopes.twins(c, found) if found else []


def _work(c: Connection, item: Item) -> Work:
    device = devices.get(c, item.dev)
    return Work(item, device.label if device else "", KINDS[item.kind])


def _sees_all(person: Person) -> bool:
    return "administrator" in person.roles or NATIONAL in person.groups


def _sees(c: Connection, person: Person, item: Item) -> bool:
    if _sees_all(person) or (item.kind == "rollout" and "publisher" in person.roles):
        return True
    found = envelopes.get(c, item.envelope) if item.envelope else None
    return found is not None and keyrings.is_member(c, person.id, found.kid)


def _visible(c: Connection, person: Person, id_: int) -> Item:
    item = worklist.get(c, id_)
    if item is None:
        raise Problem("work.unknown", str(id_))
    if not _sees(c, person, item):
        raise Problem("work.other_desk", str(id_))
    return item
