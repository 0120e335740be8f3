"""Every list of the staff API comes page by page, and its pages together are the whole list, each item once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.api.openapi import operations
from server.store import devices, people, referrals, worklist
from server.store.queues import Queue, put_queue
from server.store.rollouts import add_rollout, set_state
from server.store.versions import NewVersion, add_version
from support.clients import Office
from support.databases import edit_by_hand
from support.intake import Field
from sync.exchange.staff_session import StaffSession
from test_server_staff_api import Client, client, code

Fill = Callable[[Field, int], None]
"""Adds five rows to a list; the number of rows that it added before."""


def fill_queue(field: Field, _: int = 0) -> None:
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet) for _ in range(5)))


def fill_training_queue(field: Field, _: int = 0) -> None:
    fill_queue(field)
    with field.services.db.write() as w:
        w.execute("update referrals set mode = 'training', deadline = null")


def fill_queues(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for number in range(first, first + 5):
            put_queue(w, Queue(f"q{number}", "17", f"k{number}", "17-protection", "t"))
            people.grant_queue(w, f"q{number}", "national")


def fill_long_queue(field: Field, deadline: str, many: int = 2_000) -> None:
    """Copy one screening of a queue many times, with `deadline` (SQL)."""
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    copied = {"envelopes": "'e' || n, 'j' || n, n, n", "referrals": f"'r' || n, 'e' || n, n, 'training', {deadline}"}
    own = {"envelopes": ("id", "jti", "seq", "arrival"), "referrals": ("id", "envelope", "arrival", "mode", "deadline")}
    with field.services.db.write() as w:
        for table, values in copied.items():
            row = w.row(f"select * from {table}")  # noqa: S608 (constants of this test)
            rest = ", ".join(name for name in row or {} if name not in own[table])
            w.execute(
                f"insert into {table} ({', '.join(own[table])}, {rest}) with recursive numbers (n) as"  # noqa: S608
                f" (select 2 union all select n + 1 from numbers where n < {many}) select {values}, {rest}"
                f" from numbers, (select * from {table} limit 1)"
            )
        w.execute(f"update referrals set mode = 'training', deadline = {deadline}")  # noqa: S608


def fill_work(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for number in range(first, first + 5):
            worklist.add_item(w, kind="silent", dev=f"d{number}", at=number)


def fill_devices(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for number in range(first, first + 5):
            at = 7 if number < 3 else number
            devices.add_device(w, dev=f"{number}", key=b"k", label="l", region="17", at=at)


def fill_versions(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for number in range(first, first + 5):
            made = NewVersion("otra", str(number), "training", f"{number}", "", "", b"{}", None)
            id_ = add_version(w, made, state="published", author="ceremony", at=1)
            id_ = add_rollout(w, id_, regions=None, devices=None, share_permille=None, starts=1, at=1, by="x")
            set_state(w, id_, state="live", since=1)


def fill_tokens(field: Field, _: int = 0) -> None:
    maker = client(field, "autora")
    for _ in range(5):
        assert maker.post("/v1/tokens", json={"label": "l", "roles": ["author"], "days": 1}).status_code == 201


def fill_tables(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for kind in ("policy", "indicator_set"):
            for number in range(first, first + 5):
                w.execute("insert into rule_tables values (?, ?, 'f', '', 1, 'x')", [kind, f"f_{number:02}"])


def fill_statistics(field: Field, first: int = 0) -> None:
    with field.services.db.write() as w:
        for number in range(first, first + 5):
            month = f"{1990 + number}-01"
            w.execute("insert into statistics_periods values ('field', ?, ?, 50, 1)", [month, month])
            w.execute("insert into statistics_figures values ('field', ?, 'sex', 'female', '50')", [month])


LISTS: dict[str, tuple[str, Fill]] = {
    "/v1/queues/17-protection": ("proteccion-17", fill_queue),
    "/v1/queues/17-protection?mode=training": ("proteccion-17", fill_training_queue),
    "/v1/queues": ("nacional", fill_queues),
    "/v1/work-list": ("publicacion", fill_work),
    "/v1/devices": ("publicacion", fill_devices),
    "/v1/versions": ("publicacion", fill_versions),
    "/v1/versions?form=otra": ("publicacion", fill_versions),
    "/v1/rollouts": ("publicacion", fill_versions),
    "/v1/tokens": ("autora", fill_tokens),
    "/v1/policies": ("autora", fill_tables),
    "/v1/indicator-sets": ("autora", fill_tables),
    "/v1/statistics": ("publicacion", fill_statistics),
}


def fetch(who: Client, address: str) -> tuple[list[Any], str]:
    """Fetch a page; return it and the address of the next one ("" = none)."""
    path, _, query = address.partition("?")
    answer = who.get(path, **dict(pair.split("=") for pair in query.split("&") if pair))
    assert answer.status_code == 200, answer.text
    link = answer.headers.get("Link", "")
    return answer.json, link.removeprefix("<").removesuffix('>; rel="next"')  # type: ignore[return-value]


@pytest.mark.parametrize("address", LISTS)
def test_the_pages_of_a_list_are_together_the_whole_list(field: Field, address: str) -> None:
    login, fill = LISTS[address]
    fill(field, 0)
    who = client(field, login)
    whole, more = fetch(who, address)
    assert (len(whole) >= 5, more) == (True, "")
    for size in (1, 2, len(whole) - 1, len(whole)):
        following, walked = f"{address}{'&' if '?' in address else '?'}limit={size}", []
        while following:
            page, following = fetch(who, following)
            assert 0 < len(page) <= size
            walked += page
        assert walked == whole


def statements_of(field: Field, who: Client, address: str) -> list[str]:
    """The SQL statements that one page of a list takes. The test's client answers in this thread."""
    reader, seen = field.services.db.read().conn, list[str]()  # type: ignore[attr-defined]
    reader.set_trace_callback(seen.append)
    try:
        fetch(who, address)
    finally:
        reader.set_trace_callback(None)
    return seen


