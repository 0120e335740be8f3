"""Tests of form versions: the transitions from draft to retired, and that an approved version never changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from conftest import FOUNDED
from server.flows.forms import rollouts, versions
from server.flows.forms.rollouts import VERSION_TRANSITIONS, Ring
from server.flows.forms.upload_sandbox import Compiled
from server.flows.forms.versions import MOST_DRAFTS, MOST_TRIALS
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.store import audit, people
from server.store import versions as version_store
from server.store.people import StaffAccount
from server.store.versions import FormVersion, TrialResult
from support.intake import ROUTE, Field
from sync.documents import bundle, trust
from sync.documents.signed import Document, sign
from sync.documents.trust import Signer
from sync.durations import MINUTE
from sync.errors import SyncError
from sync.wire.encoding import canonical

NOW = FOUNDED + MINUTE
FORM = {"form_id": "otra", "version": "7", "channel": "training", "xform": "<h/>"}
STATES = ("draft", "in_review", "approved", "published", "closing", "retired")
TRIAL = TrialResult("review", "", "review", 2, NOW, "autora")


def person(field: Field, login: str) -> StaffAccount:
    found = people.get_account(field.services.db.read(), field.world.person_id(login))
    assert found is not None
    return found


def draft(field: Field, author: str = "autora", **changes: Any) -> FormVersion:
    """Store a draft, as if it had been compiled from a package."""
    made = Compiled(canonical({**FORM, **changes}), b"source", [])
    return versions.store_draft(field.services.db, made, person=person(field, author), now=NOW).version


def signature(field: Field, id_: int, who: str, role: str) -> bytes:
    payload = Document.parse(versions.get_compiled(field.services.db, id_)[1], least=0).payload
    return sign(payload, field.world.office(who, role), bundle.TYP).encode()


def submit(
    field: Field, id_: int, *, by: str = "autora", validate: versions.Validate = lambda xform, source: "ok"
) -> FormVersion:
    jws = signature(field, id_, "autora", "author")
    return versions.submit_draft(field.services.db, id_, jws, person=person(field, by), validate=validate, now=NOW)


def approve(field: Field, id_: int) -> FormVersion:
    jws = signature(field, id_, "revisor", "reviewer")
    reviewer = person(field, "revisor")
    return versions.approve_version(
        field.services.db, id_, jws, person=reviewer, carried=lambda source, known: [], now=NOW
    )


def publish(field: Field, id_: int) -> Any:
    return rollouts.plan_rollout(
        field.services.db, field.services.keys, id_, ring=Ring(), starts=None, actor="tests", now=NOW
    )


ACTIONS: dict[str, Callable[[Field, int], Any]] = {
    "draft": lambda field, id_: draft(field, title="changed"),
    "try": lambda field, id_: versions.add_trial(field.services.db, id_, TRIAL, sha=state(field, id_).sha),
    "submit": submit,
    "withdraw": lambda field, id_: versions.withdraw_version(
        field.services.db, id_, person=person(field, "autora"), now=NOW
    ),
    "return": lambda field, id_: versions.send_back(
        field.services.db, id_, reason="La pregunta 4 no se entiende.", person=person(field, "revisor"), now=NOW
    ),
    "approve": approve,
    "publish": publish,
    "close": lambda field, id_: versions.close_version(
        field.services.db, field.services.keys, id_, person=person(field, "publicacion"), now=NOW
    ),
    "retire": lambda field, id_: versions.retire_version(
        field.services.db, id_, person=person(field, "publicacion"), now=NOW
    ),
}
PATH = {"in_review": "submit", "approved": "approve", "published": "publish", "closing": "close", "retired": "retire"}
# The expected table; every other pair is refused.
ALLOWED = {
    ("draft", "draft"): "draft",
    ("try", "draft"): "draft",
    ("submit", "draft"): "in_review",
    ("withdraw", "in_review"): "draft",
    ("return", "in_review"): "draft",
    ("approve", "in_review"): "approved",
    ("publish", "approved"): "published",
    ("publish", "published"): "published",
    ("close", "published"): "closing",
    ("retire", "closing"): "retired",
}
DEEDS = {"draft": "drafted", "submit": "submitted", "withdraw": "withdrawn", "return": "returned"} | {
    "approve": "approved",
    "publish": "published",
    "close": "closed",
    "retire": "retired",
}


def state(field: Field, id_: int) -> FormVersion:
    return versions.get_version(field.services.db.read(), id_)


def brought_to(field: Field, wanted: str) -> FormVersion:
    """Return a version in a state, reached by the normal transitions."""
    made = draft(field)
    for name in STATES[1 : STATES.index(wanted) + 1]:
        ACTIONS[PATH[name]](field, made.id)
    return state(field, made.id)


def test_the_transition_table_has_every_action_and_no_other() -> None:
    assert {key: each.end for key, each in VERSION_TRANSITIONS.transitions.items()} == ALLOWED


@pytest.mark.parametrize(("action", "start"), list(product(ACTIONS, STATES)))
def test_each_transition_is_allowed_or_refused_by_the_table(field: Field, action: str, start: str) -> None:
    made = brought_to(field, start)
    before = audit.get_head(field.services.db.read())
    if (action, start) in ALLOWED:
        ACTIONS[action](field, made.id)
        assert state(field, made.id).state == ALLOWED[action, start]
        if action in DEEDS:
            deeds = [each.action for each in audit.list_entries(field.services.db.read(), after=before[0])]
            assert f"form.{DEEDS[action]}" in deeds
        return
    if PATH.get(start) == action:  # The same person asks again what she did last: the first answer may be lost.
        ACTIONS[action](field, made.id)
        assert state(field, made.id) == made
        assert audit.get_head(field.services.db.read()) == before
        return
    with pytest.raises(Problem) as wrong:
        ACTIONS[action](field, made.id)
    assert wrong.value.code in ("version.wrong_state", "form.version_exists")
    assert state(field, made.id) == made
    assert audit.get_head(field.services.db.read()) == before


@pytest.mark.parametrize("start", STATES[1:])
@pytest.mark.parametrize(
    "change",
    ["source = x'00'", "sha = 'f'", "body = x'7b7d0a00'", "form = 'x'", "version = '8'", "channel = 'field'"],
)
def test_the_database_rejects_changes_of_a_submitted_version(field: Field, change: str, start: str) -> None:
    made = brought_to(field, start)
    if start == "in_review" and change.startswith("body"):
        return  # Signatures come and go until it is approved; `sha` and the check at each signature hold the bytes.
    with pytest.raises(sqlite3.IntegrityError, match="never changed"), field.services.db.write() as w:
        w.execute(f"update versions set {change} where id = ?", [made.id])  # noqa: S608 (our own words)
    with pytest.raises(sqlite3.IntegrityError, match="thrown away"), field.services.db.write() as w:
        w.execute("delete from versions where id = ?", [made.id])


def test_the_signed_bytes_are_the_drafts_with_both_signatures_and_tablets_get_them(field: Field) -> None:
    made = brought_to(field, "published")
    body = trust_documents.form_bundle(field.services.db, "otra", made.sha)
    document = Document.parse(body)
    assert bundle.accept(document, field.trust, made.sha) == canonical(FORM)
    assert trust_documents.manifest_in_force(field.services.db.read()).choose("otra", "any", "17") == made.sha
    assert (made.author, made.reviewer) == (field.world.person_id("autora"), field.world.person_id("revisor"))


@pytest.mark.parametrize(("who", "role"), [("revisor", "reviewer"), ("registro", "registrar"), ("raiz-1", "root")])
def test_only_an_authors_key_submits(field: Field, who: str, role: str) -> None:
    made = draft(field)
    jws = signature(field, made.id, who, role)
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        versions.submit_draft(
            field.services.db,
            made.id,
            jws,
            person=person(field, "autora"),
            validate=lambda xform, source: "ok",
            now=NOW,
        )
    assert state(field, made.id).state == "draft"


def test_a_signature_over_other_bytes_submits_nothing(field: Field) -> None:
    made = draft(field)
    jws = signature(field, made.id, "autora", "author")
    draft(field, title="changed")
    with pytest.raises(SyncError, match=r"signed\.bad_signature"):
        versions.submit_draft(
            field.services.db,
            made.id,
            jws,
            person=person(field, "autora"),
            validate=lambda xform, source: "ok",
            now=NOW,
        )


def test_only_the_author_submits_withdraws_or_replaces_her_draft(field: Field) -> None:
    made = draft(field)
    for deed in (
        lambda: submit(field, made.id, by="revisor"),
        lambda: versions.discard_draft(field.services.db, made.id, person=person(field, "registro"), now=NOW),
        lambda: draft(field, "revisor", title="mine"),
    ):
        with pytest.raises(Problem) as wrong:
            deed()
        assert wrong.value.code == "version.other_author"
    submit(field, made.id)
    with pytest.raises(Problem) as wrong:
        versions.withdraw_version(field.services.db, made.id, person=person(field, "revisor"), now=NOW)
    assert wrong.value.code == "version.other_author"


def test_author_and_reviewer_are_two_accounts_and_two_persons(field: Field) -> None:
    made = draft(field, "revisor")
    author = signature(field, made.id, "autora", "author")
    reviewer = person(field, "revisor")
    versions.submit_draft(
        field.services.db, made.id, author, person=reviewer, validate=lambda xform, source: "ok", now=NOW
    )
    with pytest.raises(Problem) as wrong:
        approve(field, made.id)
    assert wrong.value.code == "version.own"


def test_one_person_with_two_keys_cannot_approve_her_own_version(field: Field) -> None:
    made = brought_to(field, "in_review")
    held = field.trust
    one = [Signer(each.key, "autora") for each in held.reviewers.values()]
    values = {name: getattr(held, name) for name in ("demo", "threshold", "issued", "expires")}
    keys = {name: [*getattr(held, name).values()] for name in ("roots", "registrars", "authors", "servers")}
    document = Document(trust.TrustContent(number=2, reviewers=one, **values, **keys).to_payload())
    for root in ("raiz-1", "raiz-2"):
        document = document.signed_by(field.world.office(root, "root"), trust.TYP)
    said: dict[str, Any] = {"actor": "tests", "now": NOW, "orphan": [*field.trust.authors]}
    trust_documents.accept_trust(field.services.db, field.services.keys, document.to_bytes(), **said)
    with pytest.raises(SyncError, match=r"bundle\.one_person"):
        approve(field, made.id)
    assert state(field, made.id).state == "in_review"


def test_a_form_that_odk_validate_rejects_is_not_submitted(field: Field) -> None:
    made = draft(field)

    def refuse(xform: str, source: bytes | None) -> str:
        raise Problem("version.not_valid", problems=[])

    with pytest.raises(Problem, match=r"version\.not_valid"):
        submit(field, made.id, validate=refuse)
    assert state(field, made.id).state == "draft"
    seen: list[str] = []
    submit(field, made.id, validate=lambda xform, source: seen.append(xform) or "ODK Validate 1.20")
    assert (seen, state(field, made.id).validated) == (["<h/>"], "ODK Validate 1.20")


def test_a_draft_that_changes_while_it_is_validated_is_not_the_one_submitted(field: Field) -> None:
    made = draft(field)

    def meanwhile(xform: str, source: bytes | None) -> str:
        draft(field, title="changed")
        return "ok"

    with pytest.raises(Problem, match=r"version\.other_bytes"):
        submit(field, made.id, validate=meanwhile)
    assert state(field, made.id).state == "draft"


def test_a_version_sent_back_has_a_reason_and_no_signature(field: Field) -> None:
    made = brought_to(field, "in_review")
    ACTIONS["return"](field, made.id)
    returned = state(field, made.id)
    assert (returned.state, returned.reason) == ("draft", "La pregunta 4 no se entiende.")
    assert Document.parse(versions.get_compiled(field.services.db, made.id)[1], least=0).signatures == ()
    assert draft(field, title="clearer").reason == ""


def test_synthetic_interviews_leave_results_only_and_are_deleted_with_the_draft(field: Field) -> None:
    made = draft(field)
    ACTIONS["try"](field, made.id)
    assert version_store.list_trials(field.services.db.read(), made.id) == [TRIAL]
    with pytest.raises(Problem, match=r"version\.other_bytes"):
        versions.add_trial(field.services.db, made.id, TRIAL, sha="0" * 64)
    draft(field, title="changed")
    assert version_store.list_trials(field.services.db.read(), made.id) == []
    ACTIONS["try"](field, made.id)
    submit(field, made.id)
    assert version_store.list_trials(field.services.db.read(), made.id) == [TRIAL], "the reviewer sees them"
    approve(field, made.id)
    assert version_store.list_trials(field.services.db.read(), made.id) == []
    columns = {each["name"] for each in field.services.db.read().rows("select name from pragma_table_info('trials')")}
    assert columns == {"id", "version", "outcome", "tier", "queue_kinds", "fired", "at", "by"}


def test_a_deleted_draft_leaves_nothing_and_its_name_is_free_again(field: Field) -> None:
    made = draft(field)
    ACTIONS["try"](field, made.id)
    versions.discard_draft(field.services.db, made.id, person=person(field, "autora"), now=NOW)
    assert field.rows("select * from trials") == field.rows("select * from versions where form = 'otra'") == []
    assert draft(field, "revisor").author == field.world.person_id("revisor")


@pytest.mark.parametrize("who", ["revisor", "publicacion"])
def test_a_name_that_a_draft_holds_is_freed_by_a_reviewer_or_an_administrator(field: Field, who: str) -> None:
    made = draft(field)
    versions.discard_draft(field.services.db, made.id, person=person(field, who), now=NOW)
    last = [*audit.list_entries(field.services.db.read())][-1]
    assert (last.action, last.actor, last.subject) == ("form.discarded", field.world.person_id(who), made.sha)
    assert draft(field, "revisor").author == field.world.person_id("revisor")


def test_an_author_at_the_maximum_of_drafts_must_delete_one_first(field: Field) -> None:
    made = [draft(field, version=str(number)) for number in range(MOST_DRAFTS)]
    with pytest.raises(Problem, match=r"version\.too_many_drafts"):
        draft(field, version="one more")
    assert draft(field, version="0", title="changed").id == made[0].id, "an existing draft can still be changed"
    assert draft(field, "revisor", version="one more"), "other authors have their own limit"
    versions.discard_draft(field.services.db, made[1].id, person=person(field, "autora"), now=NOW)
    assert draft(field, version="yet one more")


def test_a_draft_keeps_the_results_of_the_newest_synthetic_interviews(field: Field) -> None:
    made = draft(field)
    for number in range(MOST_TRIALS + 3):
        versions.add_trial(field.services.db, made.id, replace(TRIAL, fired=number), sha=made.sha)
    kept = [each.fired for each in version_store.list_trials(field.services.db.read(), made.id)]
    assert kept == [*range(3, MOST_TRIALS + 3)]


def test_the_same_name_on_the_other_channel_is_another_version(field: Field) -> None:
    made = brought_to(field, "approved")
    field_one = Compiled(canonical({**FORM, "channel": "field"}), b"source", [])
    other = versions.store_draft(field.services.db, field_one, person=person(field, "autora"), now=NOW).version
    assert other.id != made.id
    assert (other.version, other.channel, other.state) == ("7", "field", "draft")


def test_a_bundle_signed_offline_approves_the_draft_with_the_same_bytes(field: Field) -> None:
    made = draft(field)
    offices = field.world.office("autora", "author"), field.world.office("revisor", "reviewer")
    document = Document.of(FORM, bundle.TYP, *offices)
    done = rollouts.publish_bundle(
        field.services.db, field.services.keys, document.to_bytes(), ring=Ring(), actor="publicacion", now=NOW
    )
    assert (done.version.id, done.version.state, done.version.source) == (made.id, "published", True)


def test_renewed_signatures_replace_the_old_ones_and_the_bytes_stay(field: Field) -> None:
    made = brought_to(field, "published")
    before = trust_documents.form_bundle(field.services.db, "otra", made.sha)
    offices = field.world.office("revisor", "reviewer"), field.world.office("autora", "author")
    renewed = Document.of(FORM, bundle.TYP, *offices).to_bytes()
    rollouts.publish_bundle(field.services.db, field.services.keys, renewed, ring=Ring(), actor="publicacion", now=NOW)
    after = trust_documents.form_bundle(field.services.db, "otra", made.sha)
    assert after == renewed != before
    assert after.partition(b"\n")[0] == before.partition(b"\n")[0]


def test_an_offline_tablets_screening_under_a_retired_version_is_accepted_and_marked(field: Field) -> None:
    tablet = field.tablet()
    first = brought_to(field, "published")
    old = field.envelope(tablet, replace(ROUTE, form="otra", sha=first.sha))
    other = draft(field, version="8")
    for step in (submit, approve, publish):
        step(field, other.id)
    later = field.envelope(tablet, replace(ROUTE, form="otra", sha=first.sha))
    last = field.envelope(tablet, replace(ROUTE, form="otra", sha=first.sha))
    outcomes, marks = [], []
    for raw, deed in ((old, "close"), (later, "retire"), (last, None)):
        outcomes += [each.outcome for each in field.push(tablet, raw)]
        marks += [each.mark for each in field.referrals(raw)]
        if deed:
            ACTIONS[deed](field, first.id)
    assert outcomes == ["stored"] * 3
    assert marks == ["", "", "retired_form"]
    assert trust_documents.form_bundle(field.services.db, "otra", first.sha), (
        "its own texts stay there for the desk that opens it"
    )


def test_a_new_version_is_compared_with_the_version_in_use_on_its_channel(field: Field) -> None:
    first = brought_to(field, "published")
    other = draft(field, version="8")
    assert versions.previous_in_use(field.services.db.read(), other) == first
    assert versions.previous_in_use(field.services.db.read(), first) is None
    ACTIONS["close"](field, first.id)
    assert versions.previous_in_use(field.services.db.read(), other) == state(field, first.id)
