"""Tests of intake: each outcome is stored, routed and listed as the table in SPEC says."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from conftest import FOUNDED
from server.flows.intake import gaps
from server.flows.operations import audit
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import devices, envelopes, referrals, worklist
from support.databases import writing_connection
from support.intake import ROUTE, Field, Tablet
from sync.durations import DAY, HOUR
from sync.envelope import seal
from sync.envelope.verify import envelope_id
from sync.errors import SyncError
from sync.exchange.messages import Message
from sync.keys.key_pairs import RouteKey, SigningKey


def outcomes(field: Field, tablet: Tablet, *raw: bytes) -> list[str]:
    return [item.outcome for item in field.push(tablet, *raw)]


def queues(field: Field, raw: bytes) -> list[tuple[str, str]]:
    return [(referral.queue, referral.mark) for referral in field.referrals(raw)]


def work(field: Field) -> list[tuple[str, str]]:
    return [(item.kind, item.envelope) for item in worklist.list_open(field.services.db.read())]


def test_a_good_screening_is_stored_routed_counted_and_audited_in_one_go(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    (item,) = field.push(tablet, raw)
    assert (item.id, item.outcome, item.seq) == (envelope_id(raw), "stored", 1)
    (referral,) = field.referrals(raw)
    assert (referral.queue, referral.state, referral.mark) == ("17-protection", "waiting", "")
    assert referral.deadline == FOUNDED + DAY
    assert envelopes.get_body(field.services.db.read(), item.id) == raw
    assert envelopes.get_route(field.services.db.read(), item.id) == replace(ROUTE, sha=field.form_sha)
    assert ("region", "17", 1) in field.rows("select dimension, value, count from statistics_cells")
    assert [action for (action,) in field.rows("select action from audit order by number")][-2:] == [
        "envelope.stored",
        "referral.opened",
    ]
    assert audit.verify_chain(field.services.db).broken_at is None


def test_the_same_screening_again_is_a_duplicate_and_opens_nothing_new(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    assert outcomes(field, tablet, raw, raw) == ["stored", "duplicate"]
    assert outcomes(field, tablet, raw) == ["duplicate"]
    assert len(queues(field, raw)) == 1
    assert field.rows("select sum(count) from statistics_cells where dimension = 'region'") == [(1,)]


def test_a_forged_envelope_is_rejected_and_the_others_of_its_batch_are_stored(field: Field) -> None:
    tablet, stranger = field.tablet(), field.tablet(certified=False)
    good = [field.envelope(tablet) for _ in range(3)]
    fields = good[0].split(b".")
    other_signature = b".".join([*fields[:6], good[1].rsplit(b".", 1)[1]])
    unknown = field.envelope(Tablet(SigningKey.generate()))
    pending = field.envelope(stranger)
    items = field.push(tablet, good[0], other_signature, b"not an envelope", good[1], unknown, pending, b"", good[2])
    assert [item.outcome for item in items] == ["stored", *["rejected"] * 2, "stored", *["rejected"] * 3, "stored"]
    assert [item.code for item in items if item.code] == [
        "envelope.bad_signature",
        "envelope.malformed",
        "envelope.unknown_device",
        "envelope.unknown_device",
        "envelope.malformed",
    ]
    assert [item.id for item in items][1] == envelope_id(other_signature)
    assert len(field.rows("select id from envelopes")) == 3
    assert sum(count for (count,) in field.rows("select count from rejections")) == 5


def test_a_screening_of_an_unknown_form_version_is_held_marked_and_still_routed(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, sha="0" * 64))
    assert outcomes(field, tablet, raw) == ["held"]
    assert queues(field, raw) == [("17-protection", "held")]
    assert work(field) == [("held", envelope_id(raw))]


def test_a_screening_without_a_matching_rule_is_held_at_the_national_desk(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, province="0501"))
    assert outcomes(field, tablet, raw) == ["held"]
    assert queues(field, raw) == [("national", "no_suitable_service")]


def test_two_screenings_at_one_place_of_a_chain_are_a_fork_and_both_are_routed(field: Field) -> None:
    tablet = field.tablet()
    first, second = field.envelope(tablet, at=(1, "")), field.envelope(tablet, at=(1, ""))
    assert outcomes(field, tablet, first, second) == ["stored", "fork"]
    assert (queues(field, first), queues(field, second)) == ([("17-protection", "")], [("17-protection", "fork")])
    assert work(field) == [("fork", envelope_id(second))]


def test_two_envelopes_with_one_jti_are_a_conflict_both_routed_one_counted(field: Field) -> None:
    tablet, jti = field.tablet(), seal.new_screening_id()
    first, second = field.envelope(tablet, jti=jti), field.envelope(tablet, jti=jti)
    assert outcomes(field, tablet, first, second) == ["stored", "conflict"]
    assert (queues(field, first), queues(field, second)) == ([("17-protection", "")], [("17-protection", "conflict")])
    assert envelopes.get_body(field.services.db.read(), envelope_id(second)) == second
    assert work(field) == [("conflict", envelope_id(second))]
    assert field.rows("select sum(count) from statistics_cells where dimension = 'region'") == [(1,)]


def test_a_thiefs_earlier_envelope_with_the_same_jti_blocks_no_childs_referral(field: Field) -> None:
    tablet, jti = field.tablet(), seal.new_screening_id()
    child = replace(ROUTE, queue_kinds=("child",), tier="child", urgency="immediate", age_band="under_14")
    true = field.envelope(tablet, child, to="17-child", jti=jti)
    forged = field.envelope(tablet, replace(ROUTE, outcome="negative", queue_kinds=()), at=(1, ""), jti=jti)
    assert outcomes(field, tablet, forged, true) == ["stored", "conflict"]
    assert queues(field, true) == [("17-child", "conflict")]
    (referral,) = field.referrals(true)
    assert referral.deadline == field.now + field.services.config.deadline_hours["immediate"] * HOUR


def test_a_revoked_tablets_screening_is_quarantined_not_lost(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    with field.services.db.write() as w:
        enrolment.revoke_devices(w, {tablet.key.kid, "nobody"}, actor="tests", now=field.now)
    assert outcomes(field, tablet, raw) == ["quarantined"]
    assert envelopes.get_body(field.services.db.read(), envelope_id(raw)) == raw
    assert queues(field, raw) == []
    assert work(field) == [("quarantine", envelope_id(raw))]


@pytest.mark.parametrize("keyring", ["17-protection", "21-child"])
def test_a_route_that_cannot_be_opened_goes_to_the_keyrings_own_desk_at_once(field: Field, keyring: str) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, to=keyring, route_key=RouteKey.generate().public)
    assert outcomes(field, tablet, raw) == ["stored"]
    (referral,) = field.referrals(raw)
    assert (referral.queue, referral.mark, referral.deadline) == (keyring, "route_unreadable", FOUNDED + HOUR)
    assert work(field) == [("route", envelope_id(raw))]
    assert field.rows("select * from statistics_cells") == []


def test_a_declined_screening_is_counted_and_in_no_queue(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, queue_kinds=(), consent="no"))
    assert outcomes(field, tablet, raw) == ["stored"]
    assert queues(field, raw) == []
    assert ("outcome", "positive", 1) in field.rows("select dimension, value, count from statistics_cells")


def test_a_training_screening_has_no_deadline_and_no_field_count(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, mode="training"))
    field.push(tablet, raw)
    (referral,) = field.referrals(raw)
    assert (referral.mode, referral.deadline) == ("training", None)
    assert referrals.list_open(field.services.db.read(), "17-protection", "field") == []
    assert field.rows("select distinct mode from statistics_cells") == [("training",)]


def test_a_gap_is_on_the_work_list_until_it_is_filled(field: Field) -> None:
    tablet = field.tablet()
    raw = [field.envelope(tablet) for _ in range(4)]
    first = field.ask(tablet, field.message(tablet, raw[0], raw[3]))
    assert first.seq == {tablet.chain: 1}
    assert [item.reason for item in worklist.list_open(field.services.db.read())] == ["seq.2-3"]
    second = field.ask(tablet, field.message(tablet, raw[2], raw[1]))
    assert second.seq == {tablet.chain: 4}
    assert work(field) == []


def test_an_envelope_that_the_database_rejects_does_not_stop_the_others(field: Field) -> None:
    tablet = field.tablet()
    good, bad = field.envelope(tablet), field.envelope(tablet, replace(ROUTE, queue_kinds=("child",)))
    with field.services.db.write() as w:
        w.execute("delete from queue_groups where queue = '17-child'")
        w.execute("delete from queues where id = '17-child'")
    items = field.push(tablet, bad, good)
    assert [(item.outcome, item.code) for item in items] == [("rejected", "envelope.not_stored"), ("stored", "")]
    assert field.rows("select id from envelopes") == [(envelope_id(good),)]


def test_a_batch_that_cannot_be_written_stores_nothing_and_gets_no_receipt(field: Field) -> None:
    tablet = field.tablet()
    with field.services.db.write() as w:
        w.execute("create trigger full before insert on chains begin select raise(abort, 'disk full'); end")
    with pytest.raises(sqlite3.IntegrityError):
        field.push(tablet, field.envelope(tablet))
    assert field.rows("select id from envelopes") == []
    assert field.rows("select last_n from devices where dev = ?", tablet.key.kid) == [(0,)]


def test_a_request_is_processed_once_but_its_answer_can_be_repeated(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    message = field.message(tablet, raw)
    field.ask(tablet, message)
    again = field.ask(tablet, message)
    assert again.receipts is not None
    assert [item["outcome"] for item in again.receipts.content["items"]] == ["duplicate"]
    other = field.message(tablet, n=1)
    with pytest.raises(Problem) as refused:
        field.ask(tablet, other)
    assert refused.value.code == "sync.number_used"
    assert refused.value.members == {"dev": tablet.key.kid, "n": 1, "last": 1}


def test_a_request_number_far_above_the_last_is_refused(field: Field) -> None:
    tablet = field.tablet()
    field.ask(tablet, field.message(tablet))
    for n in (2**20 + 2, 2**53 - 1):
        with pytest.raises(Problem) as refused:
            field.ask(tablet, field.message(tablet, field.envelope(tablet), n=n))
        assert refused.value.code == "sync.number_skipped"
        members = {"dev": tablet.key.kid, "n": n, "last": 1}
        assert refused.value.members.items() >= members.items()
    assert len(field.rows("select * from envelopes")) == 2, "envelopes prove themselves"
    tablet.n = 2**20
    field.ask(tablet, field.message(tablet))


def test_a_replayed_request_does_not_update_the_last_seen_time(field: Field) -> None:
    tablet, db = field.tablet(), field.services.db
    message = field.message(tablet)
    field.ask(tablet, message)
    heard, field.now = field.now, field.now + 60 * DAY
    gaps.report_silent_tablets(db, now=field.now, days=21)
    field.ask(tablet, message)
    assert [item.kind for item in worklist.list_open(db.read())] == ["silent"]
    assert field.rows("select seen from devices") == [(heard,)]
    field.ask(tablet, field.message(tablet))
    assert worklist.list_open(db.read()) == []


def test_a_tablet_learns_which_of_its_screenings_arrived(field: Field) -> None:
    tablet = field.tablet()
    arrived, lost = field.envelope(tablet), field.envelope(tablet)
    field.push(tablet, arrived)
    response = field.ask(tablet, field.message(tablet, pending=(envelope_id(arrived), envelope_id(lost))))
    assert response.receipts is not None
    assert response.receipts.content["items"] == [{"id": envelope_id(arrived), "outcome": "duplicate", "seq": 1}]


def test_a_request_without_news_gets_the_time_only(field: Field) -> None:
    tablet = field.tablet()
    full = field.ask(tablet, field.message(tablet))
    assert len(full.trust) == 1
    assert full.registry is not None
    assert full.manifest is not None
    numbers = {
        "trust": full.trust[0].content["number"],
        "registry": full.registry.content["number"],
        "manifest": full.manifest.content["number"],
    }
    response = field.ask(tablet, field.message(tablet, generation=full.generation, **numbers))
    assert (response.trust, response.registry, response.manifest, response.receipts) == ((), None, None, None)
    assert (response.events, response.seq, response.more) == ((), {}, False)


def test_many_broken_screenings_of_one_request_are_noted_against_its_versions_once(field: Field) -> None:
    tablet, sent = field.tablet(), field.tablet()
    for each in (tablet, sent):
        field.ask(each, field.message(each, inventory={"prueba": field.form_sha}))
    notes: list[str] = []
    writer = writing_connection(field.services.db).conn
    writer.set_trace_callback(lambda sql: notes.append(sql) if sql.startswith("insert into refusals") else None)
    field.push(tablet, b"no envelope")
    alone = len(notes)
    field.push(sent, *(b"no envelope %d" % number for number in range(50)))
    assert (alone, len(notes)) == (1, 2)
    assert field.rows("select code, sum(count) from rejections group by code") == [("envelope.malformed", 51)]
    assert field.rows("select sha, code from refusals") == [(field.form_sha, "envelope.malformed")] * 2


def test_the_server_knows_which_version_of_a_form_is_on_which_tablet(field: Field) -> None:
    tablet, other = field.tablet(), field.tablet()
    field.ask(tablet, field.message(tablet, inventory={"prueba": "0" * 64, "vieja": "1" * 64}))
    field.ask(tablet, field.message(tablet, inventory={"prueba": field.form_sha}))
    field.ask(tablet, field.message(tablet))
    field.ask(other, field.message(other))
    assert devices.list_inventories(field.services.db.read()) == {tablet.key.kid: {"prueba": field.form_sha}}


def test_a_request_of_an_unknown_or_pending_tablet_is_refused(field: Field) -> None:
    stranger = Tablet(SigningKey.generate())
    for tablet, code in ((stranger, "device.unknown"), (field.tablet(certified=False), "device.not_certified")):
        with pytest.raises(Problem) as refused:
            field.ask(tablet, field.message(tablet))
        assert refused.value.code == code


def test_a_request_changed_in_transit_is_refused(field: Field) -> None:
    tablet = field.tablet()
    message = field.message(tablet)
    with pytest.raises(SyncError) as refused:
        field.ask(tablet, Message(message.body.replace(b'"n":1', b'"n":2'), message.signature))
    assert refused.value.code == "exchange.bad_signature"


def test_the_server_stores_only_the_fields_of_a_screening_that_the_spec_lists(field: Field) -> None:
    columns = {name for (name,) in field.rows("select name from pragma_table_info('routes')")}
    assert columns == {"number", "envelope", "received", "digest", *(name for name in vars(ROUTE))}
    kept = {name for (name,) in field.rows("select name from pragma_table_info('envelopes')")}
    # Other columns in SPEC: tablet, ids, place in the chain, keyring, size, time, and the sealed bytes.
    assert kept == {
        "arrival", "id", "dev", "jti", "chain", "seq", "kseq", "prev", "kid", "outcome", "body", "size", "received"
    }  # fmt: skip
