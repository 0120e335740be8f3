"""Tests of the work list: an item stays until a person decides it, and names its meaning and the allowed decisions.

A person who could open a screening sees the items about it. A released screening is routed like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import World
from server.app import clock, tablet_api
from server.cli.main import main
from server.flows.desks.worklist import ITEM_KINDS
from server.flows.intake import gaps
from server.flows.trust import enrolment
from server.store import worklist
from support.clients import FORM, Office, answers, open_office
from support.databases import list_about
from support.intake import ROUTE, Field
from sync.durations import DAY, HOUR
from sync.envelope import seal
from sync.envelope.verify import envelope_id, parse_envelope
from sync.keys.key_pairs import RouteKey
from test_server_staff_api import Client, client, code


def revoke(field: Field, dev: str) -> None:
    with field.services.db.write() as w:
        enrolment.revoke_devices(w, [dev], actor="tests", now=field.now)


def quarantined(field: Field, **route: Any) -> bytes:
    """Push one screening of a revoked tablet."""
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, **route))
    revoke(field, tablet.key.kid)
    assert field.push(tablet, raw)[0].outcome == "quarantined"
    return raw


def conflict(field: Field) -> tuple[bytes, bytes]:
    """Push two screenings with one jti."""
    tablet, jti = field.tablet(), seal.new_screening_id()
    pair = field.envelope(tablet, jti=jti), field.envelope(tablet, jti=jti)
    assert [item.outcome for item in field.push(tablet, *pair)] == ["stored", "conflict"]
    return pair


def listed(person: Client, *, kept: int = 0) -> list[dict[str, Any]]:
    found: Any = person.get("/v1/work-list", kept=str(kept)).json
    return list(found)


def decide(person: Client, item: int, decision: str) -> Any:
    return person.post(f"/v1/work-list/{item}/decision", json={"decision": decision})


def counted(field: Field) -> int:
    return sum(count for (count,) in field.rows("select count from statistics_cells where dimension = 'outcome'"))


def deeds(field: Field, subject: str) -> list[str]:
    return [each.action for each in list_about(field.services.db.read(), subject)]


def test_every_kind_has_one_sentence_and_its_allowed_decisions() -> None:
    assert ITEM_KINDS.keys() == worklist.KINDS
    for kind in ITEM_KINDS.values():
        assert kind.decisions
        assert kind.sentence.endswith(".")


NOT_HERE = {"ahead", "backup", "copied", "crowded", "damage", "disagrees", "quota", "rollout", "trust_expires"} | {
    "other_past",
    "went_back",
}
"""Kinds of items that no envelope of these tablets causes."""


def test_gaps_forks_conflicts_holds_unread_routes_quarantine_and_silence_are_listed(field: Field) -> None:
    quarantined(field)
    conflict(field)
    tablet = field.tablet()
    place = (1, "")
    field.push(tablet, field.envelope(tablet, at=place), field.envelope(tablet, at=place))  # fork
    field.push(tablet, field.envelope(tablet, at=(5, "0" * 64)))  # gap
    field.push(tablet, field.envelope(tablet, replace(ROUTE, sha="f" * 64), at=(2, tablet.prev)))  # held
    field.push(tablet, field.envelope(tablet, at=(3, tablet.prev), route_key=RouteKey.generate().public))
    gaps.report_silent_tablets(field.services.db, now=field.now + 40 * DAY, days=21)
    found = listed(client(field, "publicacion"))
    assert {each["kind"] for each in found} == ITEM_KINDS.keys() - NOT_HERE
    for each in found:
        assert each["sentence"] == ITEM_KINDS[each["kind"]].sentence
        assert each["label"] == "Tableta"


def test_a_quarantined_screening_is_read_released_and_due_counted_from_its_receipt(
    field: Field,
) -> None:
    raw, received = quarantined(field), field.now
    assert field.referrals(raw) == []
    assert counted(field) == 0
    coordinator = client(field, "proteccion-17")
    (item,) = listed(coordinator)
    path = f"/v1/work-list/{item['id']}"
    seen: Any = coordinator.get(path).json
    assert [each["envelope"] for each in seen["envelopes"]] == [envelope_id(raw)]
    handed = coordinator.get(f"{path}/envelopes/{envelope_id(raw)}").data
    opened = parse_envelope(handed)
    assert seal.open_envelope(opened, coordinator.keyrings()[opened.header.kid]).instance == b"<data/>"
    answer = decide(coordinator, item["id"], "release")
    assert (answer.status_code, answer.json["decision"]) == (200, "release")
    (referral,) = field.referrals(raw)
    assert (referral.queue, referral.state, referral.mark) == ("17-protection", "waiting", "quarantined")
    assert referral.deadline == received + field.services.config.deadline_hours["prompt"] * HOUR
    assert counted(field) == 1
    assert listed(coordinator) == []
    assert deeds(field, envelope_id(raw)) == ["envelope.quarantined", "envelope.read", "envelope.released"]
    assert decide(coordinator, item["id"], "release").json == answer.json, "asked twice, the same answer"
    assert counted(field) == 1
    assert deeds(field, envelope_id(raw)) == ["envelope.quarantined", "envelope.read", "envelope.released"]


def test_another_decision_about_a_closed_item_is_told_who_decided_what(field: Field) -> None:
    quarantined(field)
    coordinator, national = client(field, "proteccion-17"), client(field, "nacional")
    (item,) = listed(coordinator)
    decide(coordinator, item["id"], "release")
    for person, decision in ((coordinator, "keep_apart"), (national, "release"), (national, "keep_apart")):
        refused = decide(person, item["id"], decision)
        assert code(refused) == (409, "work.closed")
        assert (refused.json["by"], refused.json["decision"]) == ("proteccion-17", "release")
        assert refused.json["detail"] == f"{item['id']}: proteccion-17 (release)"


def test_an_item_that_closed_by_itself_says_so(field: Field) -> None:
    tablet, administrator = field.tablet(), client(field, "publicacion")
    raws = [field.envelope(tablet) for _ in range(2)]
    field.push(tablet, raws[1])
    (gap,) = listed(administrator)
    field.push(tablet, raws[0])
    refused = decide(administrator, gap["id"], "lost")
    assert (code(refused), refused.json["by"]) == ((409, "work.closed"), "server")


def test_a_released_screening_with_an_unreadable_route_is_due_first_at_its_keyring(
    field: Field,
) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet, route_key=RouteKey.generate().public)
    revoke(field, tablet.key.kid)
    field.push(tablet, raw)
    item = next(each for each in listed(client(field, "proteccion-17")) if each["kind"] == "quarantine")
    decide(client(field, "proteccion-17"), item["id"], "release")
    (referral,) = field.referrals(raw)
    assert referral.mark == "route_unreadable"
    assert referral.deadline == field.now + field.services.config.deadline_hours["immediate"] * HOUR


def test_a_screening_set_aside_stays_stored_and_opens_no_referral_until_release(field: Field) -> None:
    raw = quarantined(field)
    coordinator = client(field, "proteccion-17")
    (item,) = listed(coordinator)
    decide(coordinator, item["id"], "keep_apart")
    assert field.referrals(raw) == []
    assert field.rows("select body from envelopes where id = ?", envelope_id(raw)) == [(raw,)]
    assert deeds(field, envelope_id(raw))[-1] == "envelope.kept_apart"
    assert listed(coordinator) == []
    assert [each["id"] for each in listed(coordinator, kept=1)] == [item["id"]]
    assert listed(client(field, "proteccion-21"), kept=1) == []
    assert decide(coordinator, item["id"], "keep_apart").status_code == 200, "asked twice"
    assert decide(coordinator, item["id"], "release").status_code == 200
    assert code(decide(coordinator, item["id"], "keep_apart")) == (409, "work.closed")
    assert [referral.queue for referral in field.referrals(raw)] == ["17-protection"]
    assert deeds(field, envelope_id(raw))[-2:] == ["envelope.kept_apart", "envelope.released"]
    assert listed(coordinator, kept=1) == []
    assert code(decide(client(field, "nacional"), item["id"], "release")) == (409, "work.closed")


def test_a_person_cannot_set_aside_a_screening_that_she_cannot_open(field: Field) -> None:
    raw = quarantined(field)
    administrator = client(field, "publicacion")
    (item,) = listed(administrator)
    assert code(decide(administrator, item["id"], "keep_apart")) == (403, "referral.other_keyring")
    assert [each["id"] for each in listed(administrator)] == [item["id"]]
    assert decide(administrator, item["id"], "release").status_code == 200
    assert len(field.referrals(raw)) == 1


@pytest.mark.parametrize(
    ("decisions", "count"), [(["release"], 2), (["keep_apart"], 1), (["keep_apart", "release"], 2)]
)
def test_both_sides_of_a_conflict_are_queued_and_a_person_decides_the_count(
    field: Field, decisions: list[str], count: int
) -> None:
    first, second = conflict(field)
    coordinator = client(field, "proteccion-17")
    (item,) = listed(coordinator)
    path = f"/v1/work-list/{item['id']}"
    found: Any = coordinator.get(path).json
    assert [(each["envelope"], each["outcome"]) for each in found["envelopes"]] == [
        (envelope_id(first), "stored"),
        (envelope_id(second), "conflict"),
    ]
    assert [len(each["referrals"]) for each in found["envelopes"]] == [1, 1]
    for raw in (first, second):
        assert coordinator.get(f"{path}/envelopes/{envelope_id(raw)}").data == raw
    assert counted(field) == 1
    for decision in decisions:
        assert decide(coordinator, item["id"], decision).status_code == 200
    assert counted(field) == count
    assert [len(field.referrals(raw)) for raw in (first, second)] == [1, 1]


def test_a_desk_decides_about_screenings_it_could_open_and_about_no_others(field: Field) -> None:
    raw = quarantined(field)
    (item,) = listed(client(field, "proteccion-17"))
    path = f"/v1/work-list/{item['id']}"
    for login in ("proteccion-21", "ninez-17"):
        other = client(field, login)
        assert listed(other) == []
        assert code(other.get(path)) == code(decide(other, item["id"], "release")) == (403, "work.other_desk")
        assert code(other.get(f"{path}/envelopes/{envelope_id(raw)}")) == (403, "work.other_desk")
    national, administrator = client(field, "nacional"), client(field, "publicacion")
    assert [each["id"] for each in listed(national)] == [each["id"] for each in listed(administrator)] == [item["id"]]
    assert code(administrator.get(f"{path}/envelopes/{envelope_id(raw)}")) == (403, "role.missing")
    assert code(client(field, "autora").get("/v1/work-list")) == (403, "role.missing")
    assert field.referrals(raw) == []


def test_a_filled_gap_closes_its_item_and_a_decided_gap_does_not_return(field: Field) -> None:
    tablet, administrator = field.tablet(), client(field, "publicacion")
    first = field.envelope(tablet)
    lost, third = field.envelope(tablet), field.envelope(tablet)
    field.push(tablet, first, third)
    (gap,) = listed(administrator)
    assert (gap["kind"], gap["reason"]) == ("gap", "seq.2")
    field.push(tablet, lost)
    assert listed(administrator) == []
    field.envelope(tablet)
    field.push(tablet, field.envelope(tablet))
    (gap,) = listed(administrator)
    assert decide(administrator, gap["id"], "lost").status_code == 200
    field.push(tablet, field.envelope(tablet))
    assert listed(administrator) == []


def test_a_tablet_given_up_is_listed_as_silent_again_only_after_a_new_sync(field: Field) -> None:
    tablet, administrator = field.tablet(), client(field, "publicacion")
    gaps.report_silent_tablets(field.services.db, now=field.now + 30 * DAY, days=21)
    (item,) = listed(administrator)
    decide(administrator, item["id"], "lost")
    gaps.report_silent_tablets(field.services.db, now=field.now + 31 * DAY, days=21)
    assert listed(administrator) == []
    field.now += 40 * DAY
    field.ask(tablet, field.message(tablet))
    gaps.report_silent_tablets(field.services.db, now=field.now + 30 * DAY, days=21)
    assert [each["kind"] for each in listed(administrator)] == ["silent"]


def test_only_the_decisions_of_its_kind_close_an_item(field: Field) -> None:
    raw = quarantined(field)
    coordinator = client(field, "proteccion-17")
    (item,) = listed(coordinator)
    assert item["decisions"] == ["release", "keep_apart"]
    assert code(decide(coordinator, item["id"], "checked")) == (422, "work.unknown_decision")
    assert code(decide(coordinator, 999, "checked")) == (404, "work.unknown")
    assert listed(coordinator) == [item]
    assert field.referrals(raw) == []


def test_a_desk_can_report_that_a_screening_differs_from_its_route(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    coordinator = client(field, "proteccion-17")
    (referral,) = field.referrals(raw)
    for _ in range(2):
        assert coordinator.post(f"/v1/referrals/{referral.id}/disagreement").status_code == 204
    (item,) = listed(coordinator)
    assert (item["kind"], item["envelope"]) == ("disagrees", envelope_id(raw))
    stranger = client(field, "proteccion-21")
    assert code(stranger.post(f"/v1/referrals/{referral.id}/disagreement")) == (403, "referral.other_desk")
    decide(coordinator, item["id"], "checked")
    assert listed(coordinator) == []


# Cost


def reading_steps(field: Field, work: Callable[[], object]) -> int:
    """How many steps SQLite's machine makes for this work on this thread's reading connection, in tens."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    reader = field.services.db.read().conn  # type: ignore[attr-defined]
    reader.set_progress_handler(count, 10)
    try:
        work()
    finally:
        reader.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("publishes", [False, True])
