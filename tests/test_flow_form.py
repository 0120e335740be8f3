"""Follows one form version from an author's workbook to a tablet that uses it. Read this file second.

It uses a real server on loopback, real files and the real questionnaire. Each person signs with an own key.
"""

from __future__ import annotations

from datetime import date

import pytest

from conftest import World
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.compiler.compile_form import compile_form
from screening_forms.workbook.reader import read_workbook
from screening_forms.workbook.resources import CATALOGUE
from server.flows.trust import documents as trust_documents
from support.clients import FORM, Office, answers
from sync.documents import bundle, trust
from sync.documents.signed import Document
from sync.documents.trust import Signer
from sync.envelope.route import AUTHOR_FIELDS
from sync.exchange.staff_session import StaffSession
from sync.exchange.transport import RefusedError

WORKBOOK = CATALOGUE / FORM / "form.md"


def test_a_form_version_goes_from_the_workbook_to_a_tablet_that_uses_it(office: Office, world: World) -> None:
    # The author's workbook has no blocking problem. It compiles to the bytes that will be signed.
    book = read_workbook(WORKBOOK)
    assert blocking_problems(check_form(book, AUTHOR_FIELDS)) == []
    form = compile_form(book, channel="training", route_vocabulary=AUTHOR_FIELDS)

    # Two people sign those bytes: the author and the reviewer.
    draft = Document(form.to_bytes())
    by_author = draft.signed_by(world.office("autora", "author"), bundle.TYP)
    signed = by_author.signed_by(world.office("revisor", "reviewer"), bundle.TYP)

    # The publisher publishes the version: a new manifest names it.
    with publisher(office) as staff:
        published = staff.post("/v1/publications", data=signed.to_bytes())
    assert (published["form"], published["version"], published["sha"]) == (FORM, form.version, draft.sha256)

    # A tablet verifies trust, manifest, both signatures and the hash. Then it uses that version.
    with office.tablet() as tablet:
        assert tablet.status().manifest == published["manifest"]
        assert [(used.form, used.version, used.sha) for used in tablet.status().forms] == [
            (FORM, form.version, draft.sha256)
        ]
        assert tablet.outbox.documents.get(f"bundle/{draft.sha256}") == signed.to_bytes()
        assert tablet.screen(FORM, answers(), taken=date(2026, 11, 20)).sha == draft.sha256


def test_a_form_with_one_signature_is_not_published(office: Office, world: World) -> None:
    draft = Document(office.version("2").to_bytes())
    for name, role in (("autora", "author"), ("revisor", "reviewer")):
        alone = draft.signed_by(world.office(name, role), bundle.TYP)
        assert refusal(office, alone) == "signed.too_few"
    assert in_use(office) == office.field.form_sha


def test_a_form_signed_twice_by_the_author_is_not_published(office: Office, world: World) -> None:
    author = world.office("autora", "author")
    twice = Document(office.version("2").to_bytes()).signed_by(author, bundle.TYP).signed_by(author, bundle.TYP)
    assert refusal(office, twice) == "signed.too_few"
    assert in_use(office) == office.field.form_sha


def test_an_author_who_is_also_a_reviewer_cannot_approve_her_own_form(office: Office, world: World) -> None:
    let_the_author_review_too(office, world)
    own = Document(office.version("2").to_bytes())
    for name, role in (("autora", "author"), ("revisor", "reviewer")):
        own = own.signed_by(world.office(name, role), bundle.TYP)
    assert refusal(office, own) == "bundle.one_person"
    assert in_use(office) == office.field.form_sha


def publisher(office: Office) -> StaffSession:
    """Sign in as the publisher."""
    return StaffSession.sign_in(
        office.people_url, "publicacion", office.field.world.passphrase("publicacion"), pin=office.pin
    )


def refusal(office: Office, document: Document) -> str:
    """Publish; return the code of the refusal."""
    with publisher(office) as staff, pytest.raises(RefusedError) as refused:
        staff.post("/v1/publications", data=document.to_bytes())
    return refused.value.code


def in_use(office: Office) -> str | None:
    """Return the hash of the version that the manifest in force gives to a tablet."""
    return trust_documents.manifest_in_force(office.field.services.db.read()).choose(FORM, "any", "17")


def let_the_author_review_too(office: Office, world: World) -> None:
    """Publish a trust, signed by two roots, in which the reviewer's key belongs to the author."""
    held = office.field.trust
    (author,) = held.authors.values()
    newer = Document(
        trust.TrustContent(
            number=held.number + 1,
            demo=held.demo,
            roots=list(held.roots.values()),
            threshold=held.threshold,
            registrars=list(held.registrars.values()),
            authors=[author],
            reviewers=[Signer(reviewer.key, author.person) for reviewer in held.reviewers.values()],
            servers=list(held.servers.values()),
            issued=held.issued,
            expires=held.expires,
        ).to_payload()
    )
    for root in ("raiz-1", "raiz-2"):
        newer = newer.signed_by(world.office(root, "root"), trust.TYP)
    phrase = world.passphrase("registro")
    with StaffSession.sign_in(office.people_url, "registro", phrase, pin=office.pin) as registrar:
        # The form in use then has no two signers any more: the roots say that they mean it.
        registrar.post(f"/v1/trust?orphan={','.join([*held.authors, *held.reviewers])}", data=newer.to_bytes())
