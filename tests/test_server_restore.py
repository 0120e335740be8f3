"""Tests of restore: a lost server returns from its backup, and every screening with a receipt is there again."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyrage
import pytest

from conftest import FOUNDED, World
from server.backup import archive, backup_key
from server.backup.archive import BackupError
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import FORM, INTERVIEWEES, Demo, approve_tablet, enrol_tablet, publish_form, read_answers
from server.cli.terminal import now_ms
from server.config import ConfigError
from server.database.sqlite import SqliteDatabase
from server.flows.forms import halts
from server.flows.forms import rollouts as rollout_flow
from server.flows.operations import backup, restore, scratch_files, scrub
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.problems import Problem
from server.store import envelopes, rollouts, worklist
from support.backups import back_up_field, lose_database, open_backup, read_column, recipient, run_chaski, run_for_json
from support.databases import destroy_leaf, edit_by_hand
from support.intake import Field
from support.intake import Tablet as SimulatedTablet
from support.programs import PROGRAMS
from support.waiting import wait_until
from sync.documents import bundle
from sync.documents.enrolment import write_enrolment_request
from sync.documents.signed import Document
from sync.durations import DAY
from sync.envelope.verify import envelope_id
from sync.exchange.transport import RefusedError
from sync.keys.key_files import save_secret
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.wire.json_object import MAX_INTEGER

TAKEN = date(2026, 11, 20)
CANARIES = (b">73519<", b"<edad>30_59", b"<distrito>170204", b"<outcome>positive")


@pytest.fixture
def stage(world: World) -> Iterator[Demo]:
    """A server in its own process, with a published form and one certified tablet."""
    folder = world.data.parent
    stage = Demo(folder, ServerProcess(folder, *free_ports(2)), now_ms, world.pin)
    stage.server.start()
    try:
        for step in (publish_form, enrol_tablet):
            list(step(stage))
        yield stage
    finally:
        stage.server.kill()


def restored(world: World, file: Path, identity: Path) -> restore.RestoreResult:
    """Restore into the world's folder, in this process."""
    unlocked = backup_key.load_key(identity, str)
    return restore.restore_backup(world.config, file, unlocked, now=FOUNDED + DAY, progress=lambda step: None)


def nothing_was_written(data: Path) -> bool:
    """Return True if a folder without a database still contains none, and no part of one."""
    return not list(data.glob("chaski.db*")) and not list((data / "tmp").glob("*"))


# The whole story


def screen(tablet: Tablet, count: int) -> list[str]:
    """Complete `count` interviews."""
    return [tablet.screen(FORM, read_answers(INTERVIEWEES[0]), TAKEN).jti for _ in range(count)]


def enrol_another(stage: Demo, name: str) -> Path:
    """Enrol and certify one more tablet, and sync it."""
    with stage.staff("publicacion") as administrator:
        invited = administrator.post("/v1/invitations", json={"label": name, "region": "17"})
    with Tablet(stage.folder / name) as tablet:
        approve_tablet(stage, tablet.enrol(invited["invitation"]))
        assert tablet.pull().certified
    return stage.folder / name


