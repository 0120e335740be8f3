"""Tests that no trust takes away a key whose signed documents desks, tablets or publishing still need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from server.flows.trust import device_orders, enrolment
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.store import devices, versions
from support.intake import Field, Tablet
from sync.documents import bundle, device_order, registry
from sync.documents.enrolment import CERTIFICATE_TYP, Certificate
from sync.documents.registry import MAX_FORGOTTEN_NUMBERS
from sync.documents.signed import Document
from sync.documents.trust import Signer
from sync.keys.key_pairs import SigningKey
from test_server_documents import NOW, new_registry, new_trust, publish, signed
from test_server_staff_api import client, code

ROOTS = ("raiz-1", "raiz-2")


def install(field: Field, *, orphan: Sequence[str] = (), **changed: Any) -> None:
    services, number = field.services, field.trust.number + 1
    body = new_trust(field, number, ROOTS, **changed)
    trust_documents.accept_trust(services.db, services.keys, body, actor="tests", now=NOW, orphan=orphan)


def orphans(field: Field, **changed: Any) -> dict[str, Any]:
    """Try to install a trust; return what it would orphan, empty if it was accepted."""
    before = field.trust
    try:
        install(field, **changed)
    except Problem as problem:
        refused = problem
    else:
        return {}
    assert (refused.code, field.trust) == ("trust.orphans", before)
    found: dict[str, Any] = refused.members["orphans"]
    return found


def registrar(field: Field) -> SigningKey:
    return field.world.office("registro", "registrar")


def add_registrar(field: Field) -> SigningKey:
    new = SigningKey.generate()
    install(field, registrars=[registrar(field).public, new.public])
    return new


def sign_registry(field: Field, key: SigningKey, *, revoked: tuple[str, ...] = ()) -> None:
    payload = new_registry(field, field_registry(field) + 1, revoked=[*revoked]).payload
    body = Document(payload).signed_by(key, registry.TYP).to_bytes()
    trust_documents.accept_registry(field.services.db, body, actor="tests", now=NOW)


def field_registry(field: Field) -> int:
    return trust_documents.registry_in_force(field.services.db.read()).number


def certify_again(field: Field, tablet: Tablet, key: SigningKey) -> None:
    """Send a new certificate to the address that takes those of revoked tablets too (SPEC 5.5)."""
    said = Certificate(tablet.key.kid, tablet.key.public, "17", "Tableta", 2)
    body = Document(said.to_payload(NOW)).signed_by(key, CERTIFICATE_TYP).to_bytes()
    known = {"trust": field.trust, "registry": trust_documents.registry_in_force(field.services.db.read())}
    enrolment.readmit_device(field.services.db, body, tablet.key.kid, **known, now=NOW)


def order(field: Field, tablet: Tablet, key: SigningKey, number: int, kind: str = "wipe") -> None:
    body = device_order.make(key, dev=tablet.key.kid, number=number, issued=NOW, order=kind).to_bytes()
    device_orders.accept_order(field.services.db, body, field.trust, tablet.key.kid, actor="tests", now=NOW)


def test_a_registrar_whose_registry_is_in_force_is_not_dropped(field: Field) -> None:
    found = orphans(field, registrars=[SigningKey.generate().public])
    assert found["registry"] == {"count": 1, "names": ["1"]}


def test_a_registrar_is_dropped_once_another_one_signed_all_that_she_had_signed(field: Field) -> None:
    tablet, revoked, pending = field.tablet(), field.tablet(), field.tablet(certified=False)
    order(field, revoked, registrar(field), 1, "revoke")
    new = add_registrar(field)
    without = {"registrars": [new.public]}
    kids = sorted(each.key.kid for each in (tablet, revoked))
    found = orphans(field, **without)
    assert set(found) == {"registry", "certificate", "order"}
    assert sorted(found["certificate"]["names"]) == kids
    assert pending.key.kid not in kids
    sign_registry(field, new, revoked=(revoked.key.kid,))
    certify_again(field, tablet, new)
    assert set(orphans(field, **without)) == {"certificate", "order"}
    certify_again(field, revoked, new)
    assert orphans(field, **without) == {"order": {"count": 1, "names": [f"{revoked.key.kid} 1"]}}
    order(field, revoked, new, 2, "revoke")
    assert orphans(field, **without) == {}
    device = devices.get_device(field.services.db.read(), revoked.key.kid)
    assert device is not None
    assert device.state == "revoked"
    field.ask(tablet, field.message(tablet))


def test_an_order_that_a_tablet_carried_out_keeps_no_registrar(field: Field) -> None:
    tablet = field.tablet()
    order(field, tablet, registrar(field), 1)
    new = add_registrar(field)
    sign_registry(field, new)
    certify_again(field, tablet, new)
    assert set(orphans(field, registrars=[new.public])) == {"order"}
    field.ask(tablet, field.message(tablet, orders=1))
    assert orphans(field, registrars=[new.public]) == {}


def test_a_problem_names_a_bounded_list_and_counts_all(field: Field) -> None:
    for _ in range(23):
        field.tablet()
    found = orphans(field, registrars=[SigningKey.generate().public])["certificate"]
    assert (found["count"], len(found["names"])) == (23, 20)


def set_form_state(field: Field, sha: str, state: str) -> None:
    with field.services.db.write() as w:
        (version,) = (each for each in versions.list_versions(w) if each.sha == sha)
        versions.set_state(w, version.id, state=state, at=NOW)


def one_person_in_both_offices(field: Field) -> dict[str, Any]:
    person = next(iter(field.trust.authors.values())).person
    return {"reviewers": [Signer(each.key, person) for each in field.trust.reviewers.values()]}


@pytest.mark.parametrize("state", ["approved", "published"])
def test_a_form_that_tablets_may_still_fetch_keeps_both_of_its_signers(field: Field, state: str) -> None:
    sha = publish(field, signed(field)).version.sha
    set_form_state(field, sha, state)
    for changed in ({"authors": []}, {"reviewers": []}, one_person_in_both_offices(field)):
        assert orphans(field, **changed)["form"]["names"].count("otra 7") == 1


@pytest.mark.parametrize("state", ["closing", "retired"])
def test_a_form_that_desks_may_have_to_read_keeps_one_of_its_signers(field: Field, state: str) -> None:
    publish(field, signed(field))
    for version in versions.list_versions(field.services.db.read()):
        set_form_state(field, version.sha, state)
    assert "otra 7" in orphans(field, authors=[], reviewers=[])["form"]["names"]
    assert orphans(field, authors=[]) == {}, "one signer is enough for reading (SPEC 5.7)"
    assert "otra 7" in orphans(field, authors=[], reviewers=[])["form"]["names"]


def test_a_draft_keeps_no_signer(field: Field) -> None:
    publish(field, signed(field))
    for version in versions.list_versions(field.services.db.read()):
        set_form_state(field, version.sha, "draft")
    assert orphans(field, authors=[], reviewers=[]) == {}


def test_a_server_key_that_signed_the_manifest_in_force_is_not_dropped(field: Field) -> None:
    services, other = field.services, SigningKey.generate()
    own = services.keys.signing.public
    install(field, servers=[own, other.public])
    wanted = trust_documents.manifest_in_force(services.db.read())
    with services.db.write() as w:
        trust_documents.renew_manifest(w, replace(services.keys, signing=other), wanted, NOW)
    assert set(orphans(field, servers=[own])) == {"manifest"}
    with services.db.write() as w:
        trust_documents.renew_manifest(w, services.keys, wanted, NOW)
    assert orphans(field, servers=[own]) == {}


def test_a_document_that_counts_no_longer_already_blocks_no_trust(field: Field) -> None:
    """A trust of an older release may have orphaned it."""
    tablet, stranger = field.tablet(), SigningKey.generate()
    said = Certificate(tablet.key.kid, tablet.key.public, "17", "Tableta", 2)
    body = Document(said.to_payload(NOW)).signed_by(stranger, CERTIFICATE_TYP).to_bytes()
    with field.services.db.write() as w:
        devices.certify(w, tablet.key.kid, certificate=body, label="Tableta", region="17", at=NOW)
    new = add_registrar(field)
    sign_registry(field, new)
    assert orphans(field, registrars=[new.public]) == {}


def test_the_registrar_reads_what_would_be_orphaned(field: Field) -> None:
    field.tablet()
    body = new_trust(field, 2, ROOTS, registrars=[SigningKey.generate().public])
    answer = client(field, "registro").post("/v1/trust", data=body)
    assert code(answer) == (409, "trust.orphans")
    told: Any = answer.json
    assert told["detail"] == "registry: 1, certificate: 1"
    assert told["orphans"]["certificate"]["count"] == 1


MAX = 2**53 - 1


def certificate(tablet: Tablet, key: SigningKey, number: int) -> bytes:
    said = Certificate(tablet.key.kid, tablet.key.public, "17", "Tableta", number)
    return Document(said.to_payload(NOW)).signed_by(key, CERTIFICATE_TYP).to_bytes()


@pytest.mark.parametrize("kind", ["registry", "certificate", "certificate of an unknown tablet", "order", "trust"])
def test_a_number_that_leaves_none_for_later_documents_is_refused(field: Field, kind: str) -> None:
    """Who stole a registrar's key could make her own documents the last ones, and so keep the key in the trust."""
    db, key, tablet = field.services.db, registrar(field), field.tablet()

    def send(number: int) -> None:
        if kind == "registry":
            body = Document(new_registry(field, number, revoked=[]).payload).signed_by(key, registry.TYP).to_bytes()
            trust_documents.accept_registry(db, body, actor="tests", now=NOW)
        elif kind == "order":
            order(field, tablet, key, number)
        elif kind == "trust":
            services = field.services
            body = new_trust(field, number, ROOTS)
            trust_documents.accept_trust(services.db, services.keys, body, actor="tests", now=NOW)
        else:
            of = tablet if kind == "certificate" else Tablet(SigningKey.generate())
            in_force = trust_documents.registry_in_force(db.read())
            body = certificate(of, key, number)
            enrolment.readmit_device(db, body, of.key.kid, trust=field.trust, registry=in_force, now=NOW)

    for number in (MAX, 1 + MAX_FORGOTTEN_NUMBERS + 2):
        with pytest.raises(Problem, match=r"document\.far_number"):
            send(number)
    send(MAX_FORGOTTEN_NUMBERS)


