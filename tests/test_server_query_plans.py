"""No statement of the stores reads a whole table that grows: SQLite's own plan for each of them says so.

Every function of the stores runs here with made-up arguments, so a new one is covered without being named. A statement
that was not seen, or that scans, fails. The plans hold without statistics: the server never runs ANALYZE.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sqlite3
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server import store
from server.database.connection import Connection, Row, Space
from server.database.sqlite import SqliteConnection, SqliteDatabase
from server.store import chains, devices, documents, envelopes, integrity, referrals, statistics, worklist
from server.store.chains import Gap
from server.store.statistics import ScreeningFacts
from server.store.worklist import Viewer
from support.databases import writing_connection
from sync.envelope.route import Route
from sync.envelope.verify import Envelope, Header

STORES = [importlib.import_module(f"server.store.{each.name}") for each in pkgutil.iter_modules(store.__path__)]
ASKS = {"execute", "executemany", "row", "rows"}
GROWING = frozenset(
    {"envelopes", "routes", "referrals", "audit", "chains", "chain_gaps", "work_items", "deferred_items", "devices"}
    | {"status_events", "inventories", "refusals", "rejections", "orders", "enrolment_codes", "damaged_envelopes"}
    | {"sessions", "spent_challenges", "sign_in_failures", "documents"}
)
"""Tables with a row for each screening, tablet, sync, sign-in or change; people make the rows of all others."""
CHECKS = "reads everything on purpose, on a connection of its own or on a copy"
FIRST_ROW = "ends at the first row, or at the highest row number"
RESTORED = "once, after a restore or a rollback"
MAY_SCAN: Mapping[str, str] = {
    "integrity.list_missing": CHECKS,
    "integrity.list_unaudited": CHECKS,
    "integrity.list_misreported": CHECKS,
    "integrity.list_changed_referrals": CHECKS,
    "integrity._list_in_other_state": CHECKS,
    "integrity.list_undecided": CHECKS,
    "integrity.list_lost_routes": CHECKS,
    "integrity.list_positions": "names the rows that a damaged page hides",
    "meta.count_holdings": "counts what a backup or a restore holds, on a copy",
    "meta.newest_time": RESTORED,
    "devices.recount_stored": RESTORED,
    "meta.start_generation": RESTORED,
    "audit.get_head": FIRST_ROW,
    "audit.get_hash_and_head": FIRST_ROW,
    "statistics.first_open_month": FIRST_ROW,
    "statuses.last_cursor": FIRST_ROW,
    "integrity.last_position": FIRST_ROW,
    "chains.list_missing": FIRST_ROW,
    "envelopes.has_damaged": FIRST_ROW,
    "devices.list_page": "the first page ends with the page: it is in the order of an index",
    "envelopes.count_damaged": "damaged screenings: none, or few",
    "envelopes.list_damaged": "damaged screenings: none, or few",
    "audit.list_accepted_damage": "a partial index of the damage that people accepted",
    "devices.list_devices": "for a person, in no transaction: a report, or a trust without a registrar",
    "devices.list_certified": "a partial index without the tablets' rows, when a rollout fails",
    "devices.list_inventories": "a report for a person, in no transaction",
    "devices.highest_number": "when a person publishes a document: 3 ms for 5,000 tablets",
}


SPECIAL: Mapping[type, object] = {
    Route: Route(),
    integrity.HashedTable: integrity.ENVELOPES,
    integrity.AuditedTable: integrity.AUDITED[1],
}
NAMED: Mapping[str, object] = {
    "kind": "gap",
    "mode": "field",
    "detail": {},
    "first_month": "1970-01",
    "last_month": "1970-02",
    "roles": frozenset({"author"}),
    "numbers": dict.fromkeys(documents.KINDS, 1),
    "figures": {"sex": {"female": "hidden"}},
}
"""Arguments that are not made up from their type: by type, and by name."""


@dataclass(frozen=True)
class Statement:
    """A statement as a function of the stores asked it, the line, the tables that SQLite would scan for it, and True if
    it would make a list anew for each row."""

    function: str
    line: int
    sql: str
    scans: tuple[str, ...]
    repeats: bool


class WatchedConnection:
    """A connection that notes each statement with its plan before it carries it out."""

    def __init__(self, inner: SqliteConnection) -> None:
        self._inner = inner
        self.seen: list[Statement] = []

    in_transaction = True

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement."""
        self._note(sql, parameters)
        return self._inner.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:
        """Execute one statement for each sequence of parameters."""
        given = [*parameters]
        if given:
            self._note(sql, given[0])
        return self._inner.executemany(sql, given)

    def rows(self, sql: str, parameters: Any = (), /) -> list[Row]:
        """Return all rows of a query."""
        self._note(sql, parameters)
        return self._inner.rows(sql, parameters)

    def row(self, sql: str, parameters: Any = (), /) -> Row | None:
        """Return the only row of a query, or None."""
        self._note(sql, parameters)
        return self._inner.row(sql, parameters)

    def space(self) -> Space:
        """Return the space that the database may use."""
        return self._inner.space()

    def _note(self, sql: str, parameters: Any) -> None:
        frame = inspect.stack(context=0)[2].frame
        function = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        plan = [detail for *_, detail in self._inner.execute(f"explain query plan {sql}", parameters).fetchall()]
        repeats = any(detail.startswith("CORRELATED LIST SUBQUERY") for detail in plan)
        self.seen.append(Statement(function, frame.f_lineno, sql, tuple(_list_scanned(sql, plan)), repeats))


