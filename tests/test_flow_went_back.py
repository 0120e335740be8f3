"""Tests of a server whose database went back: it notices by itself, and tablets bring again what was promised."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from server.app import open_services
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import FORM, INTERVIEWEES, Demo, approve_tablet, enrol_tablet, publish_form, read_answers
from server.cli.terminal import now_ms
from server.config import ConfigError
from server.database.commit_mark import CommitMark, MarkWriter, mark_file, read_mark
from server.database.sqlite import SqliteDatabase
from server.store import audit, chains, meta, worklist
from server.store.chains import Gap
from support.backups import read_column
from support.clients import Office
from support.databases import destroy_page, writing_connection
from support.intake import Field
from support.intake import Tablet as SimulatedTablet
from sync.documents import receipt
from sync.documents.receipt import ReceiptItem, shorten_head
from sync.exchange.messages import MAX_RANGES, AuditRow, Response
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.wire.json_object import MAX_INTEGER

TAKEN = date(2026, 11, 20)


def screen(tablet: Tablet, count: int = 1) -> list[str]:
    """Complete `count` interviews."""
    return [tablet.screen(FORM, read_answers(INTERVIEWEES[0]), TAKEN).jti for _ in range(count)]


# The whole story


@pytest.fixture
def stage(world: World) -> Iterator[Demo]:
    """A server in its own process, with a published form and one certified tablet."""
    folder = world.data.parent
    stage = Demo(folder, ServerProcess(folder, *free_ports(2)), now_ms)
    stage.pin = world.pin
    stage.server.start()
    try:
        for step in (publish_form, enrol_tablet):
            list(step(stage))
        yield stage
    finally:
        stage.server.kill()


def enrol_another(stage: Demo, name: str) -> Path:
    """Enrol and certify one more tablet."""
    with stage.staff("publicacion") as administrator:
        invited = administrator.post("/v1/invitations", json={"label": name, "region": "17"})
    with Tablet(stage.folder / name) as tablet:
        approve_tablet(stage, tablet.enrol(invited["invitation"]))
        assert tablet.pull().certified
    return stage.folder / name


def test_a_server_rolled_back_overnight_has_all_again_after_the_morning_syncs(stage: Demo) -> None:
    data, snapshot = stage.server.folders[0], stage.folder / "snapshot"
    folders = [stage.tablet, enrol_another(stage, "second"), enrol_another(stage, "third")]
    jtis: list[str] = []

    def sync_all(count: int) -> None:
        for folder in folders:
            with Tablet(folder) as tablet:
                jtis.extend(screen(tablet, count))
                assert tablet.sync().waiting == 0

    sync_all(1)
    stage.server.stop()
    shutil.copytree(data, snapshot)  # With the mark, as the snapshot of a virtual machine has it.
    stage.server.start()
    with stage.staff("publicacion") as administrator:
        assert [item["kind"] for item in administrator.get("/v1/work-list")] == []
    folders.append(enrol_another(stage, "fourth"))
    sync_all(2)
    stage.server.kill()
    shutil.rmtree(data)
    snapshot.rename(data)
    stage.server.start()

    sync_all(0)
    with stage.staff("publicacion") as administrator:
        items = administrator.get("/v1/work-list")
    (item,) = [item for item in items if item["kind"] == "went_back"]
    assert {item["kind"] for item in items} <= {"went_back", "rollout", "ahead"}, "no gap, no fork, nothing held"
    assert item["reason"].split()[0] == "receipts.newer"
    assert "generación nueva" in item["sentence"]
    stage.server.stop()
    assert sorted(read_column(data / "chaski.db", "select jti from envelopes")) == sorted(jtis)
    log = (stage.server.folders[1] / "server.log").read_text("utf-8").splitlines()
    (line,) = [json.loads(each) for each in log if "database went back" in each]
    assert (line["level"], line["why"]) == ("warning", "receipts.newer")


# At start, by the mark


def reopen(field: Field, world: World | None = None) -> Field:
    """Start the server again, on the field's folder or another."""
    field.services.db.close()
    where = world or field.world
    return replace(field, world=where, services=open_services(where.config, lambda: field.now))


