"""Tests of damage at rest: a changed bit is noticed while somebody still has a good copy, and intake goes on.

A damaged envelope gets no receipt `duplicate`, the scrub job and `chaski check` find it, and the tablet's bytes repair
it.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import World
from server import jobs, server_keys
from server.app import open_services, tablet_api
from server.config import ConfigError
from server.database.sqlite import SqliteDatabase
from server.flows.intake import gaps
from server.flows.operations import health, integrity, scrub
from server.flows.trust import enrolment
from server.store import envelopes, meta, worklist
from support.backups import run_chaski, run_for_json
from support.databases import destroy_page, edit_by_hand
from support.intake import ROUTE, Field, open_field
from sync.durations import DAY
from sync.envelope.verify import envelope_id
from sync.exchange.messages import SIGNATURE_HEADER
from sync.keys.key_pairs import RouteKey
from sync.wire.encoding import b64u, unb64u

PAGE = 4096


def check(database: Path, keys: Path | None = None) -> set[tuple[str, str]]:
    """Code and subject of each fault. The server's keys lie beside the database, or in a folder of their own."""
    own = server_keys.load(keys or database.parent / "keys")
    found = integrity.check_file(database, keys=own.routes, progress=lambda part: None)
    return {(fault.code, fault.subject) for fault in found.faults}


def open_items(field: Field) -> list[tuple[str, str]]:
    return [(item.kind, item.chain) for item in worklist.list_open(field.services.db.read())]


def scrubbed(field: Field, *, days: int = 0) -> int:
    return scrub.scrub(
        field.services.db, field.world.config.database, keys=field.services.keys.routes, now=field.now + days * DAY
    )


def change_envelope(field: Field, raw: bytes, change: str = "body = zeroblob(size)") -> str:
    """Change a stored envelope, as a rotten disk or a person would."""
    edit_by_hand(field.world.config.database, f"update envelopes set {change} where id = '{envelope_id(raw)}'")  # noqa: S608
    return envelope_id(raw)


# Receipts

CHANGES = [
    "body = zeroblob(size)",
    "body = substr(body, 2)",
    "seq = seq + 1",
    "jti = 'j' || jti",
    "kid = 'x'",
    "size = size + 1",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_screening_is_replaced_by_the_good_bytes_that_arrive(field: Field, change: str) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    before = field.rows("select * from envelopes")
    id_ = change_envelope(field, raw, change)
    assert scrubbed(field) == 1
    assert open_items(field) == [("damage", "envelope.changed")]
    assert [(item.id, item.outcome) for item in field.push(tablet, raw)] == [(id_, "duplicate")]
    assert field.rows("select * from envelopes") == before
    assert field.rows("select subject from audit where action = 'envelope.repaired'") == [(id_,)]
    assert (open_items(field), envelopes.list_damaged(field.services.db.read())) == ([], [])
    assert check(field.world.config.database) == set()


@pytest.mark.parametrize("column", ["jti", "chain", "kid"])
def test_a_bit_in_a_stored_column_is_put_right_by_the_good_bytes(field: Field, column: str) -> None:
    """In the file, not by SQL: the row and its index entries differ then."""
    tablet, other = field.tablet(), field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    field.push(other, field.envelope(other))
    before, database = field.rows("select * from envelopes order by arrival"), field.world.config.database
    (row,) = field.rows(f"select id || dev || jti || chain, {column} from envelopes where arrival = 1")  # noqa: S608
    beside, value = row
    field.services.db.close()
    content = bytearray(database.read_bytes())
    place = content.index(beside.encode())
    content[content.index(value.encode(), place + 64)] ^= 1
    database.write_bytes(content)
    field.services = replace(field.services, db=SqliteDatabase(database))
    assert scrubbed(field) >= 1
    assert {item.outcome for item in field.push(tablet, raw)} == {"duplicate"}
    assert field.rows("select * from envelopes order by arrival") == before
    assert check(database) == set()


def test_a_bit_in_a_sealed_route_is_damage_of_its_screening_alone(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    first = raw.partition(b".")[0]
    header = bytearray(unb64u(first))
    place = header.index(b'"route":"') + 60
    header[place] = ord("A") if header[place] != ord("A") else ord("B")
    changed = raw.replace(first, b64u(bytes(header)).encode(), 1)
    id_ = envelope_id(raw)
    edit_by_hand(field.world.config.database, f"update envelopes set body = x'{changed.hex()}' where id = '{id_}'")  # noqa: S608
    assert {code for code, _ in check(field.world.config.database, field.world.config.keys)} == {"envelope.changed"}


def test_an_unreadable_route_beyond_its_tablets_budget_is_no_damage(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.flows.desks.tablet_budget.OPEN_ITEMS", 1)
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet, route_key=RouteKey.generate().public) for _ in range(14)))
    assert field.rows("select count(*) > 0 from deferred_items where kind = 'route'") == [(1,)]
    assert check(field.world.config.database, field.world.config.keys) == set()


