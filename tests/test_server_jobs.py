"""The server's jobs: each runs from the scheduler and by hand, as a plain function over the database."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from conftest import FOUNDED, World
from server import jobs
from server.cli.main import main
from server.database.connection import Database
from server.flows.intake import gaps
from server.jobs import JOBS, Job, start_scheduler
from server.store import jobs as job_store
from support.intake import Field, open_field
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
