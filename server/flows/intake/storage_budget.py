"""How many bytes of screenings one tablet may store. A stolen key must not take the space that other tablets need.

Intake asks before it stores. The bytes count for the tablet that sends them, whichever tablet signed them.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from server.store import devices, tablet_usage

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


def find_room(w: Connection, dev: str, budget: StorageBudget) -> int:
    """Return how many more bytes of screenings a tablet may store now; 0 or less: none."""
    used, device = tablet_usage.get(w, dev), devices.get_device(w, dev)
    if device is None or device.state != "certified":
        whole = min(budget.tablet, budget.database or budget.tablet)
        return whole // REVOKED_SHARE - used.quarantined
    if budget.database and w.remaining_bytes() < budget.database // RESERVE_SHARE:
        return min(budget.tablet, budget.database // HEAVY_SHARE) - used.bytes
    return budget.tablet - used.bytes
