"""Tests of the reports: the audit chain is paged."""

from __future__ import annotations

from conftest import FOUNDED, World
from server.database.connection import Database
from server.flows.operations import reports
from server.store import audit


def test_audit_rows_are_paged_and_end_at_the_head(world: World, world_db: Database) -> None:
    with world_db.write() as w:
        audit.append(w, at=FOUNDED, action="test.done", actor="tests", subject="x")
    every = reports.read_audit(world_db, after=0)
    rest = reports.read_audit(world_db, after=every.head.number - 1)
    assert [each.hash for each in rest.entries] == [every.head.hash]
    assert len(every.entries) == every.head.number
