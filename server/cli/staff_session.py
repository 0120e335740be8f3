"""Sign-in and signing keys of the staff commands: their shared options, `Account` and `OfficeKeyFile`.

Every command signs in again with a passphrase. A passphrase, session or unlocked key must not be written to disk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from server.cli.safe_console import echo
from server.cli.terminal import now_ms, read_passphrase, spinner
from server.problems import Problem
from sync.desk.client import DeskClient
from sync.documents import trust
from sync.errors import SyncError
from sync.exchange.address import require_private
from sync.exchange.known_documents import KnownDocumentsFile
from sync.exchange.staff_documents import StaffDocuments, trust_warnings
from sync.exchange.staff_session import StaffSession
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import KID


@dataclass(frozen=True)
class StaffServer:
    """The server to sign in to: the URL of its staff API, the pin of its roots, and a proxy on the way ("": none)."""

    url: str
    pin: str
    proxy: str

    def judged(self) -> StaffServer:
        """Return the same with the pin as it is compared. Nothing is asked or sent before pin and address are judged.

        Raises UsageError without a pin, and SyncError `trust.bad_pin`, `transport.plain_http` or
        `transport.bad_address`.
        """
        if not self.pin:
            raise click.UsageError(
                "Missing option '--pin' (or CHASKI_PIN): the pin of the roots, from your paper. Without it a false"
                " server could take your session."
            )
        require_private(self.url, self.proxy)
        return replace(self, pin=trust.read_pin(self.pin))


@dataclass(frozen=True)
class Account:
    """A login, its passphrase file (None: prompt), and the server to sign in to; or a program's token in a file.

    `known` is the folder in which staff commands keep the newest documents that they accepted, one file per pin.
    """

    server: StaffServer
    login: str
    passphrase_file: Path | None
    token_file: Path | None = None
    known: Path = field(kw_only=True)

    @property
    def pin(self) -> str:
        """The pin of the server's roots."""
        return self.server.pin

    @property
    def known_file(self) -> Path:
        """The file with the documents that staff commands on this machine accepted under the pin."""
        return self.known / f"{self.pin}.json"

    def passphrase(self) -> str:
        """Return the passphrase, from the file or from a prompt."""
        return read_passphrase(self.passphrase_file, f"Passphrase of {self.login}")

    def sign_in(self) -> StaffSession:
        """Open a session; the warnings about its trust are shown.

        Raises SyncError with the server's reason when it refuses, and `trust.expired` when the days of grace are over.
        """
        known = KnownDocumentsFile(self.known_file)
        staff = self._open_session(known)
        try:
            trusted, now = known.documents.read_trust(), now_ms()
            assert trusted, "the sign-in remembered it"
            trusted.require_current(now)
        except SyncError:
            staff.close()
            raise
        show_warnings(trust_warnings(trusted, self.pin, now))
        return staff

    def _open_session(self, known: KnownDocumentsFile) -> StaffSession:
        url, among = self.server.url, {"pin": self.pin, "proxy": self.server.proxy}
        if self.token_file:
            return StaffSession.with_token(url, read_passphrase(self.token_file, ""), known=known, **among)
        phrase = self.passphrase()
        with spinner(f"Signing in as {self.login} ..."):
            return StaffSession.sign_in(url, self.login, phrase, known=known, **among)

    def open_desk(self) -> DeskClient:
        """Open a session at a desk. Its client trusts only the roots that the pin names; its warnings are shown."""
        phrase = self.passphrase()
        with spinner(f"Signing in as {self.login} ..."):
            desk = DeskClient.sign_in(
                self.server.url, self.login, phrase, pin=self.pin, proxy=self.server.proxy, known=self.known_file
            )
        show_warnings(desk.warnings)
        return desk

    def fetch_documents(self, staff: StaffSession) -> StaffDocuments:
        """Return the trust, registry and manifest of the roots that the pin names. `sign_in` showed its warnings."""
        return StaffDocuments(staff.get_bytes, pin=self.pin, now=now_ms(), known=KnownDocumentsFile(self.known_file))


def show_warnings(warnings: Sequence[str]) -> None:
    """Write the sentences that the user must read to standard error."""
    for warning in warnings:
        echo(f"chaski: {warning}", err=True)


