"""Tests of `POST /v1/courier`: a stranger brings envelopes; each is stored, or not, as if its tablet had sent it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from werkzeug.test import TestResponse

from server.api.client_address import MAX_FAILURES
from server.app import tablet_api
from server.flows.desks.routing import Rulebook
from server.flows.intake import courier, storage_budget
from server.flows.intake.storage_budget import StorageBudget
from server.flows.operations import rollback_guard
from server.store import audit, devices, meta, worklist
from support.intake import Field, Tablet
from sync.documents import courier_receipt
from sync.documents.courier_receipt import CourierReceipts
from sync.envelope.verify import envelope_id
from sync.exchange import courier_messages
from sync.exchange.courier_messages import CourierAnswer
from sync.exchange.messages import CONTENT_TYPE, MAX_BODY_BYTES
from sync.keys.key_pairs import SigningKey


def bring(
    field: Field, *raws: bytes, budget: StorageBudget = storage_budget.DEFAULT, most_rejected: int = 50
) -> CourierAnswer:
    """Let a courier bring envelopes to the server in this process."""
    answer, _ = courier.answer_courier(
        field.services.db,
        courier_messages.write_request(raws),
        keys=field.services.keys,
        rulebook=Rulebook(field.services.rules, field.services.config.deadline_hours),
        now=field.now,
        budget=budget,
        most_rejected=most_rejected,
    )
    return answer


def receipts(field: Field, answer: CourierAnswer) -> dict[str, CourierReceipts]:
    """The verified receipts of an answer, by tablet."""
    read = [courier_receipt.read(document, field.trust) for document in answer.receipts]
    assert len({each.dev for each in read}) == len(read)
    return {each.dev: each for each in read}


def outcomes(field: Field, answer: CourierAnswer) -> dict[str, str]:
    """The outcome of each envelope, by its identity; a problem code for those that were not stored."""
    stored = {item.id: item.outcome for each in receipts(field, answer).values() for item in each.items}
    return stored | {each.id: each.code for each in answer.rejected}


def head(field: Field) -> tuple[int, str]:
    return audit.get_head(field.services.db.read())


def work(field: Field) -> list[tuple[str, str]]:
    return [(item.kind, item.dev) for item in worklist.list_open(field.services.db.read())]


def stranger() -> Tablet:
    return Tablet(SigningKey.generate())


def test_envelopes_of_three_tablets_are_stored_and_each_tablet_gets_its_receipts(field: Field) -> None:
    tablets = [field.tablet() for _ in range(3)]
    raws = {tablet.key.kid: [field.envelope(tablet) for _ in range(2)] for tablet in tablets}
    signed = receipts(field, bring(field, *(raw for each in raws.values() for raw in each)))
    assert {dev: [item.id for item in each.items] for dev, each in signed.items()} == {
        dev: [envelope_id(raw) for raw in each] for dev, each in raws.items()
    }
    for each in signed.values():
        assert {item.outcome for item in each.items} == {"stored"}
        assert [item.seq for item in each.items] == [1, 2]
        assert (each.number, each.head, each.at) == (*head(field), field.now)
        assert (each.generation, each.left) == (meta.get_generation(field.services.db.read()), ())
    assert all(field.referrals(raw) for each in raws.values() for raw in each)


def test_the_same_file_twice_doubles_nothing_whoever_was_first(field: Field) -> None:
    tablet = field.tablet()
    first, second = field.envelope(tablet), field.envelope(tablet)
    assert {item.outcome for item in field.push(tablet, first)} == {"stored"}
    assert outcomes(field, bring(field, first, second, first)) == {
        envelope_id(first): "duplicate",
        envelope_id(second): "stored",
    }
    before = head(field)
    assert set(outcomes(field, bring(field, first, second)).values()) == {"duplicate"}
    assert head(field) == before, "a repeated file leaves no trace"
    assert [item.outcome for item in field.push(tablet, first, second)] == ["duplicate"] * 2
    assert field.rows("select count(*) from envelopes") == [(2,)]


def test_a_revoked_tablets_screening_from_a_file_waits_for_a_decision(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    with field.services.db.write() as w:
        devices.revoke(w, tablet.key.kid, at=field.now)
    assert outcomes(field, bring(field, raw)) == {envelope_id(raw): "quarantined"}
    assert field.referrals(raw) == []
    assert work(field) == [("quarantine", tablet.key.kid)]


def test_what_the_server_cannot_attribute_is_told_and_writes_nothing(field: Field) -> None:
    tablet, pending, unknown = field.tablet(), field.tablet(certified=False), stranger()
    good = field.envelope(tablet)
    middle = len(good) // 2
    changed = good[:middle] + (b"B" if good[middle : middle + 1] == b"A" else b"A") + good[middle + 1 :]
    raws = [changed, field.envelope(pending), field.envelope(unknown), b"not an envelope"]
    before = head(field)
    answer = bring(field, *raws)
    assert [each.code for each in answer.rejected] == [
        "envelope.bad_signature",
        "envelope.unknown_device",
        "envelope.unknown_device",
        "envelope.malformed",
    ]
    assert [each.id for each in answer.rejected] == [envelope_id(raw) for raw in raws]
    assert answer.receipts == ()
    assert head(field) == before
    assert field.rows("select count(*) from rejections") == [(0,)], "a stranger cannot spoil a tablet's figures"
    assert outcomes(field, bring(field, *raws, good))[envelope_id(good)] == "stored"


def test_a_file_of_a_strangers_inventions_is_judged_up_to_a_number_and_no_further(field: Field) -> None:
    tablet = field.tablet()
    good, invented = field.envelope(tablet), [b"invented %d" % number for number in range(80)]
    answer = bring(field, *invented, good)
    assert (len(answer.rejected), answer.receipts) == (50, ())
    answer = bring(field, *invented[50:], good)
    assert len(answer.rejected) == 30
    assert outcomes(field, answer)[envelope_id(good)] == "stored", "what was not judged is sent again"


def test_a_tablet_without_space_does_not_hold_up_the_others_in_the_file(field: Field) -> None:
    full, other = field.tablet(), field.tablet()
    much, little = [field.envelope(full) for _ in range(3)], field.envelope(other)
    field.push(full, much[0])
    answer = bring(field, *much[1:], little, budget=StorageBudget(len(much[0]) + 100))
    assert outcomes(field, answer) == {
        **{envelope_id(raw): "storage.quota" for raw in much[1:]},
        envelope_id(little): "stored",
    }
    assert work(field) == [("quota", full.key.kid)]
    assert set(outcomes(field, bring(field, *much[1:])).values()) == {"stored"}, "later, with more space"


def test_a_missing_screening_in_a_file_is_a_gap_until_it_arrives(field: Field) -> None:
    tablet = field.tablet()
    first, second, third = (field.envelope(tablet) for _ in range(3))
    bring(field, first, third)
    assert work(field) == [("gap", tablet.key.kid)]
    bring(field, second)
    assert work(field) == []


def test_what_a_courier_brings_is_no_sign_of_life_of_the_tablet(field: Field) -> None:
    tablet = field.tablet()
    before = devices.get_device(field.services.db.read(), tablet.key.kid)
    field.now += 1_000_000
    bring(field, field.envelope(tablet))
    after = devices.get_device(field.services.db.read(), tablet.key.kid)
    assert before is not None
    assert after is not None
    assert (after.seen, after.last_n) == (before.seen, before.last_n)
    assert after.stored_bytes > before.stored_bytes, "its own space is charged"


def test_after_a_restore_receipts_name_the_generations_before(field: Field) -> None:
    tablet = field.tablet()
    former = meta.get_generation(field.services.db.read())
    with field.services.db.write() as w:
        rollback_guard.start_generation(w, field.services.keys, copied=field.now, now=field.now)
    (signed,) = receipts(field, bring(field, field.envelope(tablet))).values()
    assert signed.left == (former,)
    assert signed.begins_generation(former)
    assert bring(field).generation == signed.generation, "a request without envelopes asks for it"


# Over HTTP


@pytest.fixture
def client(field: Field) -> Any:
    return tablet_api(field.services).test_client()


def post(client: Any, *raws: bytes, **said: Any) -> TestResponse:
    answer: TestResponse = client.post(
        courier_messages.PATH, data=courier_messages.write_request(raws), content_type=CONTENT_TYPE, **said
    )
    return answer


def test_a_courier_needs_no_sign_in_and_leaves_no_id_in_the_log(
    field: Field, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet), field.envelope(tablet), b"not an envelope"]
    with caplog.at_level(logging.INFO, "chaski"):
        answered = courier_messages.read_answer(post(client, *raws).data)
    assert set(outcomes(field, answered).values()) == {"stored", "envelope.malformed"}
    (line,) = [record.fields for record in caplog.records if record.msg == "request"]  # type: ignore[attr-defined]
    assert (line["route"], line["status"], line["stored"], line["rejected"]) == ("/v1/courier", 200, 2, 1)
    written = json.dumps(line)
    assert not [each for each in (tablet.key.kid, *map(envelope_id, raws)) if each in written]
    assert field.services.metrics.registry.get_sample_value("chaski_envelopes_total", {"outcome": "stored"}) == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "encoding.json"),
        (b"[]", 400, "encoding.json"),
        (b'{"protocol":"chaski-2"}', 400, "exchange.wrong_protocol"),
        (b'{"protocol":"chaski-1","envelopes":[1]}', 422, "document.malformed"),
        (b'{"protocol":"chaski-1","envelopes":{}}', 422, "document.malformed"),
        (b'{"protocol":"chaski-1","envelopes":[' + b'"",' * 500 + b'""]}', 422, "document.malformed"),
        (b'{"protocol":"chaski-1","envelopes":["\\ud800"]}', 400, "encoding.json"),
        (b'{"a":[' + b"[]," * 200_000 + b"[]]}", 400, "encoding.json"),
        (b"\x1f\x8b\x08\x00" + bytes(100), 400, "encoding.json"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "http.too_large"),
    ],
    ids=["empty", "array", "protocol", "number", "object", "501", "half a letter", "values", "gzip", "too large"],
)
def test_a_malformed_request_is_refused_with_its_code(client: Any, body: bytes, status: int, code: str) -> None:
    answer = client.post(courier_messages.PATH, data=body, content_type=CONTENT_TYPE)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_a_stranger_is_slowed_down_and_an_honest_file_from_the_same_address_is_not(field: Field, client: Any) -> None:
    tablet = field.tablet()
    codes = [post(client, b"invented %d" % number).status_code for number in range(MAX_FAILURES + 2)]
    assert codes == [200] * MAX_FAILURES + [429, 429]
    good = field.envelope(tablet)
    answered = courier_messages.read_answer(post(client, good, b"invented", b"invented too").data)
    assert outcomes(field, answered) == {envelope_id(good): "stored", envelope_id(b"invented"): "envelope.malformed"}
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}
    assert post(client, b"invented", environ_overrides=elsewhere).status_code == 200
