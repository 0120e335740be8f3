"""Tests of backup: a backup is complete or absent, only the offline key opens it, and the daily job keeps the last
ones."""

from __future__ import annotations

import base64
import os
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from conftest import FOUNDED, World
from server.backup import archive, backup_key
from server.backup.archive import BackupError
from server.config import Config, ConfigError, find_key_files, load, refuse_insecure
from server.database import snapshot
from server.database.sqlite import SqliteDatabase
from server.flows.operations import backup, scratch_files
from server.store import worklist
from support.backups import back_up_field, lose_database, recipient, run_chaski, run_for_json
from support.databases import destroy_page, edit_by_hand
from support.intake import Field
from sync.durations import DAY, HOUR, MINUTE
from sync.keys.key_pairs import SigningKey

# The first line of an identity locked with a passphrase, armoured, as `age -p -a` and `chaski backup-key new` begin it.
LOCKED = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBSbU5GMVlFY2I2Qy9oZyt4"


def test_a_backup_needs_a_folder_with_room_and_is_never_written_over(
    field: Field, identity: Path, backup_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match=r"backup\.no_folder: .*is its disk mounted"):
        back_up_field(field, identity, tmp_path / "unplugged")
    with pytest.raises(BackupError, match=r"backup\.no_room: .* needs 1,.* free and has"):
        scratch_files.require_free_space(backup_folder, 2**60)
    first = back_up_field(field, identity, backup_folder)
    content = first.read_bytes()
    with pytest.raises(BackupError, match=r"backup\.file_exists"):
        back_up_field(field, identity, backup_folder)
    assert first.read_bytes() == content
    assert list(backup_folder.iterdir()) == [first]
    assert list((field.world.data / "tmp").iterdir()) == []


