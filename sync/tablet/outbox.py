"""The tablet's durable store: sealed envelopes, their counters, receipts, and signed documents.

`sync.tablet.client` calls it, in one process at a time. It must never store a plaintext, nor delete an envelope without
a receipt.
"""

import fcntl
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sync.errors import SyncError
from sync.tablet.chain_counters import ChainCounters
from sync.tablet.document_store import DocumentStore
from sync.tablet.envelope_store import EnvelopeStore
from sync.tablet.order_store import OrderStore
from sync.tablet.outbox_database import connect, leave_no_log, transaction
from sync.tablet.sending_order import SendingOrder
from sync.tablet.sync_state_store import SyncStateStore


class Outbox:
    """One tablet's store in the SQLite file `path`. It stays consistent if the process is killed at any moment."""

    def __init__(self, path: Path) -> None:
        """Open or create the store. Raise SyncError `outbox.in_use` if another process has it open."""
        self._lock = os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self._lock.close()
            raise SyncError("outbox.in_use", f"another process is using {path}") from problem
        self._path, self.connection = path, connect(path)
        self.counters = ChainCounters(self.connection, path)
        self.envelopes = EnvelopeStore(
            self.connection, self.counters, SendingOrder(self._find_draft_key, self.draft_key)
        )
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
        """Close the file and release its lock."""
        with suppress(OSError, SyncError, sqlite3.Error):
            if self.orders.tablet_state().wiping:  # SQLite deletes the log when it closes, and does not overwrite it.
                leave_no_log(self.connection, self._path)
        self.connection.close()
        self._lock.close()

    def draft_key(self) -> bytes:
        """Return the key of this tablet's drafts; the first call draws it."""
        if key := self._find_draft_key():
            return key
        key = secrets.token_bytes(32)
        with transaction(self.connection):
            self.connection.execute("INSERT INTO draft_key VALUES (?)", (key,))
        leave_no_log(self.connection, self._path)  # If a reader prevents it, nothing is lost: the key is in use.
        return key

    def _find_draft_key(self) -> bytes:
        row = self.connection.execute("SELECT key FROM draft_key").fetchone()
        return bytes(row[0]) if row else b""
