"""What the server does by itself: a table of jobs, each a plain function. The scheduler lives in the one serving
process, so no job ever runs twice at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.schedulers.background import BackgroundScheduler

from server import server_keys
from server.config import Config
from server.database.connection import Database
from server.flows.desks import referrals
from server.flows.forms import halts
from server.flows.intake import gaps
from server.flows.operations import backup, retention
from server.flows.people import accounts
from server.store import jobs as job_runs
from server.store.jobs import JobRun
from sync.durations import HOUR, MINUTE, SECOND

_log = logging.getLogger("chaski")
_EVERY_MINUTE, _EVERY_HOUR = MINUTE // SECOND, HOUR // SECOND
# A route this long closed is nobody's work (days).
ROUTE_DAYS = 30
# A job that was due so many times and did not succeed has stopped.
_MISSED_RUNS = 3


@dataclass(frozen=True)
class Job:
    """A name, how often (seconds), and what to do."""

    name: str
    every_seconds: int
    run: Callable[[Database, Config, int], int]


def lapse_leases(db: Database, config: Config, now: int) -> int:
    """Put claimed referrals back that nobody accepted in time."""
    return referrals.release_lapsed(db, now=now)


def notice_silence(db: Database, config: Config, now: int) -> int:
    """Put tablets on the work list that have not been heard from."""
    return gaps.report_silent_tablets(db, now=now, days=config.silent_days)


def watch_gaps(db: Database, config: Config, now: int) -> int:
    """Bring the gaps on the work list up to date, and mark those that are old as late."""
    return gaps.update_all_gaps(db, now=now)


def erase_routes(db: Database, config: Config, now: int) -> int:
    """Erase the decoded routes of screenings that have been closed for a month."""
    return retention.erase_routes(db, now=now, days=ROUTE_DAYS)


def forget_sign_ins(db: Database, config: Config, now: int) -> int:
    """Forget expired sessions and, after a day, failed sign-ins with their network addresses."""
    return accounts.delete_old_sessions(db, now=now)


def back_up(db: Database, config: Config, now: int) -> int:
    """Write the day's encrypted copy of the database, where a folder for it is set."""
    return backup.write_daily(db, config, server_keys.load(config.keys), now=now) if config.backup_folder else 0


def watch_rollouts(db: Database, config: Config, now: int) -> int:
    """Begin rollouts whose time has come, and halt those that tablets cannot work with."""
    return halts.watch_rollouts(db, server_keys.load(config.keys), halt_after=config.halt_after, now=now)


JOBS = (
    Job("leases", _EVERY_MINUTE, lapse_leases),
    Job("rollouts", _EVERY_MINUTE, watch_rollouts),
    Job("silence", _EVERY_HOUR, notice_silence),
    Job("gaps", _EVERY_HOUR, watch_gaps),
    Job("routes", _EVERY_HOUR, erase_routes),
    Job("sign_ins", _EVERY_HOUR, forget_sign_ins),
    Job("backup", 10 * _EVERY_MINUTE, back_up),
)


def run_job(job: Job, db: Database, config: Config, now: int) -> int:
    """Do a job now, and note that it was done; return how much it did. The scheduler and people call it alike."""
    done = job.run(db, config, now)
    with db.write() as w:
        job_runs.record_run(w, JobRun(job.name, now, done))
    _log.log(logging.INFO if done else logging.DEBUG, "job", extra={"fields": {"job": job.name, "done": done}})
    return done


def list_stopped_jobs(db: Database, now: int, started: int) -> list[str]:
    """Name the jobs that should have succeeded since the server started (milliseconds), and did not."""
    last = job_runs.last_runs(db.read())
    since = {job.name: max(started, last[job.name].at if job.name in last else 0) for job in JOBS}
    return [job.name for job in JOBS if now - since[job.name] > _MISSED_RUNS * job.every_seconds * SECOND + MINUTE]


def start_scheduler(db: Database, config: Config, clock: Callable[[], int]) -> BackgroundScheduler:
    """Start every job; the caller shuts the scheduler down."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
    for job in JOBS:
        scheduler.add_job(
            lambda job=job: run_job(job, db, config, clock()),
            "interval",
            seconds=job.every_seconds,
            id=job.name,
            name=job.name,
        )
    scheduler.start()
    return scheduler
