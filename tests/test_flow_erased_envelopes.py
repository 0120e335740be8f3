"""Tests of what a tablet erases: only what the server, asked once more, says that it has.

A server may have lost many screenings, and tells of some of them only. The others must stay.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from server.flows.intake import envelopes
from server.problems import Problem
from server.store import chains
from support.clients import FORM, STORY, Office, PassingAnswer, answers
from support.databases import writing_connection
from sync.documents import receipt
from sync.documents.signed import Document
from sync.durations import DAY
from sync.errors import SyncError
from sync.exchange.courier_delivery import deliver_file
from sync.exchange.messages import MAX_RANGES, MAX_RECEIPTED, Response
from sync.exchange.transport import Transport
from sync.tablet import sync_client, sync_state_store
from sync.tablet.client import Tablet
from sync.tablet.outbox_database import transaction
from test_flow_went_back import ALL, delete
from test_server_damage import PAGE
from test_sync_device_orders import draft, give, screen
from test_sync_tablet import resigned

HALF = "seq % 2 = 0"
TABLE_LEAF = 0x0D
"""The first byte of a page with rows of a table (SQLite's file format, 1.6)."""
TAKEN = date(2026, 11, 20)


def fill(tablet: Tablet, count: int, *, chain_of: int = 10_000) -> list[str]:
    """Make screenings, in chains of so many; return their ids."""
    made = []
    for number in range(count):
        if number and number % chain_of == 0:
            with transaction(tablet.outbox.connection):
                tablet.outbox.counters.begin_chain()
        made.append(screen(tablet))
    return made


def age(tablet: Tablet, days: int = 31) -> None:
    """Let so many days pass since the receipts."""
    tablet.outbox.connection.execute("UPDATE envelope SET at = at - ? WHERE state = 'receipted'", (days * DAY,))


def on_board(tablet: Tablet) -> set[str]:
    return {kept.jti for kept in tablet.outbox.envelopes.list_stored()}


def send(office: Office, tablet: Tablet, tmp_path: Path, made: list[str]) -> None:
    assert tablet.sync().sent == len(made)


def carry(office: Office, tablet: Tablet, tmp_path: Path, made: list[str]) -> None:
    file, receipts = tablet.hand_over(tmp_path / "a.courier").path, tmp_path / "a.receipts"
    assert file is not None
    assert deliver_file(file, receipts, Transport(office.line.url), lambda done, all_: None).is_complete
    assert tablet.take_receipts(receipts).settled == len(made)


@pytest.mark.parametrize("deliver", [send, carry])
@pytest.mark.parametrize(
    ("count", "chain_of", "lost"),
    [(140, 140, HALF), (140, 70, HALF), (2 * MAX_RECEIPTED + 12, 2, "seq = 1"), (60, 60, "seq <= 30")],
    ids=["scattered", "two chains", "many chains", "far below the newest"],
)
def test_a_screening_that_the_server_lost_is_not_erased_after_thirty_days(
    office: Office,
    tablet: Tablet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deliver: Callable[[Office, Tablet, Path, list[str]], None],
    count: int,
    chain_of: int,
    lost: str,
) -> None:
    monkeypatch.setattr(chains, "CHECKED_BACK", 20 if "<=" in lost else 1_000)
    made = fill(tablet, count, chain_of=chain_of)
    deliver(office, tablet, tmp_path, made)
    delete(office, *ALL, where=lost)
    age(tablet)
    gone, syncs = set(made) - set(office.stored()), 0
    assert len(gone) >= 30
    while len(on_board(tablet)) > len(gone) and (syncs := syncs + 1) < 5:
        tablet.sync()
        assert set(made) <= {*office.stored(), *on_board(tablet)}
    assert set(office.stored()) == set(made)
    assert on_board(tablet) == gone, "what came again stays for thirty days more; all others are erased"


@pytest.mark.parametrize(("count", "lost"), [(140, HALF), (60, "seq <= 30")], ids=["scattered", "far below the newest"])
def test_a_wipe_destroys_no_screening_that_the_server_lost(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, count: int, lost: str
) -> None:
    monkeypatch.setattr(chains, "CHECKED_BACK", 20 if "<=" in lost else 1_000)
    made = fill(tablet, count)
    tablet.sync()
    delete(office, *ALL, where=lost)
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    assert set(office.stored()) == set(made)
    assert on_board(tablet) == set()


@pytest.mark.parametrize("count", [1, 150])
def test_a_wipe_with_nothing_missing_is_complete_in_one_sync(office: Office, tablet: Tablet, count: int) -> None:
    fill(tablet, count)
    tablet.sync()
    waiting = screen(tablet)
    give(office, tablet, "wipe")
    report = tablet.sync()
    assert (report.wiped, report.wiping, report.purged) == (True, False, count + 1)
    assert [each.jti for each in report.receipts] == [waiting], "what was receipted before is no news"
    assert report.requests <= 3
    assert len(office.stored()) == count + 1


@pytest.mark.parametrize("count", [2, 2 * MAX_RANGES + 10])
def test_losses_that_nobody_can_repair_keep_no_wipe_and_no_envelope_for_ever(
    office: Office, tablet: Tablet, count: int
) -> None:
    fill(tablet, count)
    tablet.sync()
    age(tablet)
    tablet.sync()
    assert on_board(tablet) == set(), "all are erased on the tablet"
    delete(office, *ALL, where=HALF)
    kept = screen(tablet)
    tablet.sync()
    age(tablet)
    assert (tablet.sync().purged, on_board(tablet)) == (1, set())
    last = screen(tablet)
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    assert {kept, last} <= set(office.stored())


@pytest.mark.parametrize("cause", ["wipe", "age"])
def test_without_an_answer_nothing_is_erased_and_the_next_sync_asks_again(
    office: Office, tablet: Tablet, tmp_path: Path, cause: str
) -> None:
    made = fill(tablet, 3)
    tablet.sync()
    age(tablet) if cause == "age" else give(office, tablet, "wipe")
    replies: list[PassingAnswer] = []

    def cut_second(answer: PassingAnswer) -> None:
        replies.append(answer)
        if len(replies) == (1 if cause == "age" else 2):
            office.line.cut = frozenset({"/v1/sync"})

    office.line.answer = cut_second
    with pytest.raises(Exception, match=r"transport\.broken"):
        tablet.sync()
    assert on_board(tablet) == set(made)
    assert (tablet.status().wiping, tablet.status().wiped) == (cause == "wipe", False)
    tablet.close()
    office.line.cut = frozenset()
    with Tablet(tmp_path / "tablet") as again:
        assert on_board(again) == set(made), "opening the tablet destroys nothing either"
        assert again.sync().purged == (3 if cause == "wipe" else 1)
        again.sync()
        assert again.status().wiped == (cause == "wipe")
        assert on_board(again) == set()


@pytest.mark.parametrize("rate", [150, 600])
def test_on_a_slow_line_envelopes_are_erased_in_small_portions(office: Office, tablet: Tablet, rate: int) -> None:
    fill(tablet, 40)
    tablet.sync()
    age(tablet)
    purged = []
    while on_board(tablet) and len(purged) < 40:
        tablet.outbox.connection.execute("UPDATE place SET rate = ?", (rate,))
        screen(tablet) if len(purged) < 2 else None
        purged.append(tablet.sync().purged)
        if len(purged) == 2:
            age(tablet)
    assert 0 < purged[0] < 40, "beside a screening only some are asked for"
    assert sum(purged) == 42


def test_a_line_that_does_not_bear_the_questions_gets_few_of_them_next(office: Office, tablet: Tablet) -> None:
    fill(tablet, 100)
    tablet.sync()
    age(tablet)
    asked = []

    def cut_long(answer: PassingAnswer) -> None:
        asked.append(len(answer.request))
        office.line.cut = frozenset({"/v1/sync"}) if len(answer.request) > 1_000 else frozenset()

    office.line.answer = cut_long
    with pytest.raises(Exception, match=r"transport\.broken"):
        tablet.sync()
    assert tablet.sync().purged == 1
    assert tablet.sync().purged == 2
    assert asked[1] < 1_000 < asked[0]


@pytest.mark.parametrize("cause", ["wipe", "age"])
def test_a_server_that_says_nothing_about_an_envelope_gets_it_again(office: Office, tablet: Tablet, cause: str) -> None:
    """Its row is there, and its bytes are damaged: the numbers of the chain show no loss."""
    made = fill(tablet, 3)
    tablet.sync()
    [(body,)] = office.field.rows("SELECT body FROM envelopes WHERE seq = 2")
    with office.field.services.db.write() as w:
        w.execute("UPDATE envelopes SET body = ? WHERE seq = 2", [bytes(body[:-1]) + b"!"])
    age(tablet) if cause == "age" else give(office, tablet, "wipe")
    tablet.sync()
    assert office.field.rows("SELECT body FROM envelopes WHERE seq = 2") == [(body,)], "repaired before it is erased"
    assert on_board(tablet) == ({made[1]} if cause == "age" else set())


@pytest.mark.parametrize("count", [1, 5])
def test_a_server_that_never_says_what_it_has_keeps_no_sync_from_ending(
    office: Office, tablet: Tablet, count: int
) -> None:
    fill(tablet, count)
    tablet.sync()
    give(office, tablet, "wipe")
    server = office.field.services.keys.signing
    office.line.answer = resigned(office, server, lambda answer: replace(answer, receipts=None))
    report = tablet.sync()
    assert report.requests < 6
    assert (report.purged, report.waiting, len(on_board(tablet))) == (0, count, count)
    office.line.answer = lambda answer: None
    assert (tablet.sync().waiting, len(office.stored())) == (0, count)


def damage_page(office: Office, id_: str) -> set[str]:
    """Damage the page of the table with this envelope. Returns its id and those of its neighbours there."""
    database, db = office.field.world.config.database, office.field.services.db
    [(body,)] = office.field.rows("SELECT body FROM envelopes WHERE id = ?", id_)
    db.truncate_log()
    content = bytearray(database.read_bytes())
    pages = range(0, len(content), PAGE)
    (page,) = [at for at in pages if content[at] == TABLE_LEAF and body[:200] in content[at : at + PAGE]]
    content[page] = 0x55
    with database.open("r+b") as file:
        file.write(content)
    for connection in (db.read(), writing_connection(db)):
        connection.execute("PRAGMA shrink_memory")
    ids = {id_ for (id_,) in office.field.rows("SELECT id FROM envelopes INDEXED BY sqlite_autoindex_envelopes_1")}
    return {id_ for id_ in ids if not is_readable(office, id_)}


def is_readable(office: Office, id_: str) -> bool:
    try:
        return bool(office.field.rows("SELECT body FROM envelopes WHERE id = ?", id_))
    except sqlite3.DatabaseError:
        return False


@pytest.mark.parametrize("cause", ["wipe", "age"])
@pytest.mark.parametrize("asked", [1, 5])
def test_a_damaged_page_keeps_no_screening_back_and_is_told_of(
    office: Office, tablet: Tablet, cause: str, asked: int
) -> None:
    fill(tablet, 30)
    tablet.sync()
    old = [kept.id for kept in tablet.outbox.envelopes.list_stored()][:asked]
    if cause == "age":
        for id_ in old:
            tablet.outbox.connection.execute("UPDATE envelope SET at = at - ? WHERE id = ?", (31 * DAY, id_))
    damaged = damage_page(office, old[0])
    assert 0 < len(damaged) < 20
    new = [screen(tablet) for _ in range(3)]
    if cause == "wipe":
        give(office, tablet, "wipe")
    for number in range(3):
        tablet.sync()
        if cause == "age":
            new.append(screen(tablet))
        taken = {jti for (jti,) in office.field.rows("SELECT jti FROM envelopes WHERE arrival > 30")}
        assert len(taken) == 3 + (number if cause == "age" else 0)
        assert taken <= set(new)
    asked_for = {*old} if cause == "age" else damaged
    on_tablet = {kept.id for kept in tablet.outbox.envelopes.list_stored()}
    assert asked_for & damaged <= on_tablet, "the only copies that can be read"
    assert not set(old) - damaged & on_tablet
    assert {id_ for (id_,) in office.field.rows("SELECT envelope FROM damaged_envelopes")} == asked_for & damaged
    assert office.field.rows("SELECT kind FROM work_items WHERE kind = 'damage'")


@pytest.mark.parametrize("place", [0, 25])
def test_a_damaged_page_keeps_no_screening_of_a_courier_back(
    office: Office, tablet: Tablet, tmp_path: Path, place: int
) -> None:
    fill(tablet, 30)
    old = tablet.hand_over(tmp_path / "old.courier").path
    tablet.sync()
    damaged = damage_page(office, tablet.outbox.envelopes.list_stored()[place].id)
    assert old is not None
    done = deliver_file(old, tmp_path / "a.receipts", Transport(office.line.url), lambda done, all_: None)
    assert done.receipted == 30 - len(damaged)
    assert {(each.id, each.code) for each in done.rejected} == {(id_, "envelope.not_stored") for id_ in damaged}


@pytest.mark.parametrize("code", ["storage.damaged", "storage.busy"])
def test_a_server_that_fails_at_a_question_gets_the_screenings_without_it(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    fill(tablet, 3)
    tablet.sync()
    age(tablet)
    new = screen(tablet)

    def fail(*asked: object, now: int) -> None:
        raise Problem(code)

    with monkeypatch.context() as patch:
        patch.setattr(envelopes, "find_duplicate", fail)
        assert tablet.sync().sent == 1
    assert new in office.stored()
    assert sum(tablet.sync().purged for _ in range(2)) == 3


@pytest.mark.parametrize("rate", [50, 100])
def test_a_wipe_destroys_what_needs_no_receipt_before_its_slow_requests(
    office: Office, tablet: Tablet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    fill(tablet, 200)
    tablet.sync()
    file, left = draft(tmp_path / "tablet"), list[tuple[bool, int]]()
    give(office, tablet, "wipe")

    def look(answer: PassingAnswer) -> None:
        with closing(sqlite3.connect(tmp_path / "tablet" / "outbox.db")) as store:
            (secret,) = store.execute(
                "SELECT (SELECT count(*) FROM draft_key) + (SELECT count(*) FROM held WHERE name LIKE 'bundle/%')"
            ).fetchone()
        left.append((file.exists(), secret))

    monkeypatch.setattr(sync_client, "measure_rate", lambda *measured: rate)
    tablet.outbox.connection.execute("UPDATE place SET rate = ?", (rate,))
    office.line.answer = look
    assert tablet.sync().wiped
    assert len(left) > 3
    assert left[0] == (True, 2)
    assert set(left[1:]) == {(False, 0)}


def test_old_receipts_of_a_courier_settle_nothing_that_the_server_lost(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    fill(tablet, 30)
    file, receipts = tablet.hand_over(tmp_path / "a.courier").path, tmp_path / "a.receipts"
    assert file is not None
    deliver_file(file, receipts, Transport(office.line.url), lambda done, all_: None)
    tablet.sync()
    damage_page(office, tablet.outbox.envelopes.list_stored()[0].id)
    age(tablet)
    while not tablet.outbox.envelopes.count_by_state()["rejected"]:
        tablet.sync()
    waiting = tablet.outbox.envelopes.count_by_state()["rejected"]
    assert tablet.take_receipts(receipts).settled == 0
    assert tablet.outbox.envelopes.count_by_state()["rejected"] == waiting


@pytest.mark.parametrize("cause", ["full", "lost"])
def test_screenings_that_arrive_after_a_wipe_are_erased_from_the_tablet_too(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """The server has no room, or a request was lost: the answer with the order has no receipts."""
    monkeypatch.setattr(sync_state_store, "SENT_TWICE_BYTES", 100)
    made = fill(tablet, 3)
    if cause == "lost":
        port, office.line.port = office.line.port, 1
        with pytest.raises(SyncError, match=r"transport\.broken"):
            tablet.sync()
        office.line.port = port
    give(office, tablet, "wipe")
    if cause == "full":
        office.line.answer = once(lambda passing: refuse(passing, 507, "storage.full"))
        with pytest.raises(SyncError, match=r"storage\.full"):
            tablet.sync()
    tablet.sync()
    assert (set(made) - set(office.stored()), on_board(tablet)) == (set(), set())
    assert tablet.status().wiped


@pytest.mark.parametrize("urgent", [2, 3])
def test_a_wipe_leaves_the_order_of_urgency(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, urgent: int
) -> None:
    later = [tablet.screen(FORM, answers(STORY[4]), TAKEN).jti for _ in range(6)]
    first = [tablet.screen(FORM, answers(STORY[3]), TAKEN).jti for _ in range(urgent)]
    give(office, tablet, "wipe")
    monkeypatch.setattr(sync_client, "measure_rate", lambda *_: 20)
    tablet.outbox.connection.execute("UPDATE place SET batch = 1, rate = 20")
    tablet.sync()
    stored = office.stored()
    assert set(stored[:urgent]) == set(first)
    assert set(stored) == {*first, *later}


def test_a_busy_server_is_not_asked_a_second_time_at_once(office: Office, tablet: Tablet) -> None:
    fill(tablet, 3)
    tablet.sync()
    age(tablet)
    office.line.answer = lambda passing: refuse(passing, 503, "server.busy")
    office.line.asked.clear()
    with pytest.raises(SyncError, match=r"server\.busy"):
        tablet.sync()
    assert office.line.asked == ["POST /v1/sync"]


@pytest.mark.parametrize("turns", [2, 3])
def test_servers_that_answer_in_turn_do_not_get_everything_again_and_again(
    office: Office, tablet: Tablet, turns: int
) -> None:
    """Behind one address are several that were restored apart."""
    made = fill(tablet, 30)
    tablet.sync()
    made += fill(tablet, 3)
    generations = itertools.cycle(letter * 11 for letter in "ABC"[:turns])

    server = office.field.services.keys.signing

    def take_turn(answer: Response) -> Response:
        generation, receipts = next(generations), answer.receipts
        if receipts is not None:
            receipts = Document.of({**receipts.content, "generation": generation}, receipt.TYP, server)
        return replace(answer, generation=generation, receipts=receipts)

    office.line.answer = resigned(office, server, take_turn)
    assert tablet.sync().requests <= turns + 1
    office.line.answer = lambda _: None
    tablet.sync()
    assert set(office.stored()) == set(made)


def refuse(passing: PassingAnswer, status: int, code: str) -> None:
    passing.status, passing.headers = status, {"Content-Type": "application/problem+json"}
    passing.put(json.dumps({"code": code, "status": status}).encode())


def once(change: Callable[[PassingAnswer], None]) -> Callable[[PassingAnswer], None]:
    """A change of the first answer alone."""
    left = [change]
    return lambda passing: left.pop()(passing) if left else None
