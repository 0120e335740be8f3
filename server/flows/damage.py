"""Damage that a check found: its codes, what a person can do about each, and where the server reports it.

The scrub job, the backup and the restore report here: the table of damaged envelopes, the work list and the log.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from server.database.connection import Connection, Database
from server.store import envelopes, worklist
from server.store.audit import SERVER

_log = logging.getLogger("chaski")

KIND = "damage"
_NO_ID = re.compile(r"[^A-Za-z0-9_.:@-]")
_TABLET = "the tablet sends it again, if it still keeps it (30 days)"
_BACKUP = "restore the newest good backup, or restore this one with --accept-damage"
_BY_HAND = "a person changed the database by hand, or it went back to an older state; compare it with a backup"
ADVICE = {
    "audit.broken": f"an audit row is changed; {_BACKUP}",
    "audit.missing": f"audit rows are missing; {_BACKUP}",
    "audit.head": f"the chain does not contain the head that you know; {_BY_HAND}",
    "envelope.changed": f"the bytes or columns of a screening are changed; {_TABLET}",
    "envelope.missing": f"a receipted screening is missing; {_TABLET}",
    "envelope.unaudited": f"a screening without an audit row; {_BY_HAND}",
    "envelope.misreported": f"outcome or time of a screening are not the audited ones; {_BY_HAND}",
    "route.changed": f"a route is not the one that its tablet sealed; {_BY_HAND}",
    "route.missing": "a screening in work has lost its route; its desk must open and sort it by hand",
    "referral.missing": f"a referral is missing; {_BY_HAND}",
    "referral.changed": f"state, queue or mode of a referral are not the audited ones; {_BY_HAND}",
    "referral.unaudited": f"a referral without an audit row; {_BY_HAND}",
    "device.missing": f"a tablet is missing; {_BY_HAND}",
    "device.changed": f"the state of a tablet is not the audited one; {_BY_HAND}",
    "device.unaudited": f"a tablet without an audit row; {_BY_HAND}",
    "document.changed": f"a signed document is changed; {_BACKUP}",
    "document.missing": f"a trust or a registry is missing; {_BY_HAND}",
    "document.unaudited": f"a trust or a registry without an audit row; {_BY_HAND}",
    "table.missing": f"an author's published table is missing; {_BY_HAND}",
    "table.unaudited": f"a published table without an audit row; {_BY_HAND}",
    "version.changed": f"a form version is changed; {_BACKUP}",
    "recording.changed": f"a recording is changed; {_BACKUP}",
    "key.changed": f"a keyring's public key is changed; {_BACKUP}",
    "meta.missing": f"a fact about the database itself is missing; {_BACKUP}",
    "meta.changed": f"a fact about the database itself is changed; {_BACKUP}",
    "pages.damaged": f"pages or rows of the file are damaged; check the disk, then {_BACKUP}",
    "work.missing": f"a screening waits for a decision and is not on the work list; {_BY_HAND}",
    "row.stray": f"a row refers to a lost one; {_BACKUP}",
    "schema.changed": f"a table, an index or a trigger is not the program's; {_BACKUP}",
}


@dataclass(frozen=True)
class Fault:
    """One finding. `code` is a key of ADVICE; `subject` is an id, a number or a name, `detail` what SQLite said.

    A damaged id may hold anything. In `subject` each letter that no id has is a `_`, so that the audit can hold it.
    """

    code: str
    subject: str
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", _NO_ID.sub("_", self.subject)[:80])


def report_faults(db: Database, faults: Collection[Fault], *, now: int) -> None:
    """Put faults on the work list and into the log, and remember the damaged envelopes. Intake goes on."""
    if faults:
        with db.write() as w:
            record_faults(w, faults, now=now)


def record_faults(w: Connection, faults: Collection[Fault], *, now: int) -> None:
    """Do the same inside a transaction. One item per code: a rotten disk must not fill the work list."""
    for fault in faults:
        if fault.code in ("envelope.changed", "envelope.missing"):
            envelopes.mark_damaged(w, fault.subject, at=now)
    for code, count in Counter(fault.code for fault in faults).items():
        # The reason contains the day, so that the item returns tomorrow whatever the decision about today's.
        worklist.add_item(w, kind=KIND, dev="", chain=code, reason=f"{count}.{_format_day(now)}", at=now)
        _log.error("damage", extra={"fields": {"code": code, "count": count}})


def close_reports(db: Database, *, now: int) -> None:
    """Close all items about damage, after a check of everything found none."""
    with db.write() as w:
        for item in worklist.list_open(w, kind=KIND):
            worklist.close_resolved(w, kind=KIND, dev="", chain=item.chain, by=SERVER, at=now)


def is_repaired(c: Connection, *, since: int) -> bool:
    """Return True if the server itself closed an item about damage after this time (ms), and none is open."""
    return worklist.was_resolved(c, kind=KIND, by=SERVER, since=since)


def close_repaired(w: Connection, *, now: int) -> None:
    """Close the items about envelopes if none is damaged any more."""
    if not envelopes.has_damaged(w):
        for code in ("envelope.changed", "envelope.missing"):
            worklist.close_resolved(w, kind=KIND, dev="", chain=code, by=SERVER, at=now)


def _format_day(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y%m%d}"