@pytest.mark.parametrize("kept", [0, 1])
def test_the_work_list_of_a_desk_costs_by_its_own_items_and_not_by_those_of_others(
    field: Field, kept: int, publishes: bool
) -> None:
    tablet, db = field.tablet(), field.services.db
    other = field.envelope(tablet, to="17-child")
    field.push(tablet, other, *(field.envelope(tablet, at=(1, "")) for _ in range(2)))
    with db.write() as w:
        who = field.world.person_id("proteccion-17")
        w.execute("insert into person_roles (person, role) select ?, 'publisher' where ?", [who, publishes])
    desk, monitor = client(field, "proteccion-17"), tablet_api(field.services).test_client()

    def costs() -> tuple[int, int]:
        own = reading_steps(field, lambda: listed(desk, kept=kept))
        return own, reading_steps(field, lambda: monitor.get("/healthz"))

    before = costs()
    with db.write() as w:
        w.execute(
            "insert into work_items (kind, dev, chain, envelope, reason, opened, kid, decision, closed)"
            " with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
            " select 'fork', 'd' || i, '', e.id, '', 1, e.kid, d.decision, d.closed from n,"
            " (select null as decision, null as closed union select 'keep_apart', 1) d,"
            " (select id, kid from envelopes where id = ?) e",
            [envelope_id(other)],
        )
    field.push(tablet, field.envelope(tablet, at=(1, "")))
    assert len(listed(desk, kept=kept)) == (0 if kept else 3)
    after = costs()
    assert after[0] < before[0] + 50
    assert after[1] < before[1] + 50


