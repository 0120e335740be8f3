"""Tests of rollouts: rings, planned begins, halts by a person and by reports, and the roll-back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import FOUNDED
from server import jobs
from server.database.connection import Connection
from server.flows.desks import worklist
from server.flows.forms import halts, rollouts
from server.flows.forms.rollouts import TRANSITIONS, Ring, manifest_entries
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import audit, people, versions
from server.store import rollouts as rollout_store
from server.store import worklist as worklist_store
from server.store.rollouts import Rollout
from server.store.versions import NewVersion
from support.databases import list_about
from support.intake import ROUTE, Field, Tablet
from sync.documents import bundle, trust
from sync.documents.manifest import Manifest
from sync.documents.signed import Document
from sync.durations import DAY, MINUTE

NOW = FOUNDED + MINUTE
FORM = {"form_id": "otra", "version": "1", "channel": "training"}
REASON = "Se cierra sola."


def publish(field: Field, version: str, ring: Ring = Ring(), **changes: Any) -> Rollout:  # noqa: B008
    """Publish a version signed by an author and a reviewer; return its rollout."""
    offices = field.world.office("autora", "author"), field.world.office("revisor", "reviewer")
    document = Document.of({**FORM, "version": version, **changes}, bundle.TYP, *offices)
    done = rollouts.publish_bundle(
        field.services.db, field.services.keys, document.to_bytes(), ring=ring, actor="publicacion", now=NOW
    )
    return next(each for each in listed(field) if each.version == done.version.id)


def listed(field: Field) -> list[Rollout]:
    return rollout_store.list_rollouts(field.services.db.read(), form="otra")


def in_force(field: Field) -> Manifest:
    return trust_documents.manifest_in_force(field.services.db.read())


def chosen(field: Field, region: str = "17", dev: str = "any") -> str | None:
    return in_force(field).choose("otra", dev, region)


def watch(field: Field, *, now: int = NOW, halt_after: int = 3) -> int:
    return halts.watch_rollouts(field.services.db, field.services.keys, halt_after=halt_after, now=now)


def refuse(field: Field, sha: str, *tablets: Tablet, now: int = NOW, code: str = "bundle.unusable") -> None:
    for tablet in tablets:
        with field.services.db.write() as w:
            halts.record_refusals(w, tablet.key.kid, {sha: code}, now=now)


def halt(field: Field, id_: int) -> Rollout:
    return halts.halt_rollout(field.services.db, field.services.keys, id_, reason=REASON, actor="publicacion", now=NOW)


def resume(field: Field, id_: int, *, now: int = NOW) -> Rollout:
    return halts.resume_rollout(field.services.db, field.services.keys, id_, actor="publicacion", now=now)


def widen(field: Field, id_: int, ring: Ring) -> Rollout:
    return rollouts.change_ring(field.services.db, field.services.keys, id_, ring=ring, actor="publicacion", now=NOW)


def plan(field: Field, version: int, *, starts: int) -> Rollout:
    return rollouts.plan_rollout(
        field.services.db, field.services.keys, version, ring=Ring(), starts=starts, actor="publicacion", now=NOW
    )


def actions(field: Field) -> list[str]:
    return [each.action for each in audit.list_entries(field.services.db.read()) if each.action.startswith("form.")]


regions = st.none() | st.lists(st.sampled_from(["17", "21", "08"]), min_size=1, max_size=2).map(tuple)
shares = st.none() | st.integers(1, 1000)


@given(st.lists(st.tuples(regions, shares), max_size=6), st.sampled_from(["17", "21", "15"]), st.text("ab"))
def test_a_tablet_gets_the_newest_rollout_whose_ring_it_is_in(
    made: list[tuple[tuple[str, ...] | None, int | None]], region: str, dev: str
) -> None:
    live = [
        Rollout(number, number, "f", str(number), "training", f"{number:064}", *ring, "live", 0, 0, "", 0, "")
        for number, ring in enumerate(((narrowed, None, share) for narrowed, share in made), 1)
    ][::-1]
    listed = manifest_entries(live).get("f", ())
    expected = next((each.sha for each in live if rollouts.manifest_entry(each).applies_to(dev, region)), None)
    assert Manifest(1, {"f": listed}, (), "").choose("f", dev, region) == expected
    assert all(entry.regions or entry.share_permille for entry in listed[:-1]), "no entry follows a whole ring"


def test_the_transition_table_of_rollouts_has_exactly_these_rows() -> None:
    assert {key: each.end for key, each in TRANSITIONS.transitions.items()} == {
        ("begin", "planned"): "live",
        ("widen", "planned"): "planned",
        ("widen", "live"): "live",
        ("widen", "halted"): "halted",
        ("halt", "planned"): "ended",
        ("halt", "live"): "halted",
        ("resume", "halted"): "live",
        ("end", "planned"): "ended",
        ("end", "live"): "ended",
        ("end", "halted"): "ended",
    }


def test_a_ring_of_one_region_widens_halts_goes_on_and_rolls_back(field: Field) -> None:
    first = publish(field, "1")
    second = publish(field, "2", Ring(regions=("21",)))
    assert (chosen(field, "21"), chosen(field, "17")) == (second.sha, first.sha)
    widen(field, second.id, Ring(regions=("21", "17")))
    assert (chosen(field, "17"), chosen(field, "08")) == (second.sha, first.sha)
    assert halt(field, second.id).reason == REASON
    assert {chosen(field, region) for region in ("21", "17", "08")} == {first.sha}
    resume(field, second.id)
    widen(field, second.id, Ring())
    assert {chosen(field, region) for region in ("21", "17", "08")} == {second.sha}
    number = in_force(field).number
    back = rollouts.roll_back(
        field.services.db, field.services.keys, first.version, reason=REASON, actor="publicacion", now=NOW
    )
    assert (back.sha, back.state) == (first.sha, "live")
    assert chosen(field) == first.sha
    assert in_force(field).number > number, "numbers decide: tablets follow a newer manifest to an older version"
    assert [each.state for each in listed(field)] == ["live", "ended", "ended"]
    assert actions(field)[-7:] == [
        "form.published",
        "form.widened",
        "form.halted",
        "form.resumed",
        "form.widened",
        "form.published",
        "form.rolled_back",
    ]


def test_the_audit_names_the_ring_of_each_change(field: Field) -> None:
    tester = field.tablet().key.kid
    first = publish(field, "1", Ring(regions=("21", "17"), share_permille=500))
    widen(field, first.id, Ring(devices=(tester,)))
    widen(field, first.id, Ring())
    rings = ("region", "device", "share", "ring")
    deeds = list_about(field.services.db.read(), first.sha)
    assert [
        (each.action, {name: value for name, value in each.detail.items() if name.startswith(rings)})
        for each in deeds
        if "rollout" in each.detail
    ] == [
        ("form.published", {"region.1": "21", "region.2": "17", "share_permille": 500}),
        ("form.widened", {"device.1": tester}),
        ("form.widened", {"ring": "all"}),
    ]


def test_named_tablets_get_a_version_before_all_others(field: Field) -> None:
    tester, other = field.tablet().key.kid, field.tablet().key.kid
    first = publish(field, "1")
    second = publish(field, "2", Ring(devices=(tester,)))
    assert (chosen(field, dev=tester), chosen(field, dev=other)) == (second.sha, first.sha)


def test_a_halt_of_a_whole_ring_returns_all_tablets_to_the_version_before(field: Field) -> None:
    first, second = publish(field, "1"), publish(field, "2")
    assert len(in_force(field).forms["otra"]) == 1
    halt(field, second.id)
    assert chosen(field) == first.sha


def test_a_rollout_begins_at_its_time_and_not_before(field: Field) -> None:
    first = publish(field, "1")
    second = publish(field, "2", Ring(regions=("21",)))
    halt(field, second.id)
    planned = plan(field, second.version, starts=NOW + DAY)
    assert (planned.state, chosen(field)) == ("planned", first.sha)
    assert watch(field, now=NOW + DAY - 1) == 0
    assert watch(field, now=NOW + DAY) == 1
    assert chosen(field) == second.sha
    begun = next(each for each in listed(field) if each.id == planned.id)
    assert (begun.state, begun.since) == ("live", NOW + DAY)
    assert watch(field, now=NOW + DAY) == 0
    assert actions(field)[-2:] == ["form.planned", "form.published"]


def test_the_job_that_begins_rollouts_runs_every_minute(field: Field) -> None:
    job = next(each for each in jobs.JOBS if each.name == "rollouts")
    first = publish(field, "1")
    planned = plan(field, first.version, starts=NOW + 1)
    assert (job.every_seconds, jobs.run_job(job, field.services.db, field.services.config, NOW + 1)) == (60, 1)
    assert rollouts.get_rollout(field.services.db.read(), planned.id).state == "live"


def test_two_watchers_at_once_begin_a_rollout_once_and_halt_it_once(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chaski jobs run rollouts` runs beside the server: both processes may see the same rollout before one changes
    it."""
    first = publish(field, "1")
    second = publish(field, "2", Ring(regions=("21",)))
    halt(field, second.id)
    planned = plan(field, second.version, starts=NOW + DAY)
    every, others = rollout_store.list_rollouts, [NOW + DAY]

    def seen(
        c: Connection, states: Collection[str] = rollout_store.STATES, *, form: str | None = None
    ) -> list[Rollout]:
        found = every(c, states, form=form)
        if others and states == ("live",) and form is None:
            assert watch(field, now=others.pop()) == 1
        return found

    monkeypatch.setattr(rollout_store, "list_rollouts", seen)
    assert watch(field, now=NOW + DAY) == 0
    begun = rollouts.get_rollout(field.services.db.read(), planned.id)
    assert (begun.state, begun.reason, chosen(field)) == ("live", "", second.sha)
    refuse(field, second.sha, *(field.tablet() for _ in range(3)), now=NOW + DAY)
    others.append(NOW + DAY)
    assert watch(field, now=NOW + DAY) == 0
    assert chosen(field) == first.sha
    assert actions(field)[-3:] == ["form.planned", "form.published", "form.halted"]


