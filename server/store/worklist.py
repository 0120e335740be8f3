"""Work list items for people to decide: quarantine, conflict, fork, gap, held, unreadable route, silent tablet.

Items about screenings beyond a tablet's budget are deferred: they are stored, and not yet on the list.

The sync request and jobs open items, people close them. Gaps and silences also close automatically.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from server.database.connection import Connection
from sync.wire.encoding import MAX_INTEGER

KINDS = frozenset(
    {"quarantine", "conflict", "fork", "copied", "gap", "held", "route", "disagrees", "silent", "ahead", "backup"}
    | {"rollout", "crowded", "quota", "damage", "trust_expires", "went_back", "other_past"}
)
EVERY_TIME = 2**53
"""A time after every decision: what is reported is a new event each time."""
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


_COLUMNS = tuple(each.name for each in fields(WorkItem))
_ITEM = ", ".join(_COLUMNS)


def add_item(
    w: Connection,
    *,
    kind: str,
    dev: str,
    chain: str = "",
    envelope: str = "",
    reason: str = "",
    at: int,
    since: int = 0,
) -> None:
    """Open an item, or update the reason of the same item if it is open already.

    An item that a person decided does not return, except with another reason, or if it became true again: `since` (ms)
    is when it began, or EVERY_TIME.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind} is not a kind of work item")
    same = "kind = ? and dev = ? and chain = ? and envelope = ?"
    about = [kind, dev, chain, envelope]
    open_one = w.execute(f"update work_items set reason = ? where {same} and closed is null", [reason, *about])  # noqa: S608
    if open_one.rowcount:
        return
    decided = f"select 1 from work_items where {same} and reason = ? and decision is not null and closed >= ?"  # noqa: S608
    if w.row(decided, [*about, reason, since]) is None:
        w.execute(
            "insert into work_items (kind, dev, chain, envelope, reason, opened, kid)"
            " values (?, ?, ?, ?, ?, ?, coalesce((select kid from envelopes where id = ?), ''))",
            [*about, reason, at, envelope],
        )


def close_resolved(w: Connection, *, kind: str, dev: str, chain: str = "", by: str, at: int) -> None:
    """Close an item that no longer applies, such as a gap that was filled or a tablet that synced again."""
    w.execute(
        "update work_items set closed = ?, closed_by = ? where kind = ? and dev = ? and chain = ? and closed is null",
        [at, by, kind, dev, chain],
    )


def list_tablets_with_open_items(c: Connection, devs: Collection[str]) -> set[str]:
    """Return those of these tablets about which an item is open."""
    sql = f"select dev from work_items where dev in ({', '.join('?' * len(devs))}) and closed is null"  # noqa: S608
    return {item["dev"] for item in c.rows(sql, [*devs])}


def was_resolved(c: Connection, *, kind: str, by: str, since: int) -> bool:
    """Return True if `by` closed an item of this kind at or after a time (ms), and none is open."""
    sql = (
        "select count(*) filter (where closed_by = ? and closed >= ?) > 0 and count(*) = count(closed) as resolved"
        " from work_items where kind = ?"
    )
    (found,) = c.rows(sql, [by, since, kind])
    return bool(found["resolved"])


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


def count_open_of_tablet(c: Connection, dev: str, *, kid: str = "", most: int) -> int:
    """Return how many items about a tablet's screenings are open, or about those sealed to one key. Counts no further
    than `most`."""
    sql = f"select 1 from work_items where dev = ? and kid {'= ?' if kid else '> ?'} and closed is null limit ?"  # noqa: S608
    return int(c.execute(f"select count(*) from ({sql}) n", [dev, kid, most]).fetchone()[0])  # noqa: S608


def has_open_about_tablet(c: Connection, *, kind: str, dev: str) -> bool:
    """Return True if an item of this kind about the whole tablet is open."""
    sql = "select 1 from work_items where kind = ? and dev = ? and chain = '' and envelope = '' and closed is null"
    return c.row(sql, [kind, dev]) is not None


def defer_item(w: Connection, *, kind: str, dev: str, chain: str, envelope: str, at: int) -> None:
    """Store an item about a screening outside the list. A repeated call changes nothing."""
    w.execute(
        "insert into deferred_items (kind, dev, chain, envelope, opened, kid)"
        " values (?, ?, ?, ?, ?, coalesce((select kid from envelopes where id = ?), ''))"
        " on conflict (envelope, kind) do nothing",
        [kind, dev, chain, envelope, at, envelope],
    )


