"""Keeps a second copy of each row in an index, so that SQLite's own integrity check notices a changed bit.

SQLite has no checksums. Its integrity check compares each row with the row's index entries: an index over all columns
is a copy that it checks. The database opens with it; salvage reads a damaged table through its copy. Rows with a hash
of their own need no copy: envelopes, the audit chain, the bytes of recordings. Routes need none either: each stands
sealed in its envelope, and a copy would cost intake a page for each screening.
"""

from __future__ import annotations

import sqlite3

# Their rows are compared with hashes, or with what is sealed.
_WITHOUT_COPY = frozenset({"audit", "envelopes", "routes"})
# What a copy holds in place of a large column. A recording has its hash, a package that is a zip file its checksums.
_INSTEAD = {
    ("media", "body"): "",
    ("versions", "source"): 'iif(substr("source", 1, 2) = x\'504b\', null, "source")',
}
# The column that a copy begins with, if the table's first one is random. Rows that arrive together lie together then.
_FIRST = {"referrals": "opened"}


def name_copy(table: str) -> str:
    """Return the name of a table's copy."""
    return f"{table}_copy"


def list_tables(db: sqlite3.Connection) -> list[str]:
    """Return the names of all tables but SQLite's own."""
    sql = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name"
    return [name for (name,) in db.execute(sql)]


def list_columns(db: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of a table's columns."""
    return [name for (name,) in db.execute("select name from pragma_table_info(?)", [table])]


def keep_copies(db: sqlite3.Connection) -> None:
    """Create the copies that are missing, and renew those of tables with new columns."""
    existing = dict(db.execute("select name, sql from sqlite_master where type = 'index' and sql is not null"))
    for table in list_tables(db):
        name, wanted = name_copy(table), _write_copy(db, table)
        if not wanted:
            db.execute(f'drop index if exists "{name}"')
        elif existing.get(name) != wanted:
            db.execute(f'drop index if exists "{name}"')
            db.execute(wanted)


def _write_copy(db: sqlite3.Connection, table: str) -> str:
    if table in _WITHOUT_COPY:
        return ""
    columns = sorted(list_columns(db, table), key=lambda column: column != _FIRST.get(table))
    parts = [_INSTEAD.get((table, column), f'"{column}"') for column in columns]
    return f'CREATE INDEX "{name_copy(table)}" ON "{table}" ({", ".join(filter(None, parts))})'
