"""The server's periodic jobs: a table of plain functions, and the scheduler that runs them.

Only the serving process may start the scheduler. The scheduler never runs two instances of a job at the same time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.schedulers.background import BackgroundScheduler

from server import server_keys
from server.config import Config
from server.database import commit_mark
from server.database.connection import Database
from server.flows.desks import referrals
from server.flows.forms import halts
from server.flows.intake import gaps
from server.flows.operations import backup, erasing, retention, scrub, statistics
from server.flows.people import accounts
from server.flows.trust import documents, expiry
from server.store import jobs as job_runs
from server.store.jobs import JobRun
from sync.durations import HOUR, MINUTE, SECOND

_log = logging.getLogger("chaski")
_EVERY_MINUTE, _EVERY_HOUR = MINUTE // SECOND, HOUR // SECOND
# Days after the last referral was closed until the route is erased: no desk needs it any more.
ROUTE_DAYS = 30
# A job counts as stopped after this many intervals without a successful run.
_MISSED_RUNS = 3


@dataclass(frozen=True)
class Job:
    """A job: its name, its interval in seconds, and its function. The function returns how many things it changed.

    `erases`: it deletes or overwrites what must be gone. After each run no log still holds it, and no page of the
    tables in `rebuilds`, from which it deletes rows.
    """

    name: str
    every_seconds: int
    run: Callable[[Database, Config, int], int]
    erases: bool = False
    rebuilds: tuple[str, ...] = ()


def lapse_leases(db: Database, config: Config, now: int) -> int:
    """Return claimed referrals to their queue if they were not accepted in time."""
    return referrals.release_lapsed(db, now=now)


def notice_silence(db: Database, config: Config, now: int) -> int:
    """Put tablets on the work list that have not synced for CHASKI_SILENT_DAYS days."""
    return gaps.report_silent_tablets(db, now=now, days=config.silent_days)


def watch_gaps(db: Database, config: Config, now: int) -> int:
    """Update the gaps on the work list, and mark old ones as late."""
    return gaps.update_all_gaps(db, now=now)


def erase_routes(db: Database, config: Config, now: int) -> int:
    """Erase the decoded routes of screenings that have been closed for a month."""
    return retention.erase_routes(db, now=now, days=ROUTE_DAYS)


def forget_sign_ins(db: Database, config: Config, now: int) -> int:
    """Delete expired sessions and, after one day, failed sign-ins with their network addresses."""
    return accounts.delete_old_sessions(db, now=now)


def publish_statistics(db: Database, config: Config, now: int) -> int:
    """Publish the statistics of periods that are over and large enough, and delete their exact counts."""
    return statistics.publish_due(db, now=now)


def back_up(db: Database, config: Config, now: int) -> int:
    """Write the day's encrypted backup of the database, if a backup folder is set."""
    return backup.write_daily(db, config, server_keys.load(config.keys), now=now) if config.backup_folder else 0


def sync_mark(db: Database, config: Config, now: int) -> int:
    """Flush the mark beside the database to disk. A flush for each commit would slow intake down."""
    commit_mark.sync_mark(config.database)
    return 0


def watch_rollouts(db: Database, config: Config, now: int) -> int:
    """Start due rollouts, and halt rollouts that too many tablets refuse."""
    return halts.watch_rollouts(db, server_keys.load(config.keys), halt_after=config.halt_after, now=now)


def check_slice(db: Database, config: Config, now: int) -> int:
    """Check a slice of the database against its hashes; what is damaged goes to the work list."""
    return scrub.scrub(db, config.database, keys=server_keys.find_route_keys(config.keys), now=now)


def watch_trust(db: Database, config: Config, now: int) -> int:
    """Warn on the work list 90, 30 and 7 days before the trust expires, and when it has. And close the items of
    tablets that are no longer ahead, which the last document was too busy to close."""
    documents.resolve_all_ahead(db, now=now)
    return expiry.report_expiry(db, now=now)


JOBS = (
    Job("leases", _EVERY_MINUTE, lapse_leases),
    Job("rollouts", _EVERY_MINUTE, watch_rollouts),
    Job("mark", _EVERY_MINUTE, sync_mark),
    Job("silence", _EVERY_HOUR, notice_silence),
    Job("gaps", _EVERY_HOUR, watch_gaps),
    Job("trust", _EVERY_HOUR, watch_trust),
    Job("routes", _EVERY_HOUR, erase_routes, erases=True),
    Job("sign_ins", _EVERY_HOUR, forget_sign_ins, True, ("sessions", "spent_challenges", "sign_in_failures")),
    Job("statistics", _EVERY_HOUR, publish_statistics, True, ("statistics_cells",)),
    Job("scrub", _EVERY_HOUR, check_slice),
    Job("backup", 10 * _EVERY_MINUTE, back_up),
)


def run_job(job: Job, db: Database, config: Config, now: int) -> int:
    """Run a job now and record the run. Returns the job's count. The scheduler and `chaski jobs run` call this.

    A job that fails may have erased something before, and a run counts only when nothing remains of that in a table.
    """
    try:
        try:
            done = job.run(db, config, now)
        finally:
            erasing.remove_remains(db, job.rebuilds, now=now)
        with db.write() as w:
            job_runs.record_run(w, JobRun(job.name, now, done))
    finally:
        if job.erases:  # Also if nothing was erased: others delete too, and a reader may have held the log before.
            db.truncate_log()
    _log.log(logging.INFO if done else logging.DEBUG, "job", extra={"fields": {"job": job.name, "done": done}})
    return done


def list_stopped_jobs(db: Database, now: int, started: int) -> list[str]:
    """List the names of stopped jobs. `now` and `started` (the start of the server) are in milliseconds."""
    last = job_runs.last_runs(db.read())
    since = {job.name: max(started, last[job.name].at if job.name in last else 0) for job in JOBS}
    return [job.name for job in JOBS if now - since[job.name] > _MISSED_RUNS * job.every_seconds * SECOND + MINUTE]


def start_scheduler(db: Database, config: Config, clock: Callable[[], int]) -> BackgroundScheduler:
    """Start the scheduler with all jobs. The caller must shut it down."""
    # A late run is not left out, which is the scheduler's default after one second on a busy machine.
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults=defaults)
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