@pytest.mark.parametrize("change", ["body = zeroblob(size)", "body = cast(body || 'A' as blob)"])
def test_a_tablet_that_asks_for_a_damaged_screening_gets_no_receipt_and_sends_it(field: Field, change: str) -> None:
    tablet = field.tablet()
    good, bad = field.envelope(tablet), field.envelope(tablet)
    field.push(tablet, good, bad)
    id_ = change_envelope(field, bad, change)
    response = field.ask(tablet, field.message(tablet, pending=(envelope_id(good), id_)))
    assert response.receipts is not None
    assert [item["id"] for item in response.receipts.content["items"]] == [envelope_id(good)]
    assert envelopes.list_damaged(field.services.db.read()) == [id_]
    assert open_items(field) == [("damage", "envelope.changed")]
    field.push(tablet, bad)
    assert (open_items(field), check(field.world.config.database)) == ([], set())


def test_a_screening_on_an_unreadable_page_does_not_stop_the_others_of_its_batch(field: Field) -> None:
    tablet = field.tablet()
    lost, raw = field.envelope(tablet), field.envelope(tablet)
    field.push(tablet, lost)
    break_overflow_page(field, lost)
    items = {item.id: item.outcome for item in field.push(tablet, lost, raw)}
    assert items[envelope_id(raw)] == "stored"
    assert items[envelope_id(lost)] in ("rejected", "duplicate")
    assert field.ask(tablet, field.message(tablet, pending=(envelope_id(raw),))).receipts is not None


def break_overflow_page(field: Field, raw: bytes) -> None:
    """Let a page of an envelope's bytes name a next page that does not exist."""
    database = field.world.config.database
    field.services.db.truncate_log()
    content = bytearray(database.read_bytes())
    place = content.find(raw[-1500:-1200])
    page = place // PAGE * PAGE
    content[page : page + 4] = b"\x7f\xff\xff\xff"
    field.services.db.close()
    database.write_bytes(content)
    field.services = replace(field.services, db=SqliteDatabase(database))


# What a person deletes by hand

DELETED = {
    "a screening": ("delete from envelopes where seq = 2", "envelope.missing"),
    "its referral": (
        "delete from referrals where envelope = (select id from envelopes where seq = 2)",
        "referral.missing",
    ),
    "its route": ("delete from routes where envelope = (select id from envelopes where seq = 2)", "route.missing"),
    "a tablet": ("delete from devices", "device.missing"),
    "a registry": ("delete from documents where kind = 'registry'", "document.missing"),
}


@pytest.mark.parametrize("what", DELETED)
def test_a_row_that_a_person_deletes_is_missed_by_check_and_audit_verify(field: Field, what: str) -> None:
    tablet, database = field.tablet(), field.world.config.database
    field.push(tablet, *(field.envelope(tablet) for _ in range(3)))
    assert check(database) == set()
    sql, code = DELETED[what]
    edit_by_hand(database, sql)
    assert code in {found for found, _ in check(database)}
    for words in (("check",), ("audit", "verify")):
        ran = run_chaski(*words, "--data", field.world.data)
        assert (ran.exit_code, code in ran.stdout) == (1, True), ran.stdout


