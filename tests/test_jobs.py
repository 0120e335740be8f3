"""What the server does by itself, a person can also do: each job is a plain function over the database."""

from __future__ import annotations

import pytest
from conftest import FOUNDED, World

from server.db import Db
from server.jobs import JOBS, Job, schedule


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_job_can_be_run_by_hand_and_says_how_much_it_did(world: World, world_db: Db, job: Job) -> None:
    assert job.run(world_db, world.config, FOUNDED) == 0


def test_the_scheduler_runs_every_job_of_the_table_and_no_other(world: World, world_db: Db) -> None:
    scheduler = schedule(world_db, world.config, lambda: FOUNDED)
    assert {job.id for job in scheduler.get_jobs()} == {job.name for job in JOBS}
    scheduler.shutdown()
