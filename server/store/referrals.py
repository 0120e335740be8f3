"""Referrals: screenings as work in queues. Flows open them and change their state.

The table of allowed changes is flows/desks/referral_states.csv, not here.
"""

from __future__ import annotations

from collections.abc import Collection
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
    holder_login: str | None


_SELECT = (
    "select r.id, r.envelope, e.jti, e.dev, e.kid, r.received, r.queue, r.kind, r.state, r.mode, r.urgency, r.mark,"
    " r.opened, r.deadline, r.holder, r.lease, r.changed, r.result, h.login as holder_login"
    " from referrals r join envelopes e on e.id = r.envelope left join people h on h.id = r.holder "
)
OPEN_STATES = ("waiting", "claimed", "accepted")
MOST_COUNTED = 10_000
"""A count of the referrals of one queue and state ends here: a person who reads a larger number needs no exact one."""


@dataclass(frozen=True)
class NewReferral:
    """A referral to insert; the fields are those of `Referral`. `arrival` is the number of its envelope's arrival."""

    id: str
    envelope: str
    queue: str
    kind: str
    state: str
    mode: str
    urgency: str
    mark: str
    deadline: int | None
    arrival: int
    received: int


def put_referral(w: Connection, referral: NewReferral, *, at: int) -> bool:
    """Insert a referral. Returns False if the screening is in this queue already: its envelope was lost, and came
    again."""
    # When it arrived stands here too: in `envelopes` it stands behind the bytes, which a list would have to read.
    stored = w.execute(
        "insert into referrals (id, envelope, queue, kind, state, mode, urgency, mark, deadline, opened, changed,"
        " arrival, received) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (envelope, queue) do nothing",
        [
            referral.id,
            referral.envelope,
            referral.queue,
            referral.kind,
            referral.state,
            referral.mode,
            referral.urgency,
            referral.mark,
            referral.deadline,
            at,
            at,
            referral.arrival,
            referral.received,
        ],
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


def list_ids_by_envelope(c: Connection, ids: Collection[str]) -> dict[str, list[str]]:
    """Return the ids of the referrals of several screenings, each by queue."""
    found: dict[str, list[str]] = {}
    if not ids:
        return found
    sql = f"select envelope, id from referrals where envelope in ({', '.join('?' * len(ids))}) order by queue"  # noqa: S608
    for item in c.rows(sql, [*ids]):
        found.setdefault(item["envelope"], []).append(item["id"])
    return found


@dataclass(frozen=True)
class QueuePlace:
    """A place in a queue: it is in the order of deadlines, then of arrival. In training there are no deadlines."""

    deadline: int | None
    arrival: int


START = QueuePlace(None, -1)
# What follows a place, by two seeks in the index for each state: one alone would walk over all referrals with the same
# deadline before the place. A referral whose envelope is lost cannot be shown, and must not end the list.
_FOLLOWING = " union all ".join(
    "select * from (select rowid as row, deadline, arrival from referrals where queue = :queue and mode = :mode"  # noqa: S608
    f" and state = '{state}' and {part} and exists (select 1 from envelopes e where e.id = envelope)"
    " order by deadline, arrival limit :most)"
    for state in OPEN_STATES
    for part in ("deadline is :deadline and arrival > :arrival", "deadline > coalesce(:deadline, -1)")
)
_PAGE = (
    f"{_SELECT} join ({_FOLLOWING} order by deadline, arrival limit :most) p on p.row = r.rowid"
    " order by p.deadline, p.arrival"
)


def recompute_arrivals(w: Connection) -> None:
    """Set when each referral's envelope arrived, after a restore that could not read this."""
    w.execute(
        "update referrals set (arrival, received) = (select arrival, received from envelopes e where e.id = envelope)"
        " where arrival = 0 and envelope in (select id from envelopes)"
    )


def find_queue_place(c: Connection, id_: str) -> QueuePlace | None:
    """Return the place of a referral, open or closed, in its queue, or None if there is no such referral."""
    found = c.row("select deadline, arrival from referrals where id = ?", [id_])
    return QueuePlace(**found) if found else None


def list_open(c: Connection, queue: str, mode: str, *, after: QueuePlace = START, most: int = 1000) -> list[Referral]:
    """Return a page of the open referrals of a queue, most urgent first. `mode` separates training from field work."""
    found = c.rows(_PAGE, {"queue": queue, "mode": mode, **vars(after), "most": most})
    return [Referral(**item) for item in found]


# Each count seeks one part of an index, so that closed referrals cost nothing.
_OF_QUEUE = "select 1 from referrals where queue = q.id and mode = :mode and state = '{}'{} limit :most"
_COUNT = f"(select count(*) from ({_OF_QUEUE}))"  # noqa: S608 (constants)


def count_open(c: Connection, queues: Collection[str], mode: str, *, now: int) -> dict[str, dict[str, int]]:
    """Return, for each of these queues, the number of its open referrals per state, and as `overdue` how many no desk
    accepted by the deadline. No count is above MOST_COUNTED for a state."""
    counts = [f"{_COUNT.format(state, '')} as {state}" for state in OPEN_STATES]
    late = " + ".join(_COUNT.format(state, " and deadline < :now") for state in OPEN_STATES[:2])
    places = ", ".join(f":q{number}" for number in range(len(queues)))
    found = c.rows(
        f"select id, {', '.join(counts)}, {late} as overdue from queues q where id in ({places})",  # noqa: S608
        {"mode": mode, "now": now, "most": MOST_COUNTED, **{f"q{number}": each for number, each in enumerate(queues)}},
    )
    return {item.pop("id"): item for item in found}


def list_lapsed(c: Connection, now: int, *, most: int) -> list[Referral]:
    """Return claimed referrals whose lease expired, or was given while the clock was in the future."""
    sql = (
        f"{_SELECT} where r.id in (select id from referrals where state = 'claimed' and lease <= :now"  # noqa: S608
        " union all select id from referrals where state = 'claimed' and lease > :tomorrow and changed > :tomorrow)"
        " limit :most"
    )
    return [Referral(**item) for item in c.rows(sql, {"now": now, "tomorrow": now + DAY, "most": most})]