HIDDEN = {
    "closed": ("update referrals set state = 'closed'", "referral.changed"),
    "in another queue": (
        "update referrals set queue = (select id from queues where id <> queue limit 1)",
        "referral.changed",
    ),
    "in training": ("update referrals set mode = 'training'", "referral.changed"),
    "not urgent": ("update referrals set deadline = deadline * 9", "referral.changed"),
    "on no work list": ("delete from work_items", "work.missing"),
    "of a tablet that is no longer revoked": ("update devices set state = 'certified'", "device.changed"),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_a_screening_that_a_person_hides_by_hand_is_missed_by_check_and_scrub(field: Field, what: str) -> None:
    tablet, database = field.tablet(), field.world.config.database
    field.push(tablet, field.envelope(tablet))
    with field.services.db.write() as w:
        enrolment.revoke_devices(w, {tablet.key.kid}, actor="tests", now=field.now)
    field.push(tablet, field.envelope(tablet))
    assert (check(database), scrubbed(field)) == (set(), 0)
    sql, code = HIDDEN[what]
    edit_by_hand(database, sql)
    assert code in {found for found, _ in check(database)}
    assert scrubbed(field) >= 1
    assert ("damage", code) in open_items(field)


def test_of_two_screenings_with_one_number_a_damaged_one_is_asked_for(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    twin = field.envelope(tablet, at=(1, ""))
    assert [item.outcome for item in field.push(tablet, twin)] == ["fork"]
    change_envelope(field, twin)
    assert scrubbed(field) == 1
    told = field.message(tablet, generation=meta.get_generation(field.services.db.read()), receipted={tablet.chain: 1})
    assert field.ask(tablet, told).again == {tablet.chain: ((1, 1),)}


def test_a_screening_and_its_audit_row_deleted_together_leave_a_gap(field: Field) -> None:
    """The last number of a chain: no later one shows that it is missing."""
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    field.push(tablet, *raws)
    for sql in ("referrals where envelope", "routes where envelope", "envelopes where id", "audit where subject"):
        edit_by_hand(field.world.config.database, f"delete from {sql} = '{envelope_id(raws[2])}'")  # noqa: S608
    gaps.update_all_gaps(field.services.db, now=field.now)
    gaps.update_all_gaps(field.services.db, now=field.now + DAY)
    assert [item.reason for item in worklist.list_open(field.services.db.read()) if item.kind == "gap"] == ["seq.3"]
    field.push(tablet, raws[2])
    assert "gap" not in {kind for kind, _ in open_items(field)}
    assert field.rows("select contiguous from chains") == [(3,)]


@pytest.mark.parametrize("claimed", [4, 9])
def test_a_chain_that_shows_more_than_it_has_counts_again_from_its_screenings(field: Field, claimed: int) -> None:
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet) for _ in range(3)))
    edit_by_hand(field.world.config.database, f"update chains set contiguous = {claimed}")  # noqa: S608
    gaps.update_all_gaps(field.services.db, now=field.now)
    assert field.rows("select contiguous from chains") == [(3,)]
    (item,) = worklist.list_open(field.services.db.read())
    assert (item.kind, item.reason) == ("gap", "seq.4" if claimed == 4 else "seq.4-9")


# The scrub job, health and metrics


@pytest.mark.parametrize(
    ("sql", "item"),
    [
        ("update envelopes set body = zeroblob(size)", "envelope.changed"),
        ("update routes set province = '0801'", "route.changed"),
        ("update routes set queue_kinds = null, mode = null", "route.changed"),
        ("update routes set received = received + 1", "route.changed"),
        ("update envelopes set size = size + 1", "envelope.changed"),
        ("delete from envelopes", "envelope.missing"),
        ("update documents set body = cast(' ' || body as blob) where kind = 'registry'", "document.changed"),
        ("update versions set body = cast(' ' || body as blob)", "version.changed"),
        ("update keyring_keys set public = zeroblob(1216) where keyring = '17-child'", "key.changed"),
        ("update audit set actor = 'another' where number = 3", "audit.broken"),
        ("delete from audit where number = 3", "audit.missing"),
    ],
)
def test_the_scrub_job_puts_damage_on_the_work_list_and_intake_goes_on(field: Field, sql: str, item: str) -> None:
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    edit_by_hand(field.world.config.database, sql)
    services = field.services
    scrub_job = next(job for job in jobs.JOBS if job.name == "scrub")
    assert jobs.run_job(scrub_job, services.db, services.config, field.now) >= 1
    assert ("damage", item) in open_items(field)
    assert health.measure(services.db, services.config, services.keys, now=field.now).work["damage"] >= 1
    assert tablet_api(services).test_client().get("/healthz").json == {"status": "damaged"}
    if "document" not in item:
        other = field.tablet()
        assert [each.outcome for each in field.push(other, field.envelope(other))] == ["stored"]


