"""Verifies the audit chain. `chaski audit verify` calls it. It must not write."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Database
from server.store import audit


@dataclass(frozen=True)
class AuditVerdict:
    """The chain's length and head. `broken_at` is the number of the first row with a wrong hash, or None."""

    rows: int
    head: str
    broken_at: int | None


def verify_chain(db: Database, known: tuple[int, str] | None = None) -> AuditVerdict:
    """Recompute every hash. `known` is a (number, hash) from a receipt, which must still be in the chain."""
    number, prev, met = 0, audit.START, known is None or known == (0, audit.START)
    for entry in audit.iterate_entries(db.read()):
        number += 1
        fields = (entry.number, entry.at, entry.action, entry.actor, entry.subject, entry.detail, entry.prev)
        if entry.number != number or entry.prev != prev or entry.hash != audit.hash_entry(*fields):
            return AuditVerdict(number - 1, prev, number)
        prev = entry.hash
        met = met or known == (number, prev)
    return AuditVerdict(number, prev, None if met else number + 1)
