"""Tests of keyrings: each member opens her own copy with her passphrase, and no other copy."""

from __future__ import annotations

import pytest

from conftest import World, derive
from server.database.connection import Database
from server.flows.trust import keyrings
from server.flows.trust.keyrings import OwnKeys
from server.store import keyrings as keyring_store
from server.store import people
from sync.envelope import seal
from sync.errors import SyncError
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import unlock_secret


def belongings(world: World, db: Database, login: str) -> OwnKeys:
    person = people.get_account(db.read(), world.person_id(login))
    assert person is not None
    return keyrings.get_own_keys(db, person)


def own_key(world: World, db: Database, login: str) -> SealKey:
    """Unlock a person's seal key as her client does."""
    record = people.get_sign_in_record(db.read(), login)
    assert record is not None
    locked = belongings(world, db, login).seal
    lock = derive(world.passphrase(login), record.salt).lock
    return SealKey.from_seed(unlock_secret(locked.locked, lock, f"{locked.kind}/{locked.kid}"))


def test_a_coordinator_has_and_opens_the_keyring_of_her_desk_only(world: World, world_db: Database) -> None:
    mine = belongings(world, world_db, "proteccion-17")
    assert [copy.keyring for copy in mine.keyrings] == ["17-protection"]
    assert mine.queues == ["17-protection", "17-review"]
    copy = mine.keyrings[0]
    opened = seal.unwrap_seed(
        copy.wrapped,
        own_key(world, world_db, "proteccion-17"),
        keyring=copy.keyring,
        epoch=copy.epoch,
        member_id=mine.person.id,
    )
    assert opened.kid == copy.kid
    assert keyring_store.get_public_key(world_db.read(), opened.public.sha256) == opened.public.raw


def test_the_national_desk_is_a_member_of_every_keyring(world: World, world_db: Database) -> None:
    key, theirs = own_key(world, world_db, "nacional"), belongings(world, world_db, "nacional")
    assert len(theirs.keyrings) == 19
    for copy in theirs.keyrings:
        opened = seal.unwrap_seed(copy.wrapped, key, keyring=copy.keyring, epoch=copy.epoch, member_id=theirs.person.id)
        assert opened.kid == copy.kid


def test_a_copy_opens_for_its_owner_keyring_and_epoch_only(world: World, world_db: Database) -> None:
    mine = belongings(world, world_db, "proteccion-17")
    copy, key = mine.keyrings[0], own_key(world, world_db, "proteccion-17")
    theirs = own_key(world, world_db, "proteccion-21")
    right = {"keyring": copy.keyring, "epoch": copy.epoch, "member_id": mine.person.id}
    for other_key, changed in (
        (theirs, {}),
        (key, {"keyring": "21-protection"}),
        (key, {"epoch": 2}),
        (key, {"member_id": world.person_id("proteccion-21")}),
    ):
        with pytest.raises(SyncError, match=r"seal\.unopenable"):
            seal.unwrap_seed(copy.wrapped, other_key, **{**right, **changed})


def test_a_wrong_passphrase_unlocks_nothing(world: World, world_db: Database) -> None:
    locked = belongings(world, world_db, "autora").signing
    record = people.get_sign_in_record(world_db.read(), "autora")
    assert record is not None
    with pytest.raises(SyncError, match=r"key\.wrong_passphrase"):
        unlock_secret(
            locked.locked, derive("seis palabras que no son estas", record.salt).lock, f"signing/{locked.kid}"
        )
