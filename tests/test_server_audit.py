"""Tests of the audit chain: a changed, deleted or reordered row is detected, and rows hold ids only."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit as audit_flow
from server.store import audit
from support.backups import run_chaski
from support.databases import edit_by_hand
from support.intake import Field


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


# Tampering by a person who can write to the file


def rehash(database: Path) -> None:
    """Compute the whole chain anew, as a person who knows the program would."""
    with closing(sqlite3.connect(database)) as c:
        prev = audit.START
        rows = c.execute("select number, at, action, actor, subject, detail from audit order by number").fetchall()
        edit_by_hand(database, "delete from audit")
        for number, (_, at, action, actor, subject, detail) in enumerate(rows, 1):
            digest = audit.hash_entry(number, at, action, actor, subject, json.loads(detail), prev)
            values = (number, at, action, actor, subject, detail, prev, digest)
            c.execute("insert into audit values (?, ?, ?, ?, ?, ?, ?, ?)", values)
            prev = digest
        c.commit()


TAMPERINGS = {
    "a changed row": ("update audit set actor = 'x' where number = :n", False),
    "a removed row": ("delete from audit where number = :n", False),
    "an added row": ("insert into audit select max(number) + 1, 1, 'a', 'b', 'c', '{}', hash, 'd' from audit", False),
    "two rows exchanged": (
        "update audit set number = -:n where number = :n; update audit set number = :n where number = :n + 1;"
        " update audit set number = :n + 1 where number = -:n",
        False,
    ),
    "a tail cut off": ("delete from audit where number > :n", False),
    "all rows deleted": ("delete from audit", False),
    "a row changed and all rehashed": ("update audit set actor = 'x' where number = :n", True),
    "a row removed and all rehashed": ("delete from audit where number = :n", True),
    "a row added and all rehashed": (
        "insert into audit select max(number) + 1, 1, 'a', 'b', 'c', '{}', '', '' from audit;"
        " update audit set at = 5 where number = :n",
        True,
    ),
    "the time of a screening rehashed": ("update audit set at = at + 1 where action = 'envelope.stored'", True),
    "another screening named and rehashed": ("update audit set subject = 'x' where action = 'envelope.stored'", True),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_each_tampering_of_the_audit_is_found_by_a_person_who_knows_a_head(field: Field, what: str) -> None:
    tablet, database = field.tablet(), field.world.config.database
    field.push(tablet, field.envelope(tablet), field.envelope(tablet))
    number, head = audit.get_head(field.services.db.read())
    known = f"{number}:{head}"
    assert run_chaski("audit", "verify", "--data", field.world.data, "--head", known).exit_code == 0
    sql, rehashed = TAMPERINGS[what]
    edit_by_hand(database, sql.replace(":n", str(number - 3)))
    if rehashed:
        rehash(database)
    ran = run_chaski("audit", "verify", "--data", field.world.data, "--head", known)
    assert (ran.exit_code, ran.exception.__class__) == (1, SystemExit), ran.output
    assert "broken" in ran.stdout


@pytest.mark.parametrize("what", ["a tail cut off", "all rows deleted", "another screening named and rehashed"])
def test_a_screening_without_its_audit_row_is_found_without_a_head_too(field: Field, what: str) -> None:
    tablet, database = field.tablet(), field.world.config.database
    field.push(tablet, field.envelope(tablet))
    sql, rehashed = TAMPERINGS[what]
    edit_by_hand(database, sql.replace(":n", str(audit.get_head(field.services.db.read())[0] - 3)))
    if rehashed:
        rehash(database)
    found = json.loads(run_chaski("audit", "verify", "--data", field.world.data, "--json").stdout)
    assert "envelope.unaudited" in {fault["code"] for fault in found["faults"]}


CONTENTS = (
    *("detail = '{'", "detail = '[1, 2]'", "detail = 'null'", "detail = 3.5"),
    *("detail = '{\"a\": NaN}'", "detail = '{\"a\": 1e999}'", 'detail = \'{"a": ' + "9" * 5000 + "}'"),
    f"detail = '{'[' * 100_000}'",
    *("number = -3", f"number = {2**63 - 1}", "at = null", "at = 'later'"),
    *("hash = ''", "hash = null", "prev = cast(x'ff' as text)", "subject = cast(x'80fe' as text)", "action = x'00'"),
)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content[:24])
def test_no_content_of_a_row_ends_the_verification_in_a_traceback(field: Field, content: str) -> None:
    database = field.world.config.database
    field.services.db.close()
    with closing(sqlite3.connect(database)) as c:
        # The columns accept anything, as they do on a damaged page.
        c.execute("pragma writable_schema = on")
        c.execute(
            "update sqlite_master set sql = replace(replace(sql, ') strict', ')'), 'not null', '') where name = 'audit'"
        )
        c.commit()
    edit_by_hand(database, f"update audit set {content} where number = 3")  # noqa: S608
    for words in (("audit", "verify"), ("check",)):
        ran = run_chaski(*words, "--data", field.world.data)
        assert (ran.exit_code, ran.exception.__class__) == (1, SystemExit), ran.output
        assert "audit." in ran.stdout


@pytest.mark.parametrize(
    "head", ["", "5", "5:", "x:" + "a" * 64, "-1:" + "a" * 64, "5:" + "a" * 63, "9" * 40 + ":" + "a" * 64]
)
def test_a_head_that_is_none_is_a_wrong_usage(field: Field, head: str) -> None:
    ran = run_chaski("audit", "verify", "--data", field.world.data, "--head", head)
    assert (ran.exit_code, "NUMBER:HASH" in ran.output) == (2, True)


# Rows that are never changed

REPLACED = {
    "audit": "insert or replace into audit select number, at, action, 'x', subject, detail, prev, hash"
    " from audit limit 1",
    "versions": "insert or replace into versions select * from versions limit 1",
    "versions by hash": "update or replace versions set sha = (select sha from versions where state = 'published')"
    " where state = 'draft'",
    "versions by number": "update or replace versions set id = 99 where state = 'published'",
    "rule_tables": "insert or replace into rule_tables select kind, name, 'x', body, published, published_by"
    " from rule_tables limit 1",
    "statistics_periods": "insert or replace into statistics_periods select mode, first_month, last_month, 5, published"
    " from statistics_periods limit 1",
    "statistics_figures": "insert or replace into statistics_figures select mode, first_month, fact, value, '99'"
    " from statistics_figures limit 1",
}


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.parametrize("recursive", ["on", "off"])
def test_no_program_can_replace_a_row_that_is_never_changed(field: Field, what: str, recursive: str) -> None:
    """recursive_triggers belongs to a connection: the sqlite3 program has it off."""
    database = field.world.config.database
    with closing(sqlite3.connect(database)) as c:
        c.execute(f"pragma recursive_triggers = {recursive}")
        c.executescript(
            "insert into rule_tables values ('policy', 'p_1', 'p', 't', 1, 'a');"
            "insert into statistics_periods values ('field', '2026-01', '2026-01', 80, 1);"
            "insert into statistics_figures values ('field', '2026-01', 'sex', 'female', '< 11');"
            "insert into versions (form, version, channel, sha, state, author, created, changed, body)"
            " values ('f', '1', 'field', 'abc', 'draft', 'a', 1, 1, x'00')"
        )
        table = what.split()[0]
        before = c.execute(f"select * from {table}").fetchall()  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            c.execute(REPLACED[what])
        assert c.execute(f"select * from {table}").fetchall() == before != []  # noqa: S608