def test_the_scrub_job_goes_on_where_it_ended_and_begins_again(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scrub.ROWS_A_RUN, "envelopes", 2)
    monkeypatch.setattr(scrub, "AUDIT_ROWS_A_RUN", 7)
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(5)]
    field.push(tablet, *raws)
    change_envelope(field, raws[3])
    assert [scrubbed(field) for _ in range(6)] == [0, 1, 0, 0, 1, 0]
    assert len(worklist.list_open(field.services.db.read())) == 1
    edit_by_hand(field.world.config.database, "update audit set actor = 'x' where number = 2")
    rows = int(field.rows("select count(*) from audit")[0][0])
    assert ("damage", "audit.broken") not in open_items(field)
    for _ in range(rows // 7 + 2):
        scrubbed(field)
    assert ("damage", "audit.broken") in open_items(field)


def test_damage_that_a_person_checked_is_back_the_next_day_if_it_is_still_there(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    change_envelope(field, raw)
    for days, expected in ((0, 1), (0, 0), (1, 1)):
        scrubbed(field, days=days)
        items = worklist.list_open(field.services.db.read())
        assert len(items) == expected
        with field.services.db.write() as w:
            for item in items:
                worklist.record_decision(w, item.id, decision="checked", by="a", at=field.now)


@pytest.mark.parametrize(
    "left", ["", "x", "[1]", '{"envelopes": -5}', '{"envelopes": "7"}', '{"audit": 3}', '{"pages": 1e99}']
)
def test_the_scrub_job_begins_again_if_its_own_note_is_damaged(field: Field, left: str) -> None:
    edit_by_hand(field.world.config.database, f"insert or replace into meta values ('scrub', '{left}')")  # noqa: S608
    assert scrubbed(field) == 0


# The command


def test_chaski_check_says_what_is_wrong_where_and_what_to_do_and_exits_1(field: Field) -> None:
    tablet = field.tablet()
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    good = run_for_json("check", "--data", field.world.data)
    assert (good["faults"], good["accepted"]) == ([], [])
    assert run_chaski("check", "--data", field.world.data).stdout.startswith("No damage found")
    id_ = change_envelope(field, raw)
    ran = run_chaski("check", "--data", field.world.data)
    assert ran.exit_code == 1
    assert "envelope.changed (1)" in ran.stdout
    assert id_ in ran.stdout
    assert "tablet sends it again" in " ".join(ran.stdout.split())
    ran = run_chaski("check", "--data", field.world.data, "--json")
    assert (ran.exit_code, id_ in ran.stdout) == (1, True)


def test_chaski_check_changes_nothing_and_needs_no_running_server(field: Field) -> None:
    field.services.db.close()
    before = field.world.config.database.read_bytes()
    run_for_json("check", "--data", field.world.data)
    assert field.world.config.database.read_bytes() == before
    field.world.config.database.write_bytes(b"SQLite format 3\0" + bytes(5000))
    ran = run_chaski("check", "--data", field.world.data)
    assert (ran.exit_code, "pages.damaged" in ran.stdout) == (1, True)


def test_a_database_of_another_release_is_named_and_not_called_damaged(field: Field) -> None:
    edit_by_hand(field.world.config.database, "delete from _sqlite_migrations where name = 'damage'")
    with pytest.raises(ConfigError, match="another release"):
        check(field.world.config.database)


def test_a_trigger_or_table_that_is_missing_or_changed_is_found(field: Field) -> None:
    edit_by_hand(field.world.config.database, "drop trigger audit_stays; drop index referrals_by_queue")
    assert {("schema.changed", "audit_stays"), ("schema.changed", "referrals_by_queue")} <= check(
        field.world.config.database
    )


ROTTEN_SCHEMAS = {
    "its words are no UTF-8": (b"CREATE TABLE sessions", 6, 7),
    "its words are no SQL": (b"CREATE TABLE sessions", 6, 1),
    "a column has another name": (b"prev text not null,\n      hash", 0, 1),
}


@pytest.mark.parametrize("what", ROTTEN_SCHEMAS)
def test_a_changed_bit_in_the_schema_is_named_and_ends_no_command_in_a_traceback(field: Field, what: str) -> None:
    tablet, database = field.tablet(), field.world.config.database
    field.push(tablet, field.envelope(tablet))
    field.services.db.truncate_log()
    words, letter, bit = ROTTEN_SCHEMAS[what]
    raw = bytearray(database.read_bytes())
    place = raw.index(words) + letter
    raw[place] ^= 1 << bit
    with database.open("r+b") as opened:
        opened.seek(place)
        opened.write(raw[place : place + 1])
    for command in (("check",), ("audit", "verify")):
        ran = run_chaski(*command, "--data", field.world.data)
        assert (ran.exit_code, ran.exception.__class__) == (1, SystemExit), ran.output
    assert scrubbed(field) >= 1
    assert "damage" in {kind for kind, _ in open_items(field)}
    field.services.db.close()
    with suppress(ConfigError):  # It starts with a renamed column, or says in one line why not.
        open_services(field.world.config, lambda: field.now).db.close()


# The facts about the database itself


@pytest.mark.parametrize(
    ("sql", "code", "subject"),
    [
        ("delete from meta", "meta.missing", "generation"),
        ("delete from meta where name = 'sign_in_pepper'", "meta.missing", "sign_in_pepper"),
        ("update meta set value = cast(x'ff' as text) where name = 'generation'", "meta.changed", "generation"),
        ("update meta set value = '' where name = 'generation'", "meta.changed", "generation"),
        ("update meta set value = 'zz' where name = 'sign_in_pepper'", "meta.changed", "sign_in_pepper"),
    ],
)
def test_a_lost_or_damaged_generation_is_named_by_check_scrub_and_start(
    field: Field, sql: str, code: str, subject: str
) -> None:
    edit_by_hand(field.world.config.database, sql)
    assert (code, subject) in check(field.world.config.database)
    ran = run_chaski("check", "--data", field.world.data)
    assert (ran.exit_code, code in ran.stdout) == (1, True)
    assert scrubbed(field) >= 1
    assert ("damage", code) in open_items(field)
    field.services.db.close()
    if subject == "generation":
        with pytest.raises(ConfigError, match="generation is missing or damaged"):
            open_services(field.world.config)


@pytest.mark.parametrize(
    "sql", ["delete from meta where name = 'generation'", "update meta set value = '' where name = 'generation'"]
)
def test_a_running_server_without_its_generation_promises_nothing_and_says_why(field: Field, sql: str) -> None:
    tablet = field.tablet()
    message = field.message(tablet, field.envelope(tablet))
    edit_by_hand(field.world.config.database, sql)
    client = tablet_api(field.services).test_client()
    answer = client.post("/v1/sync", data=message.body, headers={SIGNATURE_HEADER: message.signature})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "storage.damaged")
    assert field.rows("select count(*) from envelopes") == [(0,)]


@pytest.mark.parametrize("table", ["devices", "audit"])
def test_a_server_with_an_unreadable_table_promises_nothing_and_says_why(field: Field, table: str) -> None:
    tablet = field.tablet()
    message = field.message(tablet, field.envelope(tablet))
    database = field.world.config.database
    field.services.db.close()
    destroy_page(database, table)
    field.services = replace(field.services, db=SqliteDatabase(database))
    client = tablet_api(field.services).test_client()
    answer = client.post("/v1/sync", data=message.body, headers={SIGNATURE_HEADER: message.signature})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "storage.damaged")


