"""The tablet's durable store: sealed envelopes, the counters that number them, receipts, and signed documents.

Called by sync.tablet, by one process at a time. It never sees a plaintext and never forgets what is not receipted.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sync.durations import DAY
from sync.envelope import verify as envelopes
from sync.envelope.seal import new_chain
from sync.errors import SyncError
from sync.exchange.messages import MAX_ENDED
from sync.tablet import rollback_guard as proof
from sync.tablet.form_selection import Refusal, Taken
from sync.tablet.outbox_database import connect, leave_no_log, writing
from sync.tablet.outbox_records import Batch, Conversation, Kept, News, Place, Standing, Told
from sync.tablet.rollback_guard import Proof

KEPT_AFTER_RECEIPT = 30 * DAY  # SPEC 10: long enough for a server's disk to be lost and restored.
REJECTED_PAUSE = DAY  # A rejected envelope is offered again this far from its receipt: the server may be at fault.
LARGEST_BATCH, LARGEST_BODY = 500, 4 * 1024 * 1024


class Outbox:
    """One tablet's store in the SQLite file `path`; closed, or killed, at any moment it is whole."""

    def __init__(self, path: Path) -> None:
        """Open or create the store; SyncError outbox.in_use when another process has it open."""
        self._proof = path.with_suffix(".proof")
        self._lock = os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self._lock.close()
            raise SyncError("outbox.in_use", f"another process works with {path}") from problem
        self._path, self._db = path, connect(path)
        self._continue_or_begin_chain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let other processes in."""
        self._db.close()
        self._lock.close()

    # Screenings

    def append(self, keyring: str, jti: str, seal: Callable[[Place], bytes]) -> Kept:
        """Number, seal and store one envelope in a single transaction, so that no number is used twice or lost.

        `keyring` is the kid it is sealed to, which counts its own. `seal` gets the place and returns the envelope's
        bytes; when it raises, nothing has happened.
        """
        with writing(self._db):
            chain, seq, prev = self._db.execute("SELECT chain, seq + 1, prev FROM place").fetchone()
            row = self._db.execute("SELECT kseq FROM keyring WHERE id = ?", (keyring,)).fetchone()
            kseq = row[0] + 1 if row else 1
            raw = seal(Place(chain, seq, kseq, prev))
            identity = envelopes.identity(raw)
            self._db.execute(
                "INSERT INTO envelope (id, jti, chain, seq, raw, state, outcome, at)"
                " VALUES (?, ?, ?, ?, ?, 'pending', '', 0)",
                (identity, jti, chain, seq, raw),
            )
            self._db.execute("UPDATE place SET seq = ?, prev = ?", (seq, identity))
            self._db.execute("INSERT OR REPLACE INTO keyring VALUES (?, ?)", (keyring, kseq))
        self._prove()
        return Kept(identity, jti, chain, seq, raw, "pending", "", 0)

    def kept(self) -> tuple[Kept, ...]:
        """Return every envelope on board, oldest first."""
        rows = self._db.execute(
            "SELECT id, jti, chain, seq, raw, state, outcome, at FROM envelope"
            " WHERE state <> 'purged' ORDER BY position"
        )
        return tuple(Kept(*row) for row in rows)

    def counts(self) -> dict[str, int]:
        """Return how many envelopes are `waiting` for a receipt, `receipted` and `rejected`."""
        row = self._db.execute(
            "SELECT COALESCE(SUM(state IN ('pending', 'sent')), 0), COALESCE(SUM(state = 'receipted'), 0),"
            " COALESCE(SUM(state = 'rejected'), 0) FROM envelope"
        ).fetchone()
        return dict(zip(("waiting", "receipted", "rejected"), row, strict=True))

    def jtis(self) -> dict[str, str]:
        """Return the screening behind each envelope's identity, purged ones too."""
        return dict(self._db.execute("SELECT id, jti FROM envelope").fetchall())

    # One request and its answer

    def next_batch(self, now: int) -> Batch:
        """Take a request number and what to send with it, recorded on disk before anything leaves the tablet.

        After an unanswered request the next one only asks which ids arrived, and the batches start at one (SPEC 11.3).
        """
        with writing(self._db):
            number, unanswered, size = self._db.execute("SELECT request + 1, unanswered, batch FROM place").fetchone()
            sent = self._db.execute("SELECT id FROM envelope WHERE state = 'sent' ORDER BY position")
            asked = tuple(row[0] for row in sent)
            lost = bool(unanswered and asked)
            envelopes = () if lost else self._to_send(size, now)
            self._mark("sent", [kept.id for kept in envelopes])
            self._db.execute("UPDATE place SET request = ?, unanswered = 1, batch = ?", (number, 1 if lost else size))
        self._prove()
        return Batch(number, asked, envelopes)

    def never_left(self, batch: Batch) -> None:
        """Take `batch` back: no connection was made, so nothing new needs asking. Its number stays used."""
        with writing(self._db):
            self._mark("pending", [kept.id for kept in batch.envelopes])
            self._db.execute("UPDATE place SET unanswered = ?", (bool(batch.asked),))

    def renumber(self, last: int) -> None:
        """Go on after `last`, which a server signed as the last request number that it accepted (SPEC 11.3 rule 1).

        Where that is not below our own, somebody else has spoken with this key, and a new chain begins.
        """
        with writing(self._db):
            if last >= self._latest().request:
                self._begin_chain(copied=True)
            self._db.execute("UPDATE place SET request = ?", (last,))
        self._prove()

    def answered(self, batch: Batch, news: News) -> None:
        """Record a verified answer to `batch` in one transaction.

        What was asked or sent and has no receipt was not stored, and is offered again. A new generation is a database
        that may have forgotten: earlier receipts are void, the cursor starts again, everything kept is offered again.
        """
        with writing(self._db):
            generation, size, chain, seq = self._db.execute(
                "SELECT generation, batch, chain, seq FROM place"
            ).fetchone()
            renewed = generation not in ("", news.generation)
            if renewed:
                self._db.execute("UPDATE envelope SET state = 'pending', outcome = '', at = 0 WHERE state <> 'purged'")
                self._db.execute("UPDATE ended SET reached = 0")
            self._mark("pending", [*batch.asked, *(kept.id for kept in batch.envelopes)])
            self._note(news)
            grown = min(size * 2, LARGEST_BATCH) if batch.envelopes else size
            self._db.execute(
                "UPDATE place SET unanswered = 0, batch = ?, generation = ?, cursor = ?, inventory = ?",
                (grown, news.generation, *((0, "") if renewed else (news.cursor, news.inventory))),
            )
            copied = news.seq.get(chain, 0) > seq
            if copied:
                self._begin_chain(copied=True)
            self._db.executemany(
                "UPDATE ended SET reached = ? WHERE chain = ?", [(seq, chain) for chain, seq in news.seq.items()]
            )
        if copied:
            self._prove()

    def _note(self, news: News) -> None:
        """Write down receipts and events."""
        self._db.executemany(
            "UPDATE envelope SET state = ?, outcome = ?, at = ? WHERE id = ? AND state <> 'purged'",
            [
                ("rejected", outcome, news.here, identity)
                if outcome == "rejected"
                else ("receipted", outcome, max(news.at, news.here), identity)
                for identity, outcome in news.receipts
            ],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO event SELECT id, ?, ? FROM envelope WHERE id = ?",
            [(event.status, event.at, event.id) for event in news.events],
        )

    def more(self, now: int) -> bool:
        """Tell whether another request is worth while: something waits to be sent or asked for (tablet's clock)."""
        asked = self._db.execute("SELECT 1 FROM envelope WHERE state = 'sent'").fetchone()
        return asked is not None or bool(self._to_send(1, now))

    def purge(self, at: int, here: int) -> int:
        """Erase what was receipted 30 days ago, by the server's clock and by the tablet's own; return how many.

        Either clock may be wrong, and then the envelope is kept too long and never too short. The row stays, without
        the envelope, so that a later status still finds its screening.
        """
        with writing(self._db):
            return self._db.execute(
                "UPDATE envelope SET state = 'purged', raw = x'' WHERE state = 'receipted' AND at < ?",
                (min(at, here) - KEPT_AFTER_RECEIPT,),
            ).rowcount

    # Events

    def conversation(self) -> Conversation:
        """Return what the next request says of the talk so far."""
        generation, cursor, inventory, orders = self._db.execute(
            "SELECT generation, cursor, inventory, orders FROM place"
        ).fetchone()
        # By chance, so that among more than one request can name none is left out for ever.
        behind = "SELECT chain, seq FROM ended WHERE reached < seq ORDER BY random() LIMIT ?"
        ended = dict(self._db.execute(behind, (MAX_ENDED,)).fetchall())
        return Conversation(generation, cursor, inventory, orders, ended)

    def events(self) -> tuple[Told, ...]:
        """Return the newest status of each screening that has one."""
        rows = self._db.execute(
            "SELECT jti, status, event.at FROM event JOIN envelope USING (id) ORDER BY event.at, position"
        )
        return tuple(Told(*row) for row in rows)

    # Documents

    def hold(self, documents: Mapping[str, bytes], forget: Iterable[str] = (), versions: Taken | None = None) -> None:
        """Store verified documents under their names, exactly as received, and drop `forget`: all or nothing.

        `versions` says what of them is in use from now on, and what was refused.
        """
        with writing(self._db):
            self._db.executemany("DELETE FROM held WHERE name = ?", [(name,) for name in forget])
            self._db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?)", list(documents.items()))
            if versions is not None:
                self._db.execute("DELETE FROM in_use")
                self._db.execute("DELETE FROM refused")
                self._db.executemany("INSERT INTO in_use VALUES (?, ?)", list(versions.in_use.items()))
                refused = [(sha, refusal.code, refusal.at) for sha, refusal in versions.refused.items()]
                self._db.executemany("INSERT INTO refused VALUES (?, ?, ?)", refused)

    def versions(self) -> Taken:
        """Return which form versions are in use, and which were refused."""
        in_use = dict(self._db.execute("SELECT form, sha FROM in_use ORDER BY form").fetchall())
        refused = self._db.execute("SELECT sha, code, at FROM refused ORDER BY sha").fetchall()
        return Taken(in_use, {sha: Refusal(code, at) for sha, code, at in refused})

    def held(self, name: str) -> bytes | None:
        """Return the bytes held under `name`, or None."""
        row = self._db.execute("SELECT body FROM held WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def held_names(self) -> frozenset[str]:
        """Return the names of all held documents."""
        return frozenset(row[0] for row in self._db.execute("SELECT name FROM held"))

    # Orders

    def standing(self) -> Standing:
        """Return what was ordered and noticed so far."""
        orders, wiping, *noticed = self._db.execute(
            "SELECT orders, wiping, revoked, wiped, copied FROM place"
        ).fetchone()
        return Standing(orders, wiping, *map(bool, noticed))

    def revoke(self, number: int) -> None:
        """Record that order `number` ends this tablet's work; told once an earlier wipe is complete."""
        with writing(self._db):
            self._db.execute(
                "UPDATE place SET revoked = 1, orders = IIF(wiping, orders, ?1), wiping = IIF(wiping, ?1, 0)", (number,)
            )

    def begin_wipe(self, number: int) -> None:
        """Record that order `number` has to be carried out, whatever comes between."""
        with writing(self._db):
            self._db.execute("UPDATE place SET wiping = ?", (number,))

    def wipe(self, *, complete: bool) -> None:
        """Destroy forms, keyring keys, statuses, the drafts' key and all that is left of receipted envelopes.

        What the server has not receipted stays, with all that is needed to send it. Only a `complete` wipe, which left
        no draft either, ends with its number.
        """
        with writing(self._db):
            self._db.execute("DELETE FROM envelope WHERE state IN ('receipted', 'purged')")
            self._db.execute("DELETE FROM event")
            self._db.execute("DELETE FROM draft_key")
            self._db.execute("DELETE FROM in_use")
            self._db.execute("DELETE FROM refused")
            self._db.execute("DELETE FROM held WHERE name LIKE 'bundle/%' OR name LIKE 'key/%'")
        leave_no_log(self._db, self._path)
        if complete:
            with writing(self._db):
                self._db.execute("UPDATE place SET orders = wiping, wiping = 0, wiped = 1")

    def forms_again(self) -> None:
        """End what a wipe left behind: a person has pulled forms."""
        with writing(self._db):
            self._db.execute("UPDATE place SET wiped = 0")

    # Drafts

    def draft_key(self) -> bytes:
        """Return the key that this tablet's drafts are sealed with, drawn when it is first asked for."""
        row = self._db.execute("SELECT key FROM draft_key").fetchone()
        if row:
            return bytes(row[0])
        key = secrets.token_bytes(32)
        with writing(self._db):
            self._db.execute("INSERT INTO draft_key VALUES (?)", (key,))
        leave_no_log(self._db, self._path)
        return key

    # Inside

    def _mark(self, state: str, ids: Iterable[str]) -> None:
        self._db.executemany("UPDATE envelope SET state = ? WHERE id = ?", [(state, identity) for identity in ids])

    def _to_send(self, limit: int, now: int) -> tuple[Kept, ...]:
        rows = self._db.execute(
            "SELECT id, jti, chain, seq, raw, state, outcome, at FROM envelope"
            " WHERE state = 'pending' OR (state = 'rejected' AND ABS(at - ?) > ?) ORDER BY position LIMIT ?",
            (now, REJECTED_PAUSE, limit),
        )
        chosen: list[Kept] = []
        size = 0
        for kept in (Kept(*row) for row in rows):
            size += len(kept.raw)
            if chosen and size > LARGEST_BODY:
                break
            chosen.append(kept)
        return tuple(chosen)

    def _continue_or_begin_chain(self) -> None:
        """Begin a new chain unless the proof beside the database says that this is its latest state (SPEC 6.2).

        A database restored from a copy is behind its proof, and one moved without it has none: going on would use a
        number twice. A copy of the whole folder is not seen here; the server reports it as a fork.
        """
        proven = proof.read(self._proof)
        if proven is not None and self._latest().covers(proven):
            return
        with writing(self._db):
            self._begin_chain(proven)
        self._prove()

    def _begin_chain(self, proven: Proof | None = None, *, copied: bool = False) -> None:
        """Count from one in a chain of its own, and remember how far the chains it leaves were written (SPEC 11.3).

        What is `proven` beside the database may be another chain than it knows of, or further on in the same.
        """
        left = [self._latest(), *([proven] if proven else [])]
        self._db.executemany(
            "INSERT INTO ended VALUES (?, ?, 0) ON CONFLICT (chain) DO UPDATE SET seq = MAX(seq, excluded.seq)",
            [(place.chain, place.seq) for place in left if place.seq],
        )
        self._db.execute(
            "UPDATE place SET chain = ?, seq = 0, prev = '', request = ?, copied = MAX(copied, ?)",
            (new_chain(), max(place.request for place in left), copied),
        )
        self._db.execute("DELETE FROM keyring")

    def _latest(self) -> Proof:
        return Proof(*self._db.execute("SELECT chain, seq, request FROM place").fetchone())

    def _prove(self) -> None:
        """Write the latest numbers beside the database, after the commit: a kill between the two is no restore.

        Nor is a disk without room for it: what was committed is kept, and must not look as if it were not.
        """
        try:
            proof.write(self._proof, self._latest())
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
