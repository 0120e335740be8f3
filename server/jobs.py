"""What the server does by itself: a table of jobs, each a plain function. The scheduler lives in the one serving
process, so no job ever runs twice at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.schedulers.background import BackgroundScheduler

from server import keys
from server.config import Config
from server.db import Db
from server.flows import backup, people, referrals, silence

_log = logging.getLogger("chaski")
MINUTE = 60
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Job:
    """A name, how often (seconds), and what to do."""

    name: str
    every: int
    run: Callable[[Db, Config, int], int]


def lapse_leases(db: Db, config: Config, now: int) -> int:
    """Put claimed referrals back that nobody accepted in time."""
    return referrals.lapse(db, now=now)


def notice_silence(db: Db, config: Config, now: int) -> int:
    """Put tablets on the work list that have not been heard from."""
    return silence.notice(db, now=now, days=config.silent_days)


def forget_sign_ins(db: Db, config: Config, now: int) -> int:
    """Forget expired sessions and, after a day, failed sign-ins with their network addresses."""
    return people.forget(db, now=now)


def back_up(db: Db, config: Config, now: int) -> int:
    """Write the day's encrypted copy of the database, where a folder for it is set."""
    return backup.daily(db, config, keys.load(config.keys), now=now) if config.backup_folder else 0


JOBS = (
    Job("leases", MINUTE, lapse_leases),
    Job("silence", HOUR, notice_silence),
    Job("sign_ins", HOUR, forget_sign_ins),
    Job("backup", 10 * MINUTE, back_up),
)


def _run(job: Job, db: Db, config: Config, clock: Callable[[], int]) -> None:
    done = job.run(db, config, clock())
    if done:
        _log.info("job", extra={"fields": {"job": job.name, "done": done}})


def schedule(db: Db, config: Config, clock: Callable[[], int]) -> BackgroundScheduler:
    """Start every job; the caller shuts the scheduler down."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
    for job in JOBS:
        scheduler.add_job(_run, "interval", args=[job, db, config, clock], seconds=job.every, id=job.name)
    scheduler.start()
    return scheduler
