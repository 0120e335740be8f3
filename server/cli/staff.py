"""How a command becomes a signed-in person: the options every staff command shares. The passphrase and what it unlocks
stay in this process; nothing is written to disk between two commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from server.cli.terminal import busy, passphrase_from
from sync.desk import Desk
from sync.staff import Staff


@dataclass(frozen=True)
class Who:
    """The person a command acts for and the server she signs in to."""

    server: str
    login: str
    passphrase_file: Path | None

    def passphrase(self) -> str:
        """Her passphrase, from the file or asked for."""
        return passphrase_from(self.passphrase_file, f"Passphrase of {self.login}")

    def sign_in(self) -> Staff:
        """Open a session; raises SyncError with the server's reason when it is refused."""
        phrase = self.passphrase()
        with busy(f"Signing in as {self.login} ..."):
            return Staff.sign_in(self.server, self.login, phrase)

    def at_desk(self, pin: str) -> Desk:
        """Open a session at a desk, whose client trusts only the roots named by `pin`."""
        phrase = self.passphrase()
        with busy(f"Signing in as {self.login} ..."):
            return Desk.sign_in(self.server, self.login, phrase, pin=pin)


def staff_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--server --login --passphrase-file`, handed to it as `who: Who`."""

    @click.option("--server", default="http://127.0.0.1:8081", show_default=True, help="The people's door.")
    @click.option("--login", required=True, help="Whose account.")
    @click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is the passphrase; asked for when left out.",
    )
    @functools.wraps(command)
    def with_who(*args: Any, server: str, login: str, passphrase_file: Path | None, **options: Any) -> Any:
        return command(*args, who=Who(server, login, passphrase_file), **options)

    return with_who
