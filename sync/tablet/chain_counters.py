"""The tablet's counters: its chain, the numbers of envelopes and requests, and the checkpoint file beside the database.

Called by the stores of sync.tablet.outbox. A number is never used twice, whatever is killed, copied or restored.
"""

import errno
import sqlite3
from pathlib import Path

from sync.envelope.seal import new_chain_id
from sync.envelope.verify import ChainPosition
from sync.tablet.outbox_database import transaction
from sync.tablet.rollback_guard import Checkpoint, read_checkpoint, write_checkpoint


class ChainCounters:
    """The counters in the tables `place`, `keyring` and `ended`. A caller has begun the transaction."""

    def __init__(self, connection: sqlite3.Connection, checkpoint_file: Path) -> None:
        self._db, self._checkpoint_file = connection, checkpoint_file

    def latest(self) -> Checkpoint:
        """Return the chain, its last `seq` and the last number of a request, as the database has them."""
        return Checkpoint(*self._db.execute("SELECT chain, seq, request FROM place").fetchone())

    def next_position(self, keyring: str) -> ChainPosition:
        """Return where the next envelope stands that is sealed to `keyring`, a kid."""
        chain, seq, prev = self._db.execute("SELECT chain, seq + 1, prev FROM place").fetchone()
        row = self._db.execute("SELECT kseq FROM keyring WHERE id = ?", (keyring,)).fetchone()
        return ChainPosition(chain, seq, row[0] + 1 if row else 1, prev)

    def advance(self, keyring: str, position: ChainPosition, envelope_id: str) -> None:
        """Record that the envelope `envelope_id` stands at `position`."""
        self._db.execute("UPDATE place SET seq = ?, prev = ?", (position.seq, envelope_id))
        self._db.execute("INSERT OR REPLACE INTO keyring VALUES (?, ?)", (keyring, position.kseq))

    def continue_or_begin_chain(self) -> None:
        """Begin a new chain unless the checkpoint beside the database says that this is its latest state (SPEC 6.2).

        A database restored from a copy is behind its checkpoint, and one moved without it has none: going on would use
        a number twice. A copy of the whole folder is not seen here; the server reports it as a fork.
        """
        checkpoint = read_checkpoint(self._checkpoint_file)
        if checkpoint is not None and self.latest().covers(checkpoint):
            return
        with transaction(self._db):
            self.begin_chain(checkpoint)
        self.write_checkpoint()

    def begin_chain(self, checkpoint: Checkpoint | None = None, *, copied: bool = False) -> None:
        """Count from one in a chain of its own, and remember how far the chains it leaves were written (SPEC 11.3).

        The `checkpoint` beside the database may be of another chain than it knows of, or further on in the same.
        """
        left = [self.latest(), *([checkpoint] if checkpoint else [])]
        self._db.executemany(
            "INSERT INTO ended VALUES (?, ?, 0) ON CONFLICT (chain) DO UPDATE SET seq = MAX(seq, excluded.seq)",
            [(each.chain, each.seq) for each in left if each.seq],
        )
        self._db.execute(
            "UPDATE place SET chain = ?, seq = 0, prev = '', request = ?, copied = MAX(copied, ?)",
            (new_chain_id(), max(each.request for each in left), copied),
        )
        self._db.execute("DELETE FROM keyring")

    def write_checkpoint(self) -> None:
        """Write the latest numbers beside the database, after the commit: a kill between the two is no restore.

        Nor is a disk without room for it: what was committed is kept, and must not look as if it were not.
        """
        try:
            write_checkpoint(self._checkpoint_file, self.latest())
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
