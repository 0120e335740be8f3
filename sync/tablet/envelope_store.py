"""The sealed envelopes of the tablet's store, and the server's receipts for them.

`sync.tablet.client` calls it. It must never delete an envelope unless the response at hand has a receipt for it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping

from sync.durations import DAY
from sync.envelope.verify import ChainPosition, envelope_id
from sync.exchange.messages import MAX_ENVELOPES
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.outbox_database import transaction
from sync.tablet.outbox_records import StoredEnvelope, SyncResult
from sync.tablet.sending_order import SendingOrder, WaitingEnvelope, choose_next
from sync.wire.json_object import HALF_ID

KEPT_AFTER_RECEIPT = 30 * DAY  # SPEC 10: enough time for a server to lose its disk and restore a copy.
REJECTED_PAUSE = DAY  # A rejected envelope is sent again after this time: the fault may be the server's.
_WELL_FORMED = "(length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*')"
"""Whether a server can be asked for an id. One that is damaged would cost the whole request."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
COMPRESSED = 0.75
"""The size of an envelope in a request, by that in the store: base64url compresses to its bytes."""


class EnvelopeStore:
    """The table `envelope`."""

    def __init__(self, connection: sqlite3.Connection, counters: ChainCounters, order: SendingOrder) -> None:
        self._db, self._counters, self._order = connection, counters, order

    def append(
        self, keyring: str, jti: str, seal: Callable[[ChainPosition], bytes], *, urgency: str = ""
    ) -> StoredEnvelope:
        """Number, seal and store one envelope in a single transaction, so that no number is used twice or lost.

        `keyring` is the kid that it is sealed to; each keyring has its own count. `seal` gets the position and returns
        the envelope's bytes. If it raises, nothing is stored. `urgency` (SPEC 7.1) decides how soon it is sent.
        """
        code = self._order.seal_urgency(jti, urgency)
        with transaction(self._db):
            position = self._counters.next_position(keyring)
            raw = seal(position)
            identity = envelope_id(raw)
            self._db.execute(
                "INSERT INTO envelope (id, jti, chain, seq, raw, state, outcome, at, urgency)"
                " VALUES (?, ?, ?, ?, ?, 'pending', '', 0, ?)",
                (identity, jti, position.chain, position.seq, raw, code),
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

    def set_aside_damaged(self, is_signed: Callable[[bytes], bool], now: int) -> None:
        """Count envelopes to send whose bytes are not those of their id as rejected at `now`, the tablet's clock (ms).

        No server takes such bytes, so they are not sent, and stay for people. The next call looks at them again: the
        disk may have misread. If the tablet signed the bytes (`is_signed`), the id is damaged, and is put right.
        """
        rows = self._db.execute(
            f"SELECT position, id, raw FROM envelope WHERE state IN ('pending', 'rejected')"  # noqa: S608 (a constant)
            f" OR state <> 'purged' AND NOT {_WELL_FORMED}"
        )
        damaged = [(position, raw) for position, identity, raw in rows if envelope_id(raw) != identity]
        if not damaged:
            return
        with transaction(self._db):
            for position, raw in damaged:
                if is_signed(raw):
                    self._db.execute(
                        "UPDATE OR IGNORE envelope SET id = ? WHERE position = ?", (envelope_id(raw), position)
                    )
                else:
                    self._db.execute(
                        "UPDATE envelope SET state = 'rejected', outcome = 'rejected', at = ? WHERE position = ?",
                        (now, position),
                    )

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

    def list_erasable(self, before: int, limit: int) -> tuple[str, ...]:
        """Return the ids of at most `limit` envelopes that were receipted before `before` (ms), the oldest receipts
        first."""
        rows = self._db.execute(
            f"SELECT id FROM envelope WHERE state = 'receipted' AND at < ? AND {_WELL_FORMED}"  # noqa: S608 (a constant)
            " ORDER BY at, position LIMIT ?",
            (before, limit),
        )
        return tuple(row[0] for row in rows)

    def erase(self, ids: Iterable[str], before: int) -> int:
        """Erase those of `ids`, for which a response has just brought receipts, whose first receipt is from before
        `before` (ms); return how many.

        The row stays without the bytes, so that a later status still finds its screening.
        """
        return self._db.executemany(
            "UPDATE envelope SET state = 'purged', raw = x'' WHERE id = ? AND state = 'receipted' AND at < ?",
            [(identity, before) for identity in ids],
        ).rowcount

    def due_to_send(
        self, now: int, *, limit: int = MAX_ENVELOPES, line_bytes: int = 0, request: int = 0
    ) -> tuple[StoredEnvelope, ...]:
        """Return the envelopes to send in a request, oldest first: the most urgent ones, then the oldest.

        They include those that were sent and have no receipt. `limit` is their largest number, `line_bytes` their
        largest size compressed (0 = any); one is returned whatever its size. `now` is the tablet's clock (ms),
        `request` the request's number: an envelope whose delivery keeps breaking off has its turn only in some.
        """
        chosen: dict[int, StoredEnvelope] = {}
        size = 0
        for position, identity in choose_next(self._list_waiting(now), request)[:limit]:
            envelope = self._load(identity)
            size += len(envelope.raw)
            if chosen and (size > MAX_BATCH_BYTES or 0 < line_bytes < size * COMPRESSED):
                break
            chosen[position] = envelope
        # A request arrives whole or not at all, so in it the order of the chain is the best: it is short (SPEC 11.4).
        return tuple(chosen[position] for position in sorted(chosen))

    def _list_waiting(self, now: int) -> list[WaitingEnvelope]:
        """Return what is to be sent in the order of urgency. What arrived once comes last: its urgency was erased."""
        rows = self._db.execute(
            "SELECT position, id, jti, urgency, arrived, broken FROM envelope"
            " WHERE state IN ('pending', 'sent') OR (state = 'rejected' AND ABS(at - ?) > ?) ORDER BY position",
            (now, REJECTED_PAUSE),
        ).fetchall()
        ranks = self._order.ranks([(jti, code) for _, _, jti, code, *_ in rows])
        ranked = sorted(zip(ranks, rows, strict=True), key=lambda pair: (pair[1][4], pair[0]))
        return [WaitingEnvelope(position, identity, broken) for _, (position, identity, _, _, _, broken) in ranked]

    def _load(self, identity: str) -> StoredEnvelope:
        row = self._db.execute(
            "SELECT id, jti, chain, seq, raw, state, outcome, at FROM envelope WHERE id = ?", (identity,)
        ).fetchone()
        return StoredEnvelope(*row)

    def set_state(self, state: str, ids: Iterable[str]) -> None:
        """Mark envelopes as `pending` or `sent`."""
        self._db.executemany("UPDATE envelope SET state = ? WHERE id = ?", [(state, identity) for identity in ids])

    def count_broken(self, identity: str, change: int) -> None:
        """Count a delivery of one envelope alone that may break off (1), or that did not (-1)."""
        self._db.execute("UPDATE envelope SET broken = MAX(0, broken + ?) WHERE id = ?", (change, identity))

    def forget_broken(self, ids: Iterable[str]) -> None:
        """The line bore these envelopes: whatever broke off before says nothing about them any more."""
        self._db.executemany("UPDATE envelope SET broken = 0 WHERE id = ?", [(identity,) for identity in ids])

    def void_receipts(self) -> None:
        """Mark every stored envelope for sending again, because another database had receipted it."""
        self._db.execute(
            "UPDATE envelope SET state = 'pending', outcome = '', at = 0, was_lost = 0 WHERE state <> 'purged'"
        )

    def offer_unknown(self, ids: Iterable[str]) -> None:
        """Void the receipts of these envelopes: asked for them, the server did not say that it has them."""
        self._db.executemany(
            "UPDATE envelope SET state = 'pending', outcome = '', at = 0, was_lost = 1"
            " WHERE state = 'receipted' AND id = ?",
            [(identity,) for identity in ids],
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
        not. A damaged name of a chain would cost the whole request."""
        rows = self._db.execute(
            "SELECT chain, MAX(seq) FROM envelope WHERE state IN ('receipted', 'purged')"
            " GROUP BY chain ORDER BY random() LIMIT ?",
            (limit,),
        )
        return {chain: last for chain, last in rows if HALF_ID.fullmatch(chain)}

    def record_courier_receipts(self, ids: Mapping[str, str], at: int) -> int:
        """Store the outcome of each envelope (by id) that has no receipt yet; return how many.

        An envelope that the server once lost stays: these receipts may be older than its loss. Only a sync settles it.
        """
        return self._db.executemany(
            "UPDATE envelope SET state = 'receipted', outcome = ?, at = ?, urgency = x'', arrived = 1"
            " WHERE id = ? AND state IN ('pending', 'sent', 'rejected') AND NOT was_lost",
            [(outcome, at, identity) for identity, outcome in ids.items()],
        ).rowcount

    def record_receipts(self, result: SyncResult) -> None:
        """Store the outcome of each envelope from a verified response. A delivered one needs no urgency any more.

        A receipt repeated keeps the time of the first one, from which the envelope's last days count.
        """
        self._db.executemany(
            "UPDATE envelope SET state = ?1, outcome = ?2, at = ?3, was_lost = was_lost AND ?1 = 'rejected',"
            " urgency = iif(?1 = 'receipted', x'', urgency), arrived = arrived OR ?1 = 'receipted'"
            " WHERE id = ?4 AND state <> 'purged' AND NOT (state = 'receipted' AND ?1 = 'receipted')",
            [
                ("rejected", outcome, result.here, identity)
                if outcome == "rejected"
                else ("receipted", outcome, max(result.at, result.here), identity)
                for identity, outcome in result.receipts
            ],
        )
