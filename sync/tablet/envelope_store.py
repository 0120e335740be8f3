"""The sealed envelopes of the tablet's store, and the server's receipts for them.

`sync.tablet.client` calls it. It must never delete an envelope without a receipt.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping

from sync.durations import DAY
from sync.envelope.verify import ChainPosition, envelope_id
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.outbox_database import transaction
from sync.tablet.outbox_records import StoredEnvelope, SyncResult

KEPT_AFTER_RECEIPT = 30 * DAY  # SPEC 10: enough time for a server to lose its disk and restore a copy.
REJECTED_PAUSE = DAY  # A rejected envelope is sent again after this time: the fault may be the server's.
MAX_BATCH_BYTES = 4 * 1024 * 1024


class EnvelopeStore:
    """The table `envelope`."""

    def __init__(self, connection: sqlite3.Connection, counters: ChainCounters) -> None:
        self._db, self._counters = connection, counters

    def append(self, keyring: str, jti: str, seal: Callable[[ChainPosition], bytes]) -> StoredEnvelope:
        """Number, seal and store one envelope in a single transaction, so that no number is used twice or lost.

        `keyring` is the kid that it is sealed to; each keyring has its own count. `seal` gets the position and returns
        the envelope's bytes. If it raises, nothing is stored.
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
        """Return every stored envelope, oldest first."""
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
        """Return the screening (jti) of each envelope id, with those of purged envelopes."""
        return dict(self._db.execute("SELECT id, jti FROM envelope").fetchall())

    def purge(self, at: int, here: int) -> int:
        """Erase envelopes receipted 30 days ago by the server's clock and the tablet's; return how many.

        Either clock may be wrong; then the envelope stays too long, never too short. The row stays without the bytes,
        so that a later status still finds its screening.
        """
        with transaction(self._db):
            return self._db.execute(
                "UPDATE envelope SET state = 'purged', raw = x'' WHERE state = 'receipted' AND at < ?",
                (min(at, here) - KEPT_AFTER_RECEIPT,),
            ).rowcount

    # For a courier

    def list_for_courier(self) -> Iterator[tuple[str, bytes]]:
        """Return id and bytes of each envelope without a receipt that counts as done, oldest first."""
        rows = self._db.execute(
            "SELECT id, raw FROM envelope WHERE state IN ('pending', 'sent', 'rejected') ORDER BY position"
        )
        return ((identity, bytes(raw)) for identity, raw in rows)

    def mark_handed_over(self, ids: Iterable[str], now: int) -> None:
        """Record that a courier has copies of these envelopes. They stay here, to be sent like all others."""
        with transaction(self._db):
            self._db.executemany(
                "UPDATE envelope SET handed_over = ? WHERE id = ?", [(now, identity) for identity in ids]
            )

    def last_handed_over(self) -> tuple[int, int]:
        """Return how many envelopes without a receipt a courier has, and when the last ones were handed over (ms)."""
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(MAX(handed_over), 0) FROM envelope"
            " WHERE handed_over > 0 AND state IN ('pending', 'sent', 'rejected')"
        ).fetchone()
        return int(row[0]), int(row[1])

    # Steps of a sync, each inside a transaction of the caller

    def sent_ids(self) -> tuple[str, ...]:
        """Return the ids of the envelopes that were sent and have no receipt, oldest first."""
        rows = self._db.execute("SELECT id FROM envelope WHERE state = 'sent' ORDER BY position")
        return tuple(row[0] for row in rows)

    def due_to_send(self, limit: int, now: int) -> tuple[StoredEnvelope, ...]:
        """Return the oldest envelopes to send that fit in one request; `now` is the tablet's clock (ms)."""
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
        """Mark every stored envelope for sending again, because another database had receipted it."""
        self._db.execute(
            "UPDATE envelope SET state = 'pending', outcome = '', at = 0, was_lost = 0 WHERE state <> 'purged'"
        )

    def offer_again(self, again: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """Void the receipts of envelopes that the server has lost: ranges of numbers by chain. What was purged stays
        lost."""
        self._db.executemany(
            "UPDATE envelope SET state = 'pending', outcome = '', at = 0, was_lost = 1"
            " WHERE state = 'receipted' AND chain = ? AND seq BETWEEN ? AND ?",
            [(chain, first, last) for chain, ranges in again.items() for first, last in ranges],
        )

    def highest_receipted(self, limit: int) -> dict[str, int]:
        """Return the highest number with a receipt of at most `limit` chains, whether its envelope is still stored or
        not."""
        rows = self._db.execute(
            "SELECT chain, MAX(seq) FROM envelope WHERE state IN ('receipted', 'purged')"
            " GROUP BY chain ORDER BY random() LIMIT ?",
            (limit,),
        )
        return dict(rows.fetchall())

    def record_courier_receipts(self, ids: Mapping[str, str], at: int) -> int:
        """Store the outcome of each envelope (by id) that has no receipt yet; return how many.

        An envelope that the server once lost stays: these receipts may be older than its loss. Only a sync settles it.
        """
        return self._db.executemany(
            "UPDATE envelope SET state = 'receipted', outcome = ?, at = ?"
            " WHERE id = ? AND state IN ('pending', 'sent', 'rejected') AND NOT was_lost",
            [(outcome, at, identity) for identity, outcome in ids.items()],
        ).rowcount

    def record_receipts(self, result: SyncResult) -> None:
        """Store the outcome of each envelope from a verified response."""
        self._db.executemany(
            "UPDATE envelope SET state = ?, outcome = ?, at = ?, was_lost = 0 WHERE id = ? AND state <> 'purged'",
            [
                ("rejected", outcome, result.here, identity)
                if outcome == "rejected"
                else ("receipted", outcome, max(result.at, result.here), identity)
                for identity, outcome in result.receipts
            ],
        )
