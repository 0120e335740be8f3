"""Tests that a change of roots stops no reader: tablets and desks follow it from the known trust or pin."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from server.app import clock
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.store import devices
from support.changed_answers import offer_trusts
from support.clients import FORM, Office, PassingAnswer, answers
from sync.documents import registry, trust
from sync.documents.enrolment import CERTIFICATE_TYP, Certificate
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange import messages
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.wire.encoding import b64u

TAKEN = date(2026, 11, 20)


def roots_of(office: Office) -> list[SigningKey]:
    return [office.field.world.office(name, "root") for name in ("raiz-1", "raiz-2", "raiz-3")]


def in_force(office: Office) -> Document:
    return Document.parse(trust_documents.get_newest(office.field.services.db.read(), "trust").body)


def install(office: Office, document: Document) -> Document:
    services = office.field.services
    trust_documents.accept_trust(services.db, services.keys, document.to_bytes(), actor="tests", now=clock())
    return document


def with_roots(office: Office, roots: list[SigningKey], *signers: SigningKey, **changes: object) -> Document:
    """The trust in force with other roots and the next number."""
    content = in_force(office).content
    named = {"number": content["number"] + 1, "roots": [b64u(key.public.raw) for key in roots], **changes}
    return Document.of({**content, **named}, trust.TYP, *signers)


def replace_root(office: Office, *, times: int = 1, **changes: object) -> list[SigningKey]:
    """Replace the third root by a new one; the second time, the second root. Return the roots in force."""
    roots = roots_of(office)
    for lost in (2, 1)[:times]:
        signers = [key for key in roots if key is not roots[lost]]
        roots = [*signers, SigningKey.generate()]
        install(office, with_roots(office, roots, *signers, **changes))
    return roots


def screen(tablet: Tablet) -> str:
    return tablet.screen(FORM, answers(), TAKEN).jti


def reopened(folder: Path) -> Tablet:
    return Tablet(folder / "tablet")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("fetch", [Tablet.sync, Tablet.pull], ids=["sync", "pull"])
def test_a_tablet_that_took_new_roots_works_on_after_a_restart(
    office: Office, tmp_path: Path, times: int, fetch: Callable[[Tablet], object]
) -> None:
    with office.tablet() as tablet:
        replace_root(office, times=times)
        fetch(tablet)
        assert tablet.status().trust == 1 + times
    with reopened(tmp_path) as again:
        assert again.status().trust == 1 + times
        jti = screen(again)
        assert again.sync().waiting == 0
        assert again.pull().certified
    assert office.stored() == [jti]


def test_a_restarted_tablet_follows_the_next_trust_by_the_stored_roots(office: Office, tmp_path: Path) -> None:
    with office.tablet() as tablet:
        roots = replace_root(office)
        tablet.sync()
    install(office, with_roots(office, [*roots[1:], SigningKey.generate()], *roots[1:]))
    with reopened(tmp_path) as again:
        assert again.sync().updated == ("trust",)
        assert again.status().trust == 3


def test_roots_of_the_invitation_that_were_replaced_decide_nothing_more(office: Office, tmp_path: Path) -> None:
    lost = roots_of(office)
    with office.tablet() as tablet:
        replace_root(office)
        tablet.sync()
    forged = with_roots(office, lost, *lost[1:])
    first = Document.parse(trust_documents.list_trusts(office.field.services.db)[0].encode())
    for lie, code in ((forged, r"signed\.too_few"), (first, r"document\.rolled_back")):
        office.line.answer = offer_trusts(lie.to_bytes())
        with reopened(tmp_path) as again:
            with pytest.raises(SyncError, match=code):
                again.pull()
            assert again.status().trust == 2
            screen(again)


def replace_registrar_and_root(office: Office, dev: str) -> None:
    """Put two trusts, a registry and a certificate in force. None of the last three counts without the others."""
    registrar, services = SigningKey.generate(), office.field.services
    held, found = trust_documents.registry_in_force(services.db.read()), devices.get_device(services.db.read(), dev)
    assert found is not None
    # The server has the new registrar's documents from its next start on.
    both = [b64u(office.registrar.public.raw), b64u(registrar.public.raw)]
    roots = replace_root(office, registrars=both)
    said = {"number": held.number + 1, "keyrings": [*held.keyrings.values()], "desks": held.desks}
    newer = registry.make(**said, revoked=[], issued=clock())
    signed = Document(newer).signed_by(registrar, registry.TYP).to_bytes()
    trust_documents.accept_registry(services.db, signed, actor="tests", now=clock())
    certificate = Document(Certificate(dev, VerifyKey.from_raw(found.key), "17", "Huepetuhe 1", 2).to_payload(clock()))
    body = certificate.signed_by(registrar, CERTIFICATE_TYP).to_bytes()
    enrolment.certify_device(services.db, body, office.field.trust, actor="tests", now=clock())
    install(office, with_roots(office, [*roots[1:], SigningKey.generate()], *roots[1:], registrars=both[1:]))


def test_a_registrar_and_a_root_replaced_at_once_reach_a_tablet_that_slept(office: Office, tmp_path: Path) -> None:
    with office.tablet() as tablet:
        replace_registrar_and_root(office, tablet.status().dev)
    with reopened(tmp_path) as again:
        jti = screen(again)
        assert again.sync().waiting == 0
        assert again.status().trust == 3
    with reopened(tmp_path) as again:
        screen(again)
    assert office.stored() == [jti]


def test_documents_that_need_each_other_wait_on_a_line_that_bears_one_response(office: Office, tmp_path: Path) -> None:
    came: list[tuple[bool, bool, bool]] = []

    def answer(passing: PassingAnswer) -> None:
        """Let the first response of each sync through, and cut off the next."""
        if passing.path == messages.PATH:
            said = messages.unpack_body(passing.body, "response")
            office.line.cut = frozenset({messages.PATH} if requests else ())
            requests.append(passing.path)
            if len(requests) == 1:
                came.append((said.has("trust"), said.has("registry"), said.has("more")))

    with office.tablet() as tablet:
        replace_registrar_and_root(office, tablet.status().dev)
    office.line.answer, held = answer, []
    for _ in range(5):
        requests: list[str] = []
        with reopened(tmp_path) as again:
            again.outbox.connection.execute("UPDATE place SET rate = 50")
            with suppress(SyncError):
                again.sync()
            held.append((again.status().trust, again.status().registry))
    assert came[:3] == [(True, False, True), (True, False, True), (False, True, False)], "each one comes once"
    assert held == [(2, 1), (2, 1), (3, 2), (3, 2), (3, 2)], "the second trust counts with the registry only"


@pytest.mark.parametrize("times", [1, 2])
def test_an_invitation_printed_before_a_change_of_roots_still_enrols(
    office: Office, tmp_path: Path, times: int
) -> None:
    invitation = office.invite()
    replace_root(office, times=times)
    with Tablet(tmp_path / "tablet") as tablet:
        tablet.enrol(invitation)
        office.certify(tablet)
        assert tablet.pull().trust == 1 + times
        screen(tablet)


def test_a_tablet_certified_while_the_roots_changed_pulls(office: Office, tmp_path: Path) -> None:
    with Tablet(tmp_path / "tablet") as tablet:
        tablet.enrol(office.invite())
        office.certify(tablet)
        replace_root(office, times=2)
        assert tablet.pull().trust == 3


@pytest.mark.parametrize("times", [1, 2])
def test_a_desk_with_the_pin_of_former_roots_signs_in(office: Office, times: int) -> None:
    pin, world = office.pin, office.field.world
    replace_root(office, times=times)
    assert office.pin != pin
    with office.desk("proteccion-17") as desk:
        assert desk.trust.number == 1 + times
    with pytest.raises(SyncError, match=r"trust\.wrong_pin"):
        type(desk).sign_in(office.people_url, "proteccion-17", world.passphrase("proteccion-17"), pin="0" * 64)
    with type(desk).sign_in(office.people_url, "proteccion-17", world.passphrase("proteccion-17"), pin=pin) as old:
        assert old.trust.pin == office.pin
