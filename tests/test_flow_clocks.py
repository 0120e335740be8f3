"""Tests with clocks of server and tablet that show 1970 or 2090, or are corrected at any moment.

No screening may be lost, deleted early or reordered. No lease, session or lock may last for decades."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from conftest import FOUNDED, World
from server import app, jobs
from server.app import open_services
from server.flows.desks import referrals
from server.flows.forms import rollouts
from server.flows.intake import gaps
from server.flows.people import accounts, wrong_guesses
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import sessions
from support.clients import FORM, InterceptingProxy, Office, answers
from support.hostile_server import assert_intact
from support.intake import Field, open_field, run_servers
from support.waiting import PATIENCE
from sync.documents.enrolment import write_enrolment_request
from sync.durations import DAY, HOUR, MINUTE
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet

Y1970, NOW, Y2090 = 1, FOUNDED, 3_786_912_000_000
# All pairs except both clocks wrong in the same way: no program could detect that.
PAIRS = [pair for pair in itertools.product((Y1970, NOW, Y2090), repeat=2) if NOW in pair or len(set(pair)) == 2]


@dataclass
class Clock:
    """A clock that returns the milliseconds in `at`."""

    at: int = NOW

    def __call__(self) -> int:
        return self.at


@contextmanager
def office_with(world: World, folder: Path, clock: Clock) -> Iterator[Office]:
    """Run a server with the published questionnaire and that clock."""
    field = Field(world, open_services(world.config, clock), "")
    with run_servers(field) as (tablets, people_port):
        line = InterceptingProxy(tablets)
        thread = threading.Thread(target=line.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            office = Office(field, line, f"http://127.0.0.1:{people_port}", folder)
            office.publish()
            yield office
        finally:
            line.server.shutdown()
            thread.join()
            line.server.server_close()


def test_every_pair_of_clocks_delivers_in_order_and_deletes_nothing_early(world: World, tmp_path: Path) -> None:
    server, here = Clock(), Clock()
    with office_with(world, tmp_path, server) as office:
        office.tablet().close()
        screened: list[str] = []
        with Tablet(tmp_path / "tablet", clock=here) as tablet:
            for server.at, here.at in PAIRS:
                screened += [tablet.screen(FORM, answers(), date(2026, 11, 20)).jti for _ in range(2)]
                report = tablet.sync()
                assert (report.waiting, [receipt.outcome for receipt in report.receipts]) == (0, ["stored"] * 2)
                assert report.purged == 0
            assert [kept.seq for kept in tablet.outbox.envelopes.list_stored()] == list(range(1, len(screened) + 1))
        assert office.stored() == screened
        assert office.field.rows("select kind from work_items") == []
    assert_intact(world.config.database)


def test_one_wrong_clock_never_deletes_a_receipted_screening(world: World, tmp_path: Path) -> None:
    server, here = Clock(), Clock()
    with office_with(world, tmp_path, server) as office:
        office.tablet().close()
        with Tablet(tmp_path / "tablet", clock=here) as tablet:
            tablet.screen(FORM, answers(), date(2026, 11, 20))
            tablet.sync()
            for server.at, here.at in ((Y2090, NOW), (NOW, Y2090), (Y2090, NOW + 29 * DAY), (Y1970, Y2090)):
                assert tablet.sync().purged == 0
            server.at = here.at = NOW + 31 * DAY
            assert tablet.sync().purged == 1


def test_a_clock_that_jumps_at_each_reading_loses_no_screening(world: World, tmp_path: Path) -> None:
    jumping = itertools.cycle((NOW, Y2090, Y1970, NOW - HOUR))
    field = open_field(world)
    with run_servers(replace(field, services=replace(field.services, now=lambda: next(jumping)))) as (port, _):
        office = Office(field, InterceptingProxy(port), "", tmp_path)
        office.line.server.server_close()
        tablet = field.tablet()
        for _ in range(12):
            raw = field.envelope(tablet)
            assert [item.outcome for item in field.push(tablet, raw)] == ["stored"]
        assert field.rows("select seq from envelopes order by arrival") == [(seq,) for seq in range(1, 13)]


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    """The demo world with a form version in use."""
    opened = open_field(world)
    yield opened
    opened.services.db.close()


def test_a_lease_of_2090_lapses_after_the_clock_is_corrected(field: Field) -> None:
    db, tablet = field.services.db, field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    (waiting,) = field.referrals(raw)
    person = field.world.person_id("registro")
    referrals.claim_referral(db, waiting.id, person, now=Y2090, lease_minutes=30)
    assert referrals.release_lapsed(db, now=Y2090 + 29 * MINUTE) == 0
    assert referrals.release_lapsed(db, now=NOW) == 1
    referrals.claim_referral(db, waiting.id, person, now=NOW, lease_minutes=30)
    assert referrals.release_lapsed(db, now=Y1970) == 1  # Too early, never too late.


def test_a_session_and_a_lockout_of_2090_end_after_the_clock_is_corrected(field: Field) -> None:
    db = field.services.db
    person = field.world.person_id("registro")
    with db.write() as w:
        sessions.start_session(
            w, token_hash=accounts.hash_token("token"), person=person, at=Y2090, expires_at=Y2090 + HOUR
        )
    assert accounts.find_by_session(db, "token", now=Y2090 + MINUTE, idle=HOUR) is not None
    assert accounts.find_by_session(db, "token", now=NOW, idle=HOUR) is None
    for _ in range(wrong_guesses.FAILURES_PER_LOGIN):
        with pytest.raises(Problem, match=r"session\.refused"):
            accounts.sign_in(db, login="registro", auth=b"x" * 32, address="192.0.2.1", now=Y2090)
    with pytest.raises(Problem, match=r"session\.too_many"):
        accounts.sign_in(db, login="registro", auth=b"x" * 32, address="192.0.2.1", now=Y2090)
    with pytest.raises(Problem, match=r"session\.refused"):
        accounts.sign_in(db, login="registro", auth=b"x" * 32, address="192.0.2.1", now=NOW)


def test_an_enrolment_code_expires_when_the_clock_jumps_forward(field: Field) -> None:
    db = field.services.db
    registry = trust_documents.registry_in_force(db.read())
    invited = enrolment.create_invitation(db, registry, label="T", region="17", actor="tests", now=NOW, minutes=60)
    assert invited.expires == NOW + HOUR
    tablet = field.tablet(certified=False)
    with pytest.raises(Problem, match=r"enrolment\.code_expired"):
        enrolment.enrol_device(db, joined(invited.code), now=Y2090)
    assert enrolment.enrol_device(db, joined(invited.code), now=NOW - HOUR).state == "pending"
    assert tablet.key.kid in [dev for (dev,) in field.rows("select dev from devices")]


def test_an_enrolment_code_of_2090_is_invalid_after_the_clock_is_corrected(field: Field) -> None:
    db = field.services.db
    registry = trust_documents.registry_in_force(db.read())
    invited = enrolment.create_invitation(db, registry, label="T", region="17", actor="tests", now=Y2090, minutes=60)
    for now in (NOW, Y2090 - HOUR - 1, Y2090 + HOUR):
        with pytest.raises(Problem, match=r"enrolment\.code_expired"):
            enrolment.enrol_device(db, joined(invited.code), now=now)
    assert enrolment.enrol_device(db, joined(invited.code), now=Y2090 + HOUR - 1).state == "pending"


def joined(code: str) -> bytes:
    """Return the enrolment request of a new tablet."""
    return write_enrolment_request(code, SigningKey.generate()).to_bytes()


def test_a_tablet_last_seen_in_2090_is_silent_after_the_clock_is_corrected(field: Field) -> None:
    tablet = field.tablet()
    field.now = Y2090
    field.push(tablet, field.envelope(tablet))
    assert gaps.report_silent_tablets(field.services.db, now=Y2090, days=21) == 0
    assert gaps.report_silent_tablets(field.services.db, now=NOW, days=21) == 1
    field.now = NOW
    field.push(tablet, field.envelope(tablet))
    assert gaps.report_silent_tablets(field.services.db, now=NOW, days=21) == 0


def test_jobs_scheduled_for_2090_are_rescheduled_after_a_clock_step(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped, planned = threading.Event(), threading.Event()
    reschedule = app.reschedule_jobs

    def seen(scheduler: jobs.BackgroundScheduler) -> None:
        for job in scheduler.get_jobs():
            job.modify(next_run_time=job.next_run_time.replace(year=2090))
        reschedule(scheduler)
        assert all(job.next_run_time.year < 2090 for job in scheduler.get_jobs())
        planned.set()

    monkeypatch.setattr(app, "reschedule_jobs", seen)
    right = app.clock
    monkeypatch.setattr(app, "clock", lambda: right() + (DAY if stepped.is_set() else 0))
    with run_servers(field):
        assert not planned.wait(0.2)
        stepped.set()
        assert planned.wait(PATIENCE)


def test_a_manifest_made_in_2090_is_followed_by_a_higher_one(world: World, tmp_path: Path) -> None:
    server = Clock(Y2090)
    with office_with(world, tmp_path, server) as office:
        db, keys = office.field.services.db, office.field.services.keys
        first = trust_documents.get_newest(db.read(), "manifest").number
        server.at = NOW
        document = office.sign(replace(office.version("2"), version="2"))
        rollouts.publish_bundle(db, keys, document.to_bytes(), ring=rollouts.Ring(), actor="tests", now=NOW)
        assert trust_documents.get_newest(db.read(), "manifest").number > first
