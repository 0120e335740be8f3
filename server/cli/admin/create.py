"""`chaski init`: create the server, for administrators.

It holds secret keys of a demo's people, so it stands apart from `chaski serve`, which must load no such code."""

from __future__ import annotations

from pathlib import Path

import click

from server.ceremony import founding
from server.cli.admin.data_folder import data_option
from server.cli.safe_console import echo
from server.cli.terminal import now_ms, spinner


@click.command()
@data_option
@click.option(
    "--demo", is_flag=True, help="Also create the keys, desks and people of a demo. For loopback and training only."
)
@click.option(
    "--people",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --demo: folder for the demo people's secrets.",
)
def init(data: Path, demo: bool, people: Path | None) -> None:
    """Create a server: its keys and its database.

    With --demo it also creates the keys, desks and people of a demo.
    """
    if demo != (people is not None):
        raise click.UsageError(
            "Use --demo and --people together: a demo's secrets need a folder outside the server's folder."
        )
    with spinner("Creating the server ...") as tell:
        if people is not None:
            founded = founding.create_demo_server(data, people, now=now_ms(), progress=tell)
        else:
            founded = founding.create_server(data, now=now_ms(), progress=tell)
    for line in founded.next_steps:
        echo(line)
