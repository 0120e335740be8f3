"""A tablet's key that a thief has, or that was copied, spoils only its own: space, work list, chains and numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from server.app import clock, open_services, tablet_api
from server.flows.desks import tablet_budget
from server.flows.desks import worklist as work_flow
from server.flows.desks.routing import Rulebook
from server.flows.intake import gaps, sync_request
from server.flows.intake.storage_budget import HEAVY_SHARE, MIB, RESERVE_SHARE, REVOKED_SHARE, StorageBudget
from server.flows.intake.sync_request import NumberRefusedError
from server.flows.operations import retention
from server.problems import Problem
from server.store import chains, devices, envelopes, people, worklist
from server.store.worklist import WorkItem
from support.clients import FORM, STORY, Office, PassingAnswer, answers
from support.databases import writing_connection
from support.intake import ROUTE, Field, Tablet
from support.small_disk import mounted
from support.waiting import wait_until
from sync.documents import receipt
from sync.documents.signed import Document
from sync.durations import DAY
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.verify import ChainPosition, envelope_id
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import SIGNATURE_HEADER, Request
from sync.exchange.transport import RefusedError
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SealKey, SigningKey
from sync.tablet.client import Tablet as TabletClient
from test_server_staff_api import client
from test_sync_device_orders import give

ZEROS = "0" * 64
TAKEN = date(2026, 11, 20)
COUNTED = ("rejections", "refusals", "devices", "work_items", "audit")


def listed(field: Field) -> list[WorkItem]:
    return worklist.list_open(field.services.db.read())


def revoke(field: Field, tablet: Tablet) -> None:
    with field.services.db.write() as w:
        devices.revoke(w, tablet.key.kid, at=field.now)


def forks(field: Field, tablet: Tablet, count: int) -> list[bytes]:
    return [field.envelope(tablet, at=(1, "")) for _ in range(count)]


def quarantined(field: Field, tablet: Tablet, count: int) -> list[bytes]:
    revoke(field, tablet)
    return [field.envelope(tablet) for _ in range(count)]


def conflicts(field: Field, tablet: Tablet, count: int) -> list[bytes]:
    return [field.envelope(tablet, jti="A" * 22) for _ in range(count)]


def close(field: Field, item: WorkItem) -> None:
    with field.services.db.write() as w:
        worklist.record_decision(w, item.id, decision="checked", by="tests", at=field.now)


# The work list


@pytest.mark.parametrize("make", [forks, quarantined, conflicts])
def test_a_tablet_with_many_doubtful_screenings_shares_one_item_beyond_its_budget(
    field: Field, monkeypatch: pytest.MonkeyPatch, make: Callable[[Field, Tablet, int], list[bytes]]
) -> None:
    monkeypatch.setattr(tablet_budget, "OPEN_ITEMS", 4)
    thief, honest = field.tablet(), field.tablet()
    sent = make(field, thief, 12)
    assert len(field.push(thief, *sent)) == 12
    assert field.rows("select count(*) from envelopes") == [(12,)], "all are stored"
    about = [item for item in listed(field) if item.dev == thief.key.kid and item.kind != "gap"]
    assert [item.kind for item in about].count("crowded") == 1
    assert len(about) == 5
    field.push(honest, *forks(field, honest, 2))
    assert [item.kind for item in listed(field) if item.dev == honest.key.kid] == ["fork"], "others are listed"


def test_deferred_screenings_come_onto_the_list_one_by_one_as_people_decide(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablet_budget, "OPEN_ITEMS", 3)
    thief, db = field.tablet(), field.services.db
    sent = quarantined(field, thief, 7)
    field.push(thief, *sent)
    who = people.get_account(db.read(), field.rows("select id from people where login = 'registro'")[0][0])
    assert who is not None
    administrator = replace(who, roles=who.roles | {"administrator"})
    rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
    decided = []
    while items := [item for item in listed(field) if item.kind == "quarantine"]:
        assert len(items) <= 3
        work_flow.decide_item(db, administrator, items[0].id, "release", rulebook=rulebook, now=field.now)
        decided.append(items[0].envelope)
    assert decided == [envelope_id(raw) for raw in sent], "oldest first, each once"
    assert [item.kind for item in listed(field)] == [], "the shared item closes by itself"
    assert all(field.referrals(raw) for raw in sent)


def forks_of(field: Field, tablet: Tablet, to: str) -> list[bytes]:
    return [field.envelope(tablet, to=to, at=(1, "")) for _ in range(3)]


def conflicts_of(field: Field, tablet: Tablet, to: str) -> list[bytes]:
    return [field.envelope(tablet, to=to, jti="A" * 22) for _ in range(3)]


@pytest.mark.parametrize("make", [forks_of, conflicts_of])
def test_items_of_other_desks_hide_no_screening_of_this_one(
    field: Field, monkeypatch: pytest.MonkeyPatch, make: Callable[[Field, Tablet, str], list[bytes]]
) -> None:
    monkeypatch.setattr(tablet_budget, "OPEN_ITEMS", 2)
    thief, desk = field.tablet(), client(field, "proteccion-17")

    def decide(item: dict[str, Any]) -> int:
        path = f"/v1/work-list/{item['id']}/decision"
        return desk.post(path, json={"decision": item["decisions"][0]}).status_code

    field.push(thief, *make(field, thief, "17-child"), *make(field, thief, "21-child"))
    assert desk.get("/v1/work-list").json == []
    own = make(field, thief, "17-protection")
    field.push(thief, *own)
    seen = []
    while items := desk.get("/v1/work-list").json:
        seen.append(items[0]["envelope"])
        assert decide(items[0]) == 200
    assert seen == [envelope_id(raw) for raw in own], "each, as the desk itself decides"


def test_a_thief_gains_no_place_on_the_list_by_keys_of_no_desk(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablet_budget, "OPEN_ITEMS", 2)
    thief = field.tablet()
    sent = [_sealed_to_nobody(field, thief) for _ in range(6)]
    field.push(thief, *sent)
    assert [item.kind for item in listed(field)] == ["fork", "fork", "crowded"]


def _sealed_to_nobody(field: Field, tablet: Tablet) -> bytes:
    nobody = SealKey.generate().public
    return seal.seal_envelope(
        Content(b"<data/>", Context(field.form_sha)),
        to=nobody,
        route=replace(ROUTE, sha=field.form_sha),
        route_key=field.route_key(),
        device=tablet.key,
        jti=seal.new_screening_id(),
        position=ChainPosition(chain=tablet.chain, seq=1, kseq=1, prev=""),
        bucket=1024,
    )


def test_the_route_of_a_deferred_screening_is_not_erased(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablet_budget, "OPEN_ITEMS", 1)
    thief = field.tablet()
    field.push(thief, *quarantined(field, thief, 3))
    retention.erase_routes(field.services.db, now=field.now + 400 * DAY, days=30)
    assert field.rows("select count(*) from routes") == [(3,)]


def test_a_closed_item_about_too_many_chains_returns(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablet_budget, "CHAINS", 2)
    thief = field.tablet()
    for number in range(3):
        field.ask(thief, field.message(thief, ended={f"{number:011d}": 3}))
    for _ in range(2):
        (crowded,) = [item for item in listed(field) if item.kind == "crowded"]
        assert crowded.reason == "chains"
        close(field, crowded)
        field.now += DAY
        field.ask(thief, field.message(thief, ended={"9" * 11: 3}))


def test_a_thousand_chains_of_one_tablet_give_no_thousand_items(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablet_budget, "CHAINS", 5)
    thief, honest = field.tablet(), field.tablet()
    field.push(thief, field.envelope(thief))
    for number in range(20):
        ended = {f"{number:011d}": 3}
        field.ask(thief, field.message(thief, ended=ended))
    thief.chain = "C" * 11
    other = field.envelope(thief, at=(9, ZEROS))
    answer = field.ask(thief, field.message(thief, other))
    assert answer.seq == {}
    assert answer.receipts is not None
    assert len(field.rows("select * from chains")) == 5
    kinds = [item.kind for item in listed(field)]
    assert (kinds.count("crowded"), kinds.count("gap"), kinds.count("copied")) == (1, 4, 4)
    raws = [field.envelope(honest) for _ in range(3)]
    field.push(honest, raws[0], raws[2])
    assert field.ask(honest, field.message(honest, raws[1])).seq == {honest.chain: 3}, "others are watched as before"
    assert gaps.update_all_gaps(field.services.db, now=field.now + 9 * DAY) == 4


def test_an_item_about_a_name_used_a_hundred_times_shows_a_few_screenings(field: Field) -> None:
    thief = field.tablet()
    sent = conflicts(field, thief, 40)
    field.push(thief, *sent)
    c = field.services.db.read()
    last = envelopes.get_envelope(c, envelope_id(sent[-1]))
    assert last is not None
    shown = envelopes.same_identity(c, last, most=work_flow.MOST_EVIDENCE)
    assert len(shown) == work_flow.MOST_EVIDENCE
    assert (shown[0].id, shown[-1].id) == (envelope_id(sent[0]), last.id), "the first, and the one in question"


# Gaps


def steps_of(field: Field, work: Callable[[], object]) -> int:
    """How many steps SQLite's machine makes for this work on the writing connection."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    writer = writing_connection(field.services.db).conn  # type: ignore[arg-type]
    writer.set_progress_handler(count, 10)
    try:
        work()
    finally:
        writer.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("given_up", [False, True])
