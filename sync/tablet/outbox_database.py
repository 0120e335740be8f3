"""The SQLite file of the tablet's store: its tables, its settings, transactions, and erasure of deleted data.

Only `sync.tablet.outbox` and its stores call it. They decide what is written.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sync.errors import SyncError

SCHEMA = """
CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    chain TEXT NOT NULL, seq INTEGER NOT NULL, prev TEXT NOT NULL,
    request INTEGER NOT NULL, unanswered INTEGER NOT NULL, batch INTEGER NOT NULL,
    generation TEXT NOT NULL, cursor INTEGER NOT NULL, inventory TEXT NOT NULL
) STRICT;
CREATE TABLE keyring (id TEXT PRIMARY KEY, kseq INTEGER NOT NULL) STRICT;
CREATE TABLE envelope (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, jti TEXT NOT NULL UNIQUE,
    chain TEXT NOT NULL, seq INTEGER NOT NULL, raw BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'receipted', 'rejected', 'purged')),
    outcome TEXT NOT NULL, at INTEGER NOT NULL,
    UNIQUE (chain, seq)
) STRICT;
CREATE TABLE event (id TEXT PRIMARY KEY, status TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE held (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
INSERT INTO place VALUES (1, '', 0, '', 0, 0, 64, '', 0, '');
"""
# Each runs once, if its number is above the file's version.
MIGRATIONS = (
    SCHEMA,
    """
ALTER TABLE place ADD COLUMN orders INTEGER NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN wiping INTEGER NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN wiped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
""",
    """
CREATE TABLE ended (chain TEXT PRIMARY KEY, seq INTEGER NOT NULL, reached INTEGER NOT NULL) STRICT;
INSERT INTO ended SELECT chain, MAX(seq), 0 FROM envelope WHERE chain <> (SELECT chain FROM place) GROUP BY chain;
CREATE TABLE draft_key (key BLOB NOT NULL) STRICT;
""",
    """
CREATE TABLE in_use (form TEXT PRIMARY KEY, sha TEXT NOT NULL) STRICT;
CREATE TABLE refused (sha TEXT PRIMARY KEY, code TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
""",
    """
CREATE TABLE newest_receipts (
    generation TEXT PRIMARY KEY, number INTEGER NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
""",
    # When a courier got the envelope (ms, 0 = never), and whether the server asked for it after it had receipted it.
    """
ALTER TABLE envelope ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 0;
ALTER TABLE envelope ADD COLUMN was_lost INTEGER NOT NULL DEFAULT 0;
""",
    # Envelopes of before have no code, and so come first, as the oldest.
    """
ALTER TABLE envelope ADD COLUMN urgency BLOB NOT NULL DEFAULT x'';
ALTER TABLE place ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;
""",
    # Whether the envelope once had a receipt, and how often its delivery broke off when it was sent alone.
    """
ALTER TABLE envelope ADD COLUMN arrived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE envelope ADD COLUMN broken INTEGER NOT NULL DEFAULT 0;
UPDATE envelope SET arrived = 1 WHERE state IN ('receipted', 'purged') OR was_lost;
""",
)

FILLER_BYTES = 4000  # One such row fills one page of 4096 bytes.


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file with mode 0600, and bring its tables up to date."""
    with suppress(FileExistsError):  # This never opens a file that SQLite may have open, see `leave_no_log`.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    db = sqlite3.connect(path, isolation_level=None)
    with _naming_full_disk():
        for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
            db.execute(f"PRAGMA {setting}")
        for version in range(db.execute("PRAGMA user_version").fetchone()[0], len(MIGRATIONS)):
            db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;")
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run a block in one transaction. Raise SyncError `outbox.full` if the disk has no room for it."""
    with _naming_full_disk():
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # A full disk may have ended it already.
                db.execute("ROLLBACK")
            raise


def leave_no_log(db: sqlite3.Connection, path: Path) -> bool:
    """Overwrite the write-ahead log of the file `path`: it still has old pages, perhaps with a key.

    Return whether the log is clean. A process that reads the file prevents it; a later call may succeed.

    `secure_delete` overwrites rows only in the database, and a truncated log stays readable on the disk. SQLite itself
    overwrites the log here, with zeros that it never commits. This process must not open the log: when a process
    closes any descriptor of a database file, POSIX drops SQLite's locks on that file (fcntl(2)).
    """
    with _naming_full_disk():
        busy, pages, moved = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        if busy or pages != moved:  # The log holds pages that the database lacks, or that a reader still needs.
            return False
        _spill_zeros(db, path.with_name(f"{path.name}-wal"))
        pages = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        if pages:  # A reader came after the RESTART, so SQLite wrote the zeros behind the old pages.
            return False
        # The zeros must reach the disk before the log is truncated. A commit syncs the log, a rollback does not.
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version}")
        return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


def _spill_zeros(db: sqlite3.Connection, log: Path) -> None:
    """Write zeros over the whole log in a transaction that is rolled back.

    A small cache makes SQLite write uncommitted pages to the log. They never reach the database, so it does not grow.
    The log grows by a few pages, and this growth shows that SQLite reached its former end.
    """
    length, cache = log.stat().st_size, db.execute("PRAGMA cache_size").fetchone()[0]
    db.execute("PRAGMA cache_size = 10")
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE filler (zeros BLOB)")
        # A little less than the log: each page in the log has a header of 24 bytes.
        db.execute("INSERT INTO filler VALUES (zeroblob(?))", (length - length // 128,))
        while log.stat().st_size <= length:
            db.execute("INSERT INTO filler VALUES (zeroblob(?))", (FILLER_BYTES,))
    finally:
        if db.in_transaction:  # A full disk may have ended it already.
            db.execute("ROLLBACK")
        db.execute(f"PRAGMA cache_size = {cache}")


@contextmanager
def _naming_full_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as problem:
        if getattr(problem, "sqlite_errorcode", 0) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
            raise
        raise SyncError("outbox.full", "this tablet's disk is full: nothing was stored; free some space") from problem