class Pushing:
    """A tablet that screens and syncs in another thread until the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jtis: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Pushing:
        self._thread.start()
        wait_until(lambda: len(self.jtis) >= 2, "the tablet makes no progress")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        with Tablet(self.folder) as tablet:
            while not self._stop.is_set():
                jtis = screen(tablet, 1)
                assert tablet.sync().waiting == 0
                self.jtis += jtis


def close_referral(stage: Demo, jti: str) -> None:
    """Claim, accept and close the referral of one screening, as a coordinator."""
    with stage.desk("proteccion-17") as desk:
        referral = next(each for each in desk.list_referrals("17-protection", mode="training") if each["jti"] == jti)[
            "id"
        ]
        desk.claim(referral)
        desk.accept(referral)
        desk.close(referral, "attended")


def test_a_server_that_lost_its_disk_comes_back_with_everything_that_was_pushed(
    stage: Demo, identity: Path, backup_folder: Path
) -> None:
    data = stage.folder / "server"
    with Tablet(stage.tablet) as first, stage.staff("registro") as registrar:
        jtis = screen(first, 20)
        assert first.sync().waiting == 0
        close_referral(stage, jtis[0])
        assert [event.status for event in first.sync().events][-1:] == ["closed"]
        with Pushing(enrol_another(stage, "second")) as second:
            made = run_for_json("backup", "--data", data, "--to", recipient(identity), "--into", backup_folder)
        assert 20 <= made["envelopes"] <= 20 + len(second.jtis)
        jtis += screen(first, 20)
        assert first.sync().waiting == 0
        third = enrol_another(stage, "third")
        with Tablet(third) as tablet:
            later = screen(tablet, 2)
            assert tablet.sync().waiting == 0
        lost = read_column(data / "chaski.db", "SELECT value FROM meta WHERE name = 'generation'")

        stage.server.kill()
        lose_database(data)
        done = run_for_json("restore", made["file"], "--identity", identity, "--data", data)
        assert (done["envelopes"], done["tablets"], done["form_versions"]) == (made["envelopes"], 2, 1)
        left = data / "tmp" / "copy.db"
        left.write_bytes(b"as by a backup that was killed")
        stage.server.start()
        assert not left.exists()

        with pytest.raises(RefusedError, match=r"session\.missing"):
            registrar.get("/v1/devices")
        assert first.sync().waiting == 0
        for folder in (second.folder, third):
            with Tablet(folder) as tablet:
                assert tablet.sync().waiting == 0
                assert tablet.status().manifest == done["manifest"]
        assert first.status().manifest == done["manifest"]
        close_referral(stage, jtis[30])
        report = first.sync()
        assert [(event.jti, event.status) for event in report.events][-1:] == [(jtis[30], "closed")]
        assert first.sync().events == ()

    stage.server.stop()
    database = data / "chaski.db"
    stored = read_column(database, "SELECT jti FROM envelopes")
    assert len(stored) == len(set(stored))
    assert set(stored) == {*jtis, *second.jtis, *later}
    assert set(read_column(database, "SELECT outcome FROM envelopes")) == {"stored"}
    assert read_column(database, "SELECT kind FROM work_items") == ["rollout"], (
        "the form went out just before the backup"
    )
    assert read_column(database, "SELECT count(*) FROM referrals") == [len(stored)]
    assert read_column(database, "SELECT value FROM meta WHERE name = 'generation'") != lost
    assert read_column(database, "SELECT action FROM audit WHERE action LIKE 'd%.re%'") == [
        "database.restored",
        "device.readmitted",
    ]
    assert run_chaski("audit", "verify", "--data", data).exit_code == 0
    holds_no_key_and_no_answer(Path(made["file"]), identity, data / "keys")


def holds_no_key_and_no_answer(file: Path, identity: Path, keys: Path) -> None:
    """Check that a backup contains only the database and a statement: it opens no route and no screening."""
    found = open_backup(file, identity)
    assert set(found) == {"backup.json", "chaski.db"}
    secrets = [json.loads(path.read_bytes())["secret"].encode() for path in keys.iterdir()]
    assert len(secrets) >= 2
    raw = [base64.urlsafe_b64decode(secret + b"=") for secret in secrets]
    for content in (*found.values(), file.read_bytes()):
        assert [each for each in (*secrets, *raw, *CANARIES) if each in content] == []


# Rejected backups


def test_a_cut_off_changed_or_foreign_backup_is_refused_and_nothing_is_written(
    field: Field, world: World, identity: Path, backup_folder: Path, tmp_path: Path
) -> None:
    good = back_up_field(field, identity, backup_folder).read_bytes()
    field.services.db.close()
    lose_database(world.data)
    middle = len(good) // 2
    bad = tmp_path / "bad"
    for content, code in (
        (good[:middle], "backup.damaged"),
        (good[:-1], "backup.damaged"),
        (good[:60], "backup.not_one"),
        (good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :], "backup.damaged"),
        (good + b"x", "backup.damaged"),
        (b"", "backup.not_one"),
        (b"SQLite format 3", "backup.not_one"),
        (pyrage.encrypt(good, [pyrage.x25519.Identity.generate().to_public()]), "backup.other_key"),
        (pyrage.encrypt(good, [pyrage.x25519.Recipient.from_str(recipient(identity))]), "backup.damaged"),
    ):
        bad.write_bytes(content)
        result = run_chaski("restore", bad, "--identity", identity, "--data", world.data)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"chaski: {code}: "), result.stderr
        assert nothing_was_written(world.data), code


def test_a_backup_made_with_the_recipient_key_alone_is_refused(
    field: Field, world: World, identity: Path, backup_folder: Path, tmp_path: Path
) -> None:
    found = open_backup(back_up_field(field, identity, backup_folder), identity)
    field.services.db.close()
    lose_database(world.data)
    database, forged = tmp_path / "forged.db", tmp_path / "forged.age"
    database.write_bytes(found["chaski.db"])
    with sqlite3.connect(database) as planted:
        planted.execute("UPDATE people SET auth_salt = x'00'")
    content = Document.parse(found["backup.json"]).content
    for statement, code in (
        (found["backup.json"], "backup.damaged"),
        (Document.of(content, backup.TYP, SigningKey.generate()).to_bytes(), "backup.other_server"),
        (b"{}", "backup.other_server"),
    ):
        with forged.open("wb") as out:
            archive.write_archive(out, statement, database, recipient(identity), lambda done: None)
        with pytest.raises(BackupError, match=code):
            restored(world, forged, identity)
        assert nothing_was_written(world.data)


def test_restore_overwrites_nothing_and_names_what_is_missing(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    file = back_up_field(field, identity, backup_folder)
    field.services.db.close()
    before = world.config.database.read_bytes()
    with pytest.raises(ConfigError, match=r"chaski\.db exists.*move every chaski\.db\* away"):
        restored(world, file, identity)
    assert world.config.database.read_bytes() == before
    lose_database(world.data)
    # SQLite would apply the lost database's write-ahead log to the restored database.
    log = world.data / "chaski.db-wal"
    log.write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"chaski\.db-wal exists"):
        restored(world, file, identity)
    log.unlink()
    (world.data / "keys").rename(world.data.parent / "keys")
    with pytest.raises(ConfigError, match="put the server's own keys back into"):
        restored(world, file, identity)
    assert nothing_was_written(world.data)


def test_another_servers_keys_or_a_missing_route_key_are_named(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    file = back_up_field(field, identity, backup_folder)
    field.services.db.close()
    lose_database(world.data)
    (route,) = (world.data / "keys").glob("route-*.key")
    route.rename(world.data.parent / route.name)
    with pytest.raises(BackupError, match=rf"backup\.route_key_missing: .* put {route.name} back"):
        restored(world, file, identity)
    (world.data / "keys" / "server.key").unlink()
    save_secret(world.data / "keys" / "server.key", SigningKey.generate())
    with pytest.raises(BackupError, match=r"backup\.other_server: .*put the keys/ there that it was made with"):
        restored(world, file, identity)
    assert nothing_was_written(world.data)


def test_an_open_enrolment_code_ends_with_the_server_that_gave_it(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    """A code works once, and it may have been used after the backup was made."""
    db = field.services.db
    held = trust_documents.registry_in_force(db.read())
    code = enrolment.create_invitation(
        db, held, label="Tableta", region="17", actor="tests", now=FOUNDED, minutes=9_999
    ).code
    file = back_up_field(field, identity, backup_folder)
    db.close()
    lose_database(world.data)
    restored(world, file, identity)
    with (
        closing(SqliteDatabase(world.config.database)) as again,
        pytest.raises(Problem, match=r"enrolment\.code_expired"),
    ):
        enrolment.enrol_device(
            again, write_enrolment_request(code, SigningKey.generate()).to_bytes(), now=FOUNDED + DAY
        )


def test_a_version_halted_after_the_backup_does_not_go_to_tablets_again_by_itself(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    db, keys = field.services.db, field.services.keys
    former = rollouts.list_rollouts(db.read())[0]  # Its form's only one: nothing is in its place.

    def publish_other(version: str, now: int) -> str:
        content = {"form_id": "otra", "version": version, "channel": "training"}
        offices = [field.world.office(*each) for each in (("autora", "author"), ("revisor", "reviewer"))]
        body = Document.of(content, bundle.TYP, *offices).to_bytes()
        done = rollout_flow.publish_bundle(db, keys, body, ring=rollout_flow.Ring(), actor="tests", now=now)
        return done.version.sha

    long_ago = publish_other("1", FOUNDED - 30 * DAY)
    lately = publish_other("2", FOUNDED)
    version = rollouts.list_rollouts(db.read(), form="otra")[0].version
    rollout_flow.plan_rollout(
        db, keys, version, ring=rollout_flow.Ring(("21",)), starts=FOUNDED + 2 * DAY, actor="tests", now=FOUNDED
    )
    file = back_up_field(field, identity, backup_folder)
    db.close()
    lose_database(world.data)
    restored(world, file, identity)
    with closing(SqliteDatabase(world.config.database)) as again:
        manifest = trust_documents.manifest_in_force(again.read())
        assert manifest.choose("otra", "any", "17") == long_ago != lately
        assert manifest.choose("prueba", "any", "17") == former.sha
        stood = {each.id: (each.state, each.reason) for each in rollouts.list_rollouts(again.read())}
        assert stood == {
            4: ("ended", "database.restored"),
            3: ("halted", "database.restored"),
            2: ("live", ""),
            former.id: ("live", ""),
        }
        run_for_json = [
            (item.chain, item.reason) for item in worklist.list_open(again.read()) if item.kind == "rollout"
        ]
        assert sorted(run_for_json) == [
            (str(former.id), "prueba database.restored"),
            ("3", "otra database.restored"),
            ("4", "otra database.restored"),
        ]
        halts.resume_rollout(again, keys, 3, actor="publicacion", now=FOUNDED + 2 * DAY)
        assert trust_documents.manifest_in_force(again.read()).choose("otra", "any", "17") == lately


@pytest.mark.parametrize("lie", [MAX_INTEGER, MAX_INTEGER - 1])
def test_a_tablet_that_lies_about_its_numbers_makes_no_backup_unrestorable(
    field: Field, world: World, identity: Path, backup_folder: Path, lie: int
) -> None:
    liar, db = field.tablet(), field.services.db
    field.ask(liar, field.message(liar, trust=lie, registry=lie, manifest=lie))
    last = trust_documents.get_newest(db.read(), "manifest").number
    file = back_up_field(field, identity, backup_folder)
    db.close()
    lose_database(world.data)
    assert restored(world, file, identity).manifest == max(last + 1, (FOUNDED + DAY) // 1000)


def test_a_slow_clock_at_restore_makes_no_manifest_older_than_the_restored_one(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    """The lost server continued after the backup: tablets may hold later manifests."""
    tablet = field.tablet()
    field.now = FOUNDED + 30 * DAY
    field.push(tablet, field.envelope(tablet))
    file = back_up_field(field, identity, backup_folder)
    field.services.db.close()
    lose_database(world.data)
    unlocked = backup_key.load_key(identity, str)
    done = restore.restore_backup(world.config, file, unlocked, now=1, progress=lambda step: None)
    assert done.manifest == field.now // 1000 + 1


# Damage

ACCEPTED_GONE = "delete from envelopes where seq = 2"
ACCEPTED = {
    "an audit row is changed": "update audit set actor = 'x' where number = 2",
    "audit rows are missing": "delete from audit where number between 3 and 4",
    "a screening is changed": "update envelopes set body = zeroblob(size) where seq = 2",
    "a screening is gone": ACCEPTED_GONE,
    "a version is changed": "update versions set body = cast(' ' || body as blob)",
}


def damaged_backup(field: Field, identity: Path, folder: Path, harm: str) -> tuple[SimulatedTablet, list[bytes], Path]:
    """Return a tablet, its three screenings, and a backup made after `harm`. The database is lost then."""
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(3)]
    field.push(tablet, *raws)
    edit_by_hand(field.world.config.database, harm)
    file = back_up_field(field, identity, folder)
    field.services.db.close()
    lose_database(field.world.data)
    return tablet, raws, file


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_damaged_backup_is_restored_only_if_a_person_accepts_what_is_lost(
    field: Field, world: World, identity: Path, backup_folder: Path, what: str
) -> None:
    tablet, raws, file = damaged_backup(field, identity, backup_folder, ACCEPTED[what])
    assert ".damaged." in file.name
    words = ("restore", file, "--identity", identity, "--data", world.data)
    ran = run_chaski(*words)
    assert (ran.exit_code, "--accept-damage" in ran.stderr) == (1, True)
    assert nothing_was_written(world.data)
    done = run_for_json(*words, "--accept-damage")
    lost = [(each["code"], each["subject"]) for each in done["lost"]]
    assert lost
    database = world.config.database
    assert read_column(database, "select count(*) from audit where action = 'damage.accepted'") == [len(lost)]
    assert set(read_column(database, "select chain from work_items where kind = 'damage'")) == {
        code for code, _ in lost
    }
    for checked in (("check",), ("audit", "verify")):
        found = run_for_json(*checked, "--data", world.data)
        assert found["faults"] == []
        assert [(each["code"], each["subject"]) for each in found["accepted"]] == sorted(lost)
    with closing(SqliteDatabase(database)) as db:
        again = replace(field, services=replace(field.services, db=db))
        assert {item.outcome for item in again.push(tablet, *raws)} <= {"stored", "duplicate"}
        assert {body for (body,) in again.rows("select body from envelopes")} == set(raws)
        assert envelopes.list_damaged(db.read()) == []


@pytest.mark.parametrize("harm", ["update envelopes set body = zeroblob(size) where seq = 2", ACCEPTED_GONE])
def test_damage_that_was_accepted_and_repaired_is_told_again_when_it_returns(
    field: Field, world: World, identity: Path, backup_folder: Path, harm: str
) -> None:
    tablet, raws, file = damaged_backup(field, identity, backup_folder, harm)
    run_for_json("restore", file, "--identity", identity, "--data", world.data, "--accept-damage")
    with closing(SqliteDatabase(world.config.database)) as db:
        again = replace(field, services=replace(field.services, db=db))
        again.push(tablet, *raws)
        assert run_chaski("check", "--data", world.data).exit_code == 0
        edit_by_hand(world.config.database, harm)
        assert run_chaski("check", "--data", world.data).exit_code == 1
        assert scrub.scrub(db, world.config.database, keys=again.services.keys.routes, now=again.now) >= 1


def count_rows(database: Path) -> list[int]:
    """Count the rows of tables that lose none if a page of theirs is destroyed."""
    tables = ("referrals", "routes", "people", "devices")
    counts = [f"select count(*) from {table}" for table in tables]  # noqa: S608 (constants)
    return [read_column(database, sql)[0] for sql in counts]


@pytest.mark.parametrize("table", ["envelopes", "referrals", "routes", "people", "devices", "audit"])
def test_rows_behind_an_unreadable_page_are_restored_and_the_others_counted(
    field: Field, world: World, identity: Path, backup_folder: Path, table: str
) -> None:
    """All but envelopes and the audit have a copy in an index or stand sealed, so no row of them is lost."""
    tablet = field.tablet()
    raws = [field.envelope(tablet) for _ in range(30)]
    field.push(tablet, *raws)
    database = world.config.database
    before = count_rows(database)
    field.services.db.close()
    leaf = destroy_leaf(database, table)
    ran = run_chaski("backup", "--data", world.data, "--to", recipient(identity), "--into", backup_folder)
    assert ran.exit_code == 1
    (file,) = backup_folder.iterdir()
    lose_database(world.data)
    done = run_for_json("restore", file, "--identity", identity, "--data", world.data, "--accept-damage")
    assert count_rows(database) == before, leaf
    kept = set(read_column(database, "select body from envelopes"))
    assert kept <= set(raws)
    lost = {each["subject"] for each in done["lost"] if each["code"] == "envelope.missing"}
    assert lost == {envelope_id(raw) for raw in raws} - {envelope_id(raw) for raw in kept}
    assert bool(lost) == (table == "envelopes")
    assert run_chaski("check", "--data", world.data).exit_code == 0
    with closing(SqliteDatabase(database)) as db:
        again = replace(field, services=replace(field.services, db=db))
        again.push(tablet, *raws)
        assert {body for (body,) in again.rows("select body from envelopes")} == set(raws)


def test_a_backup_of_which_nothing_can_be_read_is_refused_with_the_flag_too(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    field.services.db.close()
    database = world.config.database
    content = database.read_bytes()
    database.write_bytes(content[:100] + b"\xff" * 3996 + content[4096:])
    ran = run_chaski("backup", "--data", world.data, "--to", recipient(identity), "--into", backup_folder)
    assert ran.exit_code == 1
    lose_database(world.data)
    for file in backup_folder.iterdir():
        ran = run_chaski("restore", file, "--identity", identity, "--data", world.data, "--accept-damage")
        assert (ran.exit_code, "backup.damaged" in ran.stderr) == (1, True), ran.output
    assert nothing_was_written(world.data)


# Power cuts


def kill_when(there: Callable[[], bool], what: str, data: Path, identity: Path, place: Path) -> None:
    """Start a backup or restore, and kill it as soon as a temporary file exists."""
    running = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "back_up_or_restore.py"), what, str(data), str(identity), str(place)]
    )
    while not there():
        assert running.poll() is None, "the process ended before the kill"
        time.sleep(0.001)
    running.kill()
    running.wait()


def test_a_killed_backup_or_restore_leaves_no_partial_file(
    field: Field, world: World, identity: Path, backup_folder: Path
) -> None:
    with field.services.db.write() as w:  # Large enough that the kill comes in time.
        w.execute("CREATE TABLE bulk (body BLOB) STRICT")
        for _ in range(12):
            w.execute("INSERT INTO bulk VALUES (?)", [os.urandom(1_000_000)])
    scratch, copied = world.data / "tmp", world.data / "tmp" / "copy.db"
    kill_when(lambda: bool(list(backup_folder.glob("*.partial"))), "backup", world.data, identity, backup_folder)
    assert copied.exists()
    scratch_files.remove_leftovers(world.config)  # as the server does when it starts
    assert list(scratch.iterdir()) == []
    assert list(backup_folder.glob("*.age")) == []
    file = back_up_field(field, identity, backup_folder)
    assert list(backup_folder.iterdir()) == [file]
    field.services.db.close()
    lose_database(world.data)
    kill_when(lambda: copied.exists() and copied.stat().st_size > 0, "restore", world.data, identity, file)
    assert not world.config.database.exists()
    assert restored(world, file, identity).holdings.form_versions == 1
    assert list(scratch.iterdir()) == []
    assert read_column(world.config.database, "SELECT count(*) FROM bulk") == [12]
