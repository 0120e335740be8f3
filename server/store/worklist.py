"""What a person has to decide: quarantine, conflict, fork, gap, held, a route that cannot be opened, a silent tablet.
Intake and jobs open items, people close them; a gap and a silence also close themselves."""

from __future__ import annotations

from dataclasses import dataclass

from server.db import Connection, rows

KINDS = frozenset({"quarantine", "conflict", "fork", "gap", "held", "route", "silent", "ahead", "backup"})


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
    """Put something on the list; the same thing, if it is open there already, gets its newest reason."""
    if kind not in KINDS:
        raise ValueError(f"{kind} is no kind of work item")
    same = "kind = ? and dev = ? and chain = ? and envelope = ? and closed is null"
    again = w.execute(f"update work_items set reason = ? where {same}", [reason, kind, dev, chain, envelope])  # noqa: S608
    if not again.rowcount:
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


def waiting_for(c: Connection, person: str) -> list[Item]:
    """What there is to decide about screenings sealed to a keyring that this person is a member of, oldest first."""
    found = rows(
        c,
        "select i.* from work_items i join envelopes e on e.id = i.envelope join keyring_keys k on k.kid = e.kid"
        " join wrapped_keys w on w.keyring = k.keyring and w.epoch = k.epoch"
        " where i.closed is null and w.person = ? order by i.id",
        [person],
    )
    return [Item(**item) for item in found]
