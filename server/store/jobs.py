"""When each job last did its work, so that people and monitors see one that stopped. Jobs note it, health reads it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class JobRun:
    """A job's last success: when (milliseconds), and how many things it did."""

    name: str
    at: int
    done: int


def record_run(w: Connection, run: JobRun) -> None:
    """Note a success; only the last one is kept."""
    w.execute(
        "insert into job_runs (name, at, done) values (?, ?, ?)"
        " on conflict (name) do update set at = excluded.at, done = excluded.done",
        [run.name, run.at, run.done],
    )


def last_runs(c: Connection) -> dict[str, JobRun]:
    """Every job's last success, by name."""
    return {item["name"]: JobRun(**item) for item in c.rows("select name, at, done from job_runs")}
