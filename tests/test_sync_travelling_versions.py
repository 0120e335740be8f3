"""Form versions that come along with the sync response that names them, in one request (SPEC 11.3 rule 12)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from server.api import coded_bytes, sync_thread, tablets
from server.api.coded_bytes import BEST_LEVEL, CODED, CodedBytes
from server.flows.forms import delivery
from server.flows.intake.response_budget import limit_response
from server.flows.trust import enrolment
from support.clients import FORM, Office, compiled
from support.waiting import wait_until
from sync.exchange import codings
from sync.exchange.bundle_stream import Piece, StreamReader
from sync.exchange.messages import Response
from sync.tablet.client import Tablet
from sync.wire.encoding import unb64u
from test_sync_deltas import in_use, publish_with_changes


@pytest.fixture
def deltas_at_hand(monkeypatch: pytest.MonkeyPatch, no_delta_at_hand: None) -> None:
    """Let the server have made each delta before."""
    for module in (sync_thread, tablets):
        monkeypatch.setattr(
            module, "find_delta", lambda body, dictionary: CODED.get(body, codings.DCZ, dictionary, BEST_LEVEL)
        )


@pytest.mark.usefixtures("deltas_at_hand")
def test_a_form_update_comes_with_the_sync_and_costs_few_bytes(office: Office, tablet: Tablet) -> None:
    tablet.sync()
    second = publish_with_changes(office)
    report = tablet.sync()
    assert (report.requests, in_use(tablet)) == (1, {FORM: second})
    assert report.traffic.up + report.traffic.down < 1_900
    assert tablet.sync().requests == 1


@pytest.mark.usefixtures("deltas_at_hand")
def test_several_updated_forms_come_with_the_sync(office: Office, tablet: Tablet) -> None:
    for name in ("uno", "dos"):
        office.publish("1", form_id=name)
    tablet.sync()
    tablet.sync()
    shas = {FORM: publish_with_changes(office), "uno": office.publish("2", form_id="uno"), "dos": in_use(tablet)["dos"]}
    assert tablet.sync().requests == 1
    assert in_use(tablet) == shas


def test_the_first_tablet_fetches_an_update_and_the_next_gets_it_with_its_sync(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = CodedBytes(most=2**20)
    monkeypatch.setattr(coded_bytes, "CODED", kept)
    for module in (sync_thread, tablets):
        monkeypatch.setattr(module, "find_delta", coded_bytes.find_delta)
    with office.tablet("next") as other:
        for each in (tablet, other):
            each.sync()
        second = publish_with_changes(office)
        assert tablet.sync().requests == 2
        wait_until(lambda: any(coded.startswith(codings.DCZ_MAGIC) for coded in kept.held()), "no delta was made")
        assert other.sync().requests == 1
        assert in_use(tablet) == in_use(other) == {FORM: second}


@pytest.mark.usefixtures("deltas_at_hand")
def test_a_way_back_needs_one_request_though_the_server_sends_what_is_on_board(office: Office, tablet: Tablet) -> None:
    tablet.sync()
    before = in_use(tablet)
    publish_with_changes(office)
    tablet.sync()
    office.publish("1")
    report = tablet.sync()
    assert (report.requests, report.refused, in_use(tablet)) == (1, (), before)


def cut(stream: bytes) -> bytes:
    return stream[:-1]


def garbled(stream: bytes) -> bytes:
    return stream[:-200] + bytes(200)


def of_another_dictionary(stream: bytes) -> bytes:
    return stream.replace(codings.DCZ_MAGIC, codings.DCZ_MAGIC + b"\0" * 32)


def without_a_line(stream: bytes) -> bytes:
    return b"no line\n" + stream


def of_an_unknown_version(stream: bytes) -> bytes:
    return Piece("00" * 32, codings.DCZ, b"x").to_bytes() + stream


def refused(stream: bytes) -> bytes:
    sha = next(iter(read(stream))).sha
    return Piece(sha, code="form.unknown").to_bytes()


def bomb(stream: bytes) -> bytes:
    frame = codings.encode(bytes(64 * 1024 * 1024), codings.ZSTD, level=3)
    return b"".join(replace(each, body=each.body[:40] + frame).to_bytes() for each in read(stream))


def read(stream: bytes) -> list[Piece]:
    named = re.findall(rb'"sha":"([A-Za-z0-9_-]{43})"', stream)
    return list(StreamReader.of({unb64u(each).hex() for each in named}).feed(stream))


FAULTS = [cut, garbled, of_another_dictionary, without_a_line, of_an_unknown_version, refused, bomb]


@pytest.mark.usefixtures("deltas_at_hand")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_version_that_comes_damaged_is_fetched_and_not_refused(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, fault: Callable[[bytes], bytes]
) -> None:
    tablet.sync()
    second = publish_with_changes(office)
    write = delivery.write_deltas
    monkeypatch.setattr(delivery, "write_deltas", lambda *parts: fault(write(*parts)))
    report = tablet.sync()
    assert (report.requests, report.refused, in_use(tablet)) == (2, (), {FORM: second})


@pytest.mark.usefixtures("deltas_at_hand")
def test_a_version_that_the_tablet_cannot_run_is_refused_when_it_was_fetched_too(
    office: Office, tablet: Tablet
) -> None:
    tablet.sync()
    before, xform = in_use(tablet), compiled().xform.replace('version="1"', 'version="3"')
    office.publish("3", xform=xform.replace("selected(", "no_such_function(", 1))
    report = tablet.sync()
    assert (report.requests, len(report.refused)) == (2, 1)
    assert in_use(tablet) == before


@pytest.mark.usefixtures("deltas_at_hand")
def test_only_small_changes_of_forms_on_board_travel(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tablet.sync()
    office.publish("1", form_id="new")
    assert tablet.sync().requests == 2, "the tablet has nothing that the form is a change of"
    tablet.sync()
    monkeypatch.setattr(delivery, "MAX_DELTA_BYTES", 300)
    publish_with_changes(office)
    assert tablet.sync().requests == 2, "it is too large"


@pytest.mark.usefixtures("deltas_at_hand")
def test_a_revoked_tablet_gets_no_version(office: Office, tablet: Tablet) -> None:
    tablet.sync()
    publish_with_changes(office)
    with office.field.services.db.write() as w:
        enrolment.revoke_devices(w, {tablet.status().dev}, actor="tests", now=office.field.services.now())
    assert tablet.sync().requests == 2


def test_a_version_travels_only_if_the_line_bears_it() -> None:
    response = Response(dev="d", n=1, at=1, generation="g", forms="A" * 600)
    for budget, travels in ((0, True), (1_500, False), (1_600, True)):
        assert bool(limit_response(response, [0], budget, 0).forms) is travels


def test_no_delta_is_made_while_a_tablet_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = CodedBytes(most=2**20)
    monkeypatch.setattr(coded_bytes, "CODED", kept)
    assert coded_bytes.find_delta(b"new" * 300, b"old" * 300) is None
    wait_until(lambda: bool(kept.held()), "it was not made meanwhile")
    assert coded_bytes.find_delta(b"new" * 300, b"old" * 300) == kept.held()[0]
