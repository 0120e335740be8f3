"""A desk's view of its work: queues, referrals, and the sealed screening behind a referral. The staff API calls it.

The table `queue_groups` says who may see which queue. Handing out an envelope counts as reading a screening, so the
same transaction audits it. This module must not decrypt an envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.database.connection import Connection, Database
from server.problems import Problem
from server.store import audit, envelopes, keyrings, people, queues, referrals
from server.store.people import StaffAccount
from server.store.queues import Queue
from server.store.referrals import Referral
from sync.envelope.route import Route


@dataclass(frozen=True)
class QueueCounts:
    """A queue, its number of referrals per state, and as `overdue` of those that no desk accepted by the deadline."""

    queue: Queue
    counts: Mapping[str, int]


def count_queues(db: Database, person: StaffAccount, *, mode: str, now: int) -> list[QueueCounts]:
    """Return the person's queues with their counts."""
    connection = db.read()
    seen = people.list_visible_queues(connection, person.id)
    counts = referrals.count_open(connection, seen, mode, now=now)
    return [QueueCounts(queue, counts[queue.id]) for queue in queues.list_queues(connection) if queue.id in counts]


def list_referrals(
    db: Database, person: StaffAccount, queue: str, *, mode: str, after: str = "", most: int = 1000
) -> list[tuple[Referral, Route | None]]:
    """Return a page of the open referrals of a queue, most urgent first.

    `after` is the id of the referral before the page, which may be closed by now. Raises Problem `queue.other_desk` if
    the person does not work there, and `list.bad_cursor` if there is no such referral.
    """
    connection = db.read()
    if queue not in people.list_visible_queues(connection, person.id):
        raise Problem("queue.other_desk", queue)
    place = referrals.find_queue_place(connection, after) if after else referrals.START
    if place is None:
        raise Problem("list.bad_cursor", after)
    found = referrals.list_open(connection, queue, mode, after=place, most=most)
    routes = envelopes.list_routes(connection, [each.envelope for each in found])
    return [(each, routes.get(each.envelope)) for each in found]


def get_referral(db: Database, person: StaffAccount, referral_id: str) -> tuple[Referral, Route | None]:
    """Return one referral. Raises Problem `referral.other_desk` if the person does not work its queue."""
    connection = db.read()
    found = require_visible(connection, person, referral_id)
    return found, envelopes.get_route(connection, found.envelope)


def read_envelope(db: Database, person: StaffAccount, referral_id: str, *, now: int) -> bytes:
    """Return the exact bytes of a referral's envelope. The person must see the queue and belong to the keyring."""
    with db.write() as w:
        found = require_visible(w, person, referral_id)
        if not keyrings.is_member(w, person.id, found.kid):
            raise Problem("referral.other_keyring", found.id)
        body = envelopes.get_body(w, found.envelope)
        audit.append(
            w, at=now, action="envelope.read", actor=person.id, subject=found.envelope, detail={"referral": found.id}
        )
    assert body is not None, "a referral refers to a stored envelope"
    return body


def require_visible(connection: Connection, person: StaffAccount, referral_id: str) -> Referral:
    """Return a referral. Raises Problem `referral.other_desk` if the person does not work its queue."""
    found = referrals.get_referral(connection, referral_id)
    if found is None:
        raise Problem("referral.unknown", referral_id)
    if found.queue not in people.list_visible_queues(connection, person.id):
        raise Problem("referral.other_desk", referral_id)
    return found