def test_halting_a_planned_rollout_ends_it(field: Field) -> None:
    first = publish(field, "1")
    planned = plan(field, first.version, starts=NOW + DAY)
    assert halt(field, planned.id).state == "ended"
    assert watch(field, now=NOW + DAY) == 0


def test_a_plan_whose_author_key_is_revoked_does_not_begin_and_is_on_the_work_list(field: Field) -> None:
    first = publish(field, "1")
    planned = plan(field, first.version, starts=NOW + DAY)
    held = field.trust
    values = {name: getattr(held, name) for name in ("demo", "threshold", "issued", "expires")}
    keys = {name: [*getattr(held, name).values()] for name in ("roots", "registrars", "reviewers", "servers")}
    document = Document(trust.TrustContent(number=2, authors=[], **values, **keys).to_payload())
    for root in ("raiz-1", "raiz-2"):
        document = document.signed_by(field.world.office(root, "root"), trust.TYP)
    said: dict[str, Any] = {"actor": "tests", "now": NOW, "orphan": [*field.trust.authors]}
    trust_documents.accept_trust(field.services.db, field.services.keys, document.to_bytes(), **said)
    number = in_force(field).number
    watch(field, now=NOW + DAY)
    assert rollouts.get_rollout(field.services.db.read(), planned.id).state == "ended"
    assert in_force(field).number == number
    assert (
        told(field)
        == [f"otra {rollouts.get_rollout(field.services.db.read(), planned.id).reason}"]
        == ["otra signed.too_few"]
    )


