"""Keyrings as the server knows them: public keys, and one wrapped copy of each secret per member.

Flows call this inside their own transaction. Only the member's own key opens a wrapped copy. This module must not
receive an unwrapped secret.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class WrappedKey:
    """One member's copy of one keyring epoch's secret, as a sealed text."""

    keyring: str
    epoch: int
    kid: str
    wrapped: str


def add_key(connection: Connection, *, sha256: str, keyring: str, epoch: int, kid: str, public: bytes, at: int) -> None:
    """Store a keyring epoch's public key; the registry names it by SHA-256."""
    connection.execute(
        "insert into keyring_keys (sha256, keyring, epoch, kid, public, created) values (?, ?, ?, ?, ?, ?)"
        " on conflict (sha256) do nothing",
        (sha256, keyring, epoch, kid, public, at),
    )


def get_public_key(connection: Connection, sha256: str) -> bytes | None:
    """Return the raw public key (1,216 bytes) with this SHA-256 in hex, or None."""
    found = connection.row("select public from keyring_keys where sha256 = ?", (sha256,))
    return found["public"] if found else None


def find_keyring(connection: Connection, kid: str) -> str | None:
    """Return the keyring that a key id belongs to, in any epoch, or None."""
    found = connection.row("select keyring from keyring_keys where kid = ?", (kid,))
    return found["keyring"] if found else None


def put_wrapped_key(connection: Connection, *, keyring: str, epoch: int, person: str, wrapped: str, at: int) -> None:
    """Store one member's wrapped copy; a second one for the same epoch replaces the first."""
    connection.execute(
        "insert into wrapped_keys (keyring, epoch, person, wrapped, created) values (?, ?, ?, ?, ?)"
        " on conflict (keyring, epoch, person) do update set wrapped = excluded.wrapped",
        (keyring, epoch, person, wrapped, at),
    )


def list_wrapped_keys(connection: Connection, person: str) -> list[WrappedKey]:
    """Return the person's own copies, all epochs, oldest first: old screenings need old epochs."""
    found = connection.rows(
        "select w.keyring, w.epoch, k.kid, w.wrapped from wrapped_keys w"
        " join keyring_keys k on k.keyring = w.keyring and k.epoch = w.epoch"
        " where w.person = ? order by w.keyring, w.epoch",
        (person,),
    )
    return [WrappedKey(**each) for each in found]


def is_member(connection: Connection, person: str, kid: str) -> bool:
    """Return True if the person holds a wrapped copy of the keyring epoch with this key id."""
    found = connection.row(
        "select 1 from wrapped_keys w join keyring_keys k on k.keyring = w.keyring and k.epoch = w.epoch"
        " where w.person = ? and k.kid = ?",
        (person, kid),
    )
    return found is not None
