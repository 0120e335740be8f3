"""What a request has in common with others of its transaction: each such fact is read once.

A request that is answered alone has its facts for itself, and writes as it goes. Requests that are answered together
share `GroupFacts`: audit rows, counts and reports of their tablets are written once, at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from server.database.connection import Connection
from server.problems import Problem
from server.store import audit, devices, orders, statistics, worklist
from server.store.audit import AuditEvent
from server.store.devices import Device, TabletReport
from server.store.statistics import ScreeningFacts

T = TypeVar("T")
_log = logging.getLogger("chaski")


class SharedFacts:
    """The facts of one request's transaction at the time `now` (ms)."""

    def __init__(self, w: Connection, *, now: int) -> None:
        self.w, self.now = w, now
        self._answers: dict[Any, Any] = {}

    def ask(self, read: Callable[[Connection], T]) -> T:
        """Return the result of a store's query about the whole database. No request that shares may change it."""
        if read not in self._answers:
            self._answers[read] = read(self.w)
        return cast(T, self._answers[read])

    def ask_about(self, read: Callable[[Connection, str], T], about: str) -> T:
        """Return the result of a store's query about one thing. No envelope may change it."""
        if (read, about) not in self._answers:
            self._answers[read, about] = read(self.w, about)
        return cast(T, self._answers[read, about])

    def get_device(self, dev: str) -> Device | None:
        """Return a tablet as it was before the transaction, or None."""
        return self.ask_about(devices.get_device, dev)

    def may_have_items(self, dev: str) -> bool:
        """Return False if it is known that no item about this tablet was open before the transaction."""
        return True

    def may_have_orders(self, dev: str) -> bool:
        """Return False if it is known that the tablet has no orders."""
        return True

    def record_request(self, report: TabletReport) -> None:
        """Store what a request says about its tablet."""
        devices.record_requests(self.w, [report])

    def record(
        self, events: list[AuditEvent], counted: list[ScreeningFacts], stored: list[tuple[str, int, int]]
    ) -> None:
        """Append audit events, count screenings, and count their bytes by tablet."""
        audit.append_all(self.w, events, at=self.now)
        statistics.count_screenings(self.w, counted, at=self.now)
        devices.count_stored(self.w, stored)

    def get_audit_head(self) -> tuple[int, str]:
        """Return number and hash of the last audit row, written or not."""
        return audit.get_head(self.w)


class GroupFacts(SharedFacts):
    """The facts of a transaction with requests of the tablets `devs`, none of them twice."""

    def __init__(self, w: Connection, *, now: int, devs: Collection[str]) -> None:
        super().__init__(w, now=now)
        self._counted = list[ScreeningFacts]()
        self._stored = list[tuple[str, int, int]]()
        self._reports = list[TabletReport]()
        self._devices = devices.list_by_id(w, devs)
        self._with_items = worklist.list_tablets_with_open_items(w, devs)
        self._with_orders = orders.list_tablets_with_orders(w, devs)
        self._audit = audit.Appender(w)

    def get_device(self, dev: str) -> Device | None:
        """Return a tablet as it was before the transaction, or None."""
        return self._devices.get(dev)

    def may_have_items(self, dev: str) -> bool:
        """Return False if no item about this tablet was open before the transaction."""
        return dev in self._with_items

    def may_have_orders(self, dev: str) -> bool:
        """Return False if the tablet has no orders."""
        return dev in self._with_orders

    def record_request(self, report: TabletReport) -> None:
        """Store at the end what a request says about its tablet."""
        self._reports.append(report)

    def record(
        self, events: list[AuditEvent], counted: list[ScreeningFacts], stored: list[tuple[str, int, int]]
    ) -> None:
        """Append audit events, count screenings, and count their bytes by tablet, all at the end."""
        self._audit.add(events, at=self.now)
        self._counted += counted
        self._stored += stored

    def get_audit_head(self) -> tuple[int, str]:
        """Return number and hash of the last audit row, written or not."""
        return self._audit.head

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run a part that leaves nothing if it fails. The failure ends here, unless it ended the transaction, or what
        the part left cannot be told from the rest."""
        mark, put_off = self._audit.mark(), list[list[Any]]([self._counted, self._stored, self._reports])
        sizes = [len(each) for each in put_off]
        self.w.execute("savepoint part")
        try:
            yield
        except Exception as error:
            if not self.w.in_transaction:
                raise
            self.w.execute("rollback to part")
            if not isinstance(error, Problem):  # A fault of the disk or of the program.
                _log.warning("left out of group", extra={"fields": {"error": type(error).__name__}})
            self._audit.return_to(mark)
            for each, size in zip(put_off, sizes, strict=True):
                del each[size:]
        self.w.execute("release part")

    def write(self) -> None:
        """Write what was put off, before the transaction commits."""
        self._audit.write()
        statistics.count_screenings(self.w, self._counted, at=self.now)
        devices.record_requests(self.w, self._reports)
        devices.count_stored(self.w, self._stored)
