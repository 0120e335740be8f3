"""Lists and counts for people who watch over the work. The people's door calls it; it only reads.

Counts are cells of one dimension; no number built on 1 to 10 people is shown, and none that could be worked out from
the others (DOMAIN 4, CTDC practice).
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
    """One month and dimension: value -> count, None where the count is held back; total None when it would tell."""

    month: str
    dimension: str
    counts: Mapping[str, int | None]
    total: int | None


@dataclass(frozen=True)
class TabletReport:
    """A tablet, the form versions that it told are on board, how many envelopes it sent in vain, and its orders."""

    device: Device
    forms: Mapping[str, str]
    rejected: int
    orders: Sequence[StoredOrder]

    @property
    def last(self) -> int:
        """The number of the tablet's last order, also of one that only the tablet still knows of."""
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
    """Return the tables of the mode ("field" or "training") for the months that are over, by month and dimension.

    Numbers that grow one by one would tell of each person: whoever looks before and after knows what was added.
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
    """Hold back small counts, then the next smallest until what is hidden is two cells and eleven people at least.

    With one cell hidden the total would give it back; two that add up to three people would tell nearly as much. A
    total below eleven is held back with all its cells.
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
