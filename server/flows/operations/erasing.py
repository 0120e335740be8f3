"""Removes what deleted rows leave in the database's file. The jobs that erase call it after each run.

A large table holds up intake, so it is rebuilt once a day; only a flood of sign-ins makes one large. A damaged one is
not rebuilt: that would hide the damage, and a person may still read the lost row in its copy.
"""

from __future__ import annotations

from collections.abc import Collection

from server.database import rebuild, snapshot
from server.database.connection import Connection, Database
from server.flows import damage
from server.flows.damage import Fault
from server.store import meta
from sync.durations import DAY

LARGE = 1_000
"""Rows. A table with more is rebuilt once a day, a smaller one at each run; it takes less than 20 ms."""


def remove_remains(db: Database, tables: Collection[str], *, now: int) -> None:
    """Rebuild the tables that are due, each in a transaction of its own. Damage goes to the work list instead."""
    for table in tables:
        if not _is_due(db.read(), table, now):
            continue
        if faults := [Fault("pages.damaged", table, said) for said in snapshot.find_faults(db.read(), table)]:
            damage.report_faults(db, faults, now=now)
            continue
        with db.write() as w:
            rebuild.rebuild_table(w, table)
            meta.set_value(w, _note(table), str(now))


def _is_due(c: Connection, table: str, now: int) -> bool:
    last = meta.get_value(c, _note(table)) or ""
    recent = last.isdecimal() and 0 <= now - int(last) < DAY
    return not recent or not rebuild.has_more_rows(c, table, LARGE)


def _note(table: str) -> str:
    return f"rebuilt.{table}"
