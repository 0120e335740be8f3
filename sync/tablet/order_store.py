"""The registrar's orders to this tablet, their progress, and what a wipe deletes from the store.

`sync.tablet.orders` and the tablet call it. A wipe must never delete the bytes of an envelope: a sync erases them, once
its response has a receipt for it.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from sync.tablet.outbox_database import leave_no_log, transaction
from sync.tablet.outbox_records import TabletState


class OrderStore:
    """The order columns of the table `place`, and the wiping of the store in the file `path`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = connection, path

    def tablet_state(self) -> TabletState:
        """Return the orders and faults recorded so far."""
        orders, wiping, *noticed = self._db.execute(
            "SELECT orders, wiping, revoked, wiped, copied FROM place"
        ).fetchone()
        return TabletState(orders, wiping, *map(bool, noticed))

    def record_revocation(self, number: int) -> None:
        """Record that order `number` revokes this tablet.

        During a wipe, the number counts once the wipe is complete.
        """
        with transaction(self._db):
            self._db.execute(
                "UPDATE place SET revoked = 1, orders = IIF(wiping, orders, ?1), wiping = IIF(wiping, ?1, 0)", (number,)
            )

    def begin_wipe(self, number: int) -> None:
        """Record that order `number`, a wipe, has to be carried out, even after a restart."""
        with transaction(self._db):
            self._db.execute("UPDATE place SET wiping = ?", (number,))

    def count_unwiped(self) -> int:
        """Return how many receipted envelopes a wipe has still to erase, those that were sent after it among them."""
        return int(
            self._db.execute(
                "SELECT COUNT(*) FROM envelope WHERE state = 'receipted' AND (SELECT wiping OR wiped FROM place)"
            ).fetchone()[0]
        )

    def wipe(self, *, complete: bool) -> None:
        """Delete forms, keyring keys, statuses, the drafts' key and the rest of erased envelopes.

        All other envelopes stay, with all that is needed to send them. Only a `complete` wipe, which also left no
        draft, records its number as done, once a sync has erased all envelopes with a receipt. While a process that
        reads the store keeps the old log in use, the wipe stays outstanding.
        """
        with suppress(sqlite3.OperationalError):  # The deletion then overwrites the log and does not lengthen it.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with transaction(self._db):
            self._db.execute("DELETE FROM envelope WHERE state = 'purged'")
            self._db.execute("DELETE FROM event")
            self._db.execute("DELETE FROM draft_key")
            self._db.execute("DELETE FROM in_use")
            self._db.execute("DELETE FROM refused")
            self._db.execute("DELETE FROM held WHERE name LIKE 'bundle/%' OR name LIKE 'key/%'")
            self._db.execute("DELETE FROM held WHERE name IN ('former', 'download')")
        clean = leave_no_log(self._db, self._path)
        if complete and clean and not self.count_unwiped():
            with transaction(self._db):
                self._db.execute("UPDATE place SET orders = wiping, wiping = 0, wiped = 1")

    def allow_forms_again(self) -> None:
        """End the wiped state, because a person has pulled forms."""
        with transaction(self._db):
            self._db.execute("UPDATE place SET wiped = 0")
