"""The tablet's durable store: sealed envelopes, the counters that number them, receipts, and signed documents.

Called by sync.tablet.client, by one process at a time. It never sees a plaintext and never forgets what is not
receipted.
"""

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from sync.errors import SyncError
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.document_store import DocumentStore
from sync.tablet.envelope_store import EnvelopeStore
from sync.tablet.order_store import OrderStore
from sync.tablet.outbox_database import connect, leave_no_log, transaction
from sync.tablet.sync_state_store import SyncStateStore


class Outbox:
    """One tablet's store in the SQLite file `path`; closed, or killed, at any moment it is whole."""

    def __init__(self, path: Path) -> None:
        """Open or create the store; SyncError outbox.in_use when another process has it open."""
        self._lock = os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self._lock.close()
            raise SyncError("outbox.in_use", f"another process works with {path}") from problem
        self._path, self.connection = path, connect(path)
        self.counters = ChainCounters(self.connection, path.with_suffix(".proof"))
        self.envelopes = EnvelopeStore(self.connection, self.counters)
        self.sync_state = SyncStateStore(self.connection, self.counters, self.envelopes)
        self.documents = DocumentStore(self.connection)
        self.orders = OrderStore(self.connection, path)
        self.counters.continue_or_begin_chain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let other processes in."""
        self.connection.close()
        self._lock.close()

    def draft_key(self) -> bytes:
        """Return the key that this tablet's drafts are sealed with, drawn when it is first asked for."""
        row = self.connection.execute("SELECT key FROM draft_key").fetchone()
        if row:
            return bytes(row[0])
        key = secrets.token_bytes(32)
        with transaction(self.connection):
            self.connection.execute("INSERT INTO draft_key VALUES (?)", (key,))
        leave_no_log(self.connection, self._path)
        return key
