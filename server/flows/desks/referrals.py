"""Opens referrals and changes their state. Intake, the staff API and a job call it.

The allowed changes are rows of referral_states.csv. Every change is audited. Some changes also add a status event for
the tablet that took the screening.
"""

from __future__ import annotations

import secrets

from server.database.connection import Connection, Database
from server.flows import state_table
from server.flows.desks.routing import RoutingDecision
from server.problems import Problem
from server.store import audit, referrals, statuses
from server.store.audit import SERVER, AuditEvent
from server.store.referrals import NewReferral, Referral
from sync.durations import MINUTE

WAITING = "waiting"
# Put back in one transaction: few enough that a sync at the same time is not delayed.
_RELEASED_AT_ONCE = 50
# How a desk's work on a referral ended. A desk that works by telephone or on paper closes the referral too.
RESULTS = ("attended", "handed_over", "not_found", "declined", "mistaken")


TRANSITIONS = state_table.read(
    __package__,
    "referral_states.csv",
    refused=lambda detail, state, first: Problem("referral.wrong_state", detail, state=state, first=first),
)


def open_referral(
    w: Connection,
    envelope: str,
    decision: RoutingDecision,
    *,
    arrival: int,
    received: int,
    mark: str = "",
    now: int,
) -> list[AuditEvent]:
    """Put a screening into a queue, inside intake's transaction. Returns the audit event, which intake then appends.

    `arrival` and `received` are the number and time (ms) of its arrival: a list of a queue reads no envelope for them.
    A referral that outlived its envelope continues; then there is no event.
    """
    id_ = secrets.token_hex(6)
    referral = NewReferral(
        id_,
        envelope,
        decision.queue,
        decision.kind,
        WAITING,
        decision.mode,
        decision.urgency,
        mark=decision.mark or mark,
        deadline=decision.deadline,
        arrival=arrival,
        received=received,
    )
    if not referrals.put_referral(w, referral, at=now):
        return []
    # What `chaski audit verify` compares with the row. Training has no deadline.
    detail: dict[str, str | int] = {"queue": decision.queue, "mode": decision.mode, "deadline": decision.deadline or 0}
    return [AuditEvent("referral.opened", SERVER, id_, detail)]


def claim_referral(db: Database, id_: str, person: str, *, now: int, lease_minutes: int) -> Referral:
    """Reserve a referral for a person until the lease expires; a second claim renews the lease."""
    return _change_by_id(db, "claim", id_, person, now=now, lease=now + lease_minutes * MINUTE)


def accept_referral(db: Database, id_: str, person: str, *, now: int) -> Referral:
    """Accept a referral, and add a status event for the tablet."""
    return _change_by_id(db, "accept", id_, person, now=now)


def close_referral(db: Database, id_: str, person: str, result: str, *, now: int) -> Referral:
    """Close a referral with one of RESULTS. The tablet gets the status "closed", but not the result."""
    if result not in RESULTS:
        raise Problem("referral.unknown_result", ", ".join(RESULTS))
    return _change_by_id(db, "close", id_, person, now=now, result=result)


def release_lapsed(db: Database, *, now: int) -> int:
    """Put claimed referrals whose lease expired back to waiting; return how many. A job calls it, or a person on the
    command line."""
    released = 0
    while referrals.list_lapsed(db.read(), now, most=1):
        with db.write() as w:
            late = referrals.list_lapsed(w, now, most=_RELEASED_AT_ONCE)
            for referral in late:
                _change_state(w, "lapse", referral, SERVER, now=now)
        released += len(late)
    return released


def _change_by_id(
    db: Database, action: str, id_: str, person: str, *, now: int, lease: int | None = None, result: str | None = None
) -> Referral:
    with db.write() as w:
        referral = referrals.get_referral(w, id_)
        if referral is None:
            raise Problem("referral.unknown", id_)
        if _is_done(action, referral, person, result):
            return referral
        _change_state(w, action, referral, person, now=now, lease=lease, result=result)
        moved = referrals.get_referral(w, id_)
    assert moved is not None
    return moved


def _is_done(action: str, referral: Referral, person: str, result: str | None) -> bool:
    """Return True if the person did this already: her first request arrived, and its answer got lost."""
    return TRANSITIONS.is_over(action, referral.state) and referral.holder == person and referral.result == result


def _change_state(
    w: Connection,
    action: str,
    referral: Referral,
    actor: str,
    *,
    now: int,
    lease: int | None = None,
    result: str | None = None,
) -> None:
    transition = TRANSITIONS.transition(action, referral.state, referral.id)
    if transition.who == "holder" and referral.holder != actor:
        raise Problem("referral.held_by_another", referral.id)
    holder = actor if transition.holds else None
    referrals.set_state(w, referral.id, state=transition.end, holder=holder, lease=lease, result=result, at=now)
    audit.append(w, at=now, action=f"referral.{_AUDIT_ACTIONS[action]}", actor=actor, subject=referral.id)
    if transition.status:
        statuses.add_event(w, dev=referral.dev, envelope=referral.envelope, status=transition.status, at=now)


_AUDIT_ACTIONS = {"claim": "claimed", "accept": "accepted", "lapse": "lapsed", "close": "closed"}
