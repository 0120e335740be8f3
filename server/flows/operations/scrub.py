"""Checks a slice of the database against its hashes at each run, and begins again at the end. A job calls it.

It reads in short queries on a connection of its own, so that it delays neither intake nor the merge of the log.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from server.database import copies, snapshot
from server.database.connection import Connection, Database
from server.database.sqlite import SqliteConnection
from server.flows import damage
from server.flows.damage import Fault
from server.flows.operations import audit, integrity
from server.store import audit as audit_store
from server.store import integrity as integrity_store
from server.store import meta
from server.store.audit import START
from server.store.integrity import HASHED, STORED_ACTIONS, HashedTable
from sync.keys.key_pairs import RouteKey

ROWS_A_RUN = {"envelopes": 5_000, "documents": 200, "versions": 20, "media": 60, "keyring_keys": 1_000}
"""Rows of each table for one run: at most some hundred MiB in all, a few seconds of one core."""
AUDIT_ROWS_A_RUN = 20_000
ROUTES_A_RUN = 2_000
"""Each costs a tenth of a millisecond: it is opened anew."""
# The check of one table's pages ends after so many steps of SQLite's machine: about two seconds. A larger table is
# checked by `chaski check` and with each backup.
_STEPS, _MOST_CALLS = 20_000, 1_000

Positions = dict[str, Any]


def scrub(db: Database, database: Path, *, keys: Mapping[str, RouteKey], now: int) -> int:
    """Check the next slice of each part and report what is wrong; return how many faults there are. `keys` open
    routes."""
    positions = _read_positions(meta.get_value(db.read(), "scrub"))
    with snapshot.open_reading(database) as c:
        faults = list(_check_slices(c, keys, positions))
    accepted = audit_store.list_accepted_damage(db.read())
    found = [fault for fault in faults if (fault.code, fault.subject) not in accepted]
    with db.write() as w:
        meta.set_value(w, "scrub", json.dumps(positions))
        damage.record_faults(w, found, now=now)
    return len(found)


def _check_slices(c: SqliteConnection, keys: Mapping[str, RouteKey], positions: Positions) -> Iterator[Fault]:
    yield from _guard("meta", integrity.check_meta(c))
    for table in HASHED:
        yield from _guard(table.name, _check_table(c, table, positions))
    yield from _guard("routes", _check_routes(c, keys, positions))
    yield from _guard("audit", _check_audit(c, positions))
    yield from _guard("pages", _check_pages(c, positions))


def _guard(part: str, faults: Iterable[Fault]) -> Iterator[Fault]:
    try:
        yield from faults
    except snapshot.DAMAGE as error:
        yield Fault("pages.damaged", part, str(error))


def _check_table(c: Connection, table: HashedTable, positions: Positions) -> Iterator[Fault]:
    last = integrity_store.last_position(c, table)
    yield from integrity.check_rows(c, table, *_next_slice(positions, table.name, last, ROWS_A_RUN[table.name]))


def _check_routes(c: Connection, keys: Mapping[str, RouteKey], positions: Positions) -> Iterator[Fault]:
    last = integrity_store.last_position(c, integrity_store.ENVELOPES)
    yield from integrity.check_routes(c, keys, *_next_slice(positions, "routes", last, ROUTES_A_RUN))


def _next_slice(positions: Positions, name: str, last: int, most: int) -> tuple[int, int]:
    """Return the first and the last number to check now, and remember where the next run begins."""
    first = positions.get(name, 0) + 1
    stop = min(last, first + most - 1)
    positions[name] = stop if stop < last else 0
    return first, stop


def _check_audit(c: Connection, positions: Positions) -> Iterator[Fault]:
    """Go on from the row where the last run ended, if it still has its hash; look up the envelope of each row.

    At the end of the chain it is compared with the tables.
    """
    number, head = positions.pop("audit", (0, START))
    if number and not any(row["hash"] == head for row in audit_store.list_rows(c, after=number - 1, limit=1)):
        yield Fault("audit.broken", str(number))
        number, head = 0, START
    rows = audit_store.list_rows(c, after=number or audit_store.LOWEST, limit=AUDIT_ROWS_A_RUN)
    for link in audit.walk_chain(rows, number, head):
        yield from link.faults
        positions["audit"] = (link.number, link.hash)
    if len(rows) < AUDIT_ROWS_A_RUN:
        positions.pop("audit", None)
        yield from audit.join_tables(c)
    stored = [str(row["subject"]) for row in rows if row["action"] in STORED_ACTIONS]
    yield from (Fault("envelope.missing", id_) for id_ in integrity_store.list_absent_envelopes(c, stored))


def _check_pages(c: SqliteConnection, positions: Positions) -> Iterator[Fault]:
    """Compare the next table's pages and rows with their indexes. A table with hashes of its own is not read again."""
    tables = [table for table in copies.list_tables(c.conn) if table not in ROWS_A_RUN and table != "audit"]
    table = tables[positions.get("pages", 0) % len(tables)]
    positions["pages"] = (positions.get("pages", 0) + 1) % len(tables)
    calls = iter(range(_MOST_CALLS))
    c.conn.set_progress_handler(lambda: next(calls, None) is None, _STEPS)
    try:
        yield from (Fault("pages.damaged", table, said) for said in snapshot.find_faults(c, table))
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        c.conn.set_progress_handler(None, 0)


def _read_positions(text: str | None) -> Positions:
    """Read what the last run left. If it is damaged itself, begin again."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return dict(found) if isinstance(found, Mapping) and _are_positions(found) else {}


def _are_positions(found: Mapping[str, Any]) -> bool:
    chain = found.get("audit", [0, START])
    numbers = [value for name, value in found.items() if name != "audit"]
    return all(type(each) is int and each >= 0 for each in numbers) and isinstance(chain, list) and len(chain) == 2
