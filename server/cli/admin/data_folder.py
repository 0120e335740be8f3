"""The server's data folder, for the commands on its own machine: the option, and whether a server is there."""

from __future__ import annotations

from pathlib import Path

import click

from server.config import Config, ConfigError, refuse_unfinished
from server.database.connection import Database
from server.database.sqlite import SqliteDatabase

data_option = click.option(
    "--data", required=True, type=click.Path(path_type=Path, file_okay=False), help="The server's data folder."
)


def require_server(config: Config) -> Config:
    """Return settings whose folder holds a server; opening what is not there would make an empty database."""
    refuse_unfinished(config)
    if not config.database.exists():
        raise ConfigError("--data", f"{config.data} holds no server; `chaski init` makes one")
    return config


def open_database(config: Config) -> Database:
    """Open the database of the server in the data folder. Raises ConfigError when there is no server."""
    return SqliteDatabase(require_server(config).database)
