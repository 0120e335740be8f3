"""`chaski jobs list` and `chaski jobs run`: the server's scheduled jobs, listed and run by hand.

An administrator uses them on the server's machine, for example after a long stop. The server may be running."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server import config, jobs
from server.cli.admin.data_folder import data_option, open_database
from server.cli.terminal import json_option, now_ms, print_result, spinner
from server.database.connection import Database
from server.store import jobs as job_runs
from sync.durations import MINUTE


@click.group(name="jobs")
def jobs_group() -> None:
    """List the server's scheduled jobs, or run one by hand. The server may be running."""


def _open_settings(data: Path) -> tuple[config.Config, Database]:
    """Return the settings of this environment for a data folder, and its open database."""
    settings = replace(config.load({**os.environ, "CHASKI_DATA": str(data)}), data=data.absolute())
    return settings, open_database(settings)


@jobs_group.command(name="list")
@data_option
@json_option
def list_jobs(data: Path, as_json: bool) -> None:
    """Show each job with its last success.

    The list has each job's interval, and how many items the last run handled.
    """
    last = job_runs.last_runs(_open_settings(data)[1].read())
    found: list[dict[str, Any]] = [
        {
            "job": job.name,
            "about": (job.run.__doc__ or "").strip(),
            "every_seconds": job.every_seconds,
            "at": last[job.name].at if job.name in last else None,
            "done": last[job.name].done if job.name in last else None,
        }
        for job in jobs.JOBS
    ]

    def write(console: Console) -> None:
        now = now_ms()
        for each in found:
            ago = "never yet" if each["at"] is None else f"{max(0, now - each['at']) // MINUTE} min ago"
            interval = f" every {each['every_seconds'] // 60} min, {ago}. {each['about']}"
            console.print(Text.assemble((f"{each['job']:<10}", "bold"), interval))

    print_result(found, as_json, write)


@jobs_group.command()
@data_option
@click.argument("name", type=click.Choice([job.name for job in jobs.JOBS]))
@json_option
def run(data: Path, name: str, as_json: bool) -> None:
    """Run the job NAME now and print the number of items."""
    settings, db = _open_settings(data)
    job = next(job for job in jobs.JOBS if job.name == name)
    with spinner(f"{name} ..."):
        done = jobs.run_job(job, db, settings, now_ms())
    print_result({"job": name, "done": done}, as_json, lambda console: console.print(f"{name}: {done} done"))
