"""What a person has to decide: quarantine, conflict, fork, gap, held, a route that cannot be opened, a silent tablet.
Intake and jobs open items, people close them; a gap and a silence also close themselves."""

from __future__ import annotations

from dataclasses import dataclass

from server.db import Connection, row, rows

KINDS = frozenset({"quarantine", "conflict", "fork", "gap", "held", "route", "silent"})


@dataclass(frozen=True)
class Item:
    """One thing to decide; `envelope` and `chain` are empty where the item is about a whole tablet."""

    id: int
    kind: str
    dev: str
    chain: str
    envelope: str
    reason: str
    opened: int
    closed: int | None
    closed_by: str | None


def add(w: Connection, *, kind: str, dev: str, chain: str = "", envelope: str = "", reason: str = "", at: int) -> None:
    """Put something on the list, unless the same thing is open there already."""
    if kind not in KINDS:
        raise ValueError(f"{kind} is no kind of work item")
    same = "kind = ? and dev = ? and chain = ? and envelope = ? and closed is null"
    if row(w, f"select 1 as found from work_items where {same}", [kind, dev, chain, envelope]) is None:  # noqa: S608
        w.execute(
            "insert into work_items (kind, dev, chain, envelope, reason, opened) values (?, ?, ?, ?, ?, ?)",
            [kind, dev, chain, envelope, reason, at],
        )


def settle(w: Connection, *, kind: str, dev: str, chain: str = "", by: str, at: int) -> None:
    """Close what is no longer so: a gap that was filled, a tablet that spoke again."""
    w.execute(
        "update work_items set closed = ?, closed_by = ? where kind = ? and dev = ? and chain = ? and closed is null",
        [at, by, kind, dev, chain],
    )


def waiting(c: Connection) -> list[Item]:
    """Everything still to decide, oldest first."""
    return [Item(**item) for item in rows(c, "select * from work_items where closed is null order by id")]