def test_a_sync_over_a_missing_number_costs_the_same_however_many_follow(field: Field, given_up: bool) -> None:
    tablet, db = field.tablet(), field.services.db
    raws = [field.envelope(tablet) for _ in range(4)]
    field.push(tablet, raws[0], raws[2])
    (gap,) = listed(field)
    if given_up:
        with db.write() as w:
            worklist.record_decision(w, gap.id, decision="lost", by="tests", at=field.now)
    before = steps_of(field, lambda: field.ask(tablet, field.message(tablet, raws[3])))
    with db.write() as w:
        w.execute(
            "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
            " with recursive n(i) as (select 5 union all select i + 1 from n where i < 20004)"
            " select 'e' || i, ?, 'j' || i, ?, i, 1, '', 'k', 'stored', x'', 0, 0 from n",
            [tablet.key.kid, tablet.chain],
        )
        chains.recount_chain(w, tablet.key.kid, tablet.chain)
    late = field.envelope(tablet, at=(20005, ZEROS))
    after = steps_of(field, lambda: field.ask(tablet, field.message(tablet, late)))
    assert after < before + 100


@pytest.mark.parametrize("order", [(1, 3, 2), (5, 1, 3, 2, 4), (2, 4, 6, 1), (3, 3, 9, 8, 1, 2), (7,)])
def test_gaps_kept_as_rows_are_those_of_the_stored_numbers(field: Field, order: tuple[int, ...]) -> None:
    tablet = field.tablet()
    for seq in order:
        field.push(tablet, field.envelope(tablet, at=(seq, ZEROS if seq > 1 else "")))
    kept = field.rows("select first, last from chain_gaps order by first")
    state = field.rows("select contiguous, highest from chains")
    with field.services.db.write() as w:
        chains.recount_chain(w, tablet.key.kid, tablet.chain)
    assert kept == field.rows("select first, last from chain_gaps order by first")
    assert state == field.rows("select contiguous, highest from chains")
    present = set(order)
    missing = {number for first, last in kept for number in range(first, last + 1)}
    assert missing == set(range(1, max(present) + 1)) - present


