"""The tablet's counters: its chain, envelope numbers, request numbers, and the checkpoint file beside the database.

The stores of `sync.tablet.outbox` call it. It must never give out a number twice, even after a kill, a copy or a
restore.
"""

import errno
import sqlite3
from pathlib import Path

from sync.envelope.seal import new_chain_id
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.file_identity import SqliteFiles
from sync.tablet.outbox_database import transaction
from sync.tablet.rollback_guard import Checkpoint, read_checkpoint, write_checkpoint


class ChainCounters:
    """The counters in the tables `place`, `keyring` and `ended` of the open file `database`. The caller must have begun
    the transaction."""

    def __init__(self, connection: sqlite3.Connection, database: Path) -> None:
        self._db, self._database, self._checkpoint_file = connection, database, database.with_suffix(".proof")
        self._files = SqliteFiles(database)

    def latest(self) -> Checkpoint:
        """Return the chain, its last `seq` and the last request number from the database."""
        return Checkpoint(*self._db.execute("SELECT chain, seq, request FROM place").fetchone())

    def next_position(self, keyring: str) -> ChainPosition:
        """Return the position of the next envelope that is sealed to `keyring`, a kid."""
        chain, seq, prev = self._db.execute("SELECT chain, seq + 1, prev FROM place").fetchone()
        row = self._db.execute("SELECT kseq FROM keyring WHERE id = ?", (keyring,)).fetchone()
        return ChainPosition(chain, seq, row[0] + 1 if row else 1, prev)

    def advance(self, keyring: str, position: ChainPosition, envelope_id: str) -> None:
        """Record that the envelope `envelope_id` has the position `position`."""
        self._db.execute("UPDATE place SET seq = ?, prev = ?", (position.seq, envelope_id))
        self._db.execute("INSERT OR REPLACE INTO keyring VALUES (?, ?)", (keyring, position.kseq))

    def continue_or_begin_chain(self) -> None:
        """Begin a new chain unless the checkpoint file proves that this database is its latest state (SPEC 6.2).

        A database restored from a copy is behind its checkpoint. A database moved without its checkpoint has none.
        Counting on would use a number twice in both cases. A copy of the whole folder is not visible here; the server
        reports it as a fork.
        """
        checkpoint = read_checkpoint(self._checkpoint_file)
        if checkpoint is not None and self.latest().covers(checkpoint):
            return
        with transaction(self._db):
            self.begin_chain(checkpoint)
        self.write_checkpoint()

    def begin_chain(self, checkpoint: Checkpoint | None = None, *, copied: bool = False) -> None:
        """Begin a new chain at `seq` 1, and record how far the chains that it leaves were written (SPEC 11.3).

        The `checkpoint` beside the database may name another chain, or a higher number in the same chain.
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
        """Write the latest numbers to the checkpoint file, after the commit.

        Raise SyncError `outbox.gone` if the store was moved, replaced or deleted while it is open: the next start would
        not find what was committed, so a person must not be told that it is stored.

        A kill between commit and checkpoint is harmless. A full disk raises nothing here: the data is committed, and an
        error would suggest that it is not.
        """
        if not self._files.are_in_place():
            raise SyncError("outbox.gone", f"{self._database} was moved or replaced: nothing was stored; start again")
        try:
            write_checkpoint(self._checkpoint_file, self.latest())
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