def _list_scanned(sql: str, plan: Iterable[str]) -> Iterator[str]:
    """Yield the tables that a plan scans. A plan names a table by its alias."""
    aliases = {alias: table for table, alias in re.findall(r"\b(?:from|join|update)\s+(\w+)(?:\s+as)?\s+(\w+)\b", sql)}
    for detail in plan:
        # A search without an index is the search for a highest value.
        if found := re.match(r"SCAN (\w+)|SEARCH (\w+)$", detail):
            name = found[1] or found[2]
            yield aliases.get(name, name)


def _make_up(kind: Any, name: str, full: bool) -> Any:
    """Return a value of a type: the shortest that reaches the statements of a function."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if name in NAMED and isinstance(NAMED[name], origin or kind):
        return NAMED[name]
    if kind in SPECIAL:
        return SPECIAL[kind]
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{each.name: _make_up(hints[each.name], each.name, full) for each in fields(kind)})  # type: ignore[operator]
    if type(None) in inner:
        return _make_up(inner[0], name, full) if full else None
    if origin is tuple and Ellipsis not in inner:
        return tuple(_make_up(each, "", full) for each in inner)
    if origin is not None and issubclass(origin, Mapping):
        return {_make_up(inner[0], "", full): _make_up(inner[1], "", full)}
    if origin is not None:
        return (
            origin([_make_up(inner[0], "", full)]) if origin in (tuple, frozenset) else [_make_up(inner[0], "", full)]
        )
    return {str: "x", int: 1, bytes: b"x", bool: full}[kind]


def _list_functions(module: ModuleType) -> list[Callable[..., Any]]:
    """Return the public functions of a store whose first parameter is a connection."""
    found = [each for name, each in inspect.getmembers(module, inspect.isfunction) if not name.startswith("_")]
    return [each for each in found if each.__module__ == module.__name__ and _is_asked(each)]


def _is_asked(function: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(function).parameters), "")
    return typing.get_type_hints(function).get(first) is Connection


def _call(function: Callable[..., Any], c: WatchedConnection, *, full: bool) -> None:
    """Call a function with made-up arguments. What it answers, or refuses, does not matter here."""
    hints = typing.get_type_hints(function)
    first, *others = inspect.signature(function).parameters.values()
    chosen = [each for each in others if full or each.default is each.empty]
    given = {each.name: _make_up(hints[each.name], each.name, full) for each in chosen if each.kind != each.VAR_KEYWORD}
    if function is devices.highest_number:
        given["kind"] = "trust"
    with suppress(sqlite3.IntegrityError, AssertionError, ValueError, TypeError, IndexError, KeyError):
        function(c, **given) if first.name not in given else None


def _reach_the_rest(w: WatchedConnection) -> None:
    """Call what made-up arguments do not reach: each asks more if it finds something."""
    c = typing.cast(Connection, w)
    for kind in documents.KINDS:
        devices.highest_number(c, kind, 9)
    raw = Envelope(b"x", "e", Header("k", "j", "d", "c", 1, 1, "", ""), "", b"", b"", b"", b"", b"", "")
    envelopes.put_envelope(c, raw, outcome="stored", at=1)
    envelopes.known_parts(c, raw)
    for seqs in ([1, 5], [3], [2, 4]):
        chains.advance_chain(c, "d", "c", seqs)
    envelopes.mark_damaged(c, "e", at=1)
    chains.list_missing(c, "d", "c", 9)
    chains.reopen_gaps(c, "d", "c", [Gap(2, 3)])
    chains.record_left_chain(c, "d", "c", 9)
    for all_, kept in ((True, True), (True, False), (False, True), (False, False)):
        worklist.list_page(c, Viewer(all_, ("a", "b"), ("gap", "rollout")), kept=kept, after=0, most=9)
    for table in integrity.HASHED:
        integrity.list_rows(c, table, 1, 2)
        integrity.last_position(c, table)
    for audited in integrity.AUDITED:
        integrity.list_missing(c, audited)
        integrity.list_unaudited(c, audited)
    statistics.count_screenings(c, [ScreeningFacts("field", {}, "1970-01-02")], at=1)
    referrals.list_open(c, "x", "field", after=referrals.QueuePlace(5, 5))
    envelopes.list_old_routes(c, before=5, after=envelopes.FIRST, most=5)


@pytest.fixture(name="seen", scope="module")
def statements_of_the_stores(tmp_path_factory: pytest.TempPathFactory) -> list[Statement]:
    """Run every function of the stores twice on an empty database; the second time it finds what the first stored."""
    with closing(SqliteDatabase(tmp_path_factory.mktemp("plans") / "plans.db", create=True)) as db:
        inner = writing_connection(db)
        inner.execute("pragma foreign_keys = off")
        watched = WatchedConnection(inner)
        for full in (False, True, False, True):
            for module in STORES:
                for function in _list_functions(module):
                    _call(function, watched, full=full)
        _reach_the_rest(watched)
    return watched.seen


def _list_places() -> Iterator[tuple[str, int, int]]:
    """Yield store, first and last line of each place in the stores that asks the database."""
    for module in STORES:
        path = Path(str(module.__file__))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in ASKS and isinstance(called.value, ast.Name):
                yield path.stem, node.lineno, node.end_lineno or node.lineno


def test_every_statement_of_the_stores_was_seen(seen: list[Statement]) -> None:
    asked = {(each.function.partition(".")[0], each.line) for each in seen}
    missed = [
        f"server/store/{name}.py:{first}"
        for name, first, last in _list_places()
        if not any((name, line) in asked for line in range(first, last + 1))
    ]
    assert missed == []


def test_no_statement_scans_a_table_that_grows(seen: list[Statement]) -> None:
    found = {(each.function, table, each.sql) for each in seen for table in each.scans if table in GROWING}
    assert sorted(each for each in found if each[0] not in MAY_SCAN) == []


def test_no_statement_makes_a_list_anew_for_each_row(seen: list[Statement]) -> None:
    assert sorted({(each.function, each.sql) for each in seen if each.repeats}) == []


def test_each_scan_that_is_allowed_is_one(seen: list[Statement]) -> None:
    scanning = {each.function for each in seen for table in each.scans if table in GROWING}
    assert MAY_SCAN.keys() - scanning == set()
