"""Intake goes on beside a damaged page of the database: screenings that it concerns stay on their tablet, all others
are stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from server.database.sqlite import SqliteDatabase
from server.flows.desks.routing import Rulebook
from server.flows.intake.courier import answer_courier
from server.store import envelopes, statuses, worklist
from support.databases import destroy_leaf, destroy_page, edit_by_hand
from support.hostile_server import post_message
from support.intake import Field, Tablet, run_servers
from sync.documents.receipt import ReceiptItem
from sync.envelope.verify import envelope_id
from sync.exchange import courier_messages
from test_server_damage import change_envelope, check

INDEXES = ["sqlite_autoindex_envelopes_1", "sqlite_autoindex_routes_1"]
"""Indexes by random ids, so that a page of them concerns some screenings of each tablet."""


def push(field: Field, tablet: Tablet, count: int) -> list[ReceiptItem]:
    return field.push(tablet, *(field.envelope(tablet) for _ in range(count)))


def reopen(field: Field) -> None:
    field.services = replace(field.services, db=SqliteDatabase(field.world.config.database))


def damage_leaf(field: Field, table: str) -> None:
    field.services.db.close()
    destroy_leaf(field.world.config.database, table)
    reopen(field)


def damage_items(field: Field) -> set[str]:
    return {item.chain for item in worklist.list_open(field.services.db.read(), kind="damage")}


@pytest.mark.parametrize("index", INDEXES)
def test_a_damaged_page_of_an_index_keeps_only_its_own_screenings_out(field: Field, index: str) -> None:
    tablet = field.tablet()
    push(field, tablet, 200)
    damage_leaf(field, index)
    items: list[ReceiptItem] = []
    while len({item.outcome for item in items}) < 2:
        items += push(field, tablet, 8)
    assert {item.code for item in items if item.outcome == "rejected"} == {"envelope.not_stored"}
    stored = {id_ for (id_,) in field.rows("select id from envelopes not indexed where arrival > 200")}
    assert stored == {item.id for item in items if item.outcome == "stored"}
    assert damage_items(field)
    assert field.rows("select * from refusals") == []


def test_a_tablet_on_a_damaged_page_holds_up_no_other_one(field: Field) -> None:
    tablets = [field.tablet() for _ in range(4)]
    for tablet in tablets:
        push(field, tablet, 50)
    damage_leaf(field, INDEXES[0])
    with run_servers(field) as (port, _):
        for _ in range(3):
            messages = [field.message(each, field.envelope(each)) for each in tablets]
            with ThreadPoolExecutor(len(tablets)) as threads:
                answers = list(threads.map(lambda message: post_message(port, message), messages))
            assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize("table", ["devices", *INDEXES])
def test_a_damaged_page_keeps_no_other_tablets_out_of_a_couriers_file(field: Field, table: str) -> None:
    tablets = [field.tablet() for _ in range(40)]
    for tablet in tablets[:4]:
        push(field, tablet, 50)
    raws = [field.envelope(tablet) for tablet in tablets]
    damage_leaf(field, table)
    answer, _ = answer_courier(
        field.services.db,
        courier_messages.write_request(raws),
        keys=field.services.keys,
        rulebook=Rulebook(field.services.rules, field.services.config.deadline_hours),
        now=field.now,
    )
    assert {each.code for each in answer.rejected} == {"envelope.not_stored"}
    assert len(answer.receipts) + len(answer.rejected) == len(tablets)
    assert answer.receipts
    assert answer.rejected


@pytest.mark.parametrize("column", ["chain", "jti"])
def test_a_text_that_is_not_utf_8_costs_only_its_own_screening_a_receipt(field: Field, column: str) -> None:
    tablet = field.tablet()
    good, bad, new = (field.envelope(tablet) for _ in range(3))
    field.push(tablet, good, bad)
    id_ = change_envelope(field, bad, f"{column} = cast(x'e1' || {column} as text)")
    response = field.ask(tablet, field.message(tablet, new, pending=(envelope_id(good), id_)))
    assert response.receipts is not None
    named = {item["id"] for item in response.receipts.content["items"]}
    assert named == {envelope_id(good), envelope_id(new)}
    assert (damage_items(field), envelopes.list_damaged(field.services.db.read())) == ({"envelope.changed"}, [id_])


EVENT_CHANGES = ["status = 'aCcepted'", "status = cast(x'e1' as text)", "at = 9007199254740993", "envelope = 'x'"]


@pytest.mark.parametrize("change", [*EVENT_CHANGES, ""])
def test_a_damaged_status_event_or_its_page_keeps_no_screening_out(field: Field, change: str) -> None:
    tablet = field.tablet()
    first, second, new = (field.envelope(tablet) for _ in range(3))
    field.push(tablet, first, second)
    with field.services.db.write() as w:
        for raw in (first, second):
            statuses.add_event(w, dev=tablet.key.kid, envelope=envelope_id(raw), status="accepted", at=field.now)
    field.services.db.close()
    database = field.world.config.database
    if change:
        edit_by_hand(database, f"update status_events set {change} where cursor = 1")  # noqa: S608 (a constant)
    else:
        destroy_page(database, "status_events")
    reopen(field)
    response = field.ask(tablet, field.message(tablet, new))
    assert response.receipts is not None
    assert {event.id for event in response.events} <= {envelope_id(second)}
    assert len(field.rows("select id from envelopes")) == 3


@pytest.mark.parametrize("row", [1, 4])
def test_an_index_entry_that_leads_to_another_row_lets_no_repair_overwrite_it(field: Field, row: int) -> None:
    tablet, other = field.tablet(), field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    field.push(tablet, *raws)
    field.push(other, other_raw := field.envelope(other))
    name, database = envelope_id(raws[1]).encode(), field.world.config.database
    field.services.db.close()
    content = bytearray(database.read_bytes())
    places = [at + 64 for at in range(len(content)) if content.startswith(name, at) and content[at + 64] == 2]
    assert places, "the id and the number of its row: an entry of the index"
    for place in places:
        content[place] = row
    database.write_bytes(content)
    reopen(field)
    assert [item.outcome for item in field.push(tablet, raws[1])] == ["duplicate"]
    bodies = field.rows("select body from envelopes not indexed order by arrival")
    assert bodies == [(raw,) for raw in (*raws, other_raw)]
    edit_by_hand(database, "reindex")
    assert check(database) == set()


def test_damage_that_keeps_all_screenings_out_is_on_the_work_list(field: Field) -> None:
    tablet = field.tablet()
    field.services.db.close()
    destroy_page(field.world.config.database, "chains")
    reopen(field)
    assert [item.code for item in push(field, tablet, 2)] == ["envelope.not_stored"] * 2
    assert damage_items(field) == {"pages.damaged"}
