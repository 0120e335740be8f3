"""The server's jobs: each runs from the scheduler and by hand, as a plain function over the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from conftest import FOUNDED, World
from server import jobs
from server.cli.main import main
from server.database.connection import Database, DatabaseBusyError
from server.database.sqlite import log_of
from server.flows.intake import gaps
from server.flows.operations import erasing
from server.jobs import JOBS, Job, start_scheduler
from server.store import jobs as job_store
from support.intake import Field, open_field
from support.waiting import wait_until
from sync.durations import DAY


@pytest.fixture
def field(world: World) -> Iterator[Field]:
    opened = open_field(world)
    yield opened
    opened.services.db.close()


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_job_can_run_by_hand_and_returns_its_count(world: World, world_db: Database, job: Job) -> None:
    assert jobs.run_job(job, world_db, world.config, FOUNDED) == 0
    assert job_store.last_runs(world_db.read())[job.name].at == FOUNDED


def test_the_scheduler_runs_every_job_of_the_table_and_no_other(world: World, world_db: Database) -> None:
    scheduler = start_scheduler(world_db, world.config, lambda: FOUNDED)
    assert {job.id for job in scheduler.get_jobs()} == {job.name for job in JOBS}
    for each in scheduler.get_jobs():
        each.func()
    assert job_store.last_runs(world_db.read()).keys() == {job.name for job in JOBS}
    scheduler.shutdown()


@pytest.mark.parametrize("late", [timedelta(seconds=5), timedelta(hours=3)])
def test_a_job_that_comes_late_on_a_busy_machine_still_runs(world: World, world_db: Database, late: timedelta) -> None:
    scheduler = start_scheduler(world_db, world.config, lambda: FOUNDED)
    for each in scheduler.get_jobs():
        each.modify(next_run_time=datetime.now(UTC) - late)
    wait_until(lambda: len(job_store.last_runs(world_db.read())) == len(JOBS), "a job was left out")
    scheduler.shutdown()


def test_a_job_that_failed_three_times_counts_as_stopped(world: World, world_db: Database) -> None:
    leases = JOBS[0]
    every_minute = [job.name for job in JOBS if job.every_seconds == leases.every_seconds]
    for job in JOBS:
        jobs.run_job(job, world_db, world.config, FOUNDED)
    late = FOUNDED + (3 * leases.every_seconds + 61) * 1000
    assert jobs.list_stopped_jobs(world_db, late, FOUNDED) == every_minute == ["leases", "rollouts", "mark"]
    assert jobs.list_stopped_jobs(world_db, late, late) == []  # a server that was off is not late


def test_people_list_jobs_and_run_one_by_name(world: World) -> None:
    ran = CliRunner().invoke(main, ["jobs", "run", "leases", "--data", str(world.data), "--json"])
    assert json.loads(ran.output) == {"job": "leases", "done": 0}
    listed = json.loads(CliRunner().invoke(main, ["jobs", "list", "--data", str(world.data), "--json"]).output)
    assert [each["job"] for each in listed] == [job.name for job in JOBS]
    assert [each["job"] for each in listed if each["at"]] == ["leases"]
    assert "leases" in CliRunner().invoke(main, ["jobs", "list", "--data", str(world.data)]).output


def on_the_list(field: Field) -> list[tuple[str, bool]]:
    found = field.rows("select reason, closed is null from work_items where kind = 'gap' order by id")
    return [(reason, bool(is_open)) for reason, is_open in found]


def test_a_gap_of_several_days_is_marked_late_and_a_filled_one_is_removed(field: Field) -> None:
    tablet, db = field.tablet(), field.services.db
    first, missing, third = (field.envelope(tablet) for _ in range(3))
    field.push(tablet, first, third)
    assert (gaps.update_all_gaps(db, now=field.now + 2 * DAY), on_the_list(field)) == (0, [("seq.2", True)])
    assert (gaps.update_all_gaps(db, now=field.now + 3 * DAY), on_the_list(field)) == (1, [("late.seq.2", True)])
    field.push(tablet, missing)
    assert (gaps.update_all_gaps(db, now=field.now + 4 * DAY), on_the_list(field)) == (0, [("late.seq.2", False)])


def test_a_gap_that_is_missing_on_the_work_list_is_added_again(field: Field) -> None:
    tablet, db = field.tablet(), field.services.db
    first, _, third = (field.envelope(tablet) for _ in range(3))
    field.push(tablet, first, third)
    with db.write() as w:
        w.execute("delete from work_items")
    gaps.update_all_gaps(db, now=field.now)
    assert on_the_list(field) == [("seq.2", True)]


@pytest.mark.parametrize("name", ["routes", "sign_ins"])
def test_a_job_that_fails_midway_leaves_nothing_in_the_log_of_what_it_erased(
    field: Field, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    db, said = field.services.db, b"what a person said in confidence"
    with db.write() as w:
        w.execute("create table confided (words blob) strict")
        w.execute("insert into confided (words) values (?)", [said])

    def erase_and_fail(db: Database, config: object, now: int) -> int:
        with db.write() as w:
            w.execute("delete from confided")
        raise DatabaseBusyError

    job = replace(next(each for each in JOBS if each.name == name), run=erase_and_fail)
    log = log_of(field.world.config.database)
    assert said in log.read_bytes()
    with pytest.raises(DatabaseBusyError):
        jobs.run_job(job, db, field.world.config, field.now)
    assert said not in log.read_bytes()
    assert said not in field.world.config.database.read_bytes()
    assert job.name not in job_store.last_runs(db.read())


@pytest.mark.parametrize("fault", [DatabaseBusyError, OSError])
def test_a_job_whose_remains_could_not_be_removed_counts_as_failed(
    field: Field, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(erasing, "remove_remains", fail)
    for job in JOBS:
        with pytest.raises(fault):
            jobs.run_job(job, field.services.db, field.world.config, field.now)
    assert job_store.last_runs(field.services.db.read()) == {}
