"""Compares the audit head that a staff client was told at an earlier sign-in with the chain of this database.

A chain that lacks it is another past: the database was put back to an older state, or its audit was changed. The staff
API calls it. It must not repair anything: a client's word alone proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Database
from server.store import audit, worklist

KIND = "other_past"


@dataclass(frozen=True)
class ToldHead:
    """The chain's present end, and whether the chain contains the head that the client named."""

    number: int
    hash: str
    agrees: bool


def compare_head(db: Database, number: int, hash_: str, *, actor: str, now: int) -> ToldHead:
    """Compare a head; number 0: the client knows none. A contradiction goes to the audit and the work list."""
    c = db.read()
    agrees = number == 0 or audit.get_hash(c, number) == hash_
    if not agrees:
        with db.write() as w:
            audit.append(w, at=now, action="audit.contradicted", actor=actor, subject=hash_, detail={"row": number})
            worklist.add_item(w, kind=KIND, dev="", reason=f"audit.{number}", at=now)
    return ToldHead(*audit.get_head(db.read()), agrees)
