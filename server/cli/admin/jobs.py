"""What the server does by itself, by hand: `chaski jobs list` and `chaski jobs run`, on the server's own machine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from server import config, jobs
from server.cli.admin.data_folder import data_option, open_database
from server.cli.terminal import json_option, now_ms, print_result, spinner
from server.database.connection import Database
from server.store import jobs as job_runs
from sync.durations import MINUTE


@click.group(name="jobs")
def jobs_group() -> None:
    """What the server does by itself; each of these can be done by hand, also while it serves."""


def _open_settings(data: Path) -> tuple[config.Config, Database]:
    """The settings of this environment over a data folder, and its database."""
    settings = replace(config.load({**os.environ, "CHASKI_DATA": str(data)}), data=data.absolute())
    return settings, open_database(settings)


@jobs_group.command(name="list")
@data_option
@json_option
def list_jobs(data: Path, as_json: bool) -> None:
    """Show every job: how often it is due, when it last succeeded, how much it did."""
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
            console.print(f"[bold]{each['job']:<10}[/] every {each['every_seconds'] // 60} min, {ago}. {each['about']}")

    print_result(found, as_json, write)


@jobs_group.command()
@data_option
@click.argument("name", type=click.Choice([job.name for job in jobs.JOBS]))
@json_option
def run(data: Path, name: str, as_json: bool) -> None:
    """Do the job NAME now, and say how much it did."""
    settings, db = _open_settings(data)
    job = next(job for job in jobs.JOBS if job.name == name)
    with spinner(f"{name} ..."):
        done = jobs.run_job(job, db, settings, now_ms())
    print_result({"job": name, "done": done}, as_json, lambda console: console.print(f"{name}: {done} done"))
