"""How many bytes of screenings one tablet may store. A stolen key must not take the space that other tablets need.

Intake asks before it stores. The bytes count for the tablet that sends them and for the tablet that signed them: of two
stolen keys, neither stores for the other what that one may not.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from server.problems import Problem
from server.store import worklist
from server.store.devices import Device

MIB = 1024 * 1024
RESERVE_SHARE = 4
"""The last quarter of the database's space is kept for tablets that have stored little."""
HEAVY_SHARE = 8
"""In the last quarter, a tablet that has stored an eighth of what is left has stored much. What is left falls with each
such tablet, so several stolen keys together leave room for the others too."""
REVOKED_SHARE = 32
"""Since its revocation, a tablet may store this fraction (1/32) of what a certified one may, or of what is left."""


@dataclass(frozen=True)
class StorageBudget:
    """`tablet`: the most bytes of one tablet. The space of the database limits it further."""

    tablet: int = 1024 * MIB


DEFAULT = StorageBudget()


@dataclass
class StorageAccount:
    """What one tablet may still store, and what a batch has taken of it. `revoked`: what it takes waits for people.

    `spare`: what is left for the batch of any tablet, however little it has stored.
    """

    dev: str
    room: int
    spare: int
    revoked: bool
    taken: int = 0

    def charge(self, size: int) -> None:
        """Count bytes that are stored. Raises Problem `storage.quota`, with the tablet, if it has no room for them, and
        `storage.full` if no tablet would have."""
        self.taken += size
        if self.taken > self.room:
            raise Problem("storage.full") if self.taken > self.spare else Problem("storage.quota", dev=self.dev)


def open_account(w: Connection, device: Device, budget: StorageBudget) -> StorageAccount:
    """Return how many more bytes of screenings a tablet may store now; a room of 0 or less: none."""
    space = w.space()
    spare = space.left // HEAVY_SHARE
    if device.state != "certified":
        most = min(budget.tablet, space.left) // REVOKED_SHARE
        return StorageAccount(device.dev, most - device.quarantined_bytes, spare, revoked=True)
    in_reserve = space.left < space.whole // RESERVE_SHARE
    most = min(budget.tablet, spare) if in_reserve else budget.tablet
    return StorageAccount(device.dev, most - device.stored_bytes, spare, revoked=False)


def report_used_up(w: Connection, dev: str, budget: StorageBudget, *, now: int) -> None:
    """Put a tablet that has used up its bytes on the work list, once."""
    reason = f"bytes.{budget.tablet}"
    worklist.add_item(w, kind="quota", dev=dev, reason=reason, at=now, since=worklist.EVERY_TIME)


def close_account(account: StorageAccount) -> tuple[str, int, int]:
    """Return what a batch took for its tablet, as the store counts it."""
    return account.dev, account.taken, account.taken if account.revoked else 0