def told(field: Field) -> list[str]:
    """Return the reasons of the rollout items on a publisher's work list."""
    somebody = people.get_account(field.services.db.read(), field.world.person_id("publicacion"))
    assert somebody is not None
    publisher = replace(somebody, roles=frozenset({"publisher"}))
    found = worklist.list_items(field.services.db, publisher, kept=False)
    assert {each.item.kind for each in found} <= {"rollout"}, "a publisher sees no items about screenings"
    return [each.item.reason for each in found]


def test_a_ring_halts_by_itself_when_three_of_its_tablets_refuse_the_bundle(field: Field) -> None:
    first = publish(field, "1")
    second = publish(field, "2", Ring(regions=("17",)))
    tablets = [field.tablet() for _ in range(3)]
    refuse(field, second.sha, *tablets[:2])
    refuse(field, second.sha, *tablets[:2])
    assert watch(field) == 0, "two tablets that say it twice are two tablets"
    refuse(field, second.sha, tablets[2])
    assert watch(field) == 1
    assert chosen(field) == first.sha
    halted = rollouts.get_rollout(field.services.db.read(), second.id)
    assert (halted.state, halted.reason) == ("halted", "bundle.unusable")
    last = list_about(field.services.db.read(), second.sha)[-1]
    assert (last.action, last.actor) == ("form.halted", "server")
    assert told(field) == ["otra bundle.unusable"]


def test_tablets_outside_the_ring_and_tablets_that_took_it_after_all_halt_nothing(field: Field) -> None:
    publish(field, "1")
    second = publish(field, "2", Ring(regions=("21",)))
    tablets = [field.tablet() for _ in range(3)]
    refuse(field, second.sha, *tablets)
    assert watch(field) == 0, "they are in region 17"
    widen(field, second.id, Ring())
    field.ask(tablets[0], field.message(tablets[0], inventory={"otra": second.sha}))
    assert watch(field) == 0, "one of the three has it on board now"


