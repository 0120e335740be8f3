"""When each job last succeeded, so that people and monitors notice a job that stopped. Jobs write it, health reads
it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class JobRun:
    """A job's last success: time (ms), and how many things it did."""

    name: str
    at: int
    done: int


def record_run(w: Connection, run: JobRun) -> None:
    """Store a success; it replaces the one before."""
    w.execute(
        "insert into job_runs (name, at, done) values (?, ?, ?)"
        " on conflict (name) do update set at = excluded.at, done = excluded.done",
        [run.name, run.at, run.done],
    )


def last_runs(c: Connection) -> dict[str, JobRun]:
    """Return every job's last success, by name."""
    return {item["name"]: JobRun(**item) for item in c.rows("select name, at, done from job_runs")}
