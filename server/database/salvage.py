"""Copies the readable rows of a damaged SQLite file into a new one. `restore --accept-damage` calls it.

Each table is read three times: from its beginning, from its end, and row by row through its indexes. A damaged page
stops a reading, and another one reaches what lies behind it. No row that can be read is left out: one that refers to a
lost row is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from server.database.copies import list_columns, list_tables, name_copy
from server.database.snapshot import DAMAGE
from server.database.sqlite import SqliteDatabase

Values = tuple[object, ...]


def copy_readable(damaged: Path, into: Path) -> dict[str, int]:
    """Copy the readable rows into a new database. Returns, for each table, how many rows it now lacks for certain.

    Raises sqlite3.DatabaseError if not even the list of tables can be read.
    """
    SqliteDatabase(into, create=True).close()
    with (
        closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(into)) as target,
    ):
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        known = set(list_tables(source))
        tables = [table for table in list_tables(target) if table in known and not table.startswith("_")]
        lost = {table: _copy_table(source, target, table) for table in tables}
        target.commit()
    return {table: count for table, count in lost.items() if count}


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
    """Copy one table; return how many rows are known of and could not be copied."""
    names = [name for name in list_columns(target, table) if name in list_columns(source, table)]
    columns = ", ".join(f'"{name}"' for name in names)
    # A new database has rows of its own in `meta`, and needs those that are lost.
    verb = "insert or replace" if table == "meta" else "insert"
    put = f'{verb} into "{table}" ({columns}) values ({", ".join("?" * len(names))})'
    copied: set[object] = set()
    known: set[object] = set()
    for key, row in _read_rows(source, table, columns, copied):
        known.add(key)
        if key not in copied and _put_row(target, put, row):
            copied.add(key)
    if _has_rowid(source, table):
        known |= _list_rowids(source, table)
    return len(known - copied)


def _put_row(target: sqlite3.Connection, put: str, row: Values) -> bool:
    try:
        target.execute(put, row)
    except (sqlite3.Error, ValueError, OverflowError):  # A damaged value that the new table refuses.
        return False
    return True


def _read_rows(
    source: sqlite3.Connection, table: str, columns: str, copied: Collection[object]
) -> Iterator[tuple[object, Values]]:
    """Yield key and values of each readable row, some twice. The key is the row number, or the primary key."""
    if not _has_rowid(source, table):
        keys = ", ".join(f'"{name}"' for name in _list_keys(source, table))
        width = keys.count(",") + 1
        for tail in ("", *_through_copy(source, table)):
            for row in _read_until_damage(source, f'select {keys}, {columns} from "{table}" {tail}'):  # noqa: S608 (names of the schema)
                yield row[:width], row[width:]
        return
    for tail in ("not indexed", "not indexed order by rowid desc", *_through_copy(source, table)):
        for rowid, *values in _read_until_damage(source, f'select rowid, {columns} from "{table}" {tail}'):  # noqa: S608 (names of the schema)
            yield rowid, tuple(values)
    for rowid in _list_rowids(source, table) - set(copied):
        sql = f'select {columns} from "{table}" not indexed where rowid = ?'  # noqa: S608 (names of the schema)
        yield from ((rowid, row) for row in _read_until_damage(source, sql, rowid))


def _through_copy(source: sqlite3.Connection, table: str) -> list[str]:
    copied = source.execute("select 1 from sqlite_master where name = ?", [name_copy(table)]).fetchone()
    return [f'indexed by "{name_copy(table)}"'] if copied else []


def _list_keys(source: sqlite3.Connection, table: str) -> list[str]:
    return [
        name for (name,) in source.execute("select name from pragma_table_info(?) where pk > 0 order by pk", [table])
    ]


def _has_rowid(source: sqlite3.Connection, table: str) -> bool:
    return bool(source.execute("select 1 from pragma_table_list(?) where not wr", [table]).fetchone())


def _list_rowids(source: sqlite3.Connection, table: str) -> set[object]:
    """Return the row numbers that the table's indexes know."""
    found: set[object] = set()
    for (index,) in source.execute("select name from pragma_index_list(?)", [table]).fetchall():
        found |= {row[0] for row in _read_until_damage(source, f'select rowid from "{table}" indexed by "{index}"')}  # noqa: S608 (names of the schema)
    return found


def _read_until_damage(source: sqlite3.Connection, sql: str, *parameters: object) -> Iterator[Values]:
    try:
        yield from source.execute(sql, parameters)
    except DAMAGE:  # The caller reads on from the other side.
        return
