"""Opens referrals and moves them along. The allowed moves are rows of referral_states.csv; every move is audited, and
the tablet that took the screening is told of those it should know. Intake, the people's door and a job call it."""

from __future__ import annotations

import csv
import secrets
from dataclasses import dataclass
from importlib import resources

from server.database.connection import Connection, Database
from server.flows.desks.routing import Decision
from server.problems import Problem
from server.store import audit, referrals, statuses
from server.store.audit import SERVER, Deed
from server.store.referrals import Referral
from sync.durations import MINUTE

WAITING = "waiting"
# How a desk's work on a referral ended; "phoned" and paper count as work.
RESULTS = ("attended", "handed_over", "not_found", "declined", "mistaken")


@dataclass(frozen=True)
class Move:
    """One allowed move. `who`: anyone who sees the queue, only the `holder`, or the `server`."""

    action: str
    start: str
    end: str
    who: str
    holds: bool
    status: str


def read_moves() -> dict[tuple[str, str], Move]:
    """The table of moves, by action and the state it starts from."""
    lines = (
        resources.files("server.flows.desks").joinpath("referral_states.csv").read_text(encoding="utf-8").splitlines()
    )
    moves = (
        Move(row["action"], row["from"], row["to"], row["who"], row["holds"] == "yes", row["status"])
        for row in csv.DictReader(lines)
    )
    return {(move.action, move.start): move for move in moves}


MOVES = read_moves()


def open_one(w: Connection, envelope: str, decision: Decision, *, mark: str = "", now: int) -> Deed:
    """Put a screening into a queue, inside intake's transaction; return what intake has to enter into the audit."""
    id_ = secrets.token_hex(6)
    referrals.put(
        w,
        id=id_,
        envelope=envelope,
        queue=decision.queue,
        kind=decision.kind,
        state=WAITING,
        mode=decision.mode,
        urgency=decision.urgency,
        mark=decision.mark or mark,
        at=now,
        deadline=decision.deadline,
    )
    return Deed("referral.opened", SERVER, id_, {"queue": decision.queue})


def claim(db: Database, id_: str, person: str, *, now: int, lease_minutes: int) -> Referral:
    """Reserve a referral for a person until the lease lapses; claiming again renews it."""
    return _change(db, "claim", id_, person, now=now, lease=now + lease_minutes * MINUTE)


def accept(db: Database, id_: str, person: str, *, now: int) -> Referral:
    """Take a referral on; the tablet is told."""
    return _change(db, "accept", id_, person, now=now)


def close(db: Database, id_: str, person: str, result: str, *, now: int) -> Referral:
    """End the work on a referral with one of RESULTS; the tablet is told that it is closed, not how."""
    if result not in RESULTS:
        raise Problem("referral.unknown_result", ", ".join(RESULTS))
    return _change(db, "close", id_, person, now=now, result=result)


def lapse(db: Database, *, now: int) -> int:
    """Put back what was claimed and not accepted in time; return how many. A job; a person may run it too."""
    with db.write() as w:
        late = referrals.lapsed(w, now)
        for referral in late:
            _move(w, "lapse", referral, SERVER, now=now)
    return len(late)


def _change(
    db: Database, action: str, id_: str, person: str, *, now: int, lease: int | None = None, result: str | None = None
) -> Referral:
    with db.write() as w:
        referral = referrals.get(w, id_)
        if referral is None:
            raise Problem("referral.unknown", id_)
        _move(w, action, referral, person, now=now, lease=lease, result=result)
        moved = referrals.get(w, id_)
    assert moved is not None
    return moved


def _move(
    w: Connection,
    action: str,
    referral: Referral,
    actor: str,
    *,
    now: int,
    lease: int | None = None,
    result: str | None = None,
) -> None:
    move = MOVES.get((action, referral.state))
    if move is None:
        raise Problem("referral.wrong_state", f"{referral.id}: {referral.state}", state=referral.state)
    if move.who == "holder" and referral.holder != actor:
        raise Problem("referral.held_by_another", referral.id)
    holder = actor if move.holds else None
    referrals.move(w, referral.id, state=move.end, holder=holder, lease=lease, result=result, at=now)
    audit.append(w, at=now, action=f"referral.{_PAST[action]}", actor=actor, subject=referral.id)
    if move.status:
        statuses.add(w, dev=referral.dev, envelope=referral.envelope, status=move.status, at=now)


_PAST = {"claim": "claimed", "accept": "accepted", "lapse": "lapsed", "close": "closed"}
