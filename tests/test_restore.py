"""A lost server comes back from its backup, and nothing that anybody was promised is lost with it."""

from __future__ import annotations

import base64
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result
from conftest import FOUNDED, World
from intake_material import Field, open_field
from intake_material import Tablet as Spoken

from server import archive, backup_keys
from server.app import tablets_app
from server.archive import BackupError
from server.cli.main import main
from server.cli.process import ServerProcess, free_ports
from server.cli.story import FORM, PEOPLE, Stage, answers, enrol, publish
from server.cli.story import _approve as approve
from server.cli.terminal import now_ms
from server.config import Config, ConfigError, load, refuse_insecure
from server.flows import aside, backup, publishing, restore
from server.store import devices, worklist
from sync import enrolment as joining
from sync import registry
from sync.keyfiles import save_secret
from sync.keys import SigningKey
from sync.members import MAX_INTEGER
from sync.signed import Document
from sync.tablet import Tablet
from sync.transport import RefusedError

DAY = 24 * 3_600_000
TAKEN = date(2026, 11, 20)
# The first line of an identity locked with a passphrase, armoured, as `age -p -a` and `chaski backup-key new` begin it.
LOCKED = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBSbU5GMVlFY2I2Qy9oZyt4"
CANARIES = (b">73519<", b"<edad>30_59", b"<distrito>170204", b"<outcome>positive")


