"""Work list items for people to decide: quarantine, conflict, fork, gap, held, unreadable route, silent tablet.

Items about screenings beyond a tablet's budget are deferred: they are stored, and not yet on the list.

The sync request and jobs open items, people close them. Gaps and silences also close automatically.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

KINDS = frozenset(
    {"quarantine", "conflict", "fork", "copied", "gap", "held", "route", "disagrees", "silent", "ahead", "backup"}
    | {"rollout", "crowded", "quota", "damage", "trust_expires", "went_back", "other_past"}
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


@dataclass(frozen=True)
class DeferredItem:
    """An item that waits until others of its tablet are decided. `opened`: when its screening arrived (ms)."""

    kind: str
    chain: str
    envelope: str
    opened: int


def count_open_of_tablet(c: Connection, dev: str, *, most: int) -> int:
    """Return how many items about a tablet's screenings are open. Counts no further than `most`."""
    sql = "select 1 from work_items where dev = ? and envelope > '' and closed is null limit ?"
    return int(c.execute(f"select count(*) from ({sql}) n", [dev, most]).fetchone()[0])  # noqa: S608 (a constant)


def has_open_about_tablet(c: Connection, *, kind: str, dev: str) -> bool:
    """Return True if an item of this kind about the whole tablet is open."""
    sql = "select 1 from work_items where kind = ? and dev = ? and chain = '' and envelope = '' and closed is null"
    return c.row(sql, [kind, dev]) is not None


def defer_item(w: Connection, *, kind: str, dev: str, chain: str, envelope: str, at: int) -> None:
    """Store an item about a screening outside the list. A repeated call changes nothing."""
    w.execute(
        "insert into deferred_items (kind, dev, chain, envelope, opened) values (?, ?, ?, ?, ?)"
        " on conflict (envelope, kind) do nothing",
        [kind, dev, chain, envelope, at],
    )


def take_deferred(w: Connection, dev: str, *, most: int) -> list[DeferredItem]:
    """Remove and return the oldest deferred items of a tablet."""
    found = w.rows(
        "select id, kind, chain, envelope, opened from deferred_items where dev = ? order by id limit ?", [dev, most]
    )
    for item in found:
        w.execute("delete from deferred_items where id = ?", [item.pop("id")])
    return [DeferredItem(**item) for item in found]


def has_deferred(c: Connection, dev: str) -> bool:
    """Return True if items of this tablet are deferred."""
    return c.row("select 1 from deferred_items where dev = ? limit 1", [dev]) is not None


def get_item(c: Connection, id_: int) -> WorkItem | None:
    """Return one item, open or closed, or None."""
    found = c.row("select * from work_items where id = ?", [id_])
    return WorkItem(**found) if found else None


def list_about_chain(c: Connection, *, kind: str, dev: str, chain: str) -> list[WorkItem]:
    """Return all items of a kind about a chain, open and closed, oldest first."""
    sql = "select * from work_items where kind = ? and dev = ? and chain = ? order by id"
    return [WorkItem(**item) for item in c.rows(sql, [kind, dev, chain])]


def list_open(c: Connection, *, kind: str = "") -> list[WorkItem]:
    """Return all open items, or those of one kind, oldest first."""
    narrowed, about = (" and kind = ?", [kind]) if kind else ("", [])
    sql = f"select * from work_items where closed is null{narrowed} order by id"  # noqa: S608
    return [WorkItem(**item) for item in c.rows(sql, about)]


@dataclass(frozen=True)
class Viewer:
    """Who reads the list. `all`: every item; `kinds`: all items of these; besides, items about screenings that the
    person can open."""

    person: str
    all: bool
    kinds: tuple[str, ...]


# The item is about a screening whose key the person holds.
_OWN = (
    "exists (select 1 from envelopes e join keyring_keys k on k.kid = e.kid"
    " join wrapped_keys w on w.keyring = k.keyring and w.epoch = k.epoch where e.id = i.envelope and w.person = ?)"
)


def list_page(c: Connection, viewer: Viewer, *, kept: bool, after: int, most: int) -> list[tuple[WorkItem, str]]:
    """Return a page of the items that a person may see, each with its tablet's label, oldest first.

    Open items, or with `kept` those that people set aside and have not released since. `after`: the last item's id.
    """
    which = "i.decision = 'keep_apart'" if kept else "i.closed is null"
    kinds = ", ".join("?" * len(viewer.kinds))
    seen = "" if viewer.all else f" and (i.kind in ({kinds}) or {_OWN})"
    found = c.rows(
        f"select i.*, coalesce(d.label, '') as label from work_items i left join devices d on d.dev = i.dev"  # noqa: S608
        f" where {which} and i.id > ?{seen} order by i.id limit ?",
        [after, *([] if viewer.all else [*viewer.kinds, viewer.person]), most],
    )
    return [(WorkItem(**{name: item[name] for name in item if name != "label"}), item["label"]) for item in found]
