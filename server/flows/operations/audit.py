"""Verifies the audit chain against itself and against the tables. `chaski audit verify` and the checks for damage call
it. It must not write, and no content of a row may stop it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.database.connection import Connection, Database, Row
from server.database.snapshot import DAMAGE
from server.flows.damage import Fault
from server.store import audit, integrity


@dataclass(frozen=True)
class AuditVerdict:
    """The chain's number of rows and its head. `broken_at` is the number of the first bad row, or None.

    `faults`: all that is wrong with the chain, and rows of tables that do not fit it. `accepted`: faults that a person
    accepted at a restore.
    """

    rows: int
    head: str
    broken_at: int | None
    faults: tuple[Fault, ...]
    accepted: tuple[Fault, ...]


@dataclass(frozen=True)
class Link:
    """A row's number and hash, and what is wrong at its place."""

    number: int
    hash: str
    faults: tuple[Fault, ...]


def verify_chain(db: Database, known: tuple[int, str] | None = None) -> AuditVerdict:
    """Verify the chain of an open database. `known` is a (number, hash) that a receipt or a person kept."""
    return verify(db.read(), known)


def verify(c: Connection, known: tuple[int, str] | None = None) -> AuditVerdict:
    """Recompute every hash, then compare the chain with the tables. A hole or a change is one fault, not the end; where
    nothing more can be read, that is the only fault."""
    try:
        return _verify(c, known)
    except DAMAGE as error:
        return AuditVerdict(0, "", None, (Fault("pages.damaged", "audit", str(error)),), ())


def _verify(c: Connection, known: tuple[int, str] | None) -> AuditVerdict:
    rows, number, head, found = 0, 0, audit.START, list[Fault]()
    met = known is None or known == (0, audit.START)
    for link in walk_chain(audit.iterate_rows(c)):
        rows, number, head = rows + 1, link.number, link.hash
        found += link.faults
        met = met or known == (number, head)
    if not met and known is not None:
        # The rows from here on are not those that the head was made of; above the end, the first missing one.
        found.append(Fault("audit.head", str(known[0] if known[0] <= number else number + 1)))
    accepted = audit.list_accepted_damage(c)
    refused = [fault for fault in [*found, *join_tables(c)] if (fault.code, fault.subject) not in accepted]
    places = [int(fault.subject) for fault in refused if fault.code.startswith("audit.")]
    kept = tuple(Fault(*each) for each in sorted(accepted))
    return AuditVerdict(rows, head, min(places, default=None), tuple(refused), kept)


def walk_chain(rows: Iterable[Row], number: int = 0, prev: str = audit.START) -> Iterator[Link]:
    """Compare stored rows with the chain that ends at `number` with the hash `prev`; yield a link for each row."""
    for row in rows:
        place, faults = str(row["number"]), list[Fault]()
        if row["number"] > number + 1:
            last = row["number"] - 1
            faults.append(Fault("audit.missing", str(number + 1), f"{last - number} rows, to {last}"))
        elif row["number"] <= number or row["prev"] != prev:
            faults.append(Fault("audit.broken", place))
        if not audit.is_authentic(row) and Fault("audit.broken", place) not in faults:
            faults.append(Fault("audit.broken", place))
        number, prev = max(number, row["number"]), str(row["hash"])
        yield Link(number, prev, tuple(faults))


def join_tables(c: Connection) -> Iterator[Fault]:
    """Yield the rows that the chain names and the tables lack, those that no row of it names, those in another state
    than it says, and work items and routes that are gone before their time."""
    for table in integrity.AUDITED:
        yield from (Fault(f"{table.noun}.missing", key) for key in integrity.list_missing(c, table))
        yield from (Fault(f"{table.noun}.unaudited", key) for key in integrity.list_unaudited(c, table))
    yield from (Fault("envelope.misreported", id_) for id_ in integrity.list_misreported(c))
    yield from (Fault("referral.changed", id_) for id_ in integrity.list_changed_referrals(c))
    yield from (Fault("device.changed", dev) for dev in integrity.list_changed_devices(c))
    yield from (Fault("work.missing", id_) for id_ in integrity.list_undecided(c))
    yield from (Fault("route.missing", id_) for id_ in integrity.list_lost_routes(c))
