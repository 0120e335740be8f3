"""Tests of an interrupted founding: the next `chaski init` starts it again, whatever step it had reached.

A finished server, or the folder of another owner, must never be taken for an interrupted founding.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FOUNDED, World
from server.app import open_services
from server.ceremony import founding as ceremony
from server.cli.main import main
from server.config import ConfigError
from server.database.sqlite import SqliteDatabase
from server.flows.operations import founding
from server.flows.operations.audit import verify_chain
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.keys.passphrases import DerivedKeys

MARK = "founding"
CUT = """
import os, signal, sys
from pathlib import Path
from server.ceremony import founding as ceremony
from sync.keys.passphrases import DerivedKeys

def progress(words):
    if words.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

ceremony.derive_keys = lambda phrase, salt: DerivedKeys(bytes(32), bytes(32))
ceremony.create_demo_server(Path(sys.argv[1]), Path(sys.argv[2]), now=1_795_000_000_000, progress=progress)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the slow key derivations: no person signs in here."""
    monkeypatch.setattr(ceremony, "derive_keys", lambda phrase, salt: DerivedKeys(bytes(32), bytes(32)))


def chaski(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def tree(*folders: Path) -> dict[str, bytes]:
    """Return every file under these folders with its contents."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def assert_whole(world: World) -> None:
    """Check a founded world against everything that `chaski init --demo` creates."""
    assert not list(world.data.rglob(MARK)) + list(world.people.glob(MARK))
    services = open_services(world.config)
    assert verify_chain(services.db).broken_at is None
    rows = services.db.read().execute("select count(*) from audit where action = 'server.founded'").fetchone()
    assert rows == (1,)
    services.db.close()
    assert {json.loads(path.read_bytes())["kid"] for path in (world.data / "keys").iterdir()} == set(world.keys().kids)
    seated = {each["login"] for each in json.loads((world.people / "people.json").read_bytes())}
    assert {path.name for path in world.people.iterdir()} == seated | {"people.json", "raiz-1", "raiz-2", "raiz-3"}
    for path in world.people.rglob("*.key"):
        load_secret(path, SigningKey, world.passphrase(path.parent.name))


def test_a_founding_killed_at_any_step_starts_again(tmp_path: Path) -> None:
    world = World(tmp_path / "server", tmp_path / "people")
    for step in ("server key", "root key 1", "root key 3", "keys of registro", "the desks' keyrings"):
        cut = subprocess.run([sys.executable, "-c", CUT, str(world.data), str(world.people), step], timeout=120)
        assert cut.returncode == -signal.SIGKILL, step
        assert (world.data / MARK).exists(), step
    init = ("init", "--data", world.data, "--demo", "--people", world.people)
    assert chaski(*init).exit_code == 0
    assert_whole(world)
    before = tree(tmp_path)
    assert "is there already" in chaski(*init).stderr
    assert "holds a server already" in chaski(*init[:-1], tmp_path / "others").stderr
    assert tree(tmp_path) == before


def test_a_founding_killed_before_the_index_is_written_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    world = World(tmp_path / "server", tmp_path / "people")
    (tmp_path / "people").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(ceremony, "write_index", stop)
        with pytest.raises(KeyboardInterrupt):
            ceremony.create_demo_server(world.data, world.people, now=FOUNDED, progress=lambda step: None)
    cut_off = world.keys().kids
    told = chaski("trust", "show", "--data", world.data)
    assert (told.exit_code, "was cut off" in told.stderr, "chaski init" in told.stderr) == (1, True, True)
    ceremony.create_demo_server(world.data, world.people, now=FOUNDED, progress=lambda step: None).db.close()
    assert_whole(world)
    assert world.keys().kids.isdisjoint(cut_off)


@pytest.mark.parametrize(
    "place",
    [
        (founding.server_keys, "save_secret"),
        (founding, "SqliteDatabase"),
        (founding.audit, "append"),
        (founding, "sync_folder"),
    ],
)
def test_an_interrupted_founding_without_a_demo_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str]
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*place, no_room)
        failed = chaski("init", "--data", tmp_path / "s")
    assert (failed.exit_code, "No space left" in failed.stderr) == (1, True)
    assert (tmp_path / "s" / MARK).exists()
    if (tmp_path / "s" / "keys").exists():
        (tmp_path / "s" / "keys" / "server.key").write_bytes(b"{")  # As a power cut may leave it.
    assert chaski("init", "--data", tmp_path / "s").exit_code == 0
    assert {path.name for path in (tmp_path / "s").iterdir()} - {"chaski.db-wal", "chaski.db-shm"} == {
        "chaski.db",
        "chaski.db.mark",
        "keys",
    }
    assert len(list((tmp_path / "s" / "keys").iterdir())) == 2
    assert "holds a server already" in chaski("init", "--data", tmp_path / "s").stderr


