"""Lists for supervisors: tablets, and the audit chain. The staff API calls it. It must not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.database.connection import Database
from server.problems import Problem
from server.store import audit, devices, orders, statistics
from server.store.audit import AuditEntry
from server.store.devices import Device
from server.store.orders import StoredOrder


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


def list_tablets(db: Database, *, after: str = "", most: int = 1000) -> list[TabletReport]:
    """Return a page of the tablets, newest first. `after` is the id of the tablet before the page.

    Raises Problem `list.bad_cursor` if there is no such tablet.
    """
    connection = db.read()
    before = devices.get_device(connection, after) if after else None
    if after and before is None:
        raise Problem("list.bad_cursor", after)
    page = devices.list_page(connection, after=before, most=most)
    devs = [device.dev for device in page]
    stock = devices.list_inventories(connection, devs)
    rejected = statistics.count_rejections_by_tablet(connection, devs)
    ordered = orders.list_orders_by_tablet(connection, devs)
    return [
        TabletReport(device, stock.get(device.dev, {}), rejected.get(device.dev, 0), ordered.get(device.dev, ()))
        for device in page
    ]


def read_audit(db: Database, *, after: int) -> AuditPage:
    """Return up to 500 rows of the audit chain above a number."""
    connection = db.read()
    number, digest = audit.get_head(connection)
    return AuditPage(AuditHead(number, digest), audit.list_entries(connection, after=after))
