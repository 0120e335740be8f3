"""Tests of screenings with an old form version: accepted, opened with that version's texts, counted under it."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from screening_forms.compiled_form import CompiledForm
from server.app import clock
from server.flows.forms import rollouts, versions
from server.flows.forms.rollouts import Ring
from server.store import people
from support.clients import FORM, Office, answers, compiled
from sync.desk.client import VerifiedScreening
from sync.documents import bundle
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from test_sync_refused_versions import unlisted

TAKEN = date(2026, 11, 20)
NOT_ASKED_BEFORE = {"peligro_suyo", "menor_trabajo", "por_cuenta", "encierro", "tocado", "entrega"}
FORMER = Path(__file__).parent / "support" / "former_form.json.gz"
"""The same questionnaire as the release before compiled it, without recordings and reasons."""
CHOICE = "De 30 a 59 años"


def publish(office: Office, payload: bytes) -> str:
    """Sign these bytes as author and reviewer, publish them, and return their hash."""
    services, world = office.field.services, office.field.world
    author, reviewer = world.office("autora", "author"), world.office("revisor", "reviewer")
    document = Document(payload).signed_by(author, bundle.TYP).signed_by(reviewer, bundle.TYP)
    rollouts.publish_bundle(services.db, services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=clock())
    return document.sha256


def reworded(version: str) -> CompiledForm:
    """Return the questionnaire as version `version`, with one reworded choice."""
    form = Office.version(version)
    assert f"<value>{CHOICE}</value>" in form.xform
    return replace(form, xform=form.xform.replace(CHOICE, f"{CHOICE}, versión {version}"))


def retire(office: Office, sha: str) -> None:
    """Close a version and retire it."""
    services = office.field.services
    [held] = [each for each in versions.list_versions(services.db, FORM, after=0, most=100) if each.sha == sha]
    publisher = people.get_account(services.db.read(), office.field.world.person_id("publicacion"))
    assert publisher is not None
    versions.close_version(services.db, services.keys, held.id, person=publisher, now=clock())
    versions.retire_version(services.db, held.id, person=publisher, now=clock())


def opened_at_the_desk(office: Office) -> VerifiedScreening:
    with office.desk("proteccion-17") as desk:
        [referral] = desk.list_referrals("17-protection", mode="training")
        return desk.open_screening(referral["id"])


def age(opened: VerifiedScreening) -> str:
    """Return the desk's text of the answer whose words changed."""
    return next(answer.answer_es for answer in opened.answers if answer.codes == ("30_59",))


def test_a_screening_of_version_1_that_arrives_after_version_3_counts_as_1(office: Office, tablet: Tablet) -> None:
    [first] = tablet.status().forms
    screened = tablet.screen(FORM, answers(), TAKEN)  # Taken without a network; the sync comes weeks later.
    for version in ("2", "3"):
        publish(office, reworded(version).to_bytes())
    report = tablet.sync()
    assert [(each.jti, each.outcome) for each in report.receipts] == [(screened.jti, "stored")]
    assert office.field.rows("SELECT sha FROM routes") == [(first.sha,)]
    opened = opened_at_the_desk(office)
    assert (opened.version, opened.sha, age(opened)) == (first.version, first.sha, CHOICE)
    assert (opened.agrees, opened.vouched, opened.outcome) == (True, True, "positive")
    assert [form.version for form in tablet.status().forms] == ["3"]
    tablet.screen(FORM, answers(), TAKEN)
    tablet.sync()
    with office.desk("proteccion-17") as desk:
        read = [desk.open_screening(each["id"]) for each in desk.list_referrals("17-protection", mode="training")]
    assert {each.version: age(each) for each in read} == {first.version: CHOICE, "3": f"{CHOICE}, versión 3"}
    counted = office.field.rows("SELECT sha, count(*) FROM routes GROUP BY sha")
    assert dict(counted) == {each.sha: 1 for each in read}


def test_a_screening_under_a_retired_version_is_accepted_routed_and_marked(office: Office, tablet: Tablet) -> None:
    [first] = tablet.status().forms
    tablet.screen(FORM, answers(), TAKEN)
    office.publish("2")
    retire(office, first.sha)
    assert [each.outcome for each in tablet.sync().receipts] == ["stored"]
    assert office.field.rows("SELECT queue, mark FROM referrals") == [("17-protection", "retired_form")]
    assert opened_at_the_desk(office).sha == first.sha


def test_a_screening_opens_with_a_warning_after_the_forms_author_left(office: Office, tablet: Tablet) -> None:
    tablet.screen(FORM, answers(), TAKEN)
    tablet.sync()
    unlisted(office)
    opened = opened_at_the_desk(office)
    assert (opened.vouched, opened.outcome, age(opened)) == (False, "positive", CHOICE)


def test_a_form_compiled_by_the_release_before_still_works(office: Office, tmp_path: Path) -> None:
    former = gzip.decompress(FORMER.read_bytes())
    sha = publish(office, former)
    with office.tablet("new") as tablet:
        assert [form.sha for form in tablet.status().forms] == [sha]
        asked = {name: answer for name, answer in answers().items() if name not in NOT_ASKED_BEFORE}
        assert tablet.screen(FORM, asked, TAKEN).sha == sha
        assert [each.outcome for each in tablet.sync().receipts] == ["stored"]
    opened = opened_at_the_desk(office)
    assert (opened.sha, opened.agrees, opened.outcome, age(opened)) == (sha, True, "positive", CHOICE)


def test_a_bundle_signed_only_by_unknown_keys_is_not_read(office: Office) -> None:
    stranger = Document(compiled().to_bytes()).signed_by(SigningKey.generate(), bundle.TYP)
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        bundle.accept_for_reading(stranger, office.field.trust, stranger.sha256)
