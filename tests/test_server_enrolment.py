"""Tests of enrolment: a tablet needs a one-time code, proof of its key, and a registrar's signature."""

from __future__ import annotations

import pytest

from conftest import FOUNDED
from server.flows.intake import gaps
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import audit, devices, worklist
from support.intake import Field, Tablet
from sync.documents.enrolment import CERTIFICATE_TYP, Certificate, write_enrolment_request
from sync.documents.signed import Document
from sync.durations import DAY, MINUTE
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey


def invite(field: Field, region: str = "17") -> str:
    db = field.services.db
    registry = trust_documents.registry_in_force(db.read())
    return enrolment.create_invitation(
        db, registry, label="Tableta 7", region=region, actor="tests", now=FOUNDED, minutes=60
    ).code


def enrol(field: Field, code: str, key: SigningKey, *, at: int = FOUNDED) -> devices.Device:
    return enrolment.enrol_device(field.services.db, write_enrolment_request(code, key).to_bytes(), now=at)


def refused(field: Field, code: str, key: SigningKey, *, at: int = FOUNDED) -> str:
    with pytest.raises(Problem) as problem:
        enrol(field, code, key, at=at)
    return problem.value.code


def test_a_tablet_with_a_good_code_waits_for_its_certificate_and_then_may_sync(field: Field) -> None:
    key = SigningKey.generate()
    device = enrol(field, invite(field), key)
    assert (device.dev, device.state, device.label, device.region) == (key.kid, "pending", "Tableta 7", "17")
    with pytest.raises(Problem, match=r"device\.not_certified"):
        enrolment.get_certificate(field.services.db, key.kid)
    signed = field.certificate(Tablet(key))
    certified = enrolment.certify_device(field.services.db, signed, field.trust, actor="registro", now=FOUNDED)
    assert certified.state == "certified"
    assert enrolment.get_certificate(field.services.db, key.kid) == signed


def test_a_code_enrols_one_tablet_which_may_repeat_the_request(field: Field) -> None:
    code, key = invite(field), SigningKey.generate()
    assert enrol(field, code, key) == enrol(field, code, key, at=FOUNDED + 2 * DAY)
    assert refused(field, code, SigningKey.generate()) == "enrolment.code_used"


def test_a_code_expires_and_an_invented_one_never_works(field: Field) -> None:
    code, key = invite(field), SigningKey.generate()
    assert refused(field, code, key, at=FOUNDED + 60 * MINUTE) == "enrolment.code_expired"
    assert refused(field, "inventado-0000", key) == "enrolment.code_unknown"
    assert field.rows("select * from devices") == []


def test_an_invitation_needs_a_served_region_and_the_problem_lists_them(field: Field) -> None:
    with pytest.raises(Problem, match="99 is not one of 04, 08, 15, 16, 17, 21") as refused:
        invite(field, "99")
    assert refused.value.code == "enrolment.unknown_region"
    assert field.rows("select * from enrolment_codes") == []


def test_a_second_code_does_not_enrol_the_same_tablet_again(field: Field) -> None:
    key = SigningKey.generate()
    enrol(field, invite(field), key)
    assert refused(field, invite(field), key) == "enrolment.device_known"


def test_the_database_does_not_contain_the_code(field: Field) -> None:
    code = invite(field)
    field.services.db.close()
    for path in field.world.data.rglob("*"):
        assert path.is_dir() or code.encode() not in path.read_bytes()


def test_a_tablet_must_prove_possession_of_its_key(field: Field) -> None:
    honest, thief = SigningKey.generate(), SigningKey.generate()
    asked = write_enrolment_request(invite(field), honest)
    stolen = Document(asked.payload, write_enrolment_request("another-code", thief).signatures)
    with pytest.raises(SyncError):
        enrolment.enrol_device(field.services.db, stolen.to_bytes(), now=FOUNDED)


def test_only_a_registrar_certifies_and_never_goes_back_to_an_older_certificate(field: Field) -> None:
    tablet = field.tablet(certified=False)
    said = Certificate(tablet.key.kid, tablet.key.public, "17", "Tableta", 1).to_payload(FOUNDED)
    forged = Document(said).signed_by(SigningKey.generate(), CERTIFICATE_TYP).to_bytes()
    with pytest.raises(SyncError):
        enrolment.certify_device(field.services.db, forged, field.trust, actor="tests", now=FOUNDED)
    good = field.certificate(tablet)
    enrolment.certify_device(field.services.db, good, field.trust, actor="tests", now=FOUNDED)
    head = audit.get_head(field.services.db.read())
    again = enrolment.certify_device(field.services.db, good, field.trust, actor="tests", now=FOUNDED)
    assert (again.state, audit.get_head(field.services.db.read())) == ("certified", head), "sent twice"
    newer = Certificate(tablet.key.kid, tablet.key.public, "21", "Tableta", 2).to_payload(FOUNDED)
    signed = Document(newer).signed_by(field.world.office("registro", "registrar"), CERTIFICATE_TYP).to_bytes()
    assert enrolment.certify_device(field.services.db, signed, field.trust, actor="tests", now=FOUNDED).region == "21"
    with pytest.raises(Problem, match=r"device\.not_pending"):
        enrolment.certify_device(field.services.db, good, field.trust, actor="tests", now=FOUNDED)
    stranger = field.certificate(Tablet(SigningKey.generate()))
    with pytest.raises(Problem, match=r"device\.not_found"):
        enrolment.certify_device(field.services.db, stranger, field.trust, actor="tests", now=FOUNDED)


def test_a_silent_tablet_is_on_the_work_list_until_its_next_sync(field: Field) -> None:
    tablet, db = field.tablet(), field.services.db
    assert gaps.report_silent_tablets(db, now=FOUNDED + 20 * DAY, days=21) == 0
    for _ in range(2):
        assert gaps.report_silent_tablets(db, now=FOUNDED + 22 * DAY, days=21) == 1
    assert [(item.kind, item.dev) for item in worklist.list_open(db.read())] == [("silent", tablet.key.kid)]
    field.ask(tablet, field.message(tablet))
    assert worklist.list_open(db.read()) == []
