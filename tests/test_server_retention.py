"""Tests of retention: the server erases a route a month after the work on it ended, and not a day earlier."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest

from server import jobs
from server.database import snapshot
from server.database.sqlite import SqliteDatabase
from server.flows.desks import queues, referrals
from server.flows.operations import erasing, health, integrity, retention
from server.store import people, sessions, worklist
from support.intake import ROUTE, Field
from sync.durations import DAY


def push(field: Field, **changes: object) -> bytes:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, **changes))  # type: ignore[arg-type]
    field.push(tablet, raw)
    return raw


def routes(field: Field) -> int:
    return int(field.rows("select count(*) from routes where received is not null and sex is not null")[0][0])


def erase(field: Field, *, days: float) -> int:
    return retention.erase_routes(field.services.db, now=field.now + int(days * DAY), days=30)


def close(field: Field, raw: bytes, *, at: int) -> None:
    (referral,) = field.referrals(raw)
    person = field.world.person_id("proteccion-17")
    referrals.accept_referral(field.services.db, referral.id, person, now=at)
    referrals.close_referral(field.services.db, referral.id, person, "attended", now=at)


def test_a_route_is_erased_thirty_days_after_the_last_referral_was_closed(field: Field) -> None:
    raw = push(field)
    close(field, raw, at=field.now + 10 * DAY)
    assert (erase(field, days=39.9), routes(field)) == (0, 1)
    assert (erase(field, days=40), routes(field)) == (1, 0)
    assert erase(field, days=41) == 0
    assert ("routes.erased", '{"count": 1}') in field.rows("select action, detail from audit")


def test_a_screening_in_progress_keeps_its_route_at_any_age(field: Field) -> None:
    raw = push(field)
    assert erase(field, days=400) == 0
    person = people.get_account(field.services.db.read(), field.world.person_id("proteccion-17"))
    assert person is not None
    _, route = queues.get_referral(field.services.db, person, field.referrals(raw)[0].id)
    assert route is not None


def test_a_route_without_referrals_is_erased_a_month_after_arrival(field: Field) -> None:
    push(field, queue_kinds=(), outcome="negative", urgency="none")
    assert (erase(field, days=29), erase(field, days=30), routes(field)) == (0, 1, 0)


def test_a_screening_on_the_work_list_keeps_its_route_until_a_month_after(field: Field) -> None:
    raw = push(field, queue_kinds=(), outcome="negative", urgency="none")
    (id_,) = field.rows("select id from envelopes where body = ?", raw)[0]
    with field.services.db.write() as w:
        worklist.add_item(w, kind="held", dev="d", envelope=id_, at=field.now)
    assert erase(field, days=400) == 0
    with field.services.db.write() as w:
        w.execute("update work_items set closed = ?, closed_by = 'x'", [field.now + 5 * DAY])
    assert (erase(field, days=34), erase(field, days=35)) == (0, 1)


def test_the_envelope_and_the_counts_stay(field: Field) -> None:
    raw = push(field, queue_kinds=(), outcome="negative", urgency="none")
    counted = field.rows("select * from statistics_cells")
    erase(field, days=31)
    assert field.rows("select body from envelopes") == [(raw,)]
    assert field.rows("select * from statistics_cells") == counted


# The log

CANARY = "198.51.100.73"


def erase_by_job(field: Field, name: str, at: int) -> None:
    assert run_job(field, name, at) >= 1


def bytes_on_disk(field: Field) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(field.world.data.glob("chaski.db*")))


def test_a_forgotten_network_address_is_in_no_file_of_the_database(field: Field) -> None:
    with field.services.db.write() as w:
        for number in range(200):
            sessions.record_failure(w, login=f"someone-{number}", address=CANARY, at=field.now)
    assert CANARY.encode() in bytes_on_disk(field)
    erase_by_job(field, "sign_ins", field.now + 2 * DAY)
    assert CANARY.encode() not in bytes_on_disk(field)


def test_an_erased_route_is_in_no_file_of_the_database(field: Field) -> None:
    taken = "1987-03-14"  # No other row holds this day.
    push(field, queue_kinds=(), outcome="negative", urgency="none", taken=taken)
    assert taken.encode() in bytes_on_disk(field)
    erase_by_job(field, "routes", field.now + 31 * DAY)
    assert taken.encode() not in bytes_on_disk(field)


def run_job(field: Field, name: str, at: int) -> int:
    job = next(job for job in jobs.JOBS if job.name == name)
    return jobs.run_job(job, field.services.db, field.services.config, at)


COPY_ENVELOPE = (
    "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
    " select ?, dev, jti, chain, seq, kseq, prev, kid, outcome, zeroblob(1), 1, ? from envelopes where arrival = 1"
)
COPY_ROUTE = (
    "insert into routes select null, ?1, form, iif(?3, sha, null), outcome, tier, urgency, queue_kinds, province,"
    " age_band, sex, sector, consent, mode, lang, ?2, ?4, digest"
    " from routes where envelope = (select id from envelopes where arrival = 1)"
)


def erase_for_months(field: Field, chance: random.Random, *, months: int) -> tuple[int, set[str], int]:
    """Let copies of one screening arrive for months; the job erases some of them, in random order, every month.

    Returns how many routes were erased, the days of those that a file still had after a job (no two have the same
    day), and the time.
    """
    push(field, queue_kinds=(), outcome="negative", urgency="none")
    rows, remains, now = dict[str, bytes](), set[str](), field.now
    days = iter(chance.sample(range(30_000), months * 60))
    for month in range(months):
        taken = [str(date(1900, 1, 1) + timedelta(next(days))) for _ in range(60)]
        copies = [(chance.randbytes(32).hex(), day, chance.randrange(2), now + 9_999 * DAY) for day in taken]
        stored = [id_ for (id_,) in field.rows("select envelope from routes where taken is not null and number > 1")]
        erased = chance.sample(stored, min(len(stored), 20 if month < 5 else 70))
        with field.services.db.write() as w:
            w.executemany(COPY_ENVELOPE, [(id_, at) for id_, *_, at in copies])
            w.executemany(COPY_ROUTE, copies)
            facts = w.execute(f"select {', '.join(vars(ROUTE))} from routes where taken is not null").fetchall()  # noqa: S608
            rows |= {row[-1]: "".join(filter(None, row)).encode() for row in facts}
            w.executemany("update routes set received = 0 where envelope = ?", [(id_,) for id_ in erased])
        now += DAY
        run_job(field, "routes", now)
        on_disk, stay = bytes_on_disk(field), {day for (day,) in field.rows("select taken from routes")}
        gone = {day: row for day, row in rows.items() if day not in stay}
        remains |= {day for day, row in gone.items() if day.encode() in on_disk or row in on_disk}
    return len(gone), remains, now


@pytest.mark.parametrize("seed", range(2))
def test_no_part_of_any_erased_route_is_in_a_file_while_many_others_stay(field: Field, seed: int) -> None:
    """If rows were deleted, SQLite would move others between pages, and leave copies in the pages they came from."""
    erased, remains, _ = erase_for_months(field, random.Random(seed), months=16)
    assert erased > 700
    assert remains == set()
    assert snapshot.find_faults(field.services.db.read()) == []


def test_a_large_table_is_rebuilt_once_a_day(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "LARGE", 10)
    fill_table(field, "spent_challenges", random.Random(5))
    run_job(field, "sign_ins", field.now)
    noted = "select value from meta where name = 'rebuilt.spent_challenges'"
    run_job(field, "sign_ins", field.now + DAY - 1)
    assert field.rows(noted) == [(str(field.now),)]
    run_job(field, "sign_ins", field.now + DAY)
    assert field.rows(noted) == [(str(field.now + DAY),)]


ROWS = {
    "sign_in_failures": ("address", "(login, address, at) values (?1, ?1, ?2)"),
    "sessions": (
        "token_hash",
        "(token_hash, person, created, seen, expires) select cast(?1 as blob), id, 1, 1, ?2 from people limit 1",
    ),
    "spent_challenges": ("challenge", "(challenge, at) values (cast(?1 as blob), ?2)"),
    "statistics_cells": ("value", "(mode, month, dimension, value, count) values ('field', '2026-11', 'sex', ?1, ?2)"),
}


def fill_table(field: Field, table: str, chance: random.Random) -> list[object]:
    """Insert 1,200 rows in random order, with times in the ten days from now; return their names."""
    column, columns = ROWS[table]
    for _ in range(8):
        marks = [chance.randbytes(24 + chance.randrange(60)).hex() for _ in range(150)]
        with field.services.db.write() as w:
            times = [field.now + chance.randrange(10 * DAY) for _ in marks]
            w.executemany(f"insert into {table} {columns}", zip(marks, times, strict=True))
    return [name for (name,) in field.rows(f"select {column} from {table} where length({column}) > 40")]  # noqa: S608


def list_remains(field: Field, table: str, names: list[object]) -> list[object]:
    """Return those of the names that the table has no more and the files still have."""
    stay = {name for (name,) in field.rows(f"select {ROWS[table][0]} from {table}")}  # noqa: S608
    on_disk, erased = bytes_on_disk(field), [name for name in names if name not in stay]
    assert 300 < len(erased) < 1000
    return [name for name in erased if (name if isinstance(name, bytes) else str(name).encode()) in on_disk]


@pytest.mark.parametrize("table", ["sign_in_failures", "sessions", "spent_challenges"])
def test_no_address_or_session_that_the_job_erased_is_in_a_file(field: Field, table: str) -> None:
    names = fill_table(field, table, random.Random(7))
    run_job(field, "sign_ins", field.now + 5 * DAY)
    assert list_remains(field, table, names) == []


@pytest.mark.parametrize("table", ROWS)
def test_no_row_that_was_erased_outside_the_job_is_in_a_file_after_it(field: Field, table: str) -> None:
    """At a sign-in or sign-out, when statistics were read, or by a server that was killed afterwards."""
    chance = random.Random(8)
    names = fill_table(field, table, chance)
    with field.services.db.write() as w:
        gone = [(name,) for name in chance.sample(names, 700)]
        w.executemany(f"delete from {table} where {ROWS[table][0]} = ?", gone)  # noqa: S608
    run_job(field, "statistics" if table == "statistics_cells" else "sign_ins", field.now)
    assert list_remains(field, table, names) == []


def test_a_damaged_route_is_told_and_not_hidden_when_others_are_erased(field: Field) -> None:
    database = field.world.config.database
    push(field, taken="1987-03-14")
    field.services.db.truncate_log()
    content = bytearray(database.read_bytes())
    content[content.index(b"1987-03-14") + 2] ^= 1
    field.services.db.close()
    database.write_bytes(content)
    field.services = replace(field.services, db=SqliteDatabase(database))
    run_job(field, "routes", field.now)
    run_job(field, "scrub", field.now)
    items = worklist.list_open(field.services.db.read())
    assert [(item.kind, item.chain) for item in items] == [("damage", "route.changed")]
    keys = field.services.keys.routes
    assert [fault.code for fault in integrity.check_file(database, keys=keys, progress=str).faults] == ["route.changed"]


def test_no_table_refers_to_one_that_is_rebuilt(field: Field) -> None:
    """Dropping a table deletes the rows that refer to it, and forgets its highest row number."""
    rebuilt = {table for job in jobs.JOBS for table in job.rebuilds}
    parents = {
        parent
        for (name,) in field.rows("select name from sqlite_master where type = 'table'")
        for (parent,) in field.rows('select "table" from pragma_foreign_key_list(?)', name)
    }
    counted = {name for (name,) in field.rows("select name from sqlite_sequence")}
    assert rebuilt & (parents | counted) == set()


@pytest.mark.parametrize("name", ["routes", "sign_ins", "statistics"])
def test_a_log_that_a_reader_holds_is_emptied_by_the_next_run(field: Field, name: str) -> None:
    db, database = field.services.db, field.world.config.database
    log, job = database.with_name("chaski.db-wal"), next(job for job in jobs.JOBS if job.name == name)
    push(field)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from meta").fetchall()
        push(field)
        jobs.run_job(job, db, field.services.config, field.now)
        assert log.stat().st_size > 0
    jobs.run_job(job, db, field.services.config, field.now)
    assert log.stat().st_size == 0


def test_a_log_that_cannot_be_merged_counts_for_the_limit_and_is_noticed(field: Field) -> None:
    database = field.world.config.database
    field.services.db.close()
    bound = database.stat().st_size // 2**20 + 12
    config = replace(field.services.config, database_max_mb=bound)
    with (
        closing(SqliteDatabase(database, max_mib=bound)) as db,
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)) as reader,
    ):
        health.check_writable(db, config, now=field.now)
        reader.execute("begin")
        reader.execute("select * from meta").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="full"):  # noqa: PT012 (one of the writes)
            for number in range(10_000):
                with db.write() as w:
                    w.execute("insert or replace into meta values ('bulk', ?)", [f"{number:09}" * 20_000])
        files = [file.stat().st_size for file in database.parent.glob("chaski.db*") if not file.name.endswith("-shm")]
        assert sum(files) < (bound + 1) * 2**20
        with pytest.raises(sqlite3.OperationalError, match="full"):  # The API answers 507 storage.full.
            health.check_writable(db, config, now=field.now + DAY)
        reader.rollback()
        health.check_writable(db, config, now=field.now + DAY)
