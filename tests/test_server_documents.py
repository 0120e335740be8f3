"""Tests of signed documents: which signatures publish a document, and that a published one never changes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest

from conftest import FOUNDED
from server.flows.forms import recordings, rollouts
from server.flows.forms.rollouts import Publication, Ring
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.store import versions
from support.databases import list_about
from support.intake import ROUTE, Field
from sync.documents import bundle, registry, trust
from sync.documents.registry import Keyring
from sync.documents.signed import Document
from sync.durations import MINUTE
from sync.errors import SyncError
from sync.keys.key_pairs import SealKey, SigningKey

NOW = FOUNDED + MINUTE
FORM = {"form_id": "otra", "version": "7", "channel": "training"}
OFFICES = {"author_key.1": ("autora", "author"), "reviewer_key.1": ("revisor", "reviewer")}


def signed(field: Field, content: dict[str, Any] = FORM, *offices: tuple[str, str]) -> Document:
    """Return a signed bundle; the author and the reviewer sign by default."""
    offices = offices or (("autora", "author"), ("revisor", "reviewer"))
    return Document.of(content, bundle.TYP, *(field.world.office(*office) for office in offices))


def publish(field: Field, document: Document, ring: Ring = Ring(), *, now: int = NOW) -> Publication:  # noqa: B008
    return rollouts.publish_bundle(
        field.services.db, field.services.keys, document.to_bytes(), ring=ring, actor="tests", now=now
    )


def test_a_form_with_both_signatures_is_in_the_next_manifest_with_its_exact_bytes(field: Field) -> None:
    document = signed(field)
    done = publish(field, document)
    manifest = trust_documents.manifest_in_force(field.services.db.read())
    assert manifest.number == done.manifest
    assert manifest.choose("otra", "any", "17") == document.sha256 == done.version.sha
    assert manifest.choose("prueba", "any", "17") == field.form_sha, "other forms stay in use"
    assert trust_documents.form_bundle(field.services.db, "otra", document.sha256) == document.to_bytes()
    last = list_about(field.services.db.read(), document.sha256)[-1]
    assert (last.action, last.detail["form"]) == ("form.published", "otra")


def test_the_audit_names_the_keys_that_approved_a_version_even_for_drafts(field: Field) -> None:
    drafted, unseen = signed(field), signed(field, {**FORM, "version": "8"})
    with field.services.db.write() as w:
        versions.add_version(w, rollouts.describe_bundle(drafted), state="draft", author="autora", at=NOW)
    keys = {name: field.world.office(*office).kid for name, office in OFFICES.items()}
    for document in (drafted, unseen):
        publish(field, document)
        publish(field, document, now=NOW + 1)
        deeds = list_about(field.services.db.read(), document.sha256)
        assert [each.action for each in deeds] == ["form.approved", "form.published", "form.published"]
        assert (deeds[0].actor, {name: deeds[0].detail[name] for name in keys}) == ("tests", keys)


@pytest.mark.parametrize("state", ["draft", "in_review"])
def test_a_bundle_with_two_signatures_replaces_another_draft_of_its_name(field: Field, state: str) -> None:
    other, document = signed(field, {**FORM, "title": "Otra"}), signed(field)
    with field.services.db.write() as w:
        versions.add_version(w, rollouts.describe_bundle(other), state=state, author="autora", at=NOW)
    assert publish(field, document).version.sha == document.sha256
    (discarded,) = list_about(field.services.db.read(), other.sha256)
    assert (discarded.action, discarded.actor) == ("form.discarded", "tests")


@pytest.mark.parametrize(
    "offices",
    [
        (("autora", "author"),),
        (("revisor", "reviewer"),),
        (("autora", "author"), ("autora", "author")),
        (("autora", "author"), ("registro", "registrar")),
    ],
    ids=["author alone", "reviewer alone", "author twice", "registrar in place of a reviewer"],
)
def test_a_form_without_both_signatures_is_rejected(field: Field, offices: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        publish(field, signed(field, FORM, *offices))
    assert not any(each.form == "otra" for each in versions.list_versions(field.services.db.read()))


def test_changed_bytes_are_rejected(field: Field) -> None:
    good = signed(field)
    changed = Document(good.payload.replace(b'"7"', b'"8"'), good.signatures)
    with pytest.raises(SyncError, match=r"signed\.bad_signature"):
        publish(field, changed)


def test_a_version_is_immutable_and_the_same_bytes_are_accepted_twice(field: Field) -> None:
    first = publish(field, signed(field))
    again = publish(field, signed(field), now=NOW + 1)
    assert again.version.sha == first.version.sha
    assert again.manifest > first.manifest
    with pytest.raises(Problem) as wrong:
        publish(field, signed(field, {**FORM, "title": "Otra"}))
    assert wrong.value.code == "form.version_exists"
    assert trust_documents.manifest_in_force(field.services.db.read()).choose("otra", "any", "17") == first.version.sha


def test_a_demo_cannot_publish_for_the_field(field: Field) -> None:
    with pytest.raises(SyncError, match=r"bundle\.demo_trust"):
        publish(field, signed(field, {**FORM, "channel": "field"}))


def test_a_ring_gets_the_new_version_and_the_others_keep_theirs(field: Field) -> None:
    old = publish(field, signed(field)).version.sha
    new = publish(field, signed(field, {**FORM, "version": "8"}), Ring(regions=("21",))).version.sha
    manifest = trust_documents.manifest_in_force(field.services.db.read())
    assert (manifest.choose("otra", "any", "21"), manifest.choose("otra", "any", "17")) == (new, old)
    publish(field, signed(field, {**FORM, "version": "8"}))
    manifest = trust_documents.manifest_in_force(field.services.db.read())
    assert manifest.choose("otra", "any", "17") == new
    assert len(manifest.forms["otra"]) == 1


def test_a_manifest_that_tablets_would_refuse_is_never_put_in_force(field: Field) -> None:
    before = trust_documents.manifest_in_force(field.services.db.read())
    with pytest.raises(SyncError, match=r"document\.malformed"):
        publish(field, signed(field), Ring(regions=("everywhere",)))
    assert trust_documents.manifest_in_force(field.services.db.read()) == before
    publish(field, signed(field))


def packed(**recordings: bytes) -> bytes:
    """A source package with recordings; its other contents do not matter here."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in recordings.items():
            archive.writestr(f"audio/quz/{name}.ogg", content)
    return made.getvalue()


