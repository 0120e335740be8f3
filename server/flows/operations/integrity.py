"""Checks all that a database promises: pages and copies, the schema, hashes, the audit chain and its joins.

`chaski check`, backup and restore check all of it; the scrub job a slice. A damaged page is a finding and stops
nothing. Nothing here writes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from server.config import ConfigError
from server.database import snapshot
from server.database.connection import Connection, Row
from server.flows.damage import Fault
from server.flows.operations import audit
from server.store import envelopes, integrity, meta
from server.store.integrity import HASHED, HashedTable
from sync.envelope.route import open_route
from sync.envelope.verify import envelope_id, parse_envelope
from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey
from sync.wire.encoding import unb64u

Progress = Callable[[str], None]
ROWS_AT_ONCE = 20
"""Rows read by one query: envelopes have some kilobytes, a document up to 4 MiB."""


@dataclass(frozen=True)
class CheckResult:
    """What a check of everything found, and the faults that a person accepted at a restore."""

    faults: tuple[Fault, ...]
    accepted: tuple[Fault, ...]
    audit_rows: int
    head: str


def check_file(
    database: Path,
    known: tuple[int, str] | None = None,
    *,
    keys: Mapping[str, RouteKey],
    progress: Progress,
    open_all: bool = True,
) -> CheckResult:
    """Check a database file, served or not. `known` is a head (number, hash) of its audit chain; `keys` open routes.

    Without `open_all`, a route with its checksum is not compared with the sealed one: opening costs most of the time.

    Raises ConfigError if another release of the program made it.
    """
    with snapshot.open_reading(database) as c:
        try:
            up_to_date = snapshot.is_up_to_date(c)
        except snapshot.DAMAGE as error:
            return CheckResult((Fault("pages.damaged", "database", str(error)),), (), 0, "")
        if not up_to_date:
            raise ConfigError("--data", f"{database} is of another release; start the server once with this program")
        return _check_all(c, known, keys, progress, open_all)


def _check_all(
    c: Connection, known: tuple[int, str] | None, keys: Mapping[str, RouteKey], progress: Progress, open_all: bool
) -> CheckResult:
    progress("pages and copies")
    faults = [Fault("pages.damaged", "database", said) for said in snapshot.find_faults(c)]
    faults += _guard("schema", partial(_check_schema, c))
    faults += _guard("meta", partial(check_meta, c))
    for table in HASHED:
        progress(table.name)
        faults += _guard(table.name, partial(_check_table, c, table))
    progress("routes")
    faults += _guard("routes", partial(_check_all_routes, c, keys, open_all))
    progress("audit chain")
    verdict = audit.verify(c, known)
    accepted = {(each.code, each.subject) for each in verdict.accepted}
    unaccepted = [fault for fault in faults if (fault.code, fault.subject) not in accepted]
    return CheckResult((*unaccepted, *verdict.faults), verdict.accepted, verdict.rows, verdict.head)


def _guard(part: str, check: Callable[[], Iterator[Fault]]) -> list[Fault]:
    found: list[Fault] = []
    try:
        found.extend(check())
    except snapshot.DAMAGE as error:
        found.append(Fault("pages.damaged", part, str(error)))
    return found


def _check_table(c: Connection, table: HashedTable) -> Iterator[Fault]:
    yield from check_rows(c, table, 1, integrity.last_position(c, table))


def _check_schema(c: Connection) -> Iterator[Fault]:
    yield from (Fault("schema.changed", name) for name in snapshot.find_changed_schema(c))
    yield from (Fault("row.stray", stray.replace(" ", ":")) for stray in snapshot.find_strays(c))


def check_meta(c: Connection) -> Iterator[Fault]:
    """Check the facts without which no server starts: its generation, its secret for the salts of unknown logins."""
    yield from (Fault(f"meta.{'changed' if held else 'missing'}", name) for name, held in meta.list_bad(c))


def check_rows(c: Connection, table: HashedTable, first: int, last: int) -> Iterator[Fault]:
    """Check the rows with numbers from `first` to `last` against their hashes. A row that cannot be read is changed."""
    for start in range(first, last + 1, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE - 1, last)
        try:
            rows = integrity.list_rows(c, table, start, stop)
        except snapshot.DAMAGE:
            rows = yield from _read_one_by_one(c, table, start, stop)
        yield from (Fault(f"{table.noun}.changed", str(row[table.key])) for row in rows if not _is_whole(table, row))


def check_routes(
    c: Connection, keys: Mapping[str, RouteKey], first: int, last: int, *, open_all: bool = True
) -> Iterator[Fault]:
    """Compare the routes of the envelopes that arrived as number `first` to `last` with those that are sealed in them.
    One whose key is not in `keys` is left out. Without `open_all`, a route with its checksum is not opened."""
    for start in range(first, last + 1, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE - 1, last)
        try:
            rows = envelopes.list_route_rows(c, start, stop)
            suspects = [row for row in rows if open_all or not envelopes.has_own_digest(row)]
            changed = [row["envelope"] for row in suspects if _is_changed(keys, row)]
        except snapshot.DAMAGE as error:
            yield Fault("pages.damaged", "routes", str(error))
        else:
            yield from (Fault("route.changed", id_) for id_ in changed)


def _is_changed(keys: Mapping[str, RouteKey], row: Row) -> bool:
    if envelope_id(row["body"]) != row["envelope"]:  # A damaged envelope is a finding of its own.
        return False
    header = parse_envelope(row["body"]).header
    if header.route.partition(".")[0] not in keys:
        return False
    try:
        sealed = envelopes.route_columns(open_route(header.route, keys, header.jti))
    except SyncError:  # The server stores no route that it cannot open.
        return True
    if row["digest"] is not None and not envelopes.has_own_digest(row):
        return True
    return any(row[name] != value for name, value in sealed.items())


def _check_all_routes(c: Connection, keys: Mapping[str, RouteKey], open_all: bool) -> Iterator[Fault]:
    yield from check_routes(c, keys, 1, integrity.last_position(c, integrity.ENVELOPES), open_all=open_all)


def _read_one_by_one(c: Connection, table: HashedTable, first: int, last: int) -> Generator[Fault, None, list[Row]]:
    """Yield the rows that cannot be read, named by the index; return the others."""
    rows: list[Row] = []
    keys = integrity.list_positions(c, table)
    for position in range(first, last + 1):
        try:
            rows += integrity.list_rows(c, table, position, position)
        except snapshot.DAMAGE as error:
            if position in keys:
                yield Fault(f"{table.noun}.changed", str(keys[position]), str(error))
    return rows


def _is_whole(table: HashedTable, row: Row) -> bool:
    body = row[table.body]
    if not isinstance(body, bytes):
        return False
    hashed = body.partition(b"\n")[0] if table.first_line else body
    if hashlib.sha256(hashed).hexdigest() != row[table.key]:
        return False
    if table.name == "envelopes":
        return _has_own_header(row)
    return table.name != "versions" or _is_whole_source(row["source"])


def _has_own_header(row: Row) -> bool:
    """Return True if an envelope's columns say what its signed header says. Its hash was right: intake had read the
    same header strictly, so that it is only decoded here."""
    try:
        header = json.loads(unb64u(row["body"].partition(b".")[0]))
        columns = all(row[name] == header[name] for name in ("dev", "jti", "chain", "seq", "kseq", "prev", "kid"))
    except (SyncError, ValueError, KeyError, TypeError):
        return False
    return columns and row["size"] == len(row["body"])


def _is_whole_source(source: bytes | None) -> bool:
    """Return True if a source package's own checksums hold. A package that is no zip file has none."""
    if source is None or not source.startswith(b"PK"):
        return True
    try:
        with zipfile.ZipFile(BytesIO(source)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError):
        return False