def test_a_stolen_key_is_dropped_on_purpose_whatever_only_it_signed(field: Field) -> None:
    tablet, stolen = field.tablet(), registrar(field).kid
    new = add_registrar(field)
    without: dict[str, Any] = {"registrars": [new.public]}
    assert set(orphans(field, **without)) == {"registry", "certificate"}
    refused = client(field, "registro").post("/v1/trust?orphan=other", data=new_trust(field, 3, ROOTS, **without))
    assert code(refused) == (409, "trust.orphans")
    sign_registry(field, new)
    address = f"/v1/trust?orphan={stolen}"
    taken = client(field, "registro").post(address, data=new_trust(field, 3, ROOTS, **without))
    assert (taken.status_code, taken.json) == (201, {"kind": "trust", "number": 3})
    (detail,) = field.rows("select detail from audit where action = 'trust.changed' order by number desc limit 1")
    assert json.loads(detail[0]) == {"orphan.1": stolen}
    enrolment.certify_device(field.services.db, certificate(tablet, new, 1), field.trust, actor="tests", now=NOW)
    field.ask(tablet, field.message(tablet))


def test_to_drop_a_stolen_key_gives_up_no_other_keys_documents(field: Field) -> None:
    publish(field, signed(field))
    author = next(iter(field.trust.authors))
    assert set(orphans(field, authors=[], orphan=[author], registrars=[SigningKey.generate().public])) == {"registry"}
    assert "otra 7" in orphans(field, authors=[], reviewers=[], orphan=[author])["form"]["names"]
    assert orphans(field, authors=[], orphan=[author]) == {}


@pytest.mark.parametrize("state", ["closing", "retired"])
def test_a_form_that_is_only_read_is_signed_again_and_then_its_signers_may_leave(field: Field, state: str) -> None:
    publish(field, signed(field))
    for version in versions.list_versions(field.services.db.read()):
        set_form_state(field, version.sha, state)
    author, reviewer = SigningKey.generate(), SigningKey.generate()
    new = {"authors": [Signer(author.public, "otra-autora")], "reviewers": [Signer(reviewer.public, "otro-revisor")]}
    both = {name: [*getattr(field.trust, name).values(), *each] for name, each in new.items()}
    install(field, **both)
    assert "otra 7" in orphans(field, **new)["form"]["names"]
    manifest_before = trust_documents.manifest_in_force(field.services.db.read())
    for version in versions.list_versions(field.services.db.read()):
        payload = Document.parse(versions.get_signed_bytes(field.services.db.read(), version.id)).payload
        body = Document(payload).signed_by(author, bundle.TYP).signed_by(reviewer, bundle.TYP)
        assert publish(field, body).version.state == state
    assert trust_documents.manifest_in_force(field.services.db.read()) == manifest_before
    assert orphans(field, **new) == {}