@pytest.mark.parametrize("address", LISTS)
def test_a_long_list_takes_no_more_statements_than_a_short_one(field: Field, address: str) -> None:
    login, fill = LISTS[address]
    whole = f"{address}{'&' if '?' in address else '?'}limit=1000"
    who = client(field, login)
    fill(field, 0)
    few, before = fetch(who, whole)[0], statements_of(field, who, whole)
    for first in (5, 10, 15):
        fill(field, first)
    many, after = fetch(who, whole)[0], statements_of(field, who, whole)
    assert len(many) >= len(few) + 15
    assert len(after) == len(before)


def test_no_list_of_the_staff_api_is_left_out_of_these_tests(field: Field) -> None:
    document = client(field, "autora").get("/openapi.json").json
    found = {
        path
        for method, path, operation in operations(document)  # type: ignore[arg-type]
        if method == "get" and "Link" in operation["responses"]["200"].get("headers", {})
    }
    tested = {address.partition("?")[0] for address in LISTS}
    # The tables have one path; the differences of two versions are computed in memory.
    named = {"/v1/queues/{queue}": "/v1/queues/17-protection", "/v1/{tables}": "/v1/policies"}
    assert {named.get(path, path) for path in found} - tested == {"/v1/versions/{version}/difference"}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=%27", "after=../.."])
def test_a_wrong_page_is_refused(field: Field, query: str) -> None:
    name, _, value = query.partition("=")
    who = client(field, "nacional")
    assert who.get("/v1/queues/national", **{name: value.replace("%27", "'")}).status_code == 422


def test_a_referral_closed_between_two_pages_skips_and_repeats_no_other(field: Field) -> None:
    fill_queue(field)
    who = client(field, "proteccion-17")
    whole, _ = fetch(who, "/v1/queues/17-protection")
    first, following = fetch(who, "/v1/queues/17-protection?limit=2")
    with field.services.db.write() as w:
        referrals.set_state(w, first[-1]["id"], state="closed", holder=None, lease=None, result="attended", at=1)
    second, _ = fetch(who, following)
    assert [each["id"] for each in second] == [each["id"] for each in whole[2:4]]


@pytest.mark.parametrize("lost", ["arrival = 1", "arrival = 3", "arrival in (2, 3)", "arrival <= 4", "arrival = 5"])
def test_a_referral_whose_envelope_is_lost_ends_no_list(field: Field, lost: str) -> None:
    fill_queue(field)
    who = client(field, "proteccion-17")
    whole, _ = fetch(who, "/v1/queues/17-protection")
    gone = {id_ for (id_,) in field.rows(f"select id from referrals where {lost}")}  # noqa: S608
    edit_by_hand(field.world.config.database, f"delete from envelopes where {lost}")  # noqa: S608
    found, more = [], "/v1/queues/17-protection?limit=2"
    while more:
        page, more = fetch(who, more)
        found += page
    assert [each["id"] for each in found] == [each["id"] for each in whole if each["id"] not in gone]


