"""Tests of refused form versions: other forms are not affected, and the server gets the reason (SPEC 5.7)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.app import clock
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents as trust_documents
from server.store import devices
from support.changed_answers import asks_for_forms, change_forms, withhold_forms
from support.clients import FORM, Office, PassingAnswer, answers
from sync.documents import bundle, trust
from sync.documents.manifest import Manifest
from sync.documents.signed import Document
from sync.durations import YEAR
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft
from sync.tablet.form_selection import RETRY_INTERVAL
from sync.tablet.status import warnings
from sync.wire.encoding import b64u
from test_sync_tablet import flip

TAKEN = date(2026, 11, 20)
OTHER = "otro"
DAY_AND_A_BIT = RETRY_INTERVAL + 1000


def one_signature(body: bytes) -> bytes:
    return b"\n".join(body.split(b"\n")[:2])


def refused(office: Office) -> list[tuple[object, ...]]:
    """The refusals that the server has received."""
    return office.field.rows("SELECT sha, code FROM refusals ORDER BY sha")


def publish_other(office: Office) -> str:
    """Publish another form with the same questions."""
    return office.publish("1", form_id=OTHER)


def unlisted(office: Office) -> SigningKey:
    """Put a trust in force that names a new author, and drops the former one on purpose; return her key."""
    services, key = office.field.services, SigningKey.generate()
    dropped = office.field.trust.authors
    content = Document.parse(trust_documents.get_newest(services.db.read(), "trust").body).content
    author = {"key": b64u(key.public.raw), "person": "p-nueva"}
    roots = [office.field.world.office(name, "root") for name in ("raiz-1", "raiz-2")]
    newer = Document.of({**content, "number": content["number"] + 1, "authors": [author]}, trust.TYP, *roots)
    said: dict[str, Any] = {"actor": "tests", "now": clock(), "orphan": [*dropped]}
    trust_documents.accept_trust(services.db, services.keys, newer.to_bytes(), **said)
    return key


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        (one_signature, r"signed\.too_few", "le falta la firma"),
        (flip, r"bundle\.wrong_version|encoding\.", "lo que llegó no es lo que se firmó"),
    ],
)
def test_a_refused_version_leaves_the_former_in_use_and_the_other_forms_come(
    office: Office, tablet: Tablet, change: Callable[[bytes], bytes], code: str, why: str
) -> None:
    [before] = tablet.status().forms
    second, other = office.publish("2"), publish_other(office)
    office.line.answer = change_forms(office, change, only=second)
    report = tablet.sync()
    assert {each.form: each.sha for each in tablet.status().forms} == {FORM: before.sha, OTHER: other}
    [told] = report.refused
    assert (told.form, told.sha, told.in_use) == (FORM, second, before.sha)
    assert re.match(code, told.code)
    assert tablet.status().refused == report.refused
    assert any(why in warning and "versión anterior" in warning for warning in warnings(report))
    assert tablet.screen(FORM, answers(), TAKEN).sha == before.sha


def test_the_next_sync_reports_a_refusal_until_the_version_is_accepted(office: Office, tablet: Tablet) -> None:
    second = office.publish("2")
    office.line.answer = change_forms(office, one_signature)
    tablet.sync()
    assert refused(office) == []
    tablet.sync()
    assert refused(office) == [(second, "signed.too_few")]
    office.line.answer = lambda passing: None
    pulled = tablet.pull()
    assert ([form.sha for form in pulled.forms], pulled.refused) == ([second], ())
    assert tablet.outbox.documents.form_selection().refused == {}


def test_a_refused_version_is_asked_for_again_after_a_day_and_not_with_every_sync(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    second = office.publish("2")
    office.line.answer = change_forms(office, flip)
    tablet.sync()
    tablet.close()
    office.line.answer = lambda passing: None
    office.line.asked.clear()
    with Tablet(tmp_path / "tablet") as same_day:
        assert len(same_day.sync().refused) == 1
        assert office.line.asked == ["POST /v1/sync"]
    with Tablet(tmp_path / "tablet", clock=lambda: clock() + DAY_AND_A_BIT) as next_day:
        assert next_day.sync().refused == ()
        assert [form.sha for form in next_day.status().forms] == [second]


def test_a_version_that_the_tablet_cannot_run_never_replaces_one_that_works(office: Office, tablet: Tablet) -> None:
    broken = office.publish("2", xform="<html/>")
    assert [(each.sha, each.code) for each in tablet.pull().refused] == [(broken, "bundle.unusable")]
    tablet.screen(FORM, answers(), TAKEN)


def test_a_version_that_the_server_withholds_is_refused_but_a_dead_line_refuses_none(
    office: Office, tablet: Tablet
) -> None:
    office.publish("2")

    def fall_silent(passing: PassingAnswer) -> None:
        office.line.cut = frozenset({passing.path} if asks_for_forms(passing.path) else {})

    office.line.answer = fall_silent
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    assert tablet.status().refused == ()
    office.line.answer, office.line.cut = withhold_forms, frozenset()
    assert [each.code for each in tablet.sync().refused] == ["form.unknown"]


def test_a_new_tablet_with_its_only_form_refused_says_so_and_takes_the_right_one(
    office: Office, tmp_path: Path
) -> None:
    office.line.answer = change_forms(office, one_signature)
    with office.tablet("new") as tablet:
        [told] = tablet.status().refused
        assert (told.in_use, tablet.status().forms) == ("", ())
        assert "Todavía no se puede usar este formulario" in str(told)
        with pytest.raises(SyncError, match=r"tablet\.no_form"):
            tablet.screen(FORM, answers(), TAKEN)
        office.line.answer = lambda passing: None
        assert [form.form for form in tablet.pull().forms] == [FORM]


# A trust that no longer names a signer, or has expired


def test_a_version_of_a_revoked_author_stays_in_use_marked_until_there_is_another(
    office: Office, tablet: Tablet
) -> None:
    [before] = tablet.status().forms
    unlisted(office)
    report = tablet.sync()
    assert [(each.sha, each.code, each.in_use) for each in report.refused] == [
        (before.sha, "signed.too_few", before.sha)
    ]
    assert any("Siga trabajando con esta versión" in warning for warning in warnings(tablet.status()))
    assert tablet.screen(FORM, answers(), TAKEN).sha == before.sha
    assert tablet.sync().waiting == 0
    with office.tablet("new") as new:
        assert (new.status().forms, [each.code for each in new.status().refused]) == ((), ["signed.too_few"])


def test_a_version_that_another_author_signs_anew_is_taken_and_its_mark_goes(office: Office, tablet: Tablet) -> None:
    [before] = tablet.status().forms
    key, reviewer = unlisted(office), office.field.world.office("revisor", "reviewer")
    assert len(tablet.sync().refused) == 1
    services, payload = office.field.services, Office.version("1").to_bytes()
    again = Document(payload).signed_by(key, bundle.TYP).signed_by(reviewer, bundle.TYP)
    rollouts.publish_bundle(services.db, services.keys, again.to_bytes(), ring=Ring(), actor="tests", now=clock())
    assert tablet.sync().refused == ()
    assert [form.sha for form in tablet.status().forms] == [before.sha]
    with office.tablet("new") as new:
        assert ([form.sha for form in new.status().forms], new.status().refused) == ([before.sha], ())


def test_an_expired_trust_is_a_warning_and_new_versions_still_come(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    tablet.close()
    second = office.publish("2")
    ten_years_on = clock() + 10 * YEAR
    with Tablet(tmp_path / "tablet", clock=lambda: ten_years_on) as late:
        report = late.sync()
        assert report.old
        assert late.screen(FORM, answers(), TAKEN).sha == second
        assert any("es antiguo" in warning for warning in warnings(report))


# The server's knowledge of a tablet's versions


def stock(office: Office, tablet: Tablet) -> dict[str, str] | None:
    return devices.list_inventories(office.field.services.db.read()).get(tablet.status().dev)


def test_the_server_knows_the_version_that_a_tablet_works_with_and_when_it_has_none(
    office: Office, tablet: Tablet
) -> None:
    [first] = tablet.status().forms
    tablet.sync()
    assert stock(office, tablet) == {FORM: first.sha}
    office.publish("2")
    office.line.answer = change_forms(office, one_signature)
    tablet.sync()
    tablet.sync()
    assert stock(office, tablet) == {FORM: first.sha}
    services = office.field.services
    with services.db.write() as w:
        held = trust_documents.manifest_in_force(w)
        trust_documents.renew_manifest(w, services.keys, Manifest(held.number, {}, held.route_keys, ""), clock())
    tablet.sync()
    tablet.sync()
    assert (tablet.status().forms, tablet.status().refused, stock(office, tablet)) == ((), (), None)


def test_a_version_that_only_a_draft_needs_is_on_board_and_not_in_the_inventory(office: Office, tablet: Tablet) -> None:
    [first] = tablet.status().forms
    draft = Draft("A" * 22, first.sha, begun=clock(), saved=clock(), language="es", content={})
    tablet.drafts.save(draft)
    second = office.publish("2")
    tablet.sync()
    tablet.sync()
    assert stock(office, tablet) == {FORM: second}
    assert tablet.complete(first.sha, answers(), TAKEN, draft.id).sha == first.sha
    tablet.sync()
    assert office.field.rows("SELECT sha FROM routes") == [(first.sha,)]


def test_a_revoked_tablet_still_reports_its_versions(office: Office, tablet: Tablet) -> None:
    [first] = tablet.status().forms
    tablet.outbox.orders.record_revocation(1)
    tablet.sync()
    assert stock(office, tablet) == {FORM: first.sha}


def test_a_store_of_before_versions_could_be_refused_works_on(office: Office, tablet: Tablet, tmp_path: Path) -> None:
    before = tablet.status().forms
    tablet.outbox.connection.executescript(
        "DROP TABLE in_use; DROP TABLE refused; DROP TABLE newest_receipts; ALTER TABLE envelope DROP COLUMN urgency;"
        " ALTER TABLE place DROP COLUMN rate; ALTER TABLE envelope DROP COLUMN handed_over;"
        " ALTER TABLE envelope DROP COLUMN was_lost; ALTER TABLE envelope DROP COLUMN arrived;"
        " ALTER TABLE envelope DROP COLUMN broken; PRAGMA user_version = 3;"
    )
    tablet.close()
    with Tablet(tmp_path / "tablet") as again:
        assert again.status().forms == before
        again.screen(FORM, answers(), TAKEN)
        office.publish("2")
        office.line.answer = change_forms(office, one_signature)
        assert [each.in_use for each in again.sync().refused] == [before[0].sha]


def test_a_refusal_costs_a_sync_with_nothing_new_little(office: Office, tablet: Tablet) -> None:
    office.publish("2")
    office.line.answer = change_forms(office, one_signature)
    tablet.sync()
    tablet.sync()
    traffic = tablet.sync().traffic
    assert traffic.requests == 1
    assert traffic.up + traffic.down <= 1_000
