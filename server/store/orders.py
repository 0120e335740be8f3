"""What registrars ordered each tablet to do, as the bytes they signed, and what it said it has carried out. The orders
flow writes and reads it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class StoredOrder:
    """One order that was taken in; `carried_out` is when the tablet first named it, None as long as it has not."""

    dev: str
    number: int
    kind: str
    body: bytes
    given: int
    given_by: str
    carried_out: int | None


def add_order(w: Connection, *, dev: str, number: int, kind: str, body: bytes, at: int, by: str) -> None:
    """Keep an order."""
    w.execute(
        "insert into orders (dev, number, kind, body, given, given_by) values (?, ?, ?, ?, ?, ?)",
        [dev, number, kind, body, at, by],
    )


def list_above(c: Connection, dev: str, number: int) -> list[StoredOrder]:
    """A tablet's orders above a number, rising."""
    return [StoredOrder(**item) for item in c.rows("select * from orders where dev = ? and number > ?", [dev, number])]


def last_number(c: Connection, dev: str) -> int:
    """The highest number of a tablet's orders; 0 where there are none."""
    (found,) = c.rows("select coalesce(max(number), 0) as number from orders where dev = ?", [dev])
    return int(found["number"])


def list_outstanding(c: Connection, dev: str, number: int) -> list[StoredOrder]:
    """A tablet's orders up to a number that it had not named so far, rising."""
    sql = "select * from orders where dev = ? and number <= ? and carried_out is null"
    return [StoredOrder(**item) for item in c.rows(sql, [dev, number])]


def list_orders_by_tablet(c: Connection) -> dict[str, list[StoredOrder]]:
    """All orders by tablet, rising."""
    found: dict[str, list[StoredOrder]] = {}
    for item in c.rows("select * from orders order by dev, number"):
        found.setdefault(item["dev"], []).append(StoredOrder(**item))
    return found


def mark_carried_out(w: Connection, dev: str, number: int, *, at: int) -> None:
    """Note that a tablet has carried out its orders up to a number."""
    sql = "update orders set carried_out = ? where dev = ? and number <= ? and carried_out is null"
    w.execute(sql, [at, dev, number])


def record_reported_number(w: Connection, dev: str, number: int) -> None:
    """Keep the number that a tablet named: it may be of an order that only a lost database knew of."""
    w.execute("update devices set orders = max(orders, ?) where dev = ?", [number, dev])