def test_the_scrub_job_checks_without_the_servers_keys_what_needs_none(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    edit_by_hand(field.world.config.database, "update envelopes set body = zeroblob(size)")
    for key in field.world.config.keys.iterdir():
        key.unlink()
    assert jobs.check_slice(field.services.db, field.services.config, field.now) >= 1
    assert ("damage", "envelope.changed") in open_items(field)


# Sixty bits


def fill(field: Field) -> None:
    """Let every kind of row exist."""
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet, replace(ROUTE, mode=mode)) for mode in ("field", "training") * 4))
    revoked = field.tablet()
    field.push(revoked, field.envelope(revoked, at=(3, "a" * 64)))
    field.ask(tablet, field.message(tablet, inventory={"prueba": field.form_sha}))
    for job in jobs.JOBS:
        jobs.run_job(job, field.services.db, field.services.config, field.now)


def read_meaning(database: Path) -> object:
    """Return all rows of all tables, or what stops the reading. Not SQLite's counters: it corrects them itself."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as c:
        c.text_factory = bytes
        try:
            tables = c.execute("select name, sql from sqlite_master order by name").fetchall()
            return tables, [
                sorted(c.execute(f'select * from "{name.decode()}"').fetchall(), key=repr)  # noqa: S608
                for name, sql in tables
                if sql and sql.lower().startswith(b"create table") and not name.startswith(b"sqlite_")
            ]
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return str(error)


def cells_of_tables(database: Path) -> list[range]:
    """Return the places in the file that hold the rows, or the branches, of each table's first page."""
    with closing(sqlite3.connect(database)) as c:
        roots = c.execute("select rootpage from sqlite_master where rootpage > 1 and type = 'table'").fetchall()
    content = database.read_bytes()
    starts = [(root - 1) * PAGE for (root,) in roots]
    # Bytes 5 and 6 of a page say where its rows begin (file format of SQLite, 1.6).
    return [range(start + int.from_bytes(content[start + 5 : start + 7]), start + PAGE) for start in starts]