def spoken(*recordings: bytes) -> dict[str, Any]:
    """A form with recordings in one language."""
    said = {
        f"otra/q{number}/label": {
            "sha256": hashlib.sha256(each).hexdigest(),
            "type": "audio/ogg",
            "size": len(each),
            "milliseconds": 900,
        }
        for number, each in enumerate(recordings)
    }
    return {**FORM, "audio": {"quz": said}}


def test_publishing_a_version_stores_the_recordings_that_it_names(field: Field) -> None:
    first, second, unused = b"OggS first", b"OggS second", b"OggS nobody names"
    document = signed(field, spoken(first, second))
    with field.services.db.write() as w:
        source = packed(a=first, b=second, c=unused)
        versions.add_version(w, rollouts.describe_bundle(document, source), state="approved", author="autora", at=NOW)
    publish(field, document)
    for content in (first, second):
        found = recordings.get_recording(field.services.db, hashlib.sha256(content).hexdigest())
        assert (found.type, found.body) == ("audio/ogg", content)
    with pytest.raises(Problem, match=r"media\.unknown"):
        recordings.get_recording(field.services.db, hashlib.sha256(unused).hexdigest())


def test_a_version_with_a_missing_recording_is_not_published(field: Field) -> None:
    document = signed(field, spoken(b"OggS somewhere else"))
    with pytest.raises(Problem, match=r"publication\.recording_missing"):
        publish(field, document)
    assert trust_documents.manifest_in_force(field.services.db.read()).choose("otra", "any", "17") is None


