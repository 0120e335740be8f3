"""Every list of the staff API comes page by page, and its pages together are the whole list, each item once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.store import devices, referrals, worklist
from server.store.rollouts import add_rollout
from server.store.versions import NewVersion, add_version
from support.clients import Office
from support.intake import Field
from sync.exchange.staff_session import StaffSession
from test_server_staff_api import Client, client

Fill = Callable[[Field], None]


def fill_queue(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet) for _ in range(5)))


def fill_training_queue(field: Field) -> None:
    fill_queue(field)
    with field.services.db.write() as w:
        w.execute("update referrals set mode = 'training', deadline = null")


def fill_work(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(5):
            worklist.add_item(w, kind="silent", dev=f"d{number}", at=number)


def fill_devices(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(5):
            devices.add_device(w, dev=f"{number}", key=b"k", label="l", region="17", at=7 if number < 3 else number)


def fill_versions(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(5):
            made = NewVersion("otra", str(number), "training", f"{number}", "", "", b"{}", None)
            id_ = add_version(w, made, state="published", author="ceremony", at=1)
            add_rollout(w, id_, regions=None, devices=None, share_permille=None, starts=1, at=1, by="x")


def fill_tokens(field: Field) -> None:
    maker = client(field, "autora")
    for _ in range(5):
        assert maker.post("/v1/tokens", json={"label": "l", "roles": ["author"], "days": 1}).status_code == 201


def fill_tables(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(5):
            w.execute("insert into rule_tables values ('policy', ?, 'f', '', 1, 'x')", [f"f_{number}"])


def fill_statistics(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(1, 6):
            month = f"2020-0{number}"
            w.execute("insert into statistics_periods values ('field', ?, ?, 50, 1)", [month, month])
            w.execute("insert into statistics_figures values ('field', ?, 'sex', 'female', '50')", [month])


LISTS: dict[str, tuple[str, Fill]] = {
    "/v1/queues/17-protection": ("proteccion-17", fill_queue),
    "/v1/queues/17-protection?mode=training": ("proteccion-17", fill_training_queue),
    "/v1/queues": ("nacional", fill_queue),
    "/v1/work-list": ("publicacion", fill_work),
    "/v1/devices": ("publicacion", fill_devices),
    "/v1/versions": ("publicacion", fill_versions),
    "/v1/versions?form=otra": ("publicacion", fill_versions),
    "/v1/rollouts": ("publicacion", fill_versions),
    "/v1/tokens": ("autora", fill_tokens),
    "/v1/policies": ("autora", fill_tables),
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
    fill(field)
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


def test_a_page_of_a_long_queue_reads_no_more_than_its_rows(field: Field) -> None:
    """The database walks the index from the cursor on: its plan sorts nothing and scans no table."""
    sql = "explain query plan select r.id from referrals r where r.queue = 'q' and r.mode = 'field'"
    sql += f" and r.state <> 'closed' and {referrals.DUE} >= 5 order by {referrals.DUE}, r.arrival limit 9"
    plan = field.rows(sql)
    assert [row[3] for row in plan] == ["SEARCH r USING INDEX referrals_in_order (queue=? AND mode=? AND <expr>>?)"]
    for which in ("closed is null", "decision = 'keep_apart'"):
        sql = f"explain query plan select id from work_items where {which} and id > 5 order by id"  # noqa: S608
        ((_, _, _, step),) = field.rows(sql)
        assert "USING" in step
        assert "INDEX work_items_" in step


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
