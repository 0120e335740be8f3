"""How many bytes of screenings one tablet may store. A stolen key must not take the space that other tablets need.

Intake asks before it stores. The bytes count for the tablet that sends them and for the tablet that signed them: of two
stolen keys, neither stores for the other what that one may not.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from server.problems import Problem
from server.store import tablet_usage
from server.store.devices import Device

MIB = 1024 * 1024
REVOKED_SHARE = 32
"""Since its revocation, a tablet may store this fraction (1/32) of what a certified one may."""
RESERVE_SHARE = 4
"""The last quarter of the database's limit is kept for tablets that have stored little."""
HEAVY_SHARE = 8
"""A tablet that has stored an eighth of the database's limit has stored much."""


@dataclass(frozen=True)
class StorageBudget:
    """`tablet`: the most bytes of one tablet. `database`: the limit of the database in bytes; 0 = the disk alone."""

    tablet: int = 1024 * MIB
    database: int = 0


DEFAULT = StorageBudget()


@dataclass
class Account:
    """What one tablet may still store, and what a batch has taken of it. `revoked`: what it takes waits for people."""

    dev: str
    room: int
    revoked: bool
    taken: int = 0

    def take(self, size: int) -> None:
        """Count bytes that are stored. Raises Problem `storage.quota`, with the tablet, without room for them."""
        self.taken += size
        if self.taken > self.room:
            raise Problem("storage.quota", dev=self.dev)


def open_account(w: Connection, dev: str, device: Device | None, budget: StorageBudget) -> Account:
    """Return how many more bytes of screenings a tablet may store now; a room of 0 or less: none."""
    used, revoked = tablet_usage.get(w, dev), device is None or device.state != "certified"
    if revoked:
        whole = min(budget.tablet, budget.database or budget.tablet)
        return Account(dev, whole // REVOKED_SHARE - used.quarantined, revoked)
    if budget.database and w.remaining_bytes() < budget.database // RESERVE_SHARE:
        return Account(dev, min(budget.tablet, budget.database // HEAVY_SHARE) - used.bytes, revoked)
    return Account(dev, budget.tablet - used.bytes, revoked)


def close_account(w: Connection, account: Account) -> None:
    """Count what a batch took for its tablet."""
    tablet_usage.add(w, account.dev, account.taken, quarantined=account.taken if account.revoked else 0)
