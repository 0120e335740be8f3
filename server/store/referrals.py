"""Referrals: screenings as work in queues. Flows open them and change their state.

The table of allowed changes is flows/desks/referral_states.csv, not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from sync.durations import DAY


@dataclass(frozen=True)
class Referral:
    """One screening in one queue. Times are in milliseconds; `deadline` is None in training, `lease` is None while
    unclaimed.

    `mark` names a peculiarity: no_suitable_service, route_unreadable, sealed_elsewhere, or the envelope's outcome
    (held, fork, quarantined, conflict). It is empty for most referrals.
    """

    id: str
    envelope: str
    jti: str
    dev: str
    kid: str
    received: int
    queue: str
    kind: str
    state: str
    mode: str
    urgency: str
    mark: str
    opened: int
    deadline: int | None
    holder: str | None
    lease: int | None
    changed: int
    result: str | None


_SELECT = (
    "select r.id, r.envelope, e.jti, e.dev, e.kid, e.received, r.queue, r.kind, r.state, r.mode, r.urgency, r.mark,"
    " r.opened, r.deadline, r.holder, r.lease, r.changed, r.result"
    " from referrals r join envelopes e on e.id = r.envelope "
)


@dataclass(frozen=True)
class NewReferral:
    """A referral to insert; the fields are those of `Referral`."""

    id: str
    envelope: str
    queue: str
    kind: str
    state: str
    mode: str
    urgency: str
    mark: str
    deadline: int | None


def put_referral(w: Connection, referral: NewReferral, *, at: int) -> bool:
    """Insert a referral. Returns False if the screening is in this queue already: its envelope was lost, and came
    again."""
    stored = w.execute(
        "insert into referrals (id, envelope, queue, kind, state, mode, urgency, mark, deadline, opened, changed)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (envelope, queue) do nothing",
        [*vars(referral).values(), at, at],
    )
    return stored.rowcount > 0


def set_state(
    w: Connection, id_: str, *, state: str, holder: str | None, lease: int | None, result: str | None, at: int
) -> None:
    """Update a referral's state, holder, lease and result."""
    w.execute(
        "update referrals set state = ?, holder = ?, lease = ?, result = ?, changed = ? where id = ?",
        [state, holder, lease, result, at, id_],
    )


def get_referral(c: Connection, id_: str) -> Referral | None:
    """Return one referral, or None."""
    found = c.row(_SELECT + "where r.id = ?", [id_])
    return Referral(**found) if found else None


def list_ids_of_envelope(c: Connection, envelope: str) -> list[str]:
    """Return the ids of a screening's referrals, by queue."""
    return [item["id"] for item in c.rows("select id from referrals where envelope = ? order by queue", [envelope])]


def list_open(c: Connection, queue: str, mode: str) -> list[Referral]:
    """Return the open referrals of a queue, most urgent first. `mode` separates training from field work."""
    found = c.rows(
        _SELECT + "where r.queue = ? and r.mode = ? and r.state <> 'closed'"
        " order by r.deadline is null, r.deadline, e.arrival",
        [queue, mode],
    )
    return [Referral(**item) for item in found]


def list_lapsed(c: Connection, now: int) -> list[Referral]:
    """Return claimed referrals whose lease expired, or was given while the clock was in the future."""
    sql = _SELECT + "where r.state = 'claimed' and (r.lease <= ? or r.changed > ?)"
    return [Referral(**item) for item in c.rows(sql, [now, now + DAY])]
