"""What the server does by itself: a table of jobs, each a plain function that a person can also run. The scheduler
lives in the one serving process, so no job ever runs twice at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.schedulers.background import BackgroundScheduler

from server.api.door import Parts
from server.flows import referrals, silence

MINUTE = 60
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Job:
    """A name, how often (seconds), and what to do."""

    name: str
    every: int
    run: Callable[[Parts], int]


def lapse_leases(parts: Parts) -> int:
    """Put claimed referrals back that nobody accepted in time."""
    return referrals.lapse(parts.db, now=parts.now())


def notice_silence(parts: Parts) -> int:
    """Put tablets on the work list that have not been heard from."""
    return silence.notice(parts.db, now=parts.now(), days=parts.config.silent_days)


JOBS = (
    Job("leases", MINUTE, lapse_leases),
    Job("silence", HOUR, notice_silence),
)


def schedule(parts: Parts) -> BackgroundScheduler:
    """Start every job; the caller shuts the scheduler down."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
    for job in JOBS:
        scheduler.add_job(job.run, "interval", args=[parts], seconds=job.every, id=job.name)
    scheduler.start()
    return scheduler