# From the command line, with a real screening


def terminal(office: Office, login: str, *words: Any) -> Any:
    phrase = office.field.world.people / login / "passphrase.txt"
    who = ("--login", login, "--passphrase-file", phrase, "--server", office.people_url, "--pin", office.pin)
    return CliRunner().invoke(main, [str(word) for word in ("desk", *words, *who)])


def test_a_coordinator_lists_examines_and_releases_what_a_revoked_tablet_sent(world: World, tmp_path: Path) -> None:
    with open_office(world, tmp_path) as office, office.tablet() as tablet:
        jti = tablet.screen(FORM, answers(), date(2026, 11, 20)).jti
        with office.field.services.db.write() as w:
            enrolment.revoke_devices(w, [tablet.status().dev], actor="tests", now=clock())
        tablet.sync()
        said = terminal(office, "proteccion-17", "work").stdout
        assert "quarantine  Huepetuhe 1" in said
        assert "apártela (keep_apart)" in said.replace("\n", " ").replace("  ", " ")
        (item,) = json.loads(terminal(office, "proteccion-17", "work", "--json").stdout)
        assert "in no queue" in terminal(office, "proteccion-17", "work", item["id"]).stdout
        (opened,) = json.loads(terminal(office, "proteccion-17", "examine", item["id"], "--json").stdout)
        assert (opened["jti"], opened["outcome"], opened["agrees"]) == (jti, "positive", True)
        assert terminal(office, "proteccion-17", "decide", item["id"], "keep_apart").exit_code == 0
        assert terminal(office, "proteccion-17", "work").stdout == "Nothing to decide.\n"
        assert "quarantine  Huepetuhe 1" in terminal(office, "proteccion-17", "work", "--kept").stdout
        assert terminal(office, "proteccion-17", "decide", item["id"], "release").exit_code == 0
        assert terminal(office, "proteccion-17", "work", "--kept").stdout == "Nothing is kept apart.\n"
        queue = terminal(office, "proteccion-17", "queue", "17-protection", "--mode", "training", "--json")
        (referral,) = json.loads(queue.stdout)
        assert (referral["jti"], referral["mark"]) == (jti, "quarantined")
        assert terminal(office, "proteccion-17", "accept", referral["id"]).exit_code == 0
        queue = terminal(office, "proteccion-17", "queue", "17-protection", "--mode", "training", "--json")
        (referral,) = json.loads(queue.stdout)
        assert (referral["place"], referral["holder_login"]) == (referral["route"]["province"], "proteccion-17")
        said = terminal(office, "proteccion-17", "queue", "17-protection", "--mode", "training").stdout
        assert re.search(r"arrived +place +holder", said), said
        assert referral["id"] in said, "an id is never cut off"
        assert terminal(office, "proteccion-17", "work").stdout == "Nothing to decide.\n"
