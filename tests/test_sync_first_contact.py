"""A tablet's first contact with a server: three requests, few bytes, a server that proves itself (SPEC 5.5, 12.1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from server.app import clock
from server.flows.trust import documents as trust_documents
from server.store import keyrings
from support.changed_answers import change_keys
from support.clients import FORM, Office, PassingAnswer, answers
from sync.documents import registry
from sync.documents.registry import Desk, Keyring
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange.transport import Traffic
from sync.keys.key_pairs import SealKey, SealPublicKey
from sync.tablet.client import Tablet

TAKEN = date(2026, 11, 20)
FAR, NEAR = "2_ananea_es", "1_huepetuhe_quz"


@pytest.fixture
def new(office: Office, tmp_path: Path) -> Tablet:
    """A tablet that was enrolled, certified, and has pulled once."""
    tablet = Tablet(tmp_path / "new")
    tablet.enrol(office.invite())
    office.certify(tablet)
    assert tablet.pull().certified
    return tablet


def test_enrolment_and_first_pull_take_three_requests_and_few_bytes(office: Office, tmp_path: Path) -> None:
    with Tablet(tmp_path / "new") as tablet:
        tablet.enrol(office.invite())
        office.certify(tablet)
        pulled = tablet.pull()
        assert [form.form for form in pulled.forms] == [FORM]
        assert [each.split("?")[0] for each in office.line.asked] == [
            "POST /v1/enrolments",
            f"GET /v1/enrolments/{tablet.status().dev}/documents",
            "GET /v1/forms",
        ]
        traffic = tablet.transport.traffic
        assert traffic.requests == 2
        assert traffic.up + traffic.down <= 22_000, traffic
        tablet.screen(FORM, answers(NEAR), TAKEN)


def test_the_trust_that_came_with_the_enrolment_is_not_sent_again(new: Tablet, office: Office) -> None:
    assert f"GET /v1/enrolments/{new.status().dev}/documents?trust=1" in office.line.asked
    new.pull()
    assert new.status().trust == 1


def test_a_server_that_the_pin_does_not_prove_leaves_nothing_behind(office: Office, tmp_path: Path) -> None:
    other = office.invite().replace(office.pin, "0" * 64)
    with Tablet(tmp_path / "new") as tablet:
        with pytest.raises(SyncError, match=r"trust\.wrong_pin"):
            tablet.enrol(other)
        assert not (tmp_path / "new").exists()
        words = tablet.enrol(office.invite())
        assert words == tablet.status().words


def test_an_older_server_that_sends_no_trust_is_asked_for_it(office: Office, tmp_path: Path) -> None:
    def without_trust(passing: PassingAnswer) -> None:
        if passing.path == "/v1/enrolments":
            passing.put(b'{"dev":"x","state":"pending"}')

    office.line.answer = without_trust
    with Tablet(tmp_path / "new") as tablet:
        tablet.enrol(office.invite())
    assert office.line.asked == ["POST /v1/enrolments", "GET /v1/trust"]


# Keys of keyrings


def test_a_tablet_seals_to_the_national_desk_until_the_next_sync_brings_the_keys(new: Tablet, office: Office) -> None:
    assert new.screen(FORM, answers(NEAR), TAKEN).keyring == "17-protection"
    assert new.screen(FORM, answers(FAR), TAKEN).keyring == "national"
    report = new.sync()
    assert (report.requests, report.waiting) == (2, 0)
    assert len([each for each in office.line.asked if each.startswith("GET /v1/keys?")]) == 1
    assert new.screen(FORM, answers(FAR), TAKEN).keyring == "21-labour"
    assert new.sync().requests == 1
    # The desk of the place sees the screening, marked: it cannot open it.
    marks = office.field.rows("SELECT mark FROM referrals WHERE queue = '21-labour' ORDER BY mark")
    assert marks == [("",), ("sealed_elsewhere",)]


def test_keys_that_do_not_come_hold_up_no_screening(new: Tablet, office: Office) -> None:
    new.screen(FORM, answers(FAR), TAKEN)
    office.line.answer = change_keys(lambda key: bytes(len(key)))
    assert new.sync().waiting == 0
    assert new.screen(FORM, answers(FAR), TAKEN).keyring == "national"
    office.line.answer = lambda passing: None
    new.sync()
    assert new.screen(FORM, answers(FAR), TAKEN).keyring == "21-labour"


def list_keyrings(office: Office, sites: dict[str, str]) -> dict[str, SealPublicKey]:
    """Put a registry in force with new keyrings, each of a labour desk at its site; return their keys."""
    db, made = office.field.services.db, {name: SealKey.generate().public for name in sites}
    with db.write() as w:
        for name, key in made.items():
            stored = {"sha256": key.sha256, "keyring": name, "epoch": 1, "kid": key.kid, "public": key.raw}
            keyrings.add_key(w, **stored, at=clock())
    held = trust_documents.registry_in_force(db.read())
    listed = [*held.keyrings.values(), *(Keyring.of(name, 1, key) for name, key in made.items())]
    desks = [*held.desks, *(Desk(site, "labour", name) for name, site in sites.items())]
    newer = registry.make(number=held.number + 1, keyrings=listed, desks=desks, revoked=[], issued=clock())
    signed = Document(newer).signed_by(office.registrar, registry.TYP)
    trust_documents.accept_registry(db, signed.to_bytes(), actor="tests", now=clock())
    return made


def many(region: str, count: int) -> dict[str, str]:
    return {f"{region}-more-{number}": f"{region}{number:04}" for number in range(count)}


def asked_for_keys(office: Office) -> list[int]:
    """How many keys each request for keys names."""
    return [each.count(",") + 1 for each in office.line.asked if each.startswith("GET /v1/keys?")]


def test_a_registry_with_new_keyrings_takes_one_request_for_all_keys(office: Office, tablet: Tablet) -> None:
    made = list_keyrings(office, {"17-extra": "1701", "21-extra": "2101"})
    report = tablet.sync()
    assert report.requests == 2
    assert {f"key/{key.sha256}" for key in made.values()} <= tablet.outbox.documents.list_names()
    assert replace(report.traffic, up=0, down=0) == Traffic(requests=2)


def test_a_region_with_more_new_desks_than_one_request_names_gets_all_keys(office: Office, tablet: Tablet) -> None:
    before = asked_for_keys(office)
    made = list_keyrings(office, many("17", 130))
    report = tablet.sync()
    assert asked_for_keys(office)[len(before) :] == [64, 64, 2]
    keys = {f"key/{key.sha256}" for key in made.values()}
    assert keys <= tablet.outbox.documents.list_names()
    assert {"registry", *keys} <= {*report.updated}
    assert tablet.status().registry == 2


def test_a_cut_between_two_requests_for_keys_costs_only_what_had_not_arrived(office: Office, tablet: Tablet) -> None:
    made = list_keyrings(office, many("17", 70))
    served = len(asked_for_keys(office))

    def answer(passing: PassingAnswer) -> None:
        office.line.most = lambda path: 1 if len(asked_for_keys(office)) == served + 2 else None

    office.line.answer = answer
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    office.line.answer, office.line.most = lambda passing: None, lambda path: None
    tablet.sync()
    assert asked_for_keys(office)[served:] == [64, 6, 6]
    assert {f"key/{key.sha256}" for key in made.values()} <= tablet.outbox.documents.list_names()


def test_keys_of_other_regions_that_the_server_lacks_keep_no_others_back(office: Office, tablet: Tablet) -> None:
    made = list_keyrings(office, many("21", 70))
    with office.field.services.db.write() as w:
        for key in [*made.values()][:64]:
            w.execute("DELETE FROM keyring_keys WHERE sha256 = ?", [key.sha256])
    assert tablet.sync().waiting == 0
    there = tablet.outbox.documents.list_names() & {f"key/{key.sha256}" for key in made.values()}
    assert len(there) == 6