def chaski(*words: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def told(*words: object) -> dict[str, Any]:
    """Run a command that must succeed; return what it prints for programs."""
    result = chaski(*words, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A backup key as age-keygen writes it, not locked."""
    made = pyrage.x25519.Identity.generate()
    file = tmp_path / "offline.key"
    file.write_text(f"# created: 2026-11-21\n# public key: {made.to_public()}\n{made}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Where backups are kept."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    """A server with one form version in use, in this process."""
    opened = open_field(world)
    yield opened
    opened.parts.db.close()


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    """A server in a process of its own, with the form published and one certified tablet."""
    folder = world.data.parent
    stage = Stage(folder, ServerProcess(folder, *free_ports(2)), now_ms)
    stage.server.start()
    try:
        for step in (publish, enrol):
            list(step(stage))
        yield stage
    finally:
        stage.server.kill()


def recipient(identity: Path) -> str:
    """The public half."""
    return str(backup_keys.load(identity, str)[0].to_public())


def backed_up(field: Field, identity: Path, shelf: Path, *, now: int = FOUNDED) -> Path:
    """Back the field's database up, in this process."""
    parts = field.parts
    made = backup.make(
        parts.config, parts.keys, recipient=recipient(identity), folder=shelf, now=now, progress=lambda step: None
    )
    return made.file


def lose(data: Path) -> None:
    """The disk with the database is gone; keys/ was kept apart."""
    for file in data.glob("chaski.db*"):
        file.unlink()


def restored(world: World, file: Path, identity: Path) -> restore.Restored:
    """Restore into the world's folder, in this process."""
    unlocked = backup_keys.load(identity, str)
    return restore.restore(world.config, file, unlocked, now=FOUNDED + DAY, progress=lambda step: None)


def opened(file: Path, identity: Path) -> dict[str, bytes]:
    """Open a backup as the age tool and tar would: each file in it by name."""
    plain = pyrage.decrypt(file.read_bytes(), backup_keys.load(identity, str))
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def nothing_was_written(data: Path) -> bool:
    """Whether a folder without a database still has none, and no part of one."""
    return not list(data.glob("chaski.db*")) and not list((data / "tmp").glob("*"))


# The whole story


def screen(tablet: Tablet, count: int) -> list[str]:
    """Complete so many interviews."""
    return [tablet.screen(FORM, answers(PEOPLE[0]), TAKEN).jti for _ in range(count)]


def enrol_another(stage: Stage, name: str) -> Path:
    """Enrol, certify and pull one more tablet."""
    with stage.staff("publicacion") as administrator:
        invited = administrator.post("/v1/invitations", json={"label": name, "region": "17"})
    with Tablet(stage.folder / name) as tablet:
        approve(stage, tablet.enrol(invited["invitation"]))
        assert tablet.pull().certified
    return stage.folder / name


class Pushing:
    """A tablet that screens and syncs in another thread until it is told to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jtis: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Pushing:
        self._thread.start()
        while len(self.jtis) < 2:
            time.sleep(0.005)
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


def look(database: Path, sql: str) -> list[Any]:
    """The first column of what is in a database."""
    with sqlite3.connect(database) as connection:
        return [row[0] for row in connection.execute(sql)]


def close_referral(stage: Stage, jti: str) -> None:
    """A coordinator works one screening to its end."""
    with stage.desk("proteccion-17") as desk:
        referral = next(each for each in desk.queue("17-protection", mode="training") if each["jti"] == jti)["id"]
        desk.claim(referral)
        desk.accept(referral)
        desk.close(referral, "attended")


def test_a_server_that_lost_its_disk_comes_back_and_with_it_everything_that_was_pushed(
    stage: Stage, identity: Path, shelf: Path
) -> None:
    data = stage.folder / "server"
    with Tablet(stage.tablet) as first, stage.staff("registro") as registrar:
        jtis = screen(first, 20)
        assert first.sync().waiting == 0
        close_referral(stage, jtis[0])
        assert [event.status for event in first.sync().events][-1:] == ["closed"]
        with Pushing(enrol_another(stage, "second")) as second:
            made = told("backup", "--data", data, "--to", recipient(identity), "--into", shelf)
        assert 20 <= made["envelopes"] <= 20 + len(second.jtis)
        jtis += screen(first, 20)
        assert first.sync().waiting == 0
        third = enrol_another(stage, "third")
        with Tablet(third) as tablet:
            later = screen(tablet, 2)
            assert tablet.sync().waiting == 0
        lost = look(data / "chaski.db", "SELECT value FROM meta WHERE name = 'generation'")

        stage.server.kill()
        lose(data)
        done = told("restore", made["file"], "--identity", identity, "--data", data)
        assert (done["envelopes"], done["tablets"], done["form_versions"]) == (made["envelopes"], 2, 1)
        stage.server.start()

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
    stored = look(database, "SELECT jti FROM envelopes")
    assert len(stored) == len(set(stored))
    assert set(stored) == {*jtis, *second.jtis, *later}
    assert set(look(database, "SELECT outcome FROM envelopes")) == {"stored"}
    assert look(database, "SELECT kind FROM work_items") == []
    assert look(database, "SELECT count(*) FROM referrals") == [len(stored)]
    assert look(database, "SELECT value FROM meta WHERE name = 'generation'") != lost
    assert look(database, "SELECT action FROM audit WHERE action LIKE 'd%.re%'") == [
        "database.restored",
        "device.readmitted",
    ]
    assert chaski("audit", "verify", "--data", data).exit_code == 0
    holds_no_key_and_no_answer(Path(made["file"]), identity, data / "keys")


def holds_no_key_and_no_answer(file: Path, identity: Path, keys: Path) -> None:
    """A backup is the database and a statement; whoever opens it can open no route and no screening with it."""
    found = opened(file, identity)
    assert set(found) == {"backup.json", "chaski.db"}
    secrets = [json.loads(path.read_bytes())["secret"].encode() for path in keys.iterdir()]
    assert len(secrets) >= 2
    raw = [base64.urlsafe_b64decode(secret + b"=") for secret in secrets]
    for content in (*found.values(), file.read_bytes()):
        assert [each for each in (*secrets, *raw, *CANARIES) if each in content] == []


# What is refused


def test_a_backup_that_was_cut_off_changed_or_made_for_another_key_is_refused_and_nothing_is_written(
    field: Field, world: World, identity: Path, shelf: Path, tmp_path: Path
) -> None:
    good = backed_up(field, identity, shelf).read_bytes()
    field.parts.db.close()
    lose(world.data)
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
        result = chaski("restore", bad, "--identity", identity, "--data", world.data)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"chaski: {code}: "), result.stderr
        assert nothing_was_written(world.data), code


def test_a_backup_by_somebody_who_only_knows_the_recipient_is_refused(
    field: Field, world: World, identity: Path, shelf: Path, tmp_path: Path
) -> None:
    found = opened(backed_up(field, identity, shelf), identity)
    field.parts.db.close()
    lose(world.data)
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
            archive.write(out, statement, database, recipient(identity), lambda done: None)
        with pytest.raises(BackupError, match=code):
            restored(world, forged, identity)
        assert nothing_was_written(world.data)


def test_restore_writes_over_nothing_and_says_what_is_missing(
    field: Field, world: World, identity: Path, shelf: Path
) -> None:
    file = backed_up(field, identity, shelf)
    field.parts.db.close()
    before = world.config.database.read_bytes()
    with pytest.raises(ConfigError, match=r"chaski\.db is there.*move every chaski\.db\* away"):
        restored(world, file, identity)
    assert world.config.database.read_bytes() == before
    lose(world.data)
    # A log that is left of the lost database would be played into the restored one.
    log = world.data / "chaski.db-wal"
    log.write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"chaski\.db-wal is there"):
        restored(world, file, identity)
    log.unlink()
    (world.data / "keys").rename(world.data.parent / "keys")
    with pytest.raises(ConfigError, match="put the server's own keys back into"):
        restored(world, file, identity)
    assert nothing_was_written(world.data)


def test_another_servers_keys_or_a_missing_route_key_are_named(
    field: Field, world: World, identity: Path, shelf: Path
) -> None:
    file = backed_up(field, identity, shelf)
    field.parts.db.close()
    lose(world.data)
    (route,) = (world.data / "keys").glob("route-*.key")
    route.rename(world.data.parent / route.name)
    with pytest.raises(BackupError, match=rf"backup\.route_key_missing: .* put {route.name} back"):
        restored(world, file, identity)
    (world.data / "keys" / "server.key").unlink()
    save_secret(world.data / "keys" / "server.key", SigningKey.generate())
    with pytest.raises(BackupError, match=r"backup\.other_server: .*put those keys/ there with which it was made"):
        restored(world, file, identity)
    assert nothing_was_written(world.data)


def test_a_backup_needs_a_folder_with_room_and_is_never_written_over(
    field: Field, identity: Path, shelf: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match=r"backup\.no_folder: .*is its disk mounted"):
        backed_up(field, identity, tmp_path / "unplugged")
    with pytest.raises(BackupError, match=r"backup\.no_room: .* needs 1,.* free and has"):
        aside.need_room(shelf, 2**60)
    first = backed_up(field, identity, shelf)
    content = first.read_bytes()
    with pytest.raises(BackupError, match=r"backup\.file_exists"):
        backed_up(field, identity, shelf)
    assert first.read_bytes() == content
    assert list(shelf.iterdir()) == [first]
    assert list((field.world.data / "tmp").iterdir()) == []


def test_a_disk_that_fills_up_in_the_last_byte_is_noticed(field: Field, identity: Path) -> None:
    """The library that encrypts forgets a failed write at its very end."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        archive.write(full, b"{}", field.world.config.keys / "server.key", recipient(identity), lambda done: None)


def test_one_backup_at_a_time(field: Field, identity: Path, shelf: Path) -> None:
    with aside.alone(field.world.config), pytest.raises(BackupError, match=r"backup\.busy"):
        backed_up(field, identity, shelf)


# Power cuts

KILLED = """
import sys
from pathlib import Path
from server import backup_keys, keys
from server.config import Config
from server.flows import backup, restore

what, data, key, place = sys.argv[1], *map(Path, sys.argv[2:])
config, identities = Config(data=data), backup_keys.load(key, str)
if what == "backup":
    recipient = str(identities[0].to_public())
    backup.make(config, keys.load(config.keys), recipient=recipient, folder=place, now=1, progress=lambda step: None)
else:
    restore.restore(config, place, identities, now=1, progress=lambda step: None)
"""


def kill_when(there: Callable[[], bool], what: str, data: Path, identity: Path, place: Path) -> None:
    """Start a backup or restore, and kill it as soon as something is there that must not last."""
    running = subprocess.Popen([sys.executable, "-c", KILLED, what, str(data), str(identity), str(place)])
    while not there():
        assert running.poll() is None, "it was over before it could be killed"
    running.kill()
    running.wait()


def test_a_backup_and_a_restore_that_are_killed_leave_nothing_half(
    field: Field, world: World, identity: Path, shelf: Path
) -> None:
    with field.parts.db.write() as w:  # Enough that there is time to die.
        w.execute("CREATE TABLE bulk (body BLOB) STRICT")
        for _ in range(12):
            w.execute("INSERT INTO bulk VALUES (?)", [os.urandom(1_000_000)])
    scratch, copied = world.data / "tmp", world.data / "tmp" / "copy.db"
    kill_when(lambda: bool(list(shelf.glob("*.partial"))), "backup", world.data, identity, shelf)
    assert copied.exists()
    aside.tidy(world.config)  # as the server does when it starts
    assert list(scratch.iterdir()) == []
    assert list(shelf.glob("*.age")) == []
    file = backed_up(field, identity, shelf)
    assert list(shelf.iterdir()) == [file]
    field.parts.db.close()
    lose(world.data)
    kill_when(lambda: copied.exists() and copied.stat().st_size > 0, "restore", world.data, identity, file)
    assert not world.config.database.exists()
    assert restored(world, file, identity).holdings.form_versions == 1
    assert list(scratch.iterdir()) == []
    assert look(world.config.database, "SELECT count(*) FROM bulk") == [12]


# The key


def test_a_backup_key_is_locked_under_six_words_that_may_be_typed_as_people_type(
    field: Field, world: World, shelf: Path, tmp_path: Path
) -> None:
    key, words = tmp_path / "offline.age", tmp_path / "words"
    made = told("backup-key", "new", key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"AGE-SECRET-KEY" not in key.read_bytes()
    assert key.read_bytes().startswith(LOCKED[:77])
    assert chaski("backup-key", "new", key).stderr.startswith("chaski: key.file_exists")
    file = told("backup", "--data", world.data, "--to", made["recipient"], "--into", shelf)["file"]
    field.parts.db.close()
    lose(world.data)
    words.write_text(made["passphrase"].replace(" ", "   ").upper() + "\n")
    said = chaski("restore", file, "--identity", key, "--passphrase-file", words, "--data", world.data)
    assert said.exit_code == 0, said.stderr
    assert "0 screenings, 0 tablets, 15 people, 1 form version." in said.stdout
    key.chmod(0o644)
    lose(world.data)
    said = chaski("restore", file, "--identity", key, "--passphrase-file", words, "--data", world.data)
    assert said.stderr.startswith("chaski: key.file_readable_by_others")


def test_the_secret_half_is_never_made_in_a_servers_folder_and_a_server_that_finds_one_does_not_start(
    world: World, identity: Path
) -> None:
    with pytest.raises(BackupError, match=r"backup\.key_at_server"):
        backup_keys.create(world.data / "keys" / "offline.age", now=FOUNDED)
    for content in (identity.read_bytes(), LOCKED, base64.b64decode(LOCKED.split()[-1])):
        found = world.data / "keys" / "kept.txt"
        found.write_bytes(content)
        found.chmod(0o600)
        with pytest.raises(ConfigError, match=r"CHASKI_DATA: holds a secret.*kept\.txt"):
            refuse_insecure(world.config, demo=False, own=world.keys().kids)


# Every day


def daily_config(field: Field, identity: Path, folder: Path, keep: int) -> Config:
    """Settings with which the server backs itself up."""
    config = field.parts.config
    return replace(config, backup_recipient=recipient(identity), backup_folder=folder, backup_keep=keep)


def test_the_server_backs_itself_up_once_a_day_and_keeps_the_last_ones(
    field: Field, identity: Path, shelf: Path
) -> None:
    config, parts = daily_config(field, identity, shelf, keep=2), field.parts
    (shelf / f"chaski-{SigningKey.generate().kid}-20200101T000000.000Z.tar.gz.age").touch()  # another server's
    (shelf / "notes.txt").touch()

    def run(at: int) -> int:
        return backup.daily(parts.db, config, parts.keys, now=at)

    hour = DAY // 24
    assert [run(FOUNDED + hours * hour) for hours in (0, 1, 23, 24, 25, 48, 72)] == [1, 0, 0, 1, 0, 1, 1]
    mine = sorted(shelf.glob(f"chaski-{parts.keys.signing.kid}-*"))
    assert [file.stat().st_size > 0 for file in mine] == [True, True]
    assert len(list(shelf.iterdir())) == 4
    # One made while the clock was wrong is no reason to make none.
    assert run(FOUNDED - 3650 * DAY) == 1


def test_a_daily_backup_that_fails_is_on_the_work_list_until_one_succeeds(
    field: Field, identity: Path, shelf: Path
) -> None:
    config, parts = daily_config(field, identity, shelf / "unplugged", keep=2), field.parts
    with pytest.raises(BackupError, match=r"backup\.no_folder"):
        backup.daily(parts.db, config, parts.keys, now=FOUNDED)
    waiting = worklist.waiting(parts.db.read())
    assert [(item.kind, item.reason) for item in waiting] == [("backup", "backup.no_folder")]
    (shelf / "unplugged").mkdir()
    assert backup.daily(parts.db, config, parts.keys, now=FOUNDED) == 1
    assert worklist.waiting(parts.db.read()) == []


def test_settings_for_backups_are_complete_or_refused(world: World, identity: Path, shelf: Path) -> None:
    data = {"CHASKI_DATA": str(world.data)}
    to, into = {"CHASKI_BACKUP_RECIPIENT": recipient(identity)}, {"CHASKI_BACKUP_FOLDER": str(shelf)}
    assert load(data | to | into).backup_keep == 14
    inside = {"CHASKI_BACKUP_FOLDER": str(world.data / "backups")}
    secret = {"CHASKI_BACKUP_RECIPIENT": identity.read_text().split("\n")[2]}
    for given in (to, into, to | inside, into | {"CHASKI_BACKUP_RECIPIENT": "age1"}, into | secret):
        with pytest.raises(ConfigError, match="CHASKI_BACKUP_"):
            load(data | given)


# What tablets know and the server has forgotten


def registry_document(field: Field, number: int, revoked: list[str] | None = None) -> bytes:
    """The registry in force under another number, signed by the registrar."""
    held = publishing.registry_in_force(field.parts.db.read())
    payload = registry.make(
        number=number,
        keyrings=list(held.keyrings.values()),
        desks=list(held.desks),
        revoked=revoked or [],
        issued=FOUNDED,
    )
    return Document(payload).signed_by(field.world.office("registro", "registrar"), registry.TYP).to_bytes()


def put_registry(field: Field, number: int, revoked: list[str] | None = None) -> int:
    """Hand a registry in."""
    return publishing.take_registry(
        field.parts.db, registry_document(field, number, revoked), actor="tests", now=FOUNDED
    )


def test_a_number_that_tablets_hold_already_is_not_given_out_again(field: Field) -> None:
    ahead, honest = field.tablet(), field.tablet()
    field.ask(ahead, field.message(ahead, registry=7, trust=1, manifest=1, generation="of_the_lost"))
    field.ask(honest, field.message(honest, registry=1, trust=1))
    waiting = worklist.waiting(field.parts.db.read())
    assert [(item.kind, item.dev, item.reason) for item in waiting] == [("ahead", ahead.key.kid, "registry.7")]
    for number in (2, 7):
        with pytest.raises(publishing.Problem, match=r"document\.number_in_use.*registry 8 is the next") as refused:
            put_registry(field, number)
        assert refused.value.members == {"least": 8}
    assert put_registry(field, 8) == 8
    assert worklist.waiting(field.parts.db.read()) == []


def test_a_tablet_that_lies_about_its_numbers_ends_no_publishing_once_it_is_revoked(field: Field) -> None:
    liar = field.tablet()
    field.ask(liar, field.message(liar, registry=MAX_INTEGER, trust=MAX_INTEGER, manifest=MAX_INTEGER))
    with pytest.raises(publishing.Problem, match=r"document\.number_in_use"):
        put_registry(field, 2)
    assert put_registry(field, 2, revoked=[liar.key.kid]) == 2
    assert put_registry(field, 3, revoked=[liar.key.kid]) == 3
    assert publishing.next_number(field.parts.db.read(), "trust") == 2


def readmit(field: Field, tablet: Spoken, body: bytes) -> tuple[int, dict[str, Any]]:
    """Send a certificate to the tablets' door."""
    answer = tablets_app(field.parts).test_client().put(f"/v1/enrolments/{tablet.key.kid}", data=body)
    return answer.status_code, answer.get_json()


def test_a_tablet_that_was_forgotten_is_taken_back_by_its_certificate_as_often_as_it_asks(field: Field) -> None:
    unknown, pending = Spoken(SigningKey.generate()), field.tablet(certified=False)
    for tablet in (unknown, pending, unknown):
        status, said = readmit(field, tablet, field.certificate(tablet))
        assert (status, said) == (200, {"dev": tablet.key.kid, "state": "certified"})
    assert field.push(unknown, field.envelope(unknown))[0].outcome == "stored"
    rows = field.rows("SELECT action FROM audit WHERE subject = ? ORDER BY number", unknown.key.kid)
    assert rows == [("device.readmitted",)]


def test_a_revoked_tablet_comes_back_as_revoked_and_its_work_waits_for_a_decision(field: Field) -> None:
    stolen, here = Spoken(SigningKey.generate()), field.tablet()
    put_registry(field, 2, revoked=[stolen.key.kid, here.key.kid])
    for tablet in (stolen, here):
        assert readmit(field, tablet, field.certificate(tablet)) == (200, {"dev": tablet.key.kid, "state": "revoked"})
    assert field.push(stolen, field.envelope(stolen))[0].outcome == "quarantined"


def test_nobody_gets_in_with_a_certificate_that_no_registrar_signed_for_that_tablet(field: Field) -> None:
    other, stranger = field.tablet(), Spoken(SigningKey.generate())
    said = joining.Certificate(stranger.key.kid, stranger.key.public, "17", "Tableta", 1).to_payload(FOUNDED)
    self_made = Document(said).signed_by(stranger.key, joining.CERTIFICATE_TYP).to_bytes()
    for body, code in (
        (self_made, "signed.too_few"),
        (field.certificate(other), "enrolment.wrong_device"),
        (b"", "signed.malformed"),
        (b"x" * (joining.MAX_REQUEST_BYTES + 1), "http.too_large"),
    ):
        status, problem = readmit(field, stranger, body)
        assert (problem["code"], 400 <= status < 500) == (code, True)
    assert devices.get(field.parts.db.read(), stranger.key.kid) is None