@pytest.fixture
def flips(world: World, tmp_path: Path) -> Callable[[int, int], Path]:
    """Copies of a filled database, each with one changed bit."""
    opened = open_field(world)
    fill(opened)
    opened.services.db.close()
    original = world.config.database.read_bytes()
    assert check(world.config.database) == set()

    def flip(place: int, bit: int) -> Path:
        content = bytearray(original)
        content[place] ^= 1 << bit
        copied = tmp_path / "flipped" / "chaski.db"
        shutil.rmtree(copied.parent, ignore_errors=True)
        copied.parent.mkdir()
        copied.write_bytes(content)
        return copied

    return flip


def test_of_sixty_changed_bits_in_all_tables_each_that_has_a_meaning_is_noticed(
    world: World, flips: Callable[[int, int], Path]
) -> None:
    database, chance = world.config.database, random.Random(11)
    meaning = read_meaning(database)
    places = [chance.choice(cells) for cells in cells_of_tables(database) if cells]
    places += [chance.randrange(database.stat().st_size) for _ in range(60 - len(places))]
    noticed = 0
    for place in places:
        flipped = flips(place, chance.randrange(8))
        same = read_meaning(flipped) == meaning
        found: set[tuple[str, str]] = set()
        with suppress(ConfigError):
            found = check(flipped, world.config.keys)
            noticed += bool(found)
            assert same or found, f"byte {place} changed the meaning, and nothing noticed it"
    assert noticed > 20


def test_a_changed_bit_in_any_row_of_any_table_is_noticed(world: World, flips: Callable[[int, int], Path]) -> None:
    """Bits inside rows: every one of these changes a meaning."""
    database, chance = world.config.database, random.Random(12)
    meaning, content, quiet = read_meaning(database), database.read_bytes(), []
    with closing(sqlite3.connect(database)) as c:
        tables = [name for (name,) in c.execute("select name from sqlite_master where type = 'table'")]
        texts = {
            name: [value for row in c.execute(f'select * from "{name}"') for value in row if isinstance(value, str)]  # noqa: S608
            for name in tables
            if not name.startswith(("sqlite_", "_sqlite"))
        }
    for values in texts.values():
        text = chance.choice([value.encode() for value in values if len(value) > 3] or [b""])
        places = [place for place in range(len(content)) if content.startswith(text, place)] if text else []
        for place in chance.sample(places, min(2, len(places))):
            flipped = flips(place + chance.randrange(len(text)), chance.randrange(7))
            if read_meaning(flipped) != meaning and not check(flipped, world.config.keys):
                quiet.append((text, place))
    assert quiet == []


def test_a_route_that_was_changed_with_its_checksum_is_found_by_the_check(field: Field) -> None:
    tablet = field.tablet()
    field.push(tablet, field.envelope(tablet))
    ((id_, received),) = field.rows("select envelope, received from routes")
    with field.services.db.write() as w:
        w.execute("delete from routes")
        envelopes.put_route(w, id_, replace(ROUTE, sha=field.form_sha, province="0801"), at=received)
    found = integrity.check_file(field.world.config.database, keys=field.services.keys.routes, progress=str).faults
    assert [(fault.code, fault.subject) for fault in found] == [("route.changed", id_)]