# Space


def full(field: Field, tablet: Tablet, budget: StorageBudget, *raws: bytes) -> bool:
    """Send envelopes; return whether the tablet has no room for them."""
    rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
    message = field.message(tablet, *raws)
    code = ""
    try:
        sync_request.answer_request(
            field.services.db, message, keys=field.services.keys, rulebook=rulebook, now=field.now, budget=budget
        )
    except Problem as error:
        code = error.code
    assert code in ("", "storage.quota")
    return bool(code)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_tablet_beyond_its_bytes_alone_is_refused_and_keeps_its_envelopes(field: Field, revoked: bool) -> None:
    thief, honest = field.tablet(), field.tablet()
    size = len(field.envelope(field.tablet()))
    share = REVOKED_SHARE if revoked else 1
    budget = StorageBudget(tablet=share * (3 * size + size // 2))
    if revoked:
        revoke(field, thief)
    sent = [field.envelope(thief) for _ in range(4)]
    assert not full(field, thief, budget, *sent[:3])
    assert full(field, thief, budget, sent[3])
    assert full(field, thief, budget, *sent), "nothing of a refused request is stored"
    assert field.rows("select count(*) from envelopes") == [(3,)]
    assert not full(field, thief, budget, *sent[:3]), "what is stored is a duplicate, and costs nothing"
    assert not full(field, thief, budget), "it still gets documents and statuses"
    assert not full(field, honest, budget, field.envelope(honest))
    assert [(item.kind, item.dev) for item in listed(field) if item.kind == "quota"] == [("quota", thief.key.kid)]
    used = devices.get_device(field.services.db.read(), thief.key.kid)
    stored = sum(map(len, sent[:3]))
    assert used
    assert (used.stored_bytes, used.quarantined_bytes) == (stored, stored if revoked else 0)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_closed_item_about_a_full_tablet_returns_once_when_it_is_refused_again(field: Field, revoked: bool) -> None:
    thief = field.tablet()
    if revoked:
        revoke(field, thief)
    budget, sent = StorageBudget(tablet=1), [field.envelope(thief) for _ in range(2)]
    for _ in range(3):
        assert full(field, thief, budget, sent[0])
        assert full(field, thief, budget, *sent)
        (item,) = [item for item in listed(field) if item.kind == "quota"]
        close(field, item)
        field.now += DAY
    assert [item for item in listed(field) if item.kind == "quota"] == []


def test_a_courier_pays_for_what_it_brings_and_spoils_no_other_tablet(field: Field) -> None:
    thief, honest, other = field.tablet(), field.tablet(), field.tablet()
    raw = field.envelope(honest)
    budget = StorageBudget(tablet=len(raw) + len(raw) // 2)
    carried = [field.envelope(thief) for _ in range(3)]
    assert not full(field, honest, budget, carried[0])
    assert full(field, honest, budget, raw), "it carried another tablet's envelope"
    assert not full(field, other, budget, field.envelope(other))
    assert [(item.kind, item.dev) for item in listed(field)] == [("quota", honest.key.kid)]


@pytest.mark.parametrize("revoked", ["neither", "courier", "signer", "both"])
def test_of_two_stolen_keys_neither_stores_beyond_the_budget_of_the_other(field: Field, revoked: str) -> None:
    courier, signer = field.tablet(), field.tablet()
    size = len(field.envelope(field.tablet()))
    budget = StorageBudget(tablet=(REVOKED_SHARE if revoked != "neither" else 1) * (3 * size + size // 2))
    for tablet in {"neither": [], "courier": [courier], "signer": [signer], "both": [courier, signer]}[revoked]:
        revoke(field, tablet)
    for _ in range(3):
        assert not full(field, courier, budget, field.envelope(signer))
    assert full(field, courier, budget, field.envelope(signer))
    assert field.rows("select count(*) from envelopes") == [(3,)]
    usage = field.rows("select dev, stored_bytes = quarantined_bytes from devices where stored_bytes > 0")
    assert sorted(usage) == sorted(
        [(courier.key.kid, int(revoked in ("courier", "both"))), (signer.key.kid, int(revoked in ("signer", "both")))]
    )


class SmallServer:
    """A server whose database has little space, and the tablets' API in front of it."""

    def __init__(self, world: World, *, data: Path | None = None, limit: int = 0) -> None:
        config = replace(world.config, data=data or world.config.data, database_max_mb=limit)
        self.services = open_services(config)
        self.field = Field(world, self.services, "ab" * 32, now=clock())
        self.client = tablet_api(self.services).test_client()

    def push(self, tablet: Tablet, *raws: bytes) -> tuple[int, str]:
        """Send envelopes; return the status and the problem's code."""
        message = self.field.message(tablet, *raws)
        headers = {SIGNATURE_HEADER: message.signature}
        answer = self.client.post("/v1/sync", data=message.body, headers=headers)
        return answer.status_code, "" if answer.status_code == 200 else (answer.json or {})["code"]

    def fill(self, thief: Tablet) -> None:
        """Send as much as the server takes from a tablet: large screenings first, then small ones."""
        for bucket, count in ((64 * 1024, 8), (1024, 20)):
            while self.push(thief, *(self.field.envelope(thief, bucket=bucket) for _ in range(count)))[0] == 200:
                pass

    def take(self, left: int) -> None:
        """Fill the database until it has so many bytes left."""
        with self.services.db.write() as w:
            w.execute("create table filler (zeros blob)")
            w.execute("insert into filler values (zeroblob(?))", [w.space().left - left])
        assert self.services.db.truncate_log()


def test_the_last_part_of_the_database_is_kept_for_tablets_that_stored_little(world: World) -> None:
    limit = 12
    server = SmallServer(world, limit=limit)
    field, reserve = server.field, limit * MIB // RESERVE_SHARE
    thief, honest = field.tablet(), field.tablet()
    with server.services.db.write() as w:  # The thief has stored much already.
        devices.count_stored(w, [(thief.key.kid, reserve // HEAVY_SHARE, 0)])
    assert server.push(thief, field.envelope(thief)) == (200, ""), "there is still space"
    server.take(reserve - MIB // 2)
    assert server.push(thief, field.envelope(thief)) == (507, "storage.quota")
    assert server.push(honest, *(field.envelope(honest) for _ in range(40))) == (200, "")
    server.services.db.close()


def test_space_that_another_program_took_is_noticed_within_a_second(world: World, tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(tmp_path / "disk", 48)).folder
        shutil.copytree(world.data, disk, dirs_exist_ok=True)
        server = SmallServer(world, data=disk)
        stack.callback(server.services.db.close)

        def left() -> int:
            with server.services.db.write() as w:
                return w.space().left

        before = left()
        (disk / "others").write_bytes(bytes(20 * MIB))
        wait_until(lambda: left() < before - 19 * MIB, "the space was not measured again")


@pytest.mark.parametrize(("revoked", "on_disk"), [(False, False), (True, False), (False, True), (True, True)])
def test_many_stolen_keys_together_leave_room_for_a_tablet_that_stored_little(
    world: World, tmp_path: Path, revoked: bool, on_disk: bool
) -> None:
    with ExitStack() as stack:
        if on_disk:  # No limit is set: the disk alone limits the database.
            disk = stack.enter_context(mounted(tmp_path / "disk", 24)).folder
            shutil.copytree(world.data, disk, dirs_exist_ok=True)
            server = SmallServer(world, data=disk)
        else:
            server = SmallServer(world, limit=16)
        stack.callback(server.services.db.close)
        field = server.field
        thieves, honest = [field.tablet() for _ in range(6)], field.tablet()
        for thief in thieves:
            if revoked:
                with server.services.db.write() as w:
                    devices.revoke(w, thief.key.kid, at=field.now)
            server.fill(thief)
        assert server.push(honest, *(field.envelope(honest) for _ in range(20))) == (200, "")


@pytest.mark.parametrize("revoked", [False, True])
def test_a_tablet_beyond_its_bytes_still_gets_forms_and_orders(office: Office, revoked: bool) -> None:
    with office.tablet() as tablet:
        tablet.sync()
        tablet.screen(FORM, answers(STORY[0]), TAKEN)
        if revoked:
            give(office, tablet, "revoke", 1)
        with office.field.services.db.write() as w:
            devices.count_stored(w, [(tablet.status().dev, 2**31, 2**31)])
        sha = office.publish("7")
        for _ in range(2):
            with pytest.raises(RefusedError) as refused:
                tablet.sync()
            assert refused.value.code == "storage.quota"
            status = tablet.status()
            assert (status.revoked, status.waiting) == (revoked, 1)
            assert sha in {form.sha for form in status.forms}
        with office.field.services.db.write() as w:
            w.execute("update devices set stored_bytes = 0, quarantined_bytes = 0")
        assert tablet.sync().sent == 1


# Request numbers


def count_rows(field: Field) -> dict[str, list[tuple[Any, ...]]]:
    return {name: field.rows(f"select * from {name}") for name in COUNTED}  # noqa: S608 (constants)


@pytest.mark.parametrize("last", [True, False])
def test_a_recorded_request_that_is_replayed_counts_nothing(field: Field, last: bool) -> None:
    """A stranger on the line needs no key: he sends what he recorded, the last request or an older one."""
    tablet = field.tablet()
    carried = {"form": field.form_sha}
    recorded = field.message(tablet, b"no envelope", inventory=carried, refused={"ab" * 32: "bundle.unusable"})
    field.ask(tablet, recorded)
    if not last:
        field.ask(tablet, field.message(tablet))
    counted = count_rows(field)
    assert counted["rejections"]
    assert counted["refusals"]
    with field.services.db.write() as w:  # A person looked into it meanwhile.
        w.execute("delete from refusals")
    field.now += DAY
    http = tablet_api(replace(field.services, now=lambda: field.now)).test_client()
    for _ in range(5):
        answer = http.post("/v1/sync", data=recorded.body, headers={SIGNATURE_HEADER: recorded.signature})
        assert answer.status_code == (200 if last else 409)
    assert count_rows(field) == counted | {"refusals": []}


@pytest.mark.parametrize("step", [1, 2**20])
def test_a_refused_request_number_keeps_no_envelope_back(field: Field, step: int) -> None:
    true, thief = field.tablet(), field.tablet()
    thief.key, thief.n = true.key, step - 1
    field.ask(thief, field.message(thief))
    raw = field.envelope(true)
    message = field.message(true, raw)
    with pytest.raises(NumberRefusedError) as refused:
        field.ask(true, message)
    stored = Document.parse(refused.value.members["receipts"].encode())
    (item,) = receipt.accept(stored, field.trust, dev=true.key.kid, n=true.n).items
    assert (item.id, item.outcome, item.seq) == (envelope_id(raw), "stored", 1)
    assert field.referrals(raw), "it is routed"
    for _ in range(3):
        with pytest.raises(NumberRefusedError) as refused:
            field.ask(true, message)
        assert [each.outcome for each in refused.value.items] == ["duplicate"], "a replay stores nothing"
    assert field.rows("select count(*) from envelopes") == [(1,)]


def test_a_refused_request_says_nothing_about_its_tablet(field: Field) -> None:
    tablet = field.tablet()
    field.ask(tablet, field.message(tablet))
    before = field.rows("select * from devices")
    old = Request(n=1, at=field.now, trust=99, ended={"E" * 11: 5}, inventory={"forma": "ab" * 32})
    with pytest.raises(NumberRefusedError):
        field.ask(tablet, messages.write_request(old, tablet.key))
    assert field.rows("select * from devices") == before
    assert field.rows("select * from chains") == field.rows("select * from inventories") == []
    assert listed(field) == []


class Thief:
    """Holds a copy of a tablet's key, and uses up the next number before each request of the true tablet."""

    def __init__(self, office: Office, folder: Path, times: int) -> None:
        self.key = load_secret(next(folder.rglob("*.key")), SigningKey)
        self.office, self.times = office, times

    def race(self, change: PassingAnswer) -> None:
        if change.path != "/v1/sync" or self.times <= 0:
            return
        self.times -= 1
        field = self.office.field
        ((last,),) = field.rows("select last_n from devices where dev = ?", self.key.kid)
        rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
        asked = messages.write_request(Request(n=last + 2**20, at=clock()), self.key)
        sync_request.answer_request(field.services.db, asked, keys=field.services.keys, rulebook=rulebook, now=clock())


@pytest.mark.parametrize("times", [6, 10_000])
def test_a_thief_who_races_for_every_number_keeps_no_screening_back(office: Office, times: int) -> None:
    with office.tablet() as made:
        made.sync()
    folder = office.folder / "tablet"
    shutil.copytree(folder, office.folder / "stolen")
    thief = Thief(office, office.folder / "stolen", times)
    with TabletClient(folder) as tablet:
        screened = [tablet.screen(FORM, answers(STORY[0]), TAKEN).jti for _ in range(5)]
        thief.race(PassingAnswer("POST", "/v1/sync", 200, {}, b"", b""))
        office.line.answer = thief.race
        office.line.asked.clear()
        with suppress(RefusedError):  # The thief may leave no number for the last request, which has no envelope.
            tablet.sync()
        assert tablet.status().waiting == 0
        assert tablet.status().copied, "its holder learns of the thief"
    assert sorted(office.stored()) == sorted(screened)
    assert office.line.asked.count("POST /v1/sync") <= 15


def test_a_refusal_with_receipts_of_a_stranger_counts_nothing_done(office: Office) -> None:
    stranger = SigningKey.generate()
    with office.tablet() as tablet:
        jti = tablet.screen(FORM, answers(STORY[0]), TAKEN).jti

        def lie(change: PassingAnswer) -> None:
            if change.path == "/v1/sync":
                ((_, id_),) = [(kept.jti, kept.id) for kept in tablet.outbox.envelopes.list_stored()]
                items = [receipt.ReceiptItem(id_, "stored", 1)]
                n = tablet.outbox.connection.execute("select request from place").fetchone()[0]
                dev = tablet.status().dev
                false = receipt.make(stranger, dev=dev, n=n, at=1, generation="A" * 11, head="", items=items)
                told = {
                    "code": "sync.number_used",
                    "dev": dev,
                    "n": n,
                    "last": n,
                    "receipts": false.to_bytes().decode(),
                }
                signed = messages.write_refusal(told, office.field.services.keys.signing)
                change.status, change.headers[SIGNATURE_HEADER] = 409, signed.signature
                change.put(signed.body)

        office.line.answer = lie
        with pytest.raises((RefusedError, SyncError)):
            tablet.sync()
        assert tablet.status().waiting == 1
        office.line.answer = lambda change: None
        tablet.sync()
        assert tablet.status().waiting == 0
    assert office.stored() == [jti]