def test_a_page_of_a_long_queue_reads_no_more_than_its_rows(field: Field) -> None:
    """The database seeks the page's rows in the index, state by state from the cursor on, then reads these alone."""
    asked = statements_of(field, client(field, "proteccion-17"), "/v1/queues/17-protection")
    (plan,) = [[row[3] for row in field.rows(f"explain query plan {sql}")] for sql in asked if "join envelopes" in sql]
    seek = "SEARCH referrals USING INDEX referrals_by_queue (queue=? AND mode=? AND state=? AND"
    seeks = [step for step in plan if "SEARCH referrals" in step]
    assert seeks == [f"{seek} deadline=? AND arrival>?)", f"{seek} deadline>?)"] * 3
    read = [step for step in plan if "SEARCH referrals" not in step and ("SEARCH" in step or "SCAN" in step)]
    assert [step for step in read if "SCAN" in step and step != "SCAN p" and "subquery" not in step] == []
    for which in ("closed is null", "decision = 'keep_apart'"):
        sql = f"explain query plan select id from work_items where {which} and id > 5 order by id"  # noqa: S608
        ((_, _, _, step),) = field.rows(sql)
        assert "USING" in step
        assert "INDEX work_items_" in step


def test_a_page_deep_in_a_queue_of_equal_deadlines_costs_as_much_as_the_first(field: Field) -> None:
    fill_long_queue(field, "null")
    ids = [id_ for (id_,) in field.rows("select id from referrals order by arrival")]
    who = client(field, "proteccion-17")

    def steps(after: str) -> int:
        counted, reader = [0], field.services.db.read().conn  # type: ignore[attr-defined]
        reader.set_progress_handler(lambda: counted.append(0), 10)
        page, _ = fetch(who, f"/v1/queues/17-protection?mode=training&limit=5&after={after}")
        reader.set_progress_handler(None, 0)
        assert [each["id"] for each in page] == ids[ids.index(after) + 1 :][:5]
        return len(counted)

    assert steps(ids[1_900]) < steps(ids[1]) + 20


@pytest.mark.parametrize("address", ["queues/17-protection", "queues", "devices", "tokens", "policies"])
def test_a_cursor_that_no_list_gave_is_refused_and_ends_no_list(field: Field, address: str) -> None:
    login, fill = LISTS[f"/v1/{address}"]
    fill(field, 0)
    answer = client(field, login).get(f"/v1/{address}", after="vanished")
    assert code(answer) == (422, "list.bad_cursor")


def test_a_desk_sees_its_own_items_and_no_others_on_every_page(field: Field) -> None:
    tablet = field.tablet()
    fork = [field.envelope(tablet, at=(1, "")) for _ in range(3)]
    other = [field.envelope(tablet, at=(1, ""), to="17-child") for _ in range(3)]
    field.push(tablet, fork[0], other[0], fork[1], other[1], fork[2], other[2])
    fill_work(field)
    desk, everything = client(field, "proteccion-17"), client(field, "nacional")
    mine, _ = fetch(desk, "/v1/work-list")
    assert {each["kind"] for each in mine} == {"fork"}
    assert len(mine) == 2
    page, following = fetch(desk, "/v1/work-list?limit=1")
    assert page + fetch(desk, following)[0] == mine
    assert all(each["label"] == "Tableta" for each in mine)
    assert len(fetch(everything, "/v1/work-list")[0]) == 10


def test_clients_walk_all_pages_of_a_list(office: Office) -> None:
    fill_devices(office.field)
    world = office.field.world
    with StaffSession.sign_in(
        office.people_url, "publicacion", world.passphrase("publicacion"), pin=office.pin
    ) as staff:
        pages = list(staff.pages("/v1/devices?limit=2"))
        assert [len(page) for page in pages] == [2, 2, 1]
        assert staff.list("/v1/devices?limit=1") == [each for page in pages for each in page]
