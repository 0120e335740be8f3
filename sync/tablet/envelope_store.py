"""The sealed envelopes of the tablet's store, and what the server receipted of them.

Called by sync.tablet.client. An envelope without a receipt is never deleted.
"""

import sqlite3
from collections.abc import Callable, Iterable

from sync.durations import DAY
from sync.envelope.verify import ChainPosition, envelope_id
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.outbox_database import transaction
from sync.tablet.outbox_records import StoredEnvelope, SyncResult

KEPT_AFTER_RECEIPT = 30 * DAY  # SPEC 10: long enough for a server's disk to be lost and restored.
REJECTED_PAUSE = DAY  # A rejected envelope is offered again this far from its receipt: the server may be at fault.
MAX_BATCH_BYTES = 4 * 1024 * 1024


class EnvelopeStore:
    """The table `envelope`."""

    def __init__(self, connection: sqlite3.Connection, counters: ChainCounters) -> None:
        self._db, self._counters = connection, counters

    def append(self, keyring: str, jti: str, seal: Callable[[ChainPosition], bytes]) -> StoredEnvelope:
        """Number, seal and store one envelope in a single transaction, so that no number is used twice or lost.

        `keyring` is the kid it is sealed to, which counts its own. `seal` gets the position and returns the envelope's
        bytes; when it raises, nothing has happened.
        """
        with transaction(self._db):
            position = self._counters.next_position(keyring)
            raw = seal(position)
            identity = envelope_id(raw)
            self._db.execute(
                "INSERT INTO envelope (id, jti, chain, seq, raw, state, outcome, at)"
                " VALUES (?, ?, ?, ?, ?, 'pending', '', 0)",
                (identity, jti, position.chain, position.seq, raw),
            )
            self._counters.advance(keyring, position, identity)
        self._counters.write_checkpoint()
        return StoredEnvelope(identity, jti, position.chain, position.seq, raw, "pending", "", 0)

    def list_stored(self) -> tuple[StoredEnvelope, ...]:
        """Return every envelope on board, oldest first."""
        rows = self._db.execute(
            "SELECT id, jti, chain, seq, raw, state, outcome, at FROM envelope"
            " WHERE state <> 'purged' ORDER BY position"
        )
        return tuple(StoredEnvelope(*row) for row in rows)

    def count_by_state(self) -> dict[str, int]:
        """Return how many envelopes are `waiting` for a receipt, `receipted` and `rejected`."""
        row = self._db.execute(
            "SELECT COALESCE(SUM(state IN ('pending', 'sent')), 0), COALESCE(SUM(state = 'receipted'), 0),"
            " COALESCE(SUM(state = 'rejected'), 0) FROM envelope"
        ).fetchone()
        return dict(zip(("waiting", "receipted", "rejected"), row, strict=True))

    def screening_ids(self) -> dict[str, str]:
        """Return the screening (jti) behind each envelope's identity, purged ones too."""
        return dict(self._db.execute("SELECT id, jti FROM envelope").fetchall())

    def purge(self, at: int, here: int) -> int:
        """Erase what was receipted 30 days ago, by the server's clock and by the tablet's own; return how many.

        Either clock may be wrong, and then the envelope is kept too long and never too short. The row stays, without
        the envelope, so that a later status still finds its screening.
        """
        with transaction(self._db):
            return self._db.execute(
                "UPDATE envelope SET state = 'purged', raw = x'' WHERE state = 'receipted' AND at < ?",
                (min(at, here) - KEPT_AFTER_RECEIPT,),
            ).rowcount

    # Steps of a sync, each inside a transaction of the caller

    def sent_ids(self) -> tuple[str, ...]:
        """Return the ids of the envelopes that were sent and whose fate is unknown, oldest first."""
        rows = self._db.execute("SELECT id FROM envelope WHERE state = 'sent' ORDER BY position")
        return tuple(row[0] for row in rows)

    def due_to_send(self, limit: int, now: int) -> tuple[StoredEnvelope, ...]:
        """Return the oldest envelopes to send, as many as one request carries; `now` is the tablet's clock (ms)."""
        rows = self._db.execute(
            "SELECT id, jti, chain, seq, raw, state, outcome, at FROM envelope"
            " WHERE state = 'pending' OR (state = 'rejected' AND ABS(at - ?) > ?) ORDER BY position LIMIT ?",
            (now, REJECTED_PAUSE, limit),
        )
        chosen: list[StoredEnvelope] = []
        size = 0
        for envelope in (StoredEnvelope(*row) for row in rows):
            size += len(envelope.raw)
            if chosen and size > MAX_BATCH_BYTES:
                break
            chosen.append(envelope)
        return tuple(chosen)

    def set_state(self, state: str, ids: Iterable[str]) -> None:
        """Mark envelopes as `pending` or `sent`."""
        self._db.executemany("UPDATE envelope SET state = ? WHERE id = ?", [(state, identity) for identity in ids])

    def void_receipts(self) -> None:
        """Offer everything on board again: the server's database is another one than the one that receipted it."""
        self._db.execute("UPDATE envelope SET state = 'pending', outcome = '', at = 0 WHERE state <> 'purged'")

    def record_receipts(self, result: SyncResult) -> None:
        """Store what a verified answer says of each envelope."""
        self._db.executemany(
            "UPDATE envelope SET state = ?, outcome = ?, at = ? WHERE id = ? AND state <> 'purged'",
            [
                ("rejected", outcome, result.here, identity)
                if outcome == "rejected"
                else ("receipted", outcome, max(result.at, result.here), identity)
                for identity, outcome in result.receipts
            ],
        )