def test_three_tablets_whose_screenings_are_rejected_halt_the_version_they_have(field: Field) -> None:
    field.now = NOW
    first = publish(field, "1")
    second = publish(field, "2", Ring(share_permille=1000))
    for tablet in [field.tablet() for _ in range(3)]:
        field.ask(tablet, field.message(tablet, inventory={"otra": second.sha}))
        field.push(tablet, b"no envelope")
    assert watch(field) == 1
    assert chosen(field) == first.sha


@pytest.mark.parametrize("cause", ["a queue that is gone", "a stranger's screening"])
def test_screenings_that_the_server_cannot_store_halt_no_version(field: Field, cause: str) -> None:
    field.now = NOW
    publish(field, "1")
    second = publish(field, "2", Ring(share_permille=1000))
    stranger = field.tablet(certified=False)
    with field.services.db.write() as w:
        w.execute("delete from queue_groups where queue = '17-child'")
        w.execute("delete from queues where id = '17-child'")
    for tablet in [field.tablet() for _ in range(3)]:
        field.ask(tablet, field.message(tablet, inventory={"otra": second.sha}))
        by = stranger if cause == "a stranger's screening" else tablet
        (item,) = field.push(tablet, field.envelope(by, replace(ROUTE, queue_kinds=("child",))))
        assert item.outcome == "rejected"
    assert watch(field) == 0
    assert halts.get_rollout_status(field.services.db, second.id, now=NOW).refused == 0


def test_stolen_tablets_that_were_revoked_halt_nothing(field: Field) -> None:
    field.now = NOW
    publish(field, "1")
    second = publish(field, "2")
    stolen = [field.tablet() for _ in range(3)]
    with field.services.db.write() as w:
        enrolment.revoke_devices(w, [each.key.kid for each in stolen], actor="registro", now=NOW)
    for tablet in stolen:
        field.ask(
            tablet, field.message(tablet, inventory={"otra": second.sha}, refused={second.sha: "bundle.unusable"})
        )
        field.push(tablet, b"no envelope")
    assert watch(field) == 0
    assert halts.get_rollout_status(field.services.db, second.id, now=NOW).refused == 0


def test_a_tablet_cannot_report_itself_that_its_screenings_are_rejected(field: Field) -> None:
    publish(field, "1")
    second = publish(field, "2")
    refuse(field, second.sha, *(field.tablet() for _ in range(3)), code="envelope.bad_signature")
    assert watch(field) == 0
    assert field.rows("select * from refusals") == []


def test_the_only_version_of_a_form_is_not_halted_automatically(field: Field) -> None:
    only = publish(field, "1")
    refuse(field, only.sha, *(field.tablet() for _ in range(3)))
    assert watch(field) == 0
    assert chosen(field) == only.sha
    assert told(field) == ["otra bundle.unusable"]


def test_a_ring_with_tablets_without_a_fallback_is_not_halted_automatically(field: Field) -> None:
    publish(field, "1", Ring(regions=("21",)))
    second = publish(field, "2")
    refuse(field, second.sha, *(field.tablet() for _ in range(3)))
    assert watch(field) == 0
    assert chosen(field, "17") == second.sha
    assert told(field) == ["otra bundle.unusable"]


@pytest.mark.parametrize("halts_by_itself", [True, False])
def test_a_closed_report_about_a_rollout_returns_if_it_fails_again_after_a_resume(
    field: Field, halts_by_itself: bool
) -> None:
    if halts_by_itself:
        publish(field, "1")
    second, now = publish(field, "2"), NOW
    for _ in range(3):
        refuse(field, second.sha, *(field.tablet() for _ in range(3)), now=now)
        assert watch(field, now=now) == halts_by_itself
        assert told(field) == ["otra bundle.unusable"]
        with field.services.db.write() as w:
            (item,) = worklist_store.list_open(w, kind="rollout")
            worklist_store.record_decision(w, item.id, decision="checked", by="tests", at=now)
        watch(field, now=now)
        assert told(field) == [], "once while it is true"
        if not halts_by_itself:
            halt(field, second.id)
        now += DAY
        resume(field, second.id, now=now)


