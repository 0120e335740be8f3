"""The stored documents of the tablet as exact bytes by name, and the form versions in use.

`sync.tablet.client` calls it. It verifies nothing: `sync.tablet.trusted_documents` does that before it stores.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from sync.errors import SyncError
from sync.tablet.form_selection import FormSelection, VersionRefusal
from sync.tablet.outbox_database import transaction
from sync.wire.encoding import strict_json
from sync.wire.json_object import SHA256_HEX

FORMER = "former"
"""The name under which the former versions are listed."""


class DocumentStore:
    """The tables `held`, `in_use` and `refused`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def update(
        self, documents: Mapping[str, bytes], remove: Iterable[str] = (), selection: FormSelection | None = None
    ) -> None:
        """Store verified documents under their names, exactly as received, and delete `remove`, in one transaction.

        `selection` holds the form versions in use from now on, and those that were refused.
        """
        with transaction(self._db):
            self._db.executemany("DELETE FROM held WHERE name = ?", [(name,) for name in remove])
            self._db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?)", list(documents.items()))
            if selection is not None:
                self._db.execute("DELETE FROM in_use")
                self._db.execute("DELETE FROM refused")
                self._db.executemany("INSERT INTO in_use VALUES (?, ?)", list(selection.in_use.items()))
                refused = [(sha, refusal.code, refusal.at) for sha, refusal in selection.refused.items()]
                self._db.executemany("INSERT INTO refused VALUES (?, ?, ?)", refused)

    def form_selection(self) -> FormSelection:
        """Return the form versions in use and those that were refused."""
        in_use = dict(self._db.execute("SELECT form, sha FROM in_use ORDER BY form").fetchall())
        refused = self._db.execute("SELECT sha, code, at FROM refused ORDER BY sha").fetchall()
        return FormSelection(in_use, {sha: VersionRefusal(code, at) for sha, code, at in refused})

    def get(self, name: str) -> bytes | None:
        """Return the bytes stored under `name`, or None."""
        row = self._db.execute("SELECT body FROM held WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def former_versions(self) -> dict[str, str]:
        """Return the hash of the version that was in use before, by form id.

        The list only saves downloads, so a damaged entry counts as missing.
        """
        try:
            listed = strict_json(self.get(FORMER) or b"{}")
        except SyncError:
            return {}
        return {form: sha for form, sha in listed.items() if isinstance(sha, str) and SHA256_HEX.fullmatch(sha)}

    def list_names(self) -> frozenset[str]:
        """Return the names of all stored documents."""
        return frozenset(row[0] for row in self._db.execute("SELECT name FROM held"))