known_option = click.option(
    "--known",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="CHASKI_KNOWN",
    default=lambda: Path.home() / ".config" / "chaski" / "known",
    show_default="~/.config/chaski/known",
    help="Folder with the newest documents that this machine has accepted, one file per PIN.",
)


@dataclass(frozen=True)
class OfficeKeyFile:
    """The encrypted file of an office's signing key, and its passphrase file (None: prompt)."""

    file: Path
    passphrase_file: Path | None

    def unlock(self) -> SigningKey:
        """Decrypt and return the key, with the passphrase from the file or from a prompt."""
        return load_secret(self.file, SigningKey, read_passphrase(self.passphrase_file, f"Passphrase of {self.file}"))


class TabletCommand(click.Command):
    """A command with a tablet id as argument. An id that begins with a dash is not parsed as an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move such ids behind `--`, where click does not look for options."""
        ids = [each for each in args if each.startswith("-") and KID.fullmatch(each)]
        return super().parse_args(ctx, [*(each for each in args if each not in ids), "--", *ids] if ids else args)


def registrar_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `DEV --key --key-passphrase-file`. The command receives `dev` and `registrar: OfficeKeyFile`."""

    @click.argument("dev")
    @click.option(
        "--key", required=True, type=click.Path(path_type=Path, exists=True), help="File of the registrar's key."
    )
    @click.option(
        "--key-passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is the key's passphrase. Without it, you are prompted.",
    )
    @functools.wraps(command)
    def with_registrar(*args: Any, key: Path, key_passphrase_file: Path | None, **options: Any) -> Any:
        return command(*args, registrar=OfficeKeyFile(key, key_passphrase_file), **options)

    return with_registrar


def find_tablet(staff: StaffSession, dev: str) -> dict[str, Any]:
    """Return the server's record of a tablet. Raises Problem `device.not_found` when there is none."""
    found: dict[str, Any] | None = next((each for each in staff.list("/v1/devices") if each["dev"] == dev), None)
    if found is None:
        raise Problem("device.not_found", f"no tablet {dev} has enrolled; `chaski device list` lists the tablets")
    return found


proxy_option = click.option(
    "--proxy",
    default="",
    envvar="CHASKI_PROXY",
    help="Proxy to the server, http://host:port; or set CHASKI_PROXY. Without it no proxy is used.",
)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--server --pin --proxy`. The command receives `server: StaffServer`, not judged yet."""

    @click.option("--server", "url", default="http://127.0.0.1:8081", show_default=True, help="URL of the staff API.")
    @click.option(
        "--pin",
        default="",
        envvar="CHASKI_PIN",
        help="Pin of the roots, from your paper; or set CHASKI_PIN. The server must prove itself under it.",
    )
    @proxy_option
    @functools.wraps(command)
    def with_server(*args: Any, url: str, pin: str, proxy: str, **options: Any) -> Any:
        return command(*args, server=StaffServer(url, pin, proxy), **options)

    return with_server


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--server --pin --proxy --login --passphrase-file --token-file`. The command receives `account: Account`."""
    return _account_options(command, "Login name of your account.", required=True)


def optional_account_options(need: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the same options, optional. `need` says in words when they are needed; `account` may be None."""
    return lambda command: _account_options(command, f"Login name of your account, {need}.", required=False)


def _account_options(command: Callable[..., Any], help_text: str, *, required: bool) -> Callable[..., Any]:
    @server_options
    @click.option("--login", default="", help=help_text)
    @click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is the passphrase. Without it, you are prompted.",
    )
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File whose first line is a token of `chaski forms token`, in place of a login: for programs.",
    )
    @known_option
    @functools.wraps(command)
    def with_account(
        *args: Any,
        server: StaffServer,
        login: str,
        passphrase_file: Path | None,
        token_file: Path | None,
        known: Path,
        **options: Any,
    ) -> Any:
        if required and not (login or token_file):
            raise click.UsageError("Missing option '--login'.")
        named = login or token_file
        account = Account(server.judged(), login, passphrase_file, token_file, known=known) if named else None
        return command(*args, account=account, **options)

    return with_account
