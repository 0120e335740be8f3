"""The option `--data` (the server's data folder) and the opening of its database, for administrators' commands.

SQLite would create a missing database. A command must not open one without `require_server`."""

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
    """Return `config` if its folder holds a whole server. Raises ConfigError otherwise.

    Opening a database that is not there would create an empty one.
    """
    refuse_unfinished(config)
    if not config.database.exists():
        raise ConfigError("--data", f"{config.data} holds no server; `chaski init` creates one")
    return config


def open_database(config: Config) -> Database:
    """Open the server's database in the data folder. Raises ConfigError when there is no server."""
    return SqliteDatabase(require_server(config).database)
