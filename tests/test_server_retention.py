"""Tests of retention: the server erases a route a month after the work on it ended, and not a day earlier."""

from __future__ import annotations

from dataclasses import replace

from server.flows.desks import queues, referrals
from server.flows.operations import retention
from server.store import people, worklist
from support.intake import ROUTE, Field
from sync.durations import DAY


def push(field: Field, **changes: object) -> bytes:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, **changes))  # type: ignore[arg-type]
    field.push(tablet, raw)
    return raw


def routes(field: Field) -> int:
    return int(field.rows("select count(*) from routes")[0][0])


def erase(field: Field, *, days: float) -> int:
    return retention.erase_routes(field.services.db, now=field.now + int(days * DAY), days=30)


def close(field: Field, raw: bytes, *, at: int) -> None:
    (referral,) = field.referrals(raw)
    person = field.world.person_id("proteccion-17")
    referrals.accept_referral(field.services.db, referral.id, person, now=at)
    referrals.close_referral(field.services.db, referral.id, person, "attended", now=at)


def test_a_route_is_erased_thirty_days_after_the_last_referral_was_closed(field: Field) -> None:
    raw = push(field)
    close(field, raw, at=field.now + 10 * DAY)
    assert (erase(field, days=39.9), routes(field)) == (0, 1)
    assert (erase(field, days=40), routes(field)) == (1, 0)
    assert erase(field, days=41) == 0
    assert ("routes.erased", '{"count": 1}') in field.rows("select action, detail from audit")


def test_a_screening_in_progress_keeps_its_route_at_any_age(field: Field) -> None:
    raw = push(field)
    assert erase(field, days=400) == 0
    person = people.get_account(field.services.db.read(), field.world.person_id("proteccion-17"))
    assert person is not None
    _, route = queues.get_referral(field.services.db, person, field.referrals(raw)[0].id)
    assert route is not None


def test_a_route_without_referrals_is_erased_a_month_after_arrival(field: Field) -> None:
    push(field, queue_kinds=(), outcome="negative", urgency="none")
    assert (erase(field, days=29), erase(field, days=30), routes(field)) == (0, 1, 0)


def test_a_screening_on_the_work_list_keeps_its_route_until_a_month_after(field: Field) -> None:
    raw = push(field, queue_kinds=(), outcome="negative", urgency="none")
    (id_,) = field.rows("select id from envelopes where body = ?", raw)[0]
    with field.services.db.write() as w:
        worklist.add_item(w, kind="held", dev="d", envelope=id_, at=field.now)
    assert erase(field, days=400) == 0
    with field.services.db.write() as w:
        w.execute("update work_items set closed = ?, closed_by = 'x'", [field.now + 5 * DAY])
    assert (erase(field, days=34), erase(field, days=35)) == (0, 1)


def test_the_envelope_and_the_counts_stay(field: Field) -> None:
    raw = push(field, queue_kinds=(), outcome="negative", urgency="none")
    counted = field.rows("select * from statistics_cells")
    erase(field, days=31)
    assert field.rows("select body from envelopes") == [(raw,)]
    assert field.rows("select * from statistics_cells") == counted
