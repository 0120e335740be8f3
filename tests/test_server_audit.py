"""Tests of the audit chain: a changed, deleted or reordered row is detected, and rows hold ids only."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit as audit_flow
from server.store import audit


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    with db.write() as w:
        for number in range(1, 6):
            audit.append(
                w, at=number, action="envelope.stored", actor="tablet", subject=f"e{number}", detail={"seq": number}
            )
    yield db
    db.close()


def test_an_untouched_chain_verifies_and_names_its_head(db: Database) -> None:
    verdict = audit_flow.verify_chain(db)
    assert (verdict.rows, verdict.broken_at) == (5, None)
    assert (5, verdict.head) == audit.get_head(db.read())


def test_rows_can_neither_be_changed_nor_removed(db: Database) -> None:
    for sql in ("update audit set actor = 'another'", "delete from audit where number = 2"):
        with pytest.raises(sqlite3.IntegrityError, match="never"), db.write() as w:
            w.execute(sql)


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("update audit set subject = 'e9' where number = 3", 3),
        ("update audit set detail = '{\"seq\": 9}' where number = 2", 2),
        ("delete from audit where number = 4", 4),
        ("update audit set number = number + 10 where number = 5", 5),
    ],
)
def test_a_change_without_the_triggers_is_detected(db: Database, tampering: str, broken_at: int) -> None:
    with db.write() as w:
        w.execute("drop trigger audit_stays")
        w.execute("drop trigger audit_remains")
        w.execute(tampering)
    assert audit_flow.verify_chain(db).broken_at == broken_at


def test_a_shortened_or_rewritten_chain_lacks_the_head_in_a_receipt(db: Database) -> None:
    given = audit.get_head(db.read())
    with db.write() as w:
        w.execute("drop trigger audit_remains")
        w.execute("delete from audit where number = 5")
    assert audit_flow.verify_chain(db).broken_at is None
    assert audit_flow.verify_chain(db, known=given).broken_at == 5
    with db.write() as w:
        audit.append(w, at=5, action="envelope.stored", actor="tablet", subject="forged")
    assert audit_flow.verify_chain(db).broken_at is None
    assert audit_flow.verify_chain(db, known=given).broken_at is not None


@pytest.mark.parametrize("text", ["Me dijo que no la dejan salir", "ñusta", "a\nb", "x" * 81])
def test_a_row_cannot_hold_a_sentence(db: Database, text: str) -> None:
    with pytest.raises(ValueError, match="ids and codes only"), db.write() as w:
        audit.append(w, at=9, action="envelope.stored", actor="tablet", subject="e9", detail={"reason": text})


def test_a_change_and_its_audit_row_are_stored_together_or_not_at_all(db: Database) -> None:

    def fail() -> None:
        with db.write() as w:
            audit.append(w, at=6, action="envelope.stored", actor="tablet", subject="e6")
            w.execute("insert into status_events (dev, envelope, status, at) values ('nobody', 'e6', 'stored', 6)")

    with pytest.raises(sqlite3.IntegrityError):
        fail()
    assert audit.get_head(db.read())[0] == 5
