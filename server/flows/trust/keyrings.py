"""Returns the keys that a person's client needs to open screenings of her desk groups. The staff API calls it.

It must not return a wrapped copy to any other person. The server cannot open one.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Database
from server.store import keyrings, people
from server.store.keyrings import WrappedKey
from server.store.people import StaffAccount
from sync.keys.key_pairs import SealKey, SealPublicKey, SigningKey, VerifyKey


@dataclass(frozen=True)
class LockedKey:
    """A secret locked with its owner's passphrase, for the purpose `<kind>/<kid>` as in a key file (SPEC 3.4)."""

    kind: str
    kid: str
    locked: str


@dataclass(frozen=True)
class OwnKeys:
    """A person, her queues, her locked keys, and her wrapped copies of every epoch of her keyrings."""

    person: StaffAccount
    queues: list[str]
    seal: LockedKey
    signing: LockedKey
    keyrings: list[WrappedKey]


def get_own_keys(db: Database, person: StaffAccount) -> OwnKeys:
    """Return this person's own keys and queues only."""
    connection = db.read()
    return OwnKeys(
        person=person,
        queues=sorted(people.list_visible_queues(connection, person.id)),
        seal=LockedKey(SealKey.KIND, SealPublicKey.from_raw(person.seal_public).kid, person.locked_seal),
        signing=LockedKey(SigningKey.KIND, VerifyKey.from_raw(person.sign_public).kid, person.locked_sign),
        keyrings=keyrings.list_wrapped_keys(connection, person.id),
    )
