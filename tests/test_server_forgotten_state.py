"""Tests of a restored server: certificates and used numbers that tablets hold and the server has forgotten."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import FOUNDED, World
from server.app import tablet_api
from server.cli.tablet.device_orders import revoke_in_registry
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.trust import device_orders
from server.flows.trust import documents as trust_documents
from server.store import devices, meta, worklist
from server.store.documents import KINDS
from support.clients import InterceptingProxy, Office, PassingAnswer, open_office
from support.intake import Field
from support.intake import Tablet as SimulatedTablet
from sync.documents import device_order, enrolment, registry, trust
from sync.documents.signed import Document
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import MAX_INTEGER


def registry_document(field: Field, number: int, revoked: list[str] | None = None) -> bytes:
    """The registry in force under another number, signed by the registrar."""
    held = trust_documents.registry_in_force(field.services.db.read())
    payload = registry.make(
        number=number,
        keyrings=list(held.keyrings.values()),
        desks=list(held.desks),
        revoked=revoked or [],
        issued=FOUNDED,
    )
    return Document(payload).signed_by(field.world.office("registro", "registrar"), registry.TYP).to_bytes()


def put_registry(field: Field, number: int, revoked: list[str] | None = None) -> int:
    """Upload a registry."""
    return trust_documents.accept_registry(
        field.services.db, registry_document(field, number, revoked), actor="tests", now=FOUNDED
    )


def test_a_number_that_tablets_already_hold_is_not_used_again(field: Field) -> None:
    ahead, honest = field.tablet(), field.tablet()
    field.ask(ahead, field.message(ahead, registry=7, trust=1, manifest=1, generation="of_the_lost"))
    field.ask(honest, field.message(honest, registry=1, trust=1))
    waiting = worklist.list_open(field.services.db.read())
    assert [(item.kind, item.dev, item.reason) for item in waiting] == [("ahead", ahead.key.kid, "registry.7")]
    for number in (2, 7):
        with pytest.raises(
            trust_documents.Problem, match=r"document\.number_in_use.*registry 8 is the next"
        ) as refused:
            put_registry(field, number)
        assert refused.value.members == {"least": 8}
    assert put_registry(field, 8) == 8
    assert worklist.list_open(field.services.db.read()) == []


def test_new_trusts_and_manifests_get_numbers_above_the_lost_ones(field: Field) -> None:
    tablet, services = field.tablet(), field.services
    held = trust_documents.get_newest(services.db.read(), "manifest").number
    field.ask(tablet, field.message(tablet, trust=4, registry=1, manifest=held + 1_000_000))
    content = Document.parse(trust_documents.get_newest(services.db.read(), "trust").body).content
    roots = [field.world.office(name, "root") for name in ("raiz-1", "raiz-2")]

    def put_trust(number: int) -> int:
        body = Document.of({**content, "number": number}, trust.TYP, *roots).to_bytes()
        return trust_documents.accept_trust(services.db, services.keys, body, actor="tests", now=FOUNDED)

    with pytest.raises(trust_documents.Problem, match=r"document\.number_in_use.*trust 5 is the next"):
        put_trust(4)
    assert put_trust(5) == 5
    version = services.db.read().execute("SELECT body FROM versions").fetchone()[0]
    put = rollouts.publish_bundle(services.db, services.keys, version, ring=Ring(), actor="tests", now=FOUNDED)
    assert put.manifest == held + 1_000_001


def next_numbers(field: Field) -> list[int]:
    """Return the numbers that the next trust, registry and manifest need."""
    return [trust_documents.next_number(field.services.db.read(), kind, now=FOUNDED) for kind in KINDS]


def test_impossible_numbers_of_a_tablet_do_not_stop_publishing_and_are_listed(field: Field) -> None:
    liar, before = field.tablet(), next_numbers(field)
    generation = meta.get_generation(field.services.db.read())
    for lie in (MAX_INTEGER, MAX_INTEGER - 1, before[2] + 2**20):
        told = dict.fromkeys(KINDS, lie)
        field.ask(liar, field.message(liar, **told, generation=generation))
        assert next_numbers(field) == before
    (item,) = worklist.list_open(field.services.db.read())
    assert (item.kind, item.dev, item.reason) == ("ahead", liar.key.kid, " ".join(f"{k}.{n}" for k, n in told.items()))
    assert put_registry(field, 2) == 2
    (version,) = field.rows("SELECT body FROM versions")[0]
    put = rollouts.publish_bundle(
        field.services.db, field.services.keys, version, ring=Ring(), actor="tests", now=FOUNDED
    )
    assert put.manifest == before[2]


def test_a_plausible_false_number_counts_until_the_tablet_is_revoked(field: Field) -> None:
    liar = field.tablet()
    field.ask(liar, field.message(liar, registry=1_001, trust=1_001))
    assert next_numbers(field)[:2] == [1_002, 1_002]
    with pytest.raises(trust_documents.Problem, match=r"document\.number_in_use"):
        put_registry(field, 2)
    assert put_registry(field, 2, revoked=[liar.key.kid]) == 2
    assert put_registry(field, 3, revoked=[liar.key.kid]) == 3
    assert next_numbers(field)[:2] == [2, 4]


@pytest.fixture
def people_line(world: World, tmp_path: Path) -> Iterator[tuple[Office, InterceptingProxy]]:
    """A served office, and the proxy in front of its staff API that people dial and that can change answers."""
    line = InterceptingProxy()
    with open_office(world, tmp_path, people_url=(line.url,)) as office:
        line.port = int(office.people_url.rsplit(":")[-1])
        thread = threading.Thread(target=line.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield office, line
        line.server.shutdown()
        thread.join()
        line.server.server_close()


def test_a_registrar_signs_the_number_the_server_needs_but_none_far_ahead(
    people_line: tuple[Office, InterceptingProxy],
) -> None:
    office, line = people_line
    field, world = office.field, office.field.world
    ahead, stolen, other = (field.tablet() for _ in range(3))

    def says(least: int) -> None:
        def answer(change: PassingAnswer) -> None:
            if (change.method, change.path) == ("POST", "/v1/registry"):
                change.status, change.headers = 409, {"Content-Type": "application/problem+json"}
                change.put(json.dumps({"code": "document.number_in_use", "least": least}).encode())

        line.answer = answer

    with StaffSession.sign_in(line.url, "registro", world.passphrase("registro"), pin=office.pin) as staff:
        field.ask(ahead, field.message(ahead, registry=MAX_INTEGER))
        assert revoke_in_registry(staff, stolen.key.kid, office.registrar, office.pin) == 2
        field.ask(ahead, field.message(ahead, registry=7))
        says(MAX_INTEGER)
        with pytest.raises(RefusedError, match=r"document\.number_in_use"):
            revoke_in_registry(staff, other.key.kid, office.registrar, office.pin)
        line.answer = lambda change: None
        assert revoke_in_registry(staff, other.key.kid, office.registrar, office.pin) == 8
    states = field.rows("SELECT state FROM devices WHERE dev IN (?, ?)", stolen.key.kid, other.key.kid)
    assert states == [("revoked",)] * 2


def readmit(field: Field, tablet: SimulatedTablet, body: bytes) -> tuple[int, dict[str, Any]]:
    """Send a certificate to the tablet API."""
    answer = tablet_api(field.services).test_client().put(f"/v1/enrolments/{tablet.key.kid}", data=body)
    return answer.status_code, answer.get_json()


def test_a_forgotten_tablet_is_readmitted_by_its_certificate_each_time(field: Field) -> None:
    unknown, pending = SimulatedTablet(SigningKey.generate()), field.tablet(certified=False)
    for tablet in (unknown, pending, unknown):
        status, said = readmit(field, tablet, field.certificate(tablet))
        assert (status, said) == (200, {"dev": tablet.key.kid, "state": "certified"})
    assert field.push(unknown, field.envelope(unknown))[0].outcome == "stored"
    rows = field.rows("SELECT action FROM audit WHERE subject = ? ORDER BY number", unknown.key.kid)
    assert rows == [("device.readmitted",)]


def test_a_revoked_tablet_is_readmitted_as_revoked_and_its_screenings_wait(field: Field) -> None:
    stolen, here = SimulatedTablet(SigningKey.generate()), field.tablet()
    put_registry(field, 2, revoked=[stolen.key.kid, here.key.kid])
    for tablet in (stolen, here):
        assert readmit(field, tablet, field.certificate(tablet)) == (200, {"dev": tablet.key.kid, "state": "revoked"})
    assert field.push(stolen, field.envelope(stolen))[0].outcome == "quarantined"


@pytest.mark.parametrize("state", ["certified", "revoked"])
def test_a_certificate_with_a_higher_number_replaces_the_stored_one_and_no_state(field: Field, state: str) -> None:
    tablet, db = field.tablet(), field.services.db
    if state == "revoked":
        put_registry(field, 2, revoked=[tablet.key.kid])
        put_registry(field, 3)
    second = field.certificate(tablet, 2, "21")
    for body in (second, field.certificate(tablet, 1), second):
        assert readmit(field, tablet, body) == (200, {"dev": tablet.key.kid, "state": state})
        device = devices.get_device(db.read(), tablet.key.kid)
        assert device is not None
        assert (device.certificate, device.region) == (second, "21")


def test_a_tablet_with_an_unknown_order_is_listed_until_the_order_is_repeated(field: Field) -> None:
    """The order was lost with the server's disk. It may have been the order that revoked the tablet."""
    tablet, db = field.tablet(), field.services.db
    field.ask(tablet, field.message(tablet, generation=meta.get_generation(db.read())))
    field.ask(tablet, field.message(tablet, orders=3, generation=meta.get_generation(db.read())))
    (item,) = worklist.list_open(db.read())
    assert (item.kind, item.dev, item.reason) == ("ahead", tablet.key.kid, "orders.3")
    put_registry(field, 2)
    assert [each.id for each in worklist.list_open(db.read())] == [item.id]
    anew = device_order.make(
        field.world.office("registro", "registrar"),
        dev=tablet.key.kid,
        number=4,
        issued=FOUNDED,
        order=device_order.REVOKE,
    )
    device_orders.accept_order(db, anew.to_bytes(), field.trust, tablet.key.kid, actor="registro", now=FOUNDED)
    assert worklist.list_open(db.read()) == []
    field.ask(tablet, field.message(tablet, orders=4, generation=meta.get_generation(db.read())))
    assert worklist.list_open(db.read()) == []


def test_a_certificate_without_a_registrars_signature_for_the_tablet_is_refused(field: Field) -> None:
    other, stranger = field.tablet(), SimulatedTablet(SigningKey.generate())
    said = enrolment.Certificate(stranger.key.kid, stranger.key.public, "17", "Tableta", 1).to_payload(FOUNDED)
    self_made = Document(said).signed_by(stranger.key, enrolment.CERTIFICATE_TYP).to_bytes()
    for body, code in (
        (self_made, "signed.too_few"),
        (field.certificate(other), "enrolment.wrong_device"),
        (b"", "signed.malformed"),
        (b"x" * (enrolment.MAX_REQUEST_BYTES + 1), "http.too_large"),
    ):
        status, problem = readmit(field, stranger, body)
        assert (problem["code"], 400 <= status < 500) == (code, True)
    assert devices.get_device(field.services.db.read(), stranger.key.kid) is None