def take_deferred(w: Connection, dev: str, *, kid: str = "", most: int) -> list[DeferredItem]:
    """Remove and return the oldest deferred items of a tablet, or of its screenings sealed to one key."""
    narrowed, about = (" and kid = ?", [kid]) if kid else ("", [])
    found = w.rows(
        f"select id, kind, chain, envelope, opened from deferred_items where dev = ?{narrowed} order by id limit ?",  # noqa: S608
        [dev, *about, max(most, 0)],
    )
    for item in found:
        w.execute("delete from deferred_items where id = ?", [item.pop("id")])
    return [DeferredItem(**item) for item in found]


def list_deferred_keys(c: Connection, dev: str) -> list[str]:
    """Return the keys of desks to which deferred screenings of this tablet are sealed."""
    sql = (
        "select kid from keyring_keys k where exists (select 1 from deferred_items d where d.dev = ? and d.kid = k.kid)"
    )
    return [item["kid"] for item in c.rows(sql, [dev])]


def has_deferred(c: Connection, dev: str) -> bool:
    """Return True if items of this tablet are deferred."""
    return c.row("select 1 from deferred_items where dev = ? limit 1", [dev]) is not None


def get_item(c: Connection, id_: int) -> WorkItem | None:
    """Return one item, open or closed, or None."""
    found = c.row(f"select {_ITEM} from work_items where id = ?", [id_])  # noqa: S608 (a constant)
    return WorkItem(**found) if found else None


def list_about_chain(c: Connection, *, kind: str, dev: str, chain: str) -> list[WorkItem]:
    """Return the items of a kind about a chain that are open or that a person decided, oldest first. Those that closed
    by themselves are not read: a tablet can make many."""
    relevant = "(closed is null or decision is not null)"
    sql = f"select {_ITEM} from work_items where kind = ? and dev = ? and chain = ? and {relevant} order by id"  # noqa: S608
    return [WorkItem(**item) for item in c.rows(sql, [kind, dev, chain])]


def list_open(c: Connection, *, kind: str = "", after: int = 0, most: int = MAX_INTEGER) -> list[WorkItem]:
    """Return the open items, or those of one kind, oldest first; with `after` (an item's id) and `most` a page."""
    narrowed, about = (" and kind = ?", [kind]) if kind else ("", [])
    sql = f"select {_ITEM} from work_items where closed is null{narrowed} and id > ? order by id limit ?"  # noqa: S608
    return [WorkItem(**item) for item in c.rows(sql, [*about, after, most])]


@dataclass(frozen=True)
class Viewer:
    """Who reads the list. `all`: every item; besides, items about screenings sealed to the keys `kids`, which the
    person can open, and open items of `kinds`."""

    all: bool
    kids: tuple[str, ...]
    kinds: tuple[str, ...]


# One part of a page: each walks an index in the order of the list, and ends with the page.
_PART = "select * from (select id from work_items where {} = ? and {} and id > ? order by id limit ?)"


def list_page(c: Connection, viewer: Viewer, *, kept: bool, after: int, most: int) -> list[tuple[WorkItem, str]]:
    """Return a page of the items that a person may see, each with its tablet's label, oldest first.

    Open items, or with `kept` those that people set aside and have not released since. `after`: the last item's id.
    The page of a desk costs by its own length, not by the list's.
    """
    which = "decision = 'keep_apart'" if kept else "closed is null"
    seen: str
    about: list[str | int]
    if viewer.all:
        seen, about = f"i.{which} and i.id > ?", [after, most]
    else:
        # Only a screening is set aside, so that no kind is seen as a whole among those that are.
        values = [("kid", kid) for kid in viewer.kids] + [("kind", kind) for kind in viewer.kinds if not kept]
        parts = " union ".join(_PART.format(column, which) for column, _ in values) or "null"
        seen, about = f"i.id in ({parts})", [*(part for _, value in values for part in (value, after, most)), most]
    found = c.rows(
        f"select {', '.join(f'i.{name}' for name in _COLUMNS)}, coalesce(d.label, '') as label"  # noqa: S608
        f" from work_items i left join devices d on d.dev = i.dev where {seen} order by i.id limit ?",
        about,
    )
    return [(WorkItem(**{name: item[name] for name in _COLUMNS}), item["label"]) for item in found]
