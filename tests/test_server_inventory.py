"""Tests of the inventory: how many tablets hold a version, which are behind and since when, and which are silent."""

from __future__ import annotations

from collections.abc import Callable

from conftest import FOUNDED
from server.flows.forms import inventory, rollouts
from server.flows.forms.inventory import FormInventory, VersionCount
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.store import devices
from server.store import rollouts as rollout_store
from server.store.rollouts import Rollout
from support.intake import Field, Tablet
from sync.documents import bundle
from sync.documents.enrolment import write_enrolment_request
from sync.documents.signed import Document
from sync.durations import DAY, MINUTE
from sync.keys.key_pairs import SigningKey
from test_server_rollouts import halt, publish, widen

LATER = FOUNDED + DAY


def tablet_in(field: Field, region: str) -> Tablet:
    """Enrol and certify a tablet in a region."""
    made, db = Tablet(SigningKey.generate()), field.services.db
    registry = trust_documents.registry_in_force(db.read())
    invited = enrolment.create_invitation(
        db, registry, label="T", region=region, actor="tests", now=FOUNDED, minutes=60
    )
    enrolment.enrol_device(db, write_enrolment_request(invited.code, made.key).to_bytes(), now=FOUNDED)
    enrolment.certify_device(db, field.certificate(made, region=region), field.trust, actor="tests", now=FOUNDED)
    return made


def tell(field: Field, tablet: Tablet, at: int, **forms: str) -> None:
    """Sync a tablet with this inventory of forms."""
    field.now = at
    field.ask(tablet, field.message(tablet, inventory={"prueba": field.form_sha, **forms}))


def publish_at(field: Field, at: int, version: str, ring: Ring = Ring()) -> Rollout:  # noqa: B008
    offices = field.world.office("autora", "author"), field.world.office("revisor", "reviewer")
    content = {"form_id": "otra", "version": version, "channel": "training"}
    document = Document.of(content, bundle.TYP, *offices)
    rollouts.publish_bundle(field.services.db, field.services.keys, document.to_bytes(), ring=ring, actor="p", now=at)
    return rollout_store.list_rollouts(field.services.db.read(), form="otra")[0]


def taken(field: Field, now: int = LATER, region: str | None = None) -> FormInventory:
    return inventory.take_inventory(field.services.db, region=region, silent_days=21, now=now)


def line(found: FormInventory, sha: str, region: str) -> VersionCount:
    return next(each for each in found.versions if (each.form, each.sha, each.region) == ("otra", sha, region))


def test_each_version_and_region_counts_its_tablets_and_those_behind(field: Field) -> None:
    near, other, far = tablet_in(field, "17"), tablet_in(field, "17"), tablet_in(field, "21")
    first = publish_at(field, FOUNDED + MINUTE, "1")
    for tablet in (near, other, far):
        tell(field, tablet, FOUNDED + 2 * MINUTE, otra=first.sha)
    second = publish_at(field, FOUNDED + 3 * MINUTE, "2", Ring(regions=("17",)))
    tell(field, near, FOUNDED + 4 * MINUTE, otra=second.sha)
    found = taken(field)
    old = line(found, first.sha, "17")
    assert (old.version, old.state, old.held, old.due, old.behind) == ("1", "published", 1, 0, 1)
    assert old.since == FOUNDED + 3 * MINUTE
    new = line(found, second.sha, "17")
    assert (new.held, new.due, new.behind, new.since) == (1, 2, 0, None)
    assert (line(found, first.sha, "21").held, line(found, first.sha, "21").behind) == (1, 0)
    (behind,) = found.behind
    assert (behind.dev, behind.held, behind.wanted) == (other.key.kid, first.sha, second.sha)
    assert (behind.since, behind.seen) == (FOUNDED + 3 * MINUTE, FOUNDED + 2 * MINUTE)


