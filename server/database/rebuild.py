"""Makes a table and its indexes anew, so that their pages hold only the rows that are there.

With secure_delete, SQLite writes zeros over a deleted row and over a freed page. But when it moves rows between pages,
copies stay in the free middle of a page, and they outlive the rows. The jobs that erase use it.
"""

from __future__ import annotations

from server.database.connection import Connection

_SCHEMA = "select sql from sqlite_master where tbl_name = ? and sql is not null order by type <> 'table', rowid"


def rebuild_table(w: Connection, table: str) -> None:
    """Drop a table, which fills its pages with zeros, and store its rows in new ones, in the order of the primary key.

    No other table may refer to it: dropping it deletes its rows. Its row numbers change.
    """
    create, *others = [item["sql"] for item in w.rows(_SCHEMA, [table])]
    keys = w.rows("select name from pragma_table_info(?) where pk > 0 order by pk", [table])
    order = ", ".join(f'"{item["name"]}"' for item in keys) or "rowid"
    # In memory (temp_store), so that no other file ever holds it.
    w.execute(f'create temp table kept as select * from "{table}" order by {order}')  # noqa: S608 (names of the schema)
    w.execute(f'drop table main."{table}"')
    w.execute(create)
    w.execute(f'insert into "{table}" select * from kept order by rowid')  # noqa: S608 (names of the schema)
    for sql in others:
        w.execute(sql)
    w.execute("drop table kept")


def has_more_rows(c: Connection, table: str, count: int) -> bool:
    """Return True if a table has more than `count` rows. Reads no further."""
    return c.row(f'select 1 from "{table}" limit 1 offset ?', [count]) is not None  # noqa: S608 (names of the schema)