def new_trust(field: Field, number: int, roots: tuple[str, ...], **changed: Any) -> bytes:
    """The trust in force with another number, signed by these roots."""
    held = field.trust
    values = {
        "number": number,
        "demo": held.demo,
        "roots": list(held.roots.values()),
        "threshold": held.threshold,
        "registrars": list(held.registrars.values()),
        "authors": list(held.authors.values()),
        "reviewers": list(held.reviewers.values()),
        "servers": list(held.servers.values()),
        "issued": NOW,
        "expires": held.expires,
    }
    document = Document(trust.TrustContent(**{**values, **changed}).to_payload())
    for root in roots:
        document = document.signed_by(field.world.office(root, "root"), trust.TYP)
    return document.to_bytes()


def test_a_newer_trust_needs_the_threshold_of_roots_and_this_servers_key(field: Field) -> None:
    services = field.services
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        trust_documents.accept_trust(
            services.db, services.keys, new_trust(field, 2, ("raiz-1",)), actor="tests", now=NOW
        )
    elsewhere = new_trust(field, 2, ("raiz-1", "raiz-3"), servers=[SigningKey.generate().public])
    with pytest.raises(Problem) as wrong:
        trust_documents.accept_trust(services.db, services.keys, elsewhere, actor="tests", now=NOW)
    assert wrong.value.code == "trust.other_server"
    good = new_trust(field, 2, ("raiz-1", "raiz-3"), authors=[])
    said: dict[str, Any] = {"actor": "tests", "now": NOW, "orphan": [*field.trust.authors]}
    assert trust_documents.accept_trust(services.db, services.keys, good, **said) == 2
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        publish(field, signed(field))
    old = new_trust(field, 1, ("raiz-1", "raiz-3"))
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        trust_documents.accept_trust(services.db, services.keys, old, actor="tests", now=NOW)


def new_registry(field: Field, number: int, *, revoked: list[str], renewed: tuple[Keyring, ...] = ()) -> Document:
    """The registry in force with another number, signed by the registrar."""
    held = registry.accept(
        Document.parse(trust_documents.get_newest(field.services.db.read(), "registry").body), field.trust, None
    )
    keyrings = {**held.keyrings, **{keyring.id: keyring for keyring in renewed}}
    payload = registry.make(number=number, keyrings=[*keyrings.values()], desks=held.desks, revoked=revoked, issued=NOW)
    return Document(payload).signed_by(field.world.office("registro", "registrar"), registry.TYP)


def test_a_screening_of_a_tablet_revoked_by_the_registry_waits_for_a_decision(field: Field) -> None:
    tablet = field.tablet()
    assert field.push(tablet, field.envelope(tablet))[0].outcome == "stored"
    newer = new_registry(field, 2, revoked=[tablet.key.kid]).to_bytes()
    assert trust_documents.accept_registry(field.services.db, newer, actor="tests", now=NOW) == 2
    assert trust_documents.accept_registry(field.services.db, newer, actor="tests", now=NOW) == 2, "twice is once"
    assert field.push(tablet, field.envelope(tablet, ROUTE))[0].outcome == "quarantined"


def test_a_forged_or_older_registry_or_one_with_an_unknown_key_is_refused(field: Field) -> None:
    def take(document: Document) -> None:
        trust_documents.accept_registry(field.services.db, document.to_bytes(), actor="tests", now=NOW)

    forged = Document(new_registry(field, 2, revoked=[]).payload).signed_by(SigningKey.generate(), registry.TYP)
    with pytest.raises(SyncError, match=r"signed\.too_few"):
        take(forged)
    unknown = Keyring.of("16-labour", 2, SealKey.generate().public)
    with pytest.raises(Problem) as wrong:
        take(new_registry(field, 2, revoked=[], renewed=(unknown,)))
    assert wrong.value.code == "registry.key_missing"
    take(new_registry(field, 3, revoked=[]))
    with pytest.raises(SyncError, match=r"document\.rolled_back"):
        take(new_registry(field, 2, revoked=[]))
