"""Registrars' orders to each tablet, as the signed bytes, and which of them the tablet reported as carried out. The
orders flow uses it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class StoredOrder:
    """One order. `carried_out` is when (ms) the tablet first reported it; None until then."""

    dev: str
    number: int
    kind: str
    body: bytes
    given: int
    given_by: str
    carried_out: int | None


def add_order(w: Connection, *, dev: str, number: int, kind: str, body: bytes, at: int, by: str) -> None:
    """Store an order."""
    w.execute(
        "insert into orders (dev, number, kind, body, given, given_by) values (?, ?, ?, ?, ?, ?)",
        [dev, number, kind, body, at, by],
    )


def list_above(c: Connection, dev: str, number: int) -> list[StoredOrder]:
    """Return a tablet's orders above a number, in rising order."""
    return [StoredOrder(**item) for item in c.rows("select * from orders where dev = ? and number > ?", [dev, number])]


def last_number(c: Connection, dev: str) -> int:
    """Return the highest number of a tablet's orders; 0 if there are none."""
    (found,) = c.rows("select coalesce(max(number), 0) as number from orders where dev = ?", [dev])
    return int(found["number"])


def list_outstanding(c: Connection, dev: str, number: int) -> list[StoredOrder]:
    """Return a tablet's orders up to a number that are not marked as carried out, in rising order."""
    sql = "select * from orders where dev = ? and number <= ? and carried_out is null"
    return [StoredOrder(**item) for item in c.rows(sql, [dev, number])]


def list_orders_by_tablet(c: Connection, devs: Collection[str]) -> dict[str, list[StoredOrder]]:
    """Return all orders of these tablets by tablet, in rising order."""
    found: dict[str, list[StoredOrder]] = {}
    if not devs:
        return found
    sql = f"select * from orders where dev in ({', '.join('?' * len(devs))}) order by dev, number"  # noqa: S608 (places)
    for item in c.rows(sql, [*devs]):
        found.setdefault(item["dev"], []).append(StoredOrder(**item))
    return found


def list_tablets_with_orders(c: Connection, devs: Collection[str]) -> set[str]:
    """Return those of these tablets that have orders."""
    sql = f"select dev from orders where dev in ({', '.join('?' * len(devs))})"  # noqa: S608 (places)
    return {item["dev"] for item in c.rows(sql, [*devs])}


def mark_carried_out(w: Connection, dev: str, number: int, *, at: int) -> None:
    """Mark a tablet's orders up to a number as carried out."""
    sql = "update orders set carried_out = ? where dev = ? and number <= ? and carried_out is null"
    w.execute(sql, [at, dev, number])


def record_reported_number(w: Connection, dev: str, number: int) -> None:
    """Store the order number that a tablet reported. A lost database may have been the only one that knew the order."""
    w.execute("update devices set orders = max(orders, ?) where dev = ?", [number, dev])
