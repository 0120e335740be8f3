"""Work list items for people to decide: quarantine, conflict, fork, gap, held, unreadable route, silent tablet.

The sync request and jobs open items, people close them. Gaps and silences also close automatically.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

KINDS = frozenset(
    {"quarantine", "conflict", "fork", "copied", "gap", "held", "route", "disagrees", "silent", "ahead", "backup"}
    | {"rollout", "trust_expires", "other_past"}
)
RELEASE, KEEP_APART = "release", "keep_apart"


@dataclass(frozen=True)
class WorkItem:
    """One item. `envelope` and `chain` are empty if it is about a whole tablet.

    `decision` is a person's; an item that closed automatically has none.
    """

    id: int
    kind: str
    dev: str
    chain: str
    envelope: str
    reason: str
    opened: int
    closed: int | None
    closed_by: str | None
    decision: str | None


def add_item(
    w: Connection,
    *,
    kind: str,
    dev: str,
    chain: str = "",
    envelope: str = "",
    reason: str = "",
    at: int,
    again: bool = False,
) -> None:
    """Open an item, or update the reason of the same item if it is open already.

    An item that a person decided does not return, except with another reason or with `again`.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind} is not a kind of work item")
    same = "kind = ? and dev = ? and chain = ? and envelope = ?"
    about = [kind, dev, chain, envelope]
    open_one = w.execute(f"update work_items set reason = ? where {same} and closed is null", [reason, *about])  # noqa: S608
    if open_one.rowcount:
        return
    decided = f"select 1 from work_items where {same} and reason = ? and decision is not null"  # noqa: S608
    if again or w.row(decided, [*about, reason]) is None:
        w.execute(
            "insert into work_items (kind, dev, chain, envelope, reason, opened) values (?, ?, ?, ?, ?, ?)",
            [*about, reason, at],
        )


def close_resolved(w: Connection, *, kind: str, dev: str, chain: str = "", by: str, at: int) -> None:
    """Close an item that no longer applies, such as a gap that was filled or a tablet that synced again."""
    w.execute(
        "update work_items set closed = ?, closed_by = ? where kind = ? and dev = ? and chain = ? and closed is null",
        [at, by, kind, dev, chain],
    )


def record_decision(w: Connection, id_: int, *, decision: str, by: str, at: int) -> None:
    """Close an item with a person's decision."""
    w.execute("update work_items set closed = ?, closed_by = ?, decision = ? where id = ?", [at, by, decision, id_])


def get_item(c: Connection, id_: int) -> WorkItem | None:
    """Return one item, open or closed, or None."""
    found = c.row("select * from work_items where id = ?", [id_])
    return WorkItem(**found) if found else None


def list_about_chain(c: Connection, *, kind: str, dev: str, chain: str) -> list[WorkItem]:
    """Return all items of a kind about a chain, open and closed, oldest first."""
    sql = "select * from work_items where kind = ? and dev = ? and chain = ? order by id"
    return [WorkItem(**item) for item in c.rows(sql, [kind, dev, chain])]


def list_kept_apart(c: Connection) -> list[WorkItem]:
    """Return the items that people set aside and have not released since, oldest first."""
    return [
        WorkItem(**item) for item in c.rows("select * from work_items where decision = ? order by id", [KEEP_APART])
    ]


def list_open(c: Connection) -> list[WorkItem]:
    """Return all open items, oldest first."""
    return [WorkItem(**item) for item in c.rows("select * from work_items where closed is null order by id")]