@pytest.mark.parametrize("command", ["serve", "trust show", "audit verify", "restore"])
def test_no_command_works_on_a_folder_whose_founding_was_cut_off(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (world.data / MARK).write_text("0" * 32, encoding="ascii")
    (tmp_path / "backup").touch()
    before = tree(world.data)
    monkeypatch.setenv("CHASKI_DATA", str(world.data))
    words: dict[str, tuple[object, ...]] = {
        "serve": ("serve",),
        "restore": ("restore", tmp_path / "backup", "--data", world.data, "--identity", tmp_path / "backup"),
    }
    told = chaski(*words.get(command, (*command.split(), "--data", world.data)))
    assert (told.exit_code, f"the founding of {world.data} was cut off" in told.stderr) == (1, True), told.output
    assert tree(world.data) == before


def test_a_second_init_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "s"
    with founding.lock_new_server(data) as mark:
        (data / "keys").mkdir()
        told = chaski("init", "--data", data)
        assert (told.exit_code, "another `chaski init` is at work" in told.stderr) == (1, True)
        assert (data / "keys").exists()
        assert founding.read_mark(data) == mark
    (data / "keys").rmdir()


def test_an_empty_mark_beside_a_finished_server_deletes_nothing(world: World) -> None:
    before = tree(world.data, world.people)
    (world.data / MARK).touch()
    assert "holds a server already" in chaski("init", "--data", world.data).stderr
    assert tree(world.data, world.people) == before
    db = SqliteDatabase(world.config.database)
    assert verify_chain(db).broken_at is None
    db.close()


@pytest.mark.parametrize("theirs", ["", "another mark", "a file of theirs"])
def test_a_people_folder_of_another_server_is_never_deleted(world: World, tmp_path: Path, theirs: str) -> None:
    data, people = tmp_path / "new", world.people
    data.mkdir()
    (data / MARK).write_text("0" * 32, encoding="ascii")
    if theirs == "another mark":  # As a power cut leaves it right after the last step.
        (people / MARK).write_text("1" * 32, encoding="ascii")
    if theirs == "a file of theirs":
        people = tmp_path / "others"
        people.mkdir()
        (people / "passphrase.txt").touch()
        (people / MARK).touch()
    before = tree(data, people)
    told = chaski("init", "--data", data, "--demo", "--people", people)
    assert (told.exit_code, "other people's secrets" in told.stderr) == (1, True), told.output
    assert ("a founding was cut off: repeat its" in told.stderr) == bool(theirs)
    assert tree(data, people) == before


FOREIGN = {
    "a sentence": lambda file: file.write_text("acta de fundación, 12 de mayo", encoding="utf-8"),
    "bytes": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "almost a mark": lambda file: file.write_text("0" * 31 + "g", encoding="ascii"),
    "a mark and more": lambda file: file.write_text("0" * 32 + "\n", encoding="ascii"),
    "a folder": lambda file: file.mkdir(),
    "a link": lambda file: file.symlink_to(file.parent / "chaski.db"),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_file_in_the_place_of_the_mark_deletes_no_server(world: World, foreign: str) -> None:
    FOREIGN[foreign](world.data / MARK)
    before = tree(world.data)
    told = chaski("init", "--data", world.data)
    assert (told.exit_code, "holds a server already" in told.stderr) == (1, True)
    assert tree(world.data) == before
    services = open_services(world.config)
    assert verify_chain(services.db).broken_at is None
    services.db.close()


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_file_in_the_place_of_the_mark_is_kept(tmp_path: Path, foreign: str) -> None:
    data = tmp_path / "new"
    data.mkdir()
    FOREIGN[foreign](data / MARK)
    told = chaski("init", "--data", data)
    assert (told.exit_code, "is not a file of Chaski" in told.stderr) == (1, True)
    assert [path.name for path in data.iterdir()] == [MARK]


def test_a_founding_that_waited_deletes_no_people_of_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both foundings found the folder of people empty; the second one gets the lock after the first has ended."""
    first, second, people = tmp_path / "first", tmp_path / "second", tmp_path / "people"
    lock = founding.lock_new_server

    def found_the_first(data: Path) -> Any:
        if data == second:
            ceremony.create_demo_server(first, people, now=FOUNDED, progress=lambda step: None).db.close()
        return lock(data)

    monkeypatch.setattr(founding, "lock_new_server", found_the_first)
    with pytest.raises(ConfigError, match="other people's secrets"):
        ceremony.create_demo_server(second, people, now=FOUNDED, progress=lambda step: None)
    assert_whole(World(first, people))
