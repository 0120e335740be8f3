"""When each job last did its work, so that people and monitors see one that stopped. Jobs note it, health reads it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Run:
    """A job's last success: when (milliseconds), and how many things it did."""

    name: str
    at: int
    done: int


def note(w: Connection, run: Run) -> None:
    """Note a success; only the last one is kept."""
    w.execute(
        "insert into job_runs (name, at, done) values (?, ?, ?)"
        " on conflict (name) do update set at = excluded.at, done = excluded.done",
        [run.name, run.at, run.done],
    )


def last(c: Connection) -> dict[str, Run]:
    """Every job's last success, by name."""
    return {item["name"]: Run(**item) for item in c.rows("select name, at, done from job_runs")}
