"""The state of the tablet's exchange with the server: request numbers, responses, cursor, statuses of screenings.

`sync.tablet.sync_client` calls it. What it records about a request must be on disk before the request is sent.
"""

import sqlite3

from sync.documents.courier_receipt import CourierReceipts
from sync.documents.receipt import Receipts
from sync.envelope.verify import envelope_id
from sync.exchange.messages import MAX_ENDED, MAX_ENVELOPES, MAX_RECEIPTED, AuditRow
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.envelope_store import KEPT_AFTER_RECEIPT, EnvelopeStore
from sync.tablet.line_capacity import bearable_bytes
from sync.tablet.outbox_database import transaction
from sync.tablet.outbox_records import Batch, StatusUpdate, StoredEnvelope, SyncResult, SyncState

SENT_TWICE_BYTES = 12_000
"""A larger envelope is not sent again without a question: sending it costs more than the question's round trip."""
QUESTION_BYTES = 50
"""What a question for one envelope and its receipt add to a request and its response, compressed."""
SHARE_OF_QUESTIONS = 8
"""Beside envelopes, questions that can wait may take this part of what the line bears."""
ALWAYS = 2**62
"""A time after all others."""


class SyncStateStore:
    """The tables `place`, `ended`, `event` and `newest_receipts`."""

    def __init__(self, connection: sqlite3.Connection, counters: ChainCounters, envelopes: EnvelopeStore) -> None:
        self._db, self._counters, self._envelopes = connection, counters, envelopes

    def next_batch(self, now: int, *, most: int = MAX_ENVELOPES, asks: bool = True) -> Batch:
        """Take a request number and at most `most` envelopes to send, and store both before anything is sent.

        After a request without a response, the next one asks which ids arrived, and carries one envelope (SPEC 11.3
        rules 2 and 3). A large one that may have arrived is asked for first. Every other request asks for envelopes
        that are to be erased too, if it `asks`. So that a line that does not bear the questions gets few of them next,
        such a request counts as lost until it is answered.
        """
        with transaction(self._db):
            number, size, rate, is_wiped = self._db.execute(
                "SELECT request + 1, batch, rate, wiping OR wiped FROM place"
            ).fetchone()
            unanswered = self._envelopes.sent_ids()
            size = 1 if unanswered else size
            limit, line = min(size, most), bearable_bytes(rate)
            envelopes = self._envelopes.due_to_send(now, limit=limit, line_bytes=line, request=number)
            envelopes = tuple(each for each in envelopes if each.state != "sent" or _may_be_sent_twice(each))
            sent = [envelope.id for envelope in envelopes]
            self._envelopes.set_state("sent", sent)
            if len(sent) == 1:  # Of several it is not known which one the line did not bear.
                self._envelopes.count_broken(sent[0], 1)
            share = line // (QUESTION_BYTES * (SHARE_OF_QUESTIONS if sent else 1))
            before, questions = _erased_before(is_wiped, now), min(size, max(1, share) if line else size)
            erasable = () if unanswered or not asks else self._envelopes.list_erasable(before, questions)
            self._db.execute("UPDATE place SET request = ?, batch = ?", (number, 1 if erasable else size))
        self._counters.write_checkpoint()
        asked = [identity for identity in unanswered if identity not in sent]
        return Batch(number, tuple(asked[:MAX_ENVELOPES]), envelopes, erasable, size)

    def return_batch(self, batch: Batch) -> None:
        """Undo `next_batch`: the server has stored nothing of it. The number stays used."""
        with transaction(self._db):
            self._db.execute("UPDATE place SET batch = ?", (batch.size,))
            for envelope in batch.envelopes:
                self._envelopes.set_state("sent" if envelope.state == "sent" else "pending", [envelope.id])
            if len(batch.envelopes) == 1:
                self._envelopes.count_broken(batch.envelopes[0].id, -1)

    def renumber(self, last: int) -> None:
        """Continue after `last`, the last request number that a server signed as accepted (SPEC 11.3 rule 1).

        If `last` is not below our own number, another tablet has used this key, and a new chain begins.
        """
        with transaction(self._db):
            if last >= self._counters.latest().request:
                self._counters.begin_chain(copied=True)
            self._db.execute("UPDATE place SET request = ?", (last,))
        self._counters.write_checkpoint()

    def record_answer(self, batch: Batch, result: SyncResult) -> int:
        """Store a verified response to `batch` in one transaction. Return how many envelopes it erased.

        Envelopes that were sent or asked for and have no receipt are sent again. A new generation means that the
        server's database may have lost data. Then earlier receipts are void, the cursor starts again, and all stored
        envelopes are sent again.

        An envelope is erased if this response has a receipt for it and its first one is 30 days old by the server's
        clock and the tablet's, or the tablet is being wiped or was. One of the clocks may be wrong; then it stays too
        long.
        """
        with transaction(self._db):
            generation, size, chain, seq, is_wiped = self._db.execute(
                "SELECT generation, batch, chain, seq, wiping OR wiped FROM place"
            ).fetchone()
            size = batch.size or size
            renewed = generation not in ("", result.generation)
            if renewed:
                self._envelopes.void_receipts()
                self._db.execute("UPDATE ended SET reached = 0")
            self._settle(batch, result)
            done = [identity for identity, outcome in result.receipts if outcome != "rejected"]
            erased = self._envelopes.erase(done, _erased_before(is_wiped, min(result.at, result.here)))
            self._record_told(result)
            self._record_events(result)
            grown = min(size * 2, MAX_ENVELOPES) if batch.envelopes or batch.erasable else size
            self._db.execute(
                "UPDATE place SET batch = ?, rate = COALESCE(NULLIF(?, 0), rate), generation = ?, cursor = ?,"
                " inventory = ?",
                (grown, result.rate, result.generation, *((0, "") if renewed else (result.cursor, result.inventory))),
            )
            copied = result.seq.get(chain, 0) > seq
            if copied:
                self._counters.begin_chain(copied=True)
            self._db.executemany(
                "UPDATE ended SET reached = ? WHERE chain = ?", [(seq, chain) for chain, seq in result.seq.items()]
            )
        if copied:
            self._counters.write_checkpoint()
        return erased

    def _settle(self, batch: Batch, result: SyncResult) -> None:
        """Store the receipts. What has none, or is lost there, is to be sent again."""
        sent = [envelope.id for envelope in batch.envelopes]
        self._envelopes.set_state("pending", [*batch.asked, *sent])
        self._envelopes.forget_broken(sent)
        self._envelopes.record_receipts(result)
        self._envelopes.offer_unknown({*batch.erasable} - {identity for identity, _ in result.receipts})
        self._envelopes.offer_again(result.again)

    def record_receipts(self, batch: Batch, receipts: Receipts, told: AuditRow, proof: bytes, *, here: int) -> int:
        """Store the receipts of a refused request (SPEC 11.3 rule 1), the audit row that they name, and their bytes;
        `here` is the tablet's clock (ms). Return how many envelopes it erased."""
        place = self.load()
        result = SyncResult(
            receipts.generation,
            receipts.at,
            here,
            receipts=tuple((item.id, item.outcome) for item in receipts.items),
            events=(),
            cursor=place.cursor,
            inventory=place.inventory,
            told=told,
            proof=proof,
        )
        return self.record_answer(batch, result)

    def record_courier_receipts(self, receipts: CourierReceipts, *, here: int) -> int:
        """Store the receipts that a courier brought (SPEC 11.5); return how many envelopes they settle. `here` is the
        tablet's clock (ms).

        Those of a later generation first void the ones of the generation before, as a response does. Raise SyncError
        `receipt.other_generation` for those of another one; then nothing changes.
        """
        with transaction(self._db):
            held = self._db.execute("SELECT generation FROM place").fetchone()[0]
            if receipts.begins_generation(held):
                self._envelopes.void_receipts()
                self._db.execute("UPDATE ended SET reached = 0")
                self._db.execute("DELETE FROM newest_receipts WHERE generation <> ?", (receipts.generation,))
                self._db.execute("UPDATE place SET cursor = 0, inventory = ''")
            self._db.execute("UPDATE place SET generation = ?", (receipts.generation,))
            outcomes = {item.id: item.outcome for item in receipts.items if item.done}
            return self._envelopes.record_courier_receipts(outcomes, max(receipts.at, here))

    def _record_told(self, result: SyncResult) -> None:
        """Keep the receipts that name the newest audit row of this generation: they prove what the server knew."""
        self._db.execute("DELETE FROM newest_receipts WHERE generation <> ?", (result.generation,))
        if result.told.number:
            self._db.execute(
                "INSERT INTO newest_receipts VALUES (?, ?, ?, ?) ON CONFLICT (generation) DO UPDATE SET"
                " number = excluded.number, head = excluded.head, body = excluded.body WHERE excluded.number > number",
                (result.generation, result.told.number, result.told.head, result.proof),
            )

    def _record_events(self, result: SyncResult) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO event SELECT id, ?, ? FROM envelope WHERE id = ?",
            [(event.status, event.at, event.id) for event in result.events],
        )

    def has_more(self, now: int) -> bool:
        """Return whether something is left to send or to ask for; `now` is the tablet's clock (ms)."""
        return bool(self._envelopes.due_to_send(now, limit=1))

    def load(self) -> SyncState:
        """Return the members of the next request that describe the exchange so far."""
        generation, cursor, inventory, orders, rate = self._db.execute(
            "SELECT generation, cursor, inventory, orders, rate FROM place"
        ).fetchone()
        # In random order: with more chains than one request can name, each gets its turn.
        behind = "SELECT chain, seq FROM ended WHERE reached < seq ORDER BY random() LIMIT ?"
        ended = dict(self._db.execute(behind, (MAX_ENDED,)).fetchall())
        receipts = self._db.execute("SELECT number, head, body FROM newest_receipts").fetchone()
        number, head, proof = receipts or (0, "", b"")
        receipted = self._envelopes.highest_receipted(MAX_RECEIPTED)
        told = AuditRow(number, head)
        return SyncState(generation, cursor, inventory, orders, ended, told, bytes(proof), receipted, rate)

    def list_statuses(self) -> tuple[StatusUpdate, ...]:
        """Return the newest status of each screening that has one."""
        rows = self._db.execute(
            "SELECT jti, status, event.at FROM event JOIN envelope USING (id) ORDER BY event.at, position"
        )
        return tuple(StatusUpdate(*row) for row in rows)


def _may_be_sent_twice(envelope: StoredEnvelope) -> bool:
    """Whether an envelope that may have arrived is sent again without a question. Of damaged bytes no server has the
    receipt: only the question can find that the sound ones arrived."""
    return len(envelope.raw) <= SENT_TWICE_BYTES and envelope_id(envelope.raw) == envelope.id


def _erased_before(is_wiped: int, now: int) -> int:
    """Return the time before which an envelope must have its receipt to be erased."""
    return ALWAYS if is_wiped else now - KEPT_AFTER_RECEIPT