def power_cut(field: Field, name: str = "cut") -> World:
    """Copy the folder of the open database, as a power cut would leave it; everything receipted is on disk."""
    left = World(field.world.data.with_name(name), field.world.people)
    shutil.copytree(field.world.data, left.data)
    return left


def generation(field: Field) -> str:
    """The generation of the database."""
    return meta.get_generation(field.services.db.read())


def reasons(field: Field) -> list[str]:
    """The first word of each item that says that the database went back."""
    items = worklist.list_open(field.services.db.read())
    return [item.reason.split()[0] for item in items if item.kind == "went_back"]


def test_an_older_copy_written_into_the_open_file_is_noticed_at_the_next_commit(field: Field) -> None:
    """As by `.restore` of the sqlite3 program: the file stays the same one, and the numbers pass the mark."""
    database, busy = field.world.config.database, field.tablet()
    former, evening = generation(field), power_cut(field, "evening").config.database
    with field.services.db.write() as w:
        audit.append(w, at=field.now, action="device.revoked", actor="registro", subject="lost")
    with closing(sqlite3.connect(evening)) as source, closing(sqlite3.connect(database)) as into:
        source.backup(into)
    for _ in range(3):
        field.push(busy, field.envelope(busy))
    assert reasons(field) == ["mark.other_history"]
    assert generation(field) != former
    again = reopen(field)
    assert reasons(again) == ["mark.other_history"]
    again.services.db.close()


def log_of(data: Path) -> Path:
    """The write-ahead log."""
    return data / "chaski.db-wal"


def lose_log(data: Path) -> None:
    log_of(data).unlink()


def cut_log(data: Path) -> None:
    log = log_of(data)
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size // 2)


def rot_frame(data: Path) -> None:
    """Flip one bit in the middle of the log. SQLite drops this frame and all after it without a word."""
    log = log_of(data)
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 1
    log.write_bytes(raw)


def lose_mark(data: Path) -> None:
    mark_file(data / "chaski.db").unlink()


def break_mark(data: Path) -> None:
    mark_file(data / "chaski.db").write_bytes(b"\0" * 5000)


def take_older_file(data: Path) -> None:
    """The database alone comes from an older copy."""
    lose_log(data)
    shutil.copy(data.with_name("evening") / "chaski.db", data / "chaski.db")
    shutil.copy(data.with_name("evening") / "chaski.db-wal", log_of(data))


DAMAGE: dict[Callable[[Path], None], str] = {
    lose_log: "mark.newer",
    cut_log: "mark.newer",
    rot_frame: "mark.newer",
    take_older_file: "mark.newer",
    lose_mark: "mark.missing",
    break_mark: "mark.missing",
}


def test_a_server_whose_mark_is_a_folder_says_so_and_does_not_start(field: Field) -> None:
    """It could promise nothing: no commit would have a mark."""
    field.services.db.close()
    mark = mark_file(field.world.config.database)
    mark.unlink()
    mark.mkdir()
    with pytest.raises(ConfigError, match=mark.name):
        open_services(field.world.config)


