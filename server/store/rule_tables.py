"""Indicator sets and policies that authors published, as CSV. A name always means the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

KINDS = ("indicator_set", "policy")


@dataclass(frozen=True)
class RuleTable:
    """One published table without its text. Tables of one `family` replace one another; their names differ only in year
    and number."""

    kind: str
    name: str
    family: str
    published: int
    published_by: str


def add_table(w: Connection, table: RuleTable, body: str) -> None:
    """Insert a table. Raises sqlite3.IntegrityError if the name is taken."""
    w.execute(
        "insert into rule_tables (kind, name, family, body, published, published_by) values (?, ?, ?, ?, ?, ?)",
        [table.kind, table.name, table.family, body, table.published, table.published_by],
    )


def get_text(c: Connection, kind: str, name: str) -> str | None:
    """Return the text of a table, or None."""
    found = c.row("select body from rule_tables where kind = ? and name = ?", [kind, name])
    return str(found["body"]) if found else None


def get_texts(c: Connection, kind: str) -> dict[str, str]:
    """Return the texts of all tables of a kind, by name."""
    return {each["name"]: each["body"] for each in c.rows("select name, body from rule_tables where kind = ?", [kind])}


def count_published_by(c: Connection, person: str, *, since: int) -> int:
    """Return how many tables a person published since `since` (ms)."""
    sql = "select count(*) as n from rule_tables where published_by = ? and published > ?"
    found = c.row(sql, [person, since])
    return int(found["n"]) if found else 0


def list_tables(c: Connection, kind: str) -> list[RuleTable]:
    """Return all tables of a kind, oldest first."""
    sql = "select kind, name, family, published, published_by from rule_tables where kind = ? order by published, name"
    return [RuleTable(**each) for each in c.rows(sql, [kind])]