def test_a_disk_that_fills_up_in_the_last_byte_is_noticed(field: Field, identity: Path) -> None:
    """The encryption library ignores a failed write at the very end of a file."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        archive.write_archive(
            full, b"{}", field.world.config.keys / "server.key", recipient(identity), lambda done: None
        )


def test_one_backup_at_a_time(field: Field, identity: Path, backup_folder: Path) -> None:
    with scratch_files.lock_scratch_file(field.world.config), pytest.raises(BackupError, match=r"backup\.busy"):
        back_up_field(field, identity, backup_folder)


# Damage

DAMAGE = {
    "an audit row": ("update audit set actor = 'x' where number = 2", "audit.broken"),
    "a screening": ("update envelopes set body = zeroblob(size)", "envelope.changed"),
    "a route": ("update routes set province = '0801'", "route.changed"),
    "the time of a route": ("update routes set received = null", "route.changed"),
    "a form version": ("update versions set body = cast(' ' || body as blob)", "version.changed"),
    "a referral": ("delete from referrals", "referral.missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_backup_of_a_damaged_database_is_made_marked_and_named_each_day(
    field: Field, identity: Path, backup_folder: Path, what: str
) -> None:
    tablet, services = field.tablet(), field.services
    field.push(tablet, field.envelope(tablet))
    config = daily_config(field, identity, backup_folder, keep=2)

    def run(days: int) -> set[str]:
        assert backup.write_daily(services.db, config, services.keys, now=FOUNDED + days * DAY) == 1
        return {item.reason for item in worklist.list_open(services.db.read()) if item.kind == "backup"}

    assert [run(days) for days in (0, 1, 2)] == [set()] * 3
    good = set(backup_folder.iterdir())
    sql, code = DAMAGE[what]
    edit_by_hand(config.database, sql)
    assert [run(days) for days in (3, 4, 5)] == [{f"backup.damaged.202611{day}"} for day in (21, 22, 23)]
    assert good < set(backup_folder.iterdir())
    marked = {file for file in backup_folder.iterdir() if ".damaged." in file.name}
    assert (len(good), len(marked)) == (2, 2)
    assert backup.last_backup_time(backup_folder, services.keys) == FOUNDED + 2 * DAY
    assert ("damage", code) in {(item.kind, item.chain) for item in worklist.list_open(services.db.read())}
    ran = run_chaski("backup", "--data", field.world.data, "--to", recipient(identity), "--into", backup_folder)
    assert (ran.exit_code, code in ran.stdout) == (1, True)


def test_items_about_damage_close_with_the_next_good_backup(field: Field, identity: Path, backup_folder: Path) -> None:
    tablet, services = field.tablet(), field.services
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    config = daily_config(field, identity, backup_folder, keep=2)
    edit_by_hand(config.database, "update envelopes set body = zeroblob(size); update referrals set rowid = rowid + 7")
    backup.write_daily(services.db, config, services.keys, now=FOUNDED)
    assert {item.kind for item in worklist.list_open(services.db.read())} == {"backup", "damage"}
    field.push(tablet, raw)
    backup.write_daily(services.db, config, services.keys, now=FOUNDED + DAY)
    assert worklist.list_open(services.db.read()) == []


def test_after_the_damage_is_repaired_a_good_backup_follows_within_the_hour(
    field: Field, identity: Path, backup_folder: Path
) -> None:
    tablet, services = field.tablet(), field.services
    raw = field.envelope(tablet)
    field.push(tablet, raw)
    config = daily_config(field, identity, backup_folder, keep=2)
    edit_by_hand(config.database, "update envelopes set body = zeroblob(size)")

    def run(minutes: int) -> int:
        return backup.write_daily(services.db, config, services.keys, now=FOUNDED + minutes * MINUTE)

    assert [run(minutes) for minutes in (0, 1, 59, 61, 600)] == [1, 0, 0, 0, 0], "the damage is not repaired"
    field.push(tablet, raw)
    assert run(601) == 1
    assert backup.last_backup_time(backup_folder, services.keys) == FOUNDED + 601 * MINUTE
    assert [run(minutes) for minutes in (602, 700)] == [0, 0]


@pytest.mark.parametrize("rotten", ["work_items", "work_items_by_chain", "work_items_about_chain", "people"])
def test_a_rotten_page_neither_stops_the_daily_backup_nor_fills_the_disk(
    field: Field, identity: Path, backup_folder: Path, rotten: str
) -> None:
    services = field.services
    config = daily_config(field, identity, backup_folder, keep=2)
    with services.db.write() as w:
        for number in range(2_000):
            worklist.add_item(w, kind="silent", dev=f"d{number}", at=number)
    services.db.close()
    destroy_page(config.database, rotten)
    with closing(SqliteDatabase(config.database)) as db:
        for hours in range(0, 96, 2):
            with suppress(*snapshot.DAMAGE):  # What it found cannot be stored.
                backup.write_daily(db, config, services.keys, now=FOUNDED + hours * HOUR)
    days = [file.name.split("-")[-1][:8] for file in sorted(backup_folder.iterdir())]
    assert days == ["20261120", "20261121"], "the newest two, one a day"


def test_a_decision_about_damage_makes_no_backup_each_hour(field: Field, identity: Path, backup_folder: Path) -> None:
    services = field.services
    config = daily_config(field, identity, backup_folder, keep=14)
    edit_by_hand(config.database, "update documents set body = cast(' ' || body as blob) where kind = 'registry'")
    made = 0
    for hours in range(48):
        made += backup.write_daily(services.db, config, services.keys, now=FOUNDED + hours * HOUR)
        for item in worklist.list_open(services.db.read()):
            with services.db.write() as w:
                worklist.record_decision(w, item.id, decision="seen", by="p", at=FOUNDED + hours * HOUR)
    assert made == 2


@pytest.mark.parametrize("table", ["envelopes", "referrals", "people"])
def test_a_database_with_an_unreadable_page_is_still_backed_up(
    field: Field, identity: Path, backup_folder: Path, table: str
) -> None:
    tablet = field.tablet()
    field.push(tablet, *(field.envelope(tablet) for _ in range(4)))
    field.services.db.close()
    destroy_page(field.world.config.database, table)
    ran = run_chaski(
        "backup", "--data", field.world.data, "--to", recipient(identity), "--into", backup_folder, "--json"
    )
    assert (ran.exit_code, "pages.damaged" in ran.stdout) == (1, True), ran.output
    assert [".damaged." in file.name for file in backup_folder.iterdir()] == [True]


def test_a_disk_that_returns_other_bytes_than_were_written_makes_no_backup(
    field: Field, identity: Path, backup_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive = archive.write_archive

    def rot(out: BinaryIO, *given: Any) -> tuple[int, str]:
        written = write_archive(out, *given)
        out.seek(-1, os.SEEK_END)
        out.write(b"?")
        return written

    monkeypatch.setattr(archive, "write_archive", rot)
    with pytest.raises(BackupError, match=r"backup\.not_written"):
        back_up_field(field, identity, backup_folder)
    assert list(backup_folder.iterdir()) == []


# The key


def test_a_backup_key_is_locked_with_six_words_in_any_case_and_spacing(
    field: Field, world: World, backup_folder: Path, tmp_path: Path
) -> None:
    key, words = tmp_path / "offline.age", tmp_path / "words"
    made = run_for_json("backup-key", "new", key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"AGE-SECRET-KEY" not in key.read_bytes()
    assert key.read_bytes().startswith(LOCKED[:77])
    assert run_chaski("backup-key", "new", key).stderr.startswith("chaski: key.file_exists")
    file = run_for_json("backup", "--data", world.data, "--to", made["recipient"], "--into", backup_folder)["file"]
    field.services.db.close()
    lose_database(world.data)
    words.write_text(made["passphrase"].replace(" ", "   ").upper() + "\n")
    said = run_chaski("restore", file, "--identity", key, "--passphrase-file", words, "--data", world.data)
    assert said.exit_code == 0, said.stderr
    assert "0 screenings, 0 tablets, 15 people, 1 form version." in said.stdout
    key.chmod(0o644)
    lose_database(world.data)
    said = run_chaski("restore", file, "--identity", key, "--passphrase-file", words, "--data", world.data)
    assert said.stderr.startswith("chaski: key.file_readable_by_others")


def test_a_backup_key_is_not_made_in_a_servers_folder_and_one_there_stops_the_server(
    world: World, identity: Path
) -> None:
    with pytest.raises(BackupError, match=r"backup\.key_at_server"):
        backup_key.create_key(world.data / "keys" / "offline.age", now=FOUNDED)
    for content in (identity.read_bytes(), LOCKED, base64.b64decode(LOCKED.split()[-1])):
        found = world.data / "keys" / "kept.txt"
        found.write_bytes(content)
        found.chmod(0o600)
        with pytest.raises(ConfigError, match=r"CHASKI_DATA: holds a secret.*kept\.txt"):
            refuse_insecure(world.config, demo=False, own=world.keys().kids, key_files=find_key_files(world.config))


# Every day


def daily_config(field: Field, identity: Path, folder: Path, keep: int) -> Config:
    """Settings with which the server makes daily backups."""
    config = field.services.config
    return replace(config, backup_recipient=recipient(identity), backup_folder=folder, backup_keep=keep)


def test_the_daily_job_makes_one_backup_a_day_and_keeps_the_last_ones(
    field: Field, identity: Path, backup_folder: Path
) -> None:
    config, services = daily_config(field, identity, backup_folder, keep=3), field.services
    (backup_folder / f"chaski-{SigningKey.generate().kid}-20200101T000000.000Z.tar.gz.age").touch()  # another server's
    (backup_folder / "notes.txt").touch()

    def run(at: int) -> int:
        return backup.write_daily(services.db, config, services.keys, now=at)

    def mine() -> set[Path]:
        return set(backup_folder.glob(f"chaski-{services.keys.signing.kid}-*"))

    hour = DAY // 24
    assert [run(FOUNDED + hours * hour) for hours in (0, 1, 23, 24, 25)] == [1, 0, 0, 1, 0]
    first = mine()
    assert len(first) == 2
    assert [run(FOUNDED + days * DAY) for days in (2, 3, 4)] == [1, 1, 1]
    assert (len(mine()), mine() & first) == (3, set())
    assert len(list(backup_folder.iterdir())) == 5
    # A backup from a time with a wrong clock must not prevent a new one.
    assert run(FOUNDED - 3650 * DAY) == 1
    assert len(mine()) == 3
    assert any("-2016" in file.name for file in mine())


def test_a_daily_backup_that_fails_is_on_the_work_list_until_one_succeeds(
    field: Field, identity: Path, backup_folder: Path
) -> None:
    config, services = daily_config(field, identity, backup_folder / "unplugged", keep=2), field.services
    with pytest.raises(BackupError, match=r"backup\.no_folder"):
        backup.write_daily(services.db, config, services.keys, now=FOUNDED)
    waiting = worklist.list_open(services.db.read())
    assert [(item.kind, item.reason) for item in waiting] == [("backup", "backup.no_folder.20261118")]
    (backup_folder / "unplugged").mkdir()
    assert backup.write_daily(services.db, config, services.keys, now=FOUNDED) == 1
    assert worklist.list_open(services.db.read()) == []


def test_settings_for_backups_are_complete_or_refused(world: World, identity: Path, backup_folder: Path) -> None:
    data = {"CHASKI_DATA": str(world.data)}
    to, into = {"CHASKI_BACKUP_RECIPIENT": recipient(identity)}, {"CHASKI_BACKUP_FOLDER": str(backup_folder)}
    assert load(data | to | into).backup_keep == 14
    inside = {"CHASKI_BACKUP_FOLDER": str(world.data / "backups")}
    secret = {"CHASKI_BACKUP_RECIPIENT": identity.read_text().split("\n")[2]}
    for given in (to, into, to | inside, into | {"CHASKI_BACKUP_RECIPIENT": "age1"}, into | secret):
        with pytest.raises(ConfigError, match="CHASKI_BACKUP_"):
            load(data | given)