@pytest.mark.parametrize("table", ["referrals", "chains", "people_copy"])
def test_a_database_behind_its_mark_and_not_sound_does_not_start(field: Field, table: str) -> None:
    """Its log lost its end when a part of it was merged: the next commits could be lost at once."""
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    field.services.db.close()
    database = field.world.config.database
    destroy_page(database, table)
    lose_mark(field.world.data)
    with pytest.raises(ConfigError, match="chaski check"):
        open_services(field.world.config)
    assert not mark_file(database).exists(), "the next start judges in the same way"


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_database_behind_its_mark_gets_a_new_generation_at_start(
    field: Field, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    tablet, former = field.tablet(), generation(field)
    field.push(tablet, field.envelope(tablet))
    power_cut(field, "evening")
    writing_connection(field.services.db).execute("pragma wal_checkpoint(truncate)")
    sent = [field.envelope(tablet) for _ in range(4)]
    for each in sent:
        field.push(tablet, each)
    left = power_cut(field)
    damage(left.data)
    with caplog.at_level("WARNING", "chaski"):
        again = reopen(field, left)
    assert generation(again) != former
    assert reasons(again) == [DAMAGE[damage]]
    assert [record.fields["why"] for record in caplog.records] == [DAMAGE[damage]]  # type: ignore[attr-defined]
    trail = audit.list_entries(again.services.db.read(), limit=10_000)
    assert [entry.subject for entry in trail if entry.action == "database.went_back"] == [former]
    assert {item.outcome for item in again.push(tablet, *sent)} <= {"stored", "duplicate"}
    once = generation(again)
    last = reopen(again)
    assert (generation(last), len(reasons(last))) == (once, 1), "one rollback, one generation"
    last.services.db.close()


def test_power_cuts_clean_stops_and_other_commands_change_no_generation(field: Field) -> None:
    tablet, former = field.tablet(), generation(field)
    field.push(tablet, field.envelope(tablet))
    again = reopen(field, power_cut(field))
    again.push(tablet, again.envelope(tablet))
    again = reopen(again)
    with closing(SqliteDatabase(again.world.config.database)) as command, command.write() as w:
        audit.append(w, at=1, action="tests.ran", actor="tests", subject="")
    again = reopen(again)
    again.push(tablet, again.envelope(tablet))
    again = reopen(again)
    assert (generation(again), reasons(again)) == (former, [])
    number, head = audit.get_head(again.services.db.read())
    mark = read_mark(again.world.config.database)
    assert mark is not None
    assert (mark.generation, mark.number <= number) == (former, True)
    assert head
    again.services.db.close()


def test_a_database_of_before_marks_gets_its_first_and_keeps_its_generation(field: Field) -> None:
    former = generation(field)
    with field.services.db.write() as w:
        w.execute("delete from meta where name = 'marked'")
    lose_mark(field.world.data)
    again = reopen(field)
    assert (generation(again), reasons(again)) == (former, [])
    lose_mark(field.world.data)
    assert reasons(reopen(again)) == ["mark.missing"]


def test_a_kill_between_commit_and_mark_changes_no_generation(field: Field) -> None:
    """The mark is then older than the database."""
    tablet, former = field.tablet(), generation(field)
    field.push(tablet, field.envelope(tablet))
    before = mark_file(field.world.config.database).read_bytes()
    field.push(tablet, field.envelope(tablet))
    mark_file(field.world.config.database).write_bytes(before)
    again = reopen(field)
    assert (generation(again), reasons(again)) == (former, [])
    again.services.db.close()


def test_another_history_under_the_same_audit_number_is_noticed(field: Field) -> None:
    """Two servers went on from one copy: the second one's folder got the first one's mark."""
    tablet, other = field.tablet(), power_cut(field, "other")
    twin = replace(field, world=other, services=open_services(other.config, lambda: field.now))
    with field.services.db.write() as w:
        audit.append(w, at=1, action="tests.ran", actor="one", subject="")
    with twin.services.db.write() as w:
        audit.append(w, at=1, action="tests.ran", actor="other", subject="")
    shutil.copy(mark_file(field.world.config.database), mark_file(other.config.database))
    again = reopen(twin)
    assert reasons(again) == ["mark.other_history"]
    again.push(tablet, again.envelope(tablet))
    again.services.db.close()


# In the running server, by a tablet's receipts


def rolled_back(field: Field, *tablets: SimulatedTablet) -> tuple[Field, list[Response]]:
    """A server that went back with its mark, and for each tablet the last response before that."""
    evening = power_cut(field, "evening")
    last = [field.ask(each, field.message(each, field.envelope(each))) for each in tablets]
    again = reopen(field, evening)
    assert reasons(again) == []
    return again, last


def told(response: Response) -> dict[str, Any]:
    """The members by which a tablet tells back what this response said."""
    assert response.receipts is not None
    content = response.receipts.content
    row = AuditRow(content["number"], shorten_head(content["head"]))
    return {"generation": response.generation, "told": row}


def proof(response: Response) -> str:
    """The receipts of a response as a tablet keeps them."""
    assert response.receipts is not None
    return response.receipts.to_bytes().decode()


def test_one_tablets_receipts_start_a_new_generation_once(field: Field) -> None:
    first, second = field.tablet(), field.tablet()
    field.push(first, field.envelope(first))
    again, (one, other) = rolled_back(field, first, second)
    former = generation(again)
    answer = again.ask(first, again.message(first, **told(one)))
    assert (answer.prove, answer.generation) == (True, former), "its word alone starts nothing"
    answer = again.ask(first, again.message(first, **told(one), proof=proof(one)))
    assert (answer.prove, answer.generation != former) == (False, True)
    late = again.ask(second, again.message(second, **told(other), proof=proof(other)))
    assert (late.generation, late.prove) == (answer.generation, False), "a proof of the former generation is settled"
    unknown = again.message(second, **{**told(other), "generation": "AAAAAAAAAAA"})
    assert again.ask(second, unknown).prove, "its word alone starts nothing"
    assert generation(again) == answer.generation
    assert reasons(again) == ["receipts.newer"]
    assert again.push(first, again.envelope(first))[0].outcome == "stored"
    last = reopen(again)
    assert (generation(last), len(reasons(last))) == (answer.generation, 1)
    last.services.db.close()


def test_the_same_snapshot_put_back_twice_is_noticed_twice(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time its generation is one that the tablet has left."""
    monkeypatch.setattr(MarkWriter, "last", CommitMark("", 0, ""))  # As after a restart: only the tablet knows better.
    field = office.field
    db = field.services.db
    evening = power_cut(field, "evening").config.database
    screen(tablet)
    tablet.sync()

    def put_back() -> None:
        with closing(sqlite3.connect(evening)) as source, closing(sqlite3.connect(field.world.config.database)) as into:
            source.backup(into)
        mark_file(field.world.config.database).write_bytes(mark_file(evening).read_bytes())

    for why in ("receipts.newer", "receipts.other_generation"):
        put_back()
        assert (office.stored(), reasons(field)) == ([], [])
        assert tablet.sync().waiting == 0
        assert (len(office.stored()), reasons(field)) == (1, [why])
        settled = meta.get_generation(db.read())
        assert tablet.sync().traffic.requests == 1
        assert meta.get_generation(db.read()) == settled


def test_a_tablet_knows_better_even_after_the_server_went_on(field: Field) -> None:
    """The audit trail is longer than what the tablet was told, and another one."""
    first, busy = field.tablet(), field.tablet()
    again, (one,) = rolled_back(field, first)
    for _ in range(3):
        again.push(busy, again.envelope(busy))
    assert again.ask(first, again.message(first, **told(one))).prove
    again.ask(first, again.message(first, **told(one), proof=proof(one)))
    assert reasons(again) == ["receipts.other_history"]
    again.services.db.close()


def forged(field: Field, real: Response, **changes: Any) -> str:
    """Receipts for a row that the server never had, signed by a stranger."""
    said = {"dev": real.dev, "n": real.n, "at": 1, "generation": real.generation, "head": "f0" * 32, "number": 10**6}
    item = ReceiptItem("e1" * 32, "stored", 1)
    return receipt.make(SigningKey.generate(), items=[item], **{**said, **changes}).to_bytes().decode()


LIES: dict[str, Callable[[Field, Response], str]] = {
    "no proof": lambda field, real: "",
    "no document": lambda field, real: "believe me",
    "signed by itself": forged,
    "true receipts": lambda field, real: proof(real),
    "cut off": lambda field, real: proof(real)[:-9],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_tablet_starts_no_generation_and_is_served_all_the_same(field: Field, lie: str) -> None:
    liar, former = field.tablet(), generation(field)
    real = field.ask(liar, field.message(liar, field.envelope(liar)))
    for row in (AuditRow(MAX_INTEGER, "A" * 22), AuditRow(1, "A" * 22)):
        said = {"generation": former, "told": row, "cursor": MAX_INTEGER}
        answer = field.ask(liar, field.message(liar, **said))
        assert (answer.prove, answer.cursor) == (True, 0)
        sent = field.message(liar, field.envelope(liar), **said, proof=LIES[lie](field, real))
        answer = field.ask(liar, sent)
        assert answer.receipts is not None
        assert answer.receipts.content["items"][0]["outcome"] == "stored"
    assert (generation(field), reasons(field)) == (former, [])


def test_a_lie_about_receipts_opens_no_gap_and_costs_a_bounded_answer(field: Field) -> None:
    liar, former = field.tablet(), generation(field)
    field.push(liar, *(field.envelope(liar, at=(seq, "0" * 64)) for seq in range(2, 302, 2)))
    closed = field.rows("select dev, chain, contiguous, reason from chains join work_items using (dev, chain)")
    lies = {liar.chain: MAX_INTEGER, "AAAAAAAAAAA": 10**9, "BBBBBBBBBBB": 1}
    for _ in range(2):
        answer = field.ask(liar, field.message(liar, generation=former, receipted=lies))
        assert sum(map(len, answer.again.values())) <= MAX_RANGES
    assert field.rows("select dev, chain, contiguous, reason from chains join work_items using (dev, chain)") == closed
    answer = field.ask(liar, field.message(liar, generation=former, receipted={liar.chain: 300}))
    assert list(answer.again[liar.chain]) == [(seq, seq) for seq in range(1, 2 * MAX_RANGES, 2)]


def test_tablets_and_servers_of_before_receipts_had_numbers_still_agree(field: Field) -> None:
    tablet = field.tablet()
    answer = field.ask(tablet, field.message(tablet, field.envelope(tablet), generation=generation(field)))
    assert (answer.prove, answer.again) == (False, {})
    nameless = receipt.make(
        field.services.keys.signing, dev=tablet.key.kid, n=1, at=1, generation=generation(field), head="", items=[]
    )
    read = receipt.accept(nameless, field.trust, dev=tablet.key.kid, n=1)
    assert (read.number, "number" in nameless.content) == (0, False)
    ask = field.message(tablet, generation=generation(field), proof=nameless.to_bytes().decode())
    assert field.ask(tablet, ask).generation == generation(field)
    assert reasons(field) == []


def test_a_status_that_came_before_the_rollback_hides_none_that_comes_after(field: Field) -> None:
    tablet = field.tablet()
    sent = field.envelope(tablet)
    field.push(tablet, sent)
    with field.services.db.write() as w:
        w.execute("insert into status_events (dev, envelope, status, at) select dev, id, 'accepted', 1 from envelopes")
    ahead = {"generation": generation(field), "cursor": 40}
    answer = field.ask(tablet, field.message(tablet, **ahead))
    assert [event.status for event in answer.events] == ["accepted"]
    assert answer.cursor == 1


# One screening


def delete(office: Office, *tables: str, where: str) -> None:
    """Delete rows by hand, as with the sqlite3 program."""
    columns = {"envelopes": "id", "routes": "envelope", "referrals": "envelope"}
    with closing(sqlite3.connect(office.field.world.config.database)) as shell:
        chosen = [row[0] for row in shell.execute(f"select id from envelopes where {where}")]  # noqa: S608
        marks = ", ".join("?" * len(chosen))
        for table in tables:
            shell.execute(f"delete from {table} where {columns[table]} in ({marks})", chosen)  # noqa: S608
        shell.commit()


ALL = ("envelopes", "routes", "referrals")


@pytest.mark.parametrize("tables", [ALL, ALL[:1], ALL[:2], ("envelopes", "referrals")], ids="-".join)
@pytest.mark.parametrize("where", ["seq = 2", "seq in (2, 4)", "seq >= 3", "true"])
def test_screenings_deleted_by_hand_come_back_with_the_next_sync(
    office: Office, tablet: Tablet, tables: tuple[str, ...], where: str
) -> None:
    jtis = screen(tablet, 4)
    tablet.sync()
    before = office.field.rows("select envelope, queue from referrals order by envelope")
    counted = office.field.rows("select * from statistics_cells")
    delete(office, *tables, where=where)
    report = tablet.sync()
    assert (report.waiting, sorted(office.stored())) == (0, sorted(jtis))
    assert report.traffic.requests <= 3, "it is told, sends one, sends the others"
    assert office.field.rows("select envelope, queue from referrals order by envelope") == before
    if "routes" not in tables:
        assert office.field.rows("select * from statistics_cells") == counted, "nobody is counted twice"
    assert worklist.list_open(office.field.services.db.read()) == []
    assert tablet.sync().traffic.requests == 1


def test_a_lost_screening_that_no_tablet_keeps_is_a_gap_and_asked_for_once_a_sync(
    office: Office, tablet: Tablet
) -> None:
    """The tablet has erased the first and the last of three; one of its own is rejected."""
    screen(tablet, 4)
    tablet.sync()
    tablet.outbox.connection.execute("update envelope set state = 'purged', raw = x'' where seq in (1, 3)")
    delete(office, *ALL, where="seq in (1, 3)")
    for _ in range(2):
        assert tablet.sync().traffic.requests == 1
    items = worklist.list_open(office.field.services.db.read())
    assert [(item.kind, item.reason) for item in items] == [("gap", "seq.1")]
    tablet.outbox.connection.execute("update envelope set state = 'rejected', at = 1 where seq = 4")
    delete(office, *ALL, where="seq = 4")
    assert tablet.sync().waiting == 0, "what the tablet still has of it is sent as before"
    assert len(office.stored()) == 2


def test_after_a_rollback_screenings_that_their_tablet_erased_are_a_gap(office: Office, tablet: Tablet) -> None:
    """Not even one of the chain is kept, so none can be offered."""
    field = office.field
    evening = power_cut(field, "evening").config.database
    screen(tablet, 3)
    tablet.sync()
    tablet.outbox.connection.execute("update envelope set state = 'purged', raw = x''")
    with closing(sqlite3.connect(evening)) as source, closing(sqlite3.connect(field.world.config.database)) as into:
        source.backup(into)
    for _ in range(3):
        assert tablet.sync().waiting == 0
    items = worklist.list_open(field.services.db.read())
    assert [item.reason for item in items if item.kind == "gap"] == ["seq.1-3"]


@pytest.mark.parametrize(("erased", "gap", "stored"), [("seq = 2", "seq.2", 2), ("seq >= 2", "seq.2-3", 1)])
def test_a_lost_end_of_a_chain_is_a_gap_too(office: Office, tablet: Tablet, erased: str, gap: str, stored: int) -> None:
    screen(tablet, 3)
    tablet.sync()
    tablet.outbox.connection.execute(f"update envelope set state = 'purged', raw = x'' where {erased}")  # noqa: S608
    delete(office, *ALL, where="seq >= 2")
    for _ in range(2):
        assert tablet.sync().waiting == 0
        items = worklist.list_open(office.field.services.db.read())
        assert [(item.kind, item.reason) for item in items] == [("gap", gap)]
        assert len(office.stored()) == stored


def test_a_server_that_always_asks_again_does_not_keep_a_sync_from_ending(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(tablet, 2)
    tablet.sync()
    monkeypatch.setattr(chains, "list_missing", lambda *about: [Gap(1, 2)])
    for _ in range(2):
        report = tablet.sync()
        assert (report.waiting, report.traffic.requests <= 3) == (0, True)


def test_a_tablet_keeps_the_receipts_of_the_newest_row_through_a_restart(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    screen(tablet)
    tablet.sync()
    held = tablet.outbox.sync_state.load()
    assert held.told.number == audit.get_head(office.field.services.db.read())[0]
    tablet.sync()
    tablet.close()
    with Tablet(tmp_path / "tablet") as again:
        assert again.outbox.sync_state.load().proof == held.proof
        assert again.outbox.sync_state.load().told == held.told