def test_refusals_before_a_resume_or_a_week_ago_halt_nothing(field: Field) -> None:
    publish(field, "1")
    second = publish(field, "2")
    tablets = [field.tablet() for _ in range(3)]
    refuse(field, second.sha, *tablets)
    watch(field)
    resume(field, second.id, now=NOW + 1)
    assert told(field) == []
    assert watch(field, now=NOW + 2) == 0
    refuse(field, second.sha, *tablets[:2], now=NOW + 3)
    refuse(field, second.sha, tablets[2], now=NOW + 8 * DAY)
    assert watch(field, now=NOW + 8 * DAY) == 0
    refuse(field, second.sha, *tablets[:2], now=NOW + 9 * DAY)
    assert watch(field, now=NOW + 9 * DAY) == 1


def test_a_refusal_of_an_unpublished_version_is_not_stored(field: Field) -> None:
    refuse(field, "0" * 64, field.tablet())
    assert field.rows("select * from refusals") == []


def for_the_field(field: Field, state: str, *, starts: int = NOW) -> Rollout:
    """Insert a field version rolled out to all tablets. A demo server cannot publish one."""
    with field.services.db.write() as w:
        real = NewVersion("otra", "1", "field", "f" * 64, "", "", b"{}\n", None)
        version = versions.add_version(w, real, state="published", author="autora", at=NOW)
        everybody = {"regions": None, "devices": None, "share_permille": None}
        made = rollout_store.add_rollout(w, version, **everybody, starts=starts, at=NOW, by="tests")
        rollout_store.set_state(w, made, state=state, since=None if state == "planned" else NOW)
        return rollouts.get_rollout(w, made)


@pytest.mark.parametrize("state", ["planned", "live", "halted"])
def test_a_training_version_never_hides_the_field_version_of_tablets_not_named(field: Field, state: str) -> None:
    for_the_field(field, state, starts=NOW + DAY)
    for ring in (Ring(), Ring(regions=("21",))):
        with pytest.raises(Problem, match=r"rollout\.training_over_field"):
            publish(field, "2", ring)
    tester = field.tablet().key.kid
    second = publish(field, "2", Ring(devices=(tester,)))
    assert chosen(field, dev=tester) == second.sha
    with pytest.raises(Problem, match=r"rollout\.training_over_field"):
        widen(field, second.id, Ring())
    with pytest.raises(Problem, match=r"rollout\.training_over_field"):
        plan(field, second.version, starts=NOW + 2 * DAY)


def test_no_field_version_halts_by_itself_where_only_one_for_training_is_below(field: Field) -> None:
    publish(field, "0")
    real = for_the_field(field, "live")
    with field.services.db.write() as w:
        rollouts.renew_manifest(w, field.services.keys, NOW)
    refuse(field, real.sha, *(field.tablet() for _ in range(3)))
    assert watch(field) == 0
    assert chosen(field) == real.sha
    assert told(field) == ["otra bundle.unusable"]


@pytest.mark.parametrize("deed", ["widen", "halt", "resume"])
def test_an_unknown_rollout_is_a_problem_for_every_action(field: Field, deed: str) -> None:
    moves = {
        "widen": lambda: widen(field, 99, Ring()),
        "halt": lambda: halt(field, 99),
        "resume": lambda: resume(field, 99),
    }
    with pytest.raises(Problem, match=r"rollout\.unknown"):
        moves[deed]()


def test_a_halt_or_resume_that_is_sent_twice_answers_the_same_and_changes_nothing(field: Field) -> None:
    publish(field, "1")
    made = publish(field, "2")
    for deed in (halt, resume):
        done, number = deed(field, made.id), in_force(field).number
        head = audit.get_head(field.services.db.read())
        assert deed(field, made.id) == done
        assert (in_force(field).number, audit.get_head(field.services.db.read())) == (number, head)
    halt(field, made.id)
    with pytest.raises(Problem, match=r"rollout\.wrong_state"):
        halts.halt_rollout(
            field.services.db, field.services.keys, made.id, reason="Otra.", actor="publicacion", now=NOW
        )
    with pytest.raises(Problem, match=r"rollout\.wrong_state"):
        halts.halt_rollout(field.services.db, field.services.keys, made.id, reason=REASON, actor="otra", now=NOW)


def test_an_ended_rollout_cannot_be_changed(field: Field) -> None:
    first = publish(field, "1")
    publish(field, "1")
    for deed in (
        lambda: widen(field, first.id, Ring()),
        lambda: halt(field, first.id),
        lambda: resume(field, first.id),
    ):
        with pytest.raises(Problem, match=r"rollout\.wrong_state"):
            deed()
