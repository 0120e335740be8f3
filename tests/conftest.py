"""The demo world that tests start from: one key ceremony per test run, and a fresh copy of its folders per test."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from screening_forms.engine.evaluator import load_engine
from screening_forms.sandbox import client as sandbox_client
from server import server_keys
from server.api import sync_thread, tablets
from server.ceremony import founding
from server.config import Config
from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.trust import documents
from server.server_keys import ServerKeys
from support import node
from support.waiting import wait_until
from sync.desk import form_versions as desk_versions
from sync.exchange import staff_session
from sync.keys import key_files
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.keys.passphrases import derive_keys
from sync.tablet import form_cache

# An example has no deadline, because a busy machine is not a fault of the code. Continuous integration draws the same
# examples each time, and a run by hand draws new ones. A failure prints what repeats it.
settings.register_profile(
    "chaski",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("chaski")

# Where the fixtures `field`, `office`, `tablet`, `identity` and `shelf` are.
pytest_plugins = ("support.intake", "support.clients", "support.backups")

FOUNDED = 1_795_000_000_000
"""When the demo world was founded: November 2026, in milliseconds."""

# Argon2id takes a quarter of a second on purpose; a test run does it once per passphrase.
derive = lru_cache(maxsize=None)(derive_keys)
_UNLOCKED: dict[tuple[str, str], SigningKey] = {}


@dataclass(frozen=True)
class World:
    """A founded demo: the server's data folder and, apart from it, the people's."""

    data: Path
    people: Path

    @property
    def config(self) -> Config:
        """Settings for a server over this data folder."""
        return Config(data=self.data, people_secure_cookie=False)

    @property
    def pin(self) -> str:
        """The pin of the roots, as people have it on paper."""
        with closing(SqliteDatabase(self.config.database)) as db:
            return documents.trust_in_force(db.read()).pin

    def keys(self) -> ServerKeys:
        """Load the server's own keys."""
        return server_keys.load(self.data / "keys")

    def passphrase(self, who: str) -> str:
        """Return a person's (or root's) six words."""
        return (self.people / who / "passphrase.txt").read_text(encoding="utf-8").strip()

    def office(self, who: str, role: str) -> SigningKey:
        """Unlock a root's, registrar's, author's or reviewer's signing key."""
        phrase = self.passphrase(who)
        if (phrase, role) not in _UNLOCKED:
            _UNLOCKED[phrase, role] = load_secret(self.people / who / f"{role}.key", SigningKey, phrase)
        return _UNLOCKED[phrase, role]

    def person_id(self, login: str) -> str:
        """Return the account id of a login."""
        index = json.loads((self.people / "people.json").read_text(encoding="utf-8"))
        return next(each["id"] for each in index if each["login"] == login)


@pytest.fixture(scope="session", autouse=True)
def remembered_passphrases() -> Iterator[None]:
    """Derive the keys of each passphrase once for each process, wherever it is typed."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (key_files, staff_session):
            patch.setattr(module, "derive_keys", derive)
        yield


@pytest.fixture(autouse=True)
def no_delta_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server of this process have no delta yet, as after its start. The process keeps those of former tests."""
    for module in (sync_thread, tablets):
        monkeypatch.setattr(module, "find_delta", lambda body, dictionary: None)


@pytest.fixture(autouse=True)
def own_known_documents(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let staff commands of each test know no documents of another test: all worlds of a run have one pin."""
    monkeypatch.setenv("CHASKI_KNOWN", str(tmp_path_factory.mktemp("known")))


@pytest.fixture(scope="session", autouse=True)
def remembered_forms() -> Iterator[None]:
    """Load each form into the engine once for each process; an engine keeps nothing of an interview."""
    load = lru_cache(maxsize=64)(load_engine)
    with pytest.MonkeyPatch.context() as patch:
        for module in (form_cache, desk_versions):
            patch.setattr(module, "load_engine", load)
        yield


@pytest.fixture(scope="session", autouse=True)
def unhurried_sandbox() -> Iterator[None]:
    """Let a sandboxed task take long on a busy machine; its limit of processor time stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_client, "WALL_SECONDS_PER_CPU_SECOND", 60)
        yield


@pytest.fixture(scope="session", name="node")
def node_with_modules() -> Path:
    """Give Node with the JavaScript libraries of server/web; without them a test fails."""
    return node.with_modules()


@pytest.fixture(scope="session")
def founded_world(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> World:
    """Hold the ceremony once per run; the workers of xdist share the result."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    world = World(shared / "world" / "server", shared / "world" / "people")
    done = shared / "world.done"
    try:
        (shared / "world").mkdir()
    except FileExistsError:
        wait_until(done.exists, "another worker did not found the world")
        return world
    founding.create_demo_server(world.data, world.people, now=FOUNDED, progress=lambda step: None).db.close()
    done.touch()
    return world


@pytest.fixture
def world(founded_world: World, tmp_path: Path) -> World:
    """Give a test its own copy of the demo world, nobody signed in and nothing published."""
    copied = World(tmp_path / "world" / "server", tmp_path / "world" / "people")
    shutil.copytree(founded_world.data, copied.data)
    shutil.copytree(founded_world.people, copied.people)
    return copied


@pytest.fixture
def world_db(world: World) -> Iterator[Database]:
    """Open the database of the test's world."""
    db = SqliteDatabase(world.config.database)
    yield db
    db.close()