def test_a_later_manifest_about_something_else_does_not_make_a_tablet_look_less_late(field: Field) -> None:
    tablet = tablet_in(field, "17")
    first = publish_at(field, FOUNDED + MINUTE, "1")
    tell(field, tablet, FOUNDED + 2 * MINUTE, otra=first.sha)
    second = publish_at(field, FOUNDED + 3 * MINUTE, "2", Ring(regions=("17",)))
    rollouts.change_ring(
        field.services.db, field.services.keys, second.id, ring=Ring(("17", "21")), actor="p", now=FOUNDED + 9 * MINUTE
    )
    assert [each.since for each in taken(field).behind] == [FOUNDED + 3 * MINUTE]


def test_after_a_halt_the_tablets_with_the_version_are_behind(field: Field) -> None:
    tablet = tablet_in(field, "17")
    first, second = publish(field, "1"), publish(field, "2")
    tell(field, tablet, FOUNDED + 2 * MINUTE, otra=second.sha)
    assert taken(field).behind == []
    halt(field, second.id)
    (behind,) = taken(field).behind
    assert (behind.held, behind.wanted) == (second.sha, first.sha)


def test_a_tablet_that_never_reported_is_behind_since_its_certificate_or_the_form(field: Field) -> None:
    tablet_in(field, "17")
    first = publish_at(field, FOUNDED + MINUTE, "1", Ring(regions=("17",)))
    missing = line(taken(field), "", "17")
    assert (missing.held, missing.behind, missing.since) == (1, 1, FOUNDED + MINUTE)
    widen(field, first.id, Ring(regions=("21",)))
    assert not [each for each in taken(field).versions if (each.form, each.region) == ("otra", "17")]


def test_a_silent_tablet_is_named_and_counted_in_its_region(field: Field) -> None:
    tablet, talker = tablet_in(field, "17"), tablet_in(field, "17")
    first = publish_at(field, FOUNDED + MINUTE, "1")
    tell(field, tablet, FOUNDED + 2 * MINUTE, otra=first.sha)
    tell(field, talker, FOUNDED + 30 * DAY, otra=first.sha)
    found = taken(field, FOUNDED + 30 * DAY)
    assert [each.dev for each in found.silent] == [tablet.key.kid]
    assert (line(found, first.sha, "17").held, line(found, first.sha, "17").silent) == (2, 1)


def test_a_region_lists_its_own_tablets_only_and_no_revoked_tablet(field: Field) -> None:
    near, far = tablet_in(field, "17"), tablet_in(field, "21")
    first = publish_at(field, FOUNDED + MINUTE, "1")
    for tablet in (near, far):
        tell(field, tablet, FOUNDED + 2 * MINUTE, otra=first.sha)
    assert {each.region for each in taken(field, region="21").versions} == {"21"}
    with field.services.db.write() as w:
        enrolment.revoke_devices(w, [far.key.kid], actor="tests", now=LATER)
    assert {each.region for each in taken(field).versions} == {"17"}


def test_every_tablet_is_counted_once(field: Field) -> None:
    tablets: list[Callable[[], Tablet]] = [lambda: tablet_in(field, "17"), lambda: tablet_in(field, "21")]
    made = [make() for make in tablets * 3]
    first, second = publish_at(field, FOUNDED + MINUTE, "1"), publish_at(field, FOUNDED + MINUTE, "2")
    for number, tablet in enumerate(made):
        tell(field, tablet, FOUNDED + 2 * MINUTE, otra=(first, second)[number % 3 == 0].sha)
    found = [each for each in taken(field).versions if each.form == "otra"]
    assert sum(each.held for each in found) == len(made)
    assert sum(each.due for each in found) == len(made)
    assert sum(each.behind for each in found) == len(taken(field).behind) == 4


def test_a_too_long_inventory_is_cut_and_the_screenings_are_stored(field: Field) -> None:
    tablet = tablet_in(field, "17")
    told = {f"f{number:05}": f"{number:064x}" for number in range(20_000)}
    raw = field.envelope(tablet)
    response = field.ask(tablet, field.message(tablet, raw, inventory=told))
    assert response.receipts is not None
    assert [item["outcome"] for item in response.receipts.content["items"]] == ["stored"]
    assert sorted(devices.get_inventory(field.services.db.read(), tablet.key.kid)) == [
        f"f{number:05}" for number in range(64)
    ]
    assert len([each for each in taken(field).versions if each.form.startswith("f0")]) == 64
