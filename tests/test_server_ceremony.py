"""Tests of the key ceremony: what `chaski init` creates, and where no secret may be written."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from conftest import FOUNDED, World
from server.app import open_services
from server.ceremony import founding
from server.config import ConfigError
from server.database.connection import Database
from server.flows.desks import routing
from server.flows.operations import audit
from server.flows.trust import documents as trust_documents
from server.store import documents
from sync.documents import registry, trust
from sync.documents.signed import Document
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey


def newest(db: Database, kind: str) -> Document:
    stored = documents.get_newest(db.read(), kind)
    assert stored is not None
    return Document.parse(stored.body)


def test_a_demo_server_starts_after_the_ceremony(world: World) -> None:
    services = open_services(world.config)
    assert trust_documents.trust_in_force(services.db.read()).demo
    assert audit.verify_chain(services.db).broken_at is None
    services.db.close()


def test_trust_is_signed_by_two_of_three_roots_and_names_two_persons_for_forms(
    world: World, world_db: Database
) -> None:
    document = newest(world_db, "trust")
    held = trust.accept(document, None, trust.read(document).pin)
    assert (len(held.roots), held.threshold, len(document.signatures)) == (3, 2, 2)
    assert set(held.authors) == {world.office("autora", "author").kid}
    assert set(held.reviewers) == {world.office("revisor", "reviewer").kid}
    assert {signer.person for signer in held.authors.values()}.isdisjoint(
        signer.person for signer in held.reviewers.values()
    )
    assert set(held.servers) == {world.keys().signing.kid}


def test_each_desk_of_six_regions_has_a_keyring_and_the_national_desk_the_rest(world_db: Database) -> None:
    held = registry.accept(newest(world_db, "registry"), trust_documents.trust_in_force(world_db.read()), None)
    assert len(held.keyrings) == 19
    assert held.keyring_for("170204", "protection").id == "17-protection"
    assert held.keyring_for("211001", "review").id == "21-protection"
    assert held.keyring_for("170102", "child").id == "17-child"
    assert held.keyring_for("130101", "labour").id == "national"
    for rule in routing.read_rules():
        assert rule.keyring in held.keyrings


def test_the_first_manifest_has_no_form_and_the_route_key(world: World, world_db: Database) -> None:
    held = trust_documents.manifest_in_force(world_db.read())
    assert held.forms == {}
    assert held.route_key(FOUNDED).kid in world.keys().routes
    assert held.number >= FOUNDED // 1000


def test_peoples_secrets_are_private_files_outside_the_servers_folder(world: World) -> None:
    secrets = [path for path in world.people.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in world.people.rglob("*") if path.is_dir())
    assert stat.S_IMODE(world.data.stat().st_mode) == 0o700
    kids = {
        load_secret(path, SigningKey, world.passphrase(path.parent.name)).kid
        for path in secrets
        if path.suffix == ".key"
    }
    assert len(kids) == 6, "three roots, registrar, author, reviewer"
    held = {json.loads(path.read_bytes())["kid"] for path in (world.data / "keys").iterdir()}
    assert held == set(world.keys().kids)
    assert not kids & held
    database = world.config.database.read_bytes()
    phrases = [path.read_bytes().strip() for path in secrets if path.name == "passphrase.txt"]
    assert len(phrases) == len(set(phrases)) == 3 + 15
    assert not any(phrase in database for phrase in phrases)


def test_a_second_ceremony_does_not_change_the_first_server(world: World, tmp_path: Path) -> None:
    before = world.config.database.read_bytes()
    with pytest.raises(ConfigError, match="holds a server already"):
        founding.create_demo_server(world.data, tmp_path / "others", now=FOUNDED, progress=lambda step: None)
    assert world.config.database.read_bytes() == before
    assert not (tmp_path / "others").exists()


def test_the_peoples_folder_must_not_be_under_the_servers_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="people"):
        founding.create_demo_server(tmp_path / "s", tmp_path / "s" / "people", now=FOUNDED, progress=lambda step: None)
    assert not (tmp_path / "s").exists()


def test_a_server_founded_without_a_demo_has_keys_and_no_accounts(tmp_path: Path) -> None:
    steps: list[str] = []
    founded = founding.create_server(tmp_path / "s", now=FOUNDED, progress=steps.append)
    assert founded.keys.kids == {json.loads(path.read_bytes())["kid"] for path in (tmp_path / "s" / "keys").iterdir()}
    assert founded.db.read().execute("select count(*) from people").fetchone() == (0,)
    assert documents.get_newest(founded.db.read(), "trust") is None
    assert steps
    founded.db.close()
