"""Tests of retention: the server erases a route a month after the work on it ended, and not a day earlier."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from server import jobs
from server.database.sqlite import SqliteDatabase
from server.flows.desks import queues, referrals
from server.flows.operations import health, retention
from server.store import people, sessions, worklist
from support.intake import ROUTE, Field
from sync.durations import DAY


def push(field: Field, **changes: object) -> bytes:
    tablet = field.tablet()
    raw = field.envelope(tablet, replace(ROUTE, **changes))  # type: ignore[arg-type]
    field.push(tablet, raw)
    return raw


def routes(field: Field) -> int:
    return int(field.rows("select count(*) from routes")[0][0])


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
    job = next(job for job in jobs.JOBS if job.name == name)
    assert jobs.run_job(job, field.services.db, field.services.config, at) >= 1


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
