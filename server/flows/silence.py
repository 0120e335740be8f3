"""Notices tablets that stopped speaking: lost, broken, or in a place nobody has come back from. A job calls it."""

from __future__ import annotations

from server.database.connection import Database
from server.store import devices, worklist
from sync.durations import DAY


def notice(db: Database, *, now: int, days: int) -> int:
    """Put each certified tablet on the work list that was not heard from for some days; return how many there are."""
    with db.write() as w:
        silent = devices.silent(w, now - days * DAY, now + DAY)
        for dev, since in silent:
            worklist.add(w, kind="silent", dev=dev, reason=f"since.{since}", at=now)
    return len(silent)
