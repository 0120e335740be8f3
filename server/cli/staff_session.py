"""How a command becomes a signed-in person or an office that signs: the options that staff commands share. Passphrases
and what they unlock stay in this process; nothing is written to disk between two commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from server.cli.terminal import read_passphrase, spinner
from server.problems import Problem
from sync.desk.client import DeskClient
from sync.exchange.staff_session import StaffSession
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import KID


@dataclass(frozen=True)
class Account:
    """The person a command acts for and the server she signs in to."""

    server: str
    login: str
    passphrase_file: Path | None

    def passphrase(self) -> str:
        """Her passphrase, from the file or asked for."""
        return read_passphrase(self.passphrase_file, f"Passphrase of {self.login}")

    def sign_in(self) -> StaffSession:
        """Open a session; raises SyncError with the server's reason when it is refused."""
        phrase = self.passphrase()
        with spinner(f"Signing in as {self.login} ..."):
            return StaffSession.sign_in(self.server, self.login, phrase)

    def open_desk(self, pin: str) -> DeskClient:
        """Open a session at a desk, whose client trusts only the roots named by `pin`."""
        phrase = self.passphrase()
        with spinner(f"Signing in as {self.login} ..."):
            return DeskClient.sign_in(self.server, self.login, phrase, pin=pin)


@dataclass(frozen=True)
class OfficeKeyFile:
    """The signing key of an office, in a file under a passphrase."""

    file: Path
    passphrase_file: Path | None

    def unlock(self) -> SigningKey:
        """Load the key; its passphrase comes from a file or is asked for."""
        return load_secret(self.file, SigningKey, read_passphrase(self.passphrase_file, f"Passphrase of {self.file}"))


class TabletCommand(click.Command):
    """A command about a tablet, whose id may begin with a dash and is no option then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such an id where click looks for no options."""
        ids = [each for each in args if each.startswith("-") and KID.fullmatch(each)]
        return super().parse_args(ctx, [*(each for each in args if each not in ids), "--", *ids] if ids else args)


def registrar_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `DEV --key --key-passphrase-file`: the tablet, and the registrar's key as `registrar: KeyFile`."""

    @click.argument("dev")
    @click.option("--key", required=True, type=click.Path(path_type=Path, exists=True), help="The registrar's key.")
    @click.option(
        "--key-passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is the key's passphrase; asked for when left out.",
    )
    @functools.wraps(command)
    def with_registrar(*args: Any, key: Path, key_passphrase_file: Path | None, **options: Any) -> Any:
        return command(*args, registrar=OfficeKeyFile(key, key_passphrase_file), **options)

    return with_registrar


def find_tablet(staff: StaffSession, dev: str) -> dict[str, Any]:
    """Return what the server knows of a tablet."""
    found: dict[str, Any] | None = next((each for each in staff.get("/v1/devices") if each["dev"] == dev), None)
    if found is None:
        raise Problem("device.not_found", f"no tablet {dev} has enrolled; `chaski device list` names them")
    return found


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--server --login --passphrase-file`, handed to it as `who: Who`."""
    return _account_options(command, "Whose account.", required=True)


def optional_account_options(need: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The same for a command that asks a server only where there is a need, in words: `who: Who | None`."""
    return lambda command: _account_options(command, f"Whose account, {need}.", required=False)


def _account_options(command: Callable[..., Any], help_text: str, *, required: bool) -> Callable[..., Any]:
    @click.option("--server", default="http://127.0.0.1:8081", show_default=True, help="The people's door.")
    @click.option("--login", required=required, help=help_text)
    @click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is the passphrase; asked for when left out.",
    )
    @functools.wraps(command)
    def with_account(*args: Any, server: str, login: str | None, passphrase_file: Path | None, **options: Any) -> Any:
        return command(*args, account=Account(server, login, passphrase_file) if login else None, **options)

    return with_account
