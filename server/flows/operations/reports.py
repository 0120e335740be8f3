"""Lists and counts for supervisors. The staff API calls it. It must not write.

Counts have one dimension. A count of 1 to 10 people is never shown, and cannot be computed from the others (DOMAIN 4,
CTDC practice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from server.database.connection import Database
from server.store import audit, devices, orders, statistics
from server.store.audit import AuditEntry
from server.store.devices import Device
from server.store.orders import StoredOrder

SMALLEST = 11


@dataclass(frozen=True)
class StatisticsTable:
    """One month and dimension: value -> count. None hides a small count; `total` is None if it would reveal one."""

    month: str
    dimension: str
    counts: Mapping[str, int | None]
    total: int | None


@dataclass(frozen=True)
class TabletReport:
    """A tablet, the form versions it reported, its number of rejected envelopes, and its orders."""

    device: Device
    forms: Mapping[str, str]
    rejected: int
    orders: Sequence[StoredOrder]

    @property
    def last(self) -> int:
        """Return the number of the tablet's last order, including one that only the tablet still knows."""
        return max(self.device.orders, *(given.number for given in self.orders), 0)


@dataclass(frozen=True)
class AuditHead:
    """The audit chain's last row."""

    number: int
    hash: str


@dataclass(frozen=True)
class AuditPage:
    """A page of the audit chain, and where the chain ends."""

    head: AuditHead
    entries: list[AuditEntry]


def list_tables(db: Database, *, mode: str, now: int) -> list[StatisticsTable]:
    """Return the tables of the mode ("field" or "training") for past months, by month and dimension.

    The current month is left out. A reader who compares its counts before and after would learn about single people.
    """
    cells = statistics.list_cells(db.read(), mode=mode, before=statistics.month_of(now))
    found = groupby(cells, key=lambda cell: (cell.month, cell.dimension))
    return [
        StatisticsTable(month, dimension, *suppress_small_counts({cell.value: cell.count for cell in cells}))
        for (month, dimension), cells in found
    ]


def list_tablets(db: Database) -> list[TabletReport]:
    """Return every tablet, newest first."""
    connection = db.read()
    stock, rejected = devices.list_inventories(connection), statistics.count_rejections_by_tablet(connection)
    ordered = orders.list_orders_by_tablet(connection)
    return [
        TabletReport(device, stock.get(device.dev, {}), rejected.get(device.dev, 0), ordered.get(device.dev, ()))
        for device in devices.list_devices(connection)
    ]


def read_audit(db: Database, *, after: int) -> AuditPage:
    """Return up to 500 rows of the audit chain above a number."""
    connection = db.read()
    number, digest = audit.get_head(connection)
    return AuditPage(AuditHead(number, digest), audit.list_entries(connection, after=after))


def suppress_small_counts(counts: Mapping[str, int]) -> tuple[dict[str, int | None], int | None]:
    """Hide small counts, then the next smallest ones, until at least two cells and eleven people are hidden.

    A single hidden cell could be computed from the total. Two cells of three people together would reveal nearly as
    much. A total below eleven is hidden with all its cells.
    """
    hidden = {value for value, count in counts.items() if count < SMALLEST}
    shown = sorted(counts.keys() - hidden, key=lambda value: (counts[value], value))
    while hidden and shown and (len(hidden) < 2 or sum(counts[value] for value in hidden) < SMALLEST):
        hidden.add(shown.pop(0))
    total = sum(counts.values())
    return (
        {value: None if value in hidden else count for value, count in counts.items()},
        total if total >= SMALLEST else None,
    )
