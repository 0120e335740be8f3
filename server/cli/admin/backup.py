"""`chaski backup-key new`, `chaski backup`, `chaski restore`: encrypted copies of the database, for administrators.

The server encrypts a backup to a public key, so that a thief of the server cannot read old backups. The secret half of
that key must not be on the server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server import server_keys
from server.backup import backup_key
from server.cli.admin.data_folder import data_option, require_server
from server.cli.admin.faults import describe_faults, print_faults, throttle
from server.cli.terminal import json_option, now_ms, print_result, read_passphrase, spinner
from server.config import Config, parse_recipient
from server.flows.operations import backup, restore
from server.flows.operations.restore import RestoreResult
from server.store.meta import Holdings

file_type = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(name="backup-key")
def backup_key_group() -> None:
    """Make the key that backups are encrypted to. Its secret half must not be on a server."""


@backup_key_group.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def new(file: Path, as_json: bool) -> None:
    """Make a backup key in FILE and show its six words once. Run it on a machine that is not the server.

    \b
    Public half (age1...):  CHASKI_BACKUP_RECIPIENT on the server, or `chaski backup --to`.
    FILE and the words:     keep them offline, in two places. Without both, no backup can be opened.
    """
    with spinner("Making a key ..."):
        made = backup_key.create_key(file, now=now_ms())

    def write(console: Console) -> None:
        console.print(f"Key file:   {file}")
        console.print(f"For backups: {made.recipient}", soft_wrap=True)
        console.print(Text.assemble("Six words:  ", (made.phrase, "bold")))
        console.print("Write the words down on paper now. They are not stored and not shown again.")

    print_result({"file": str(file), "recipient": made.recipient, "passphrase": made.phrase}, as_json, write)


@click.command(name="backup")
@data_option
@click.option(
    "--to",
    "recipient",
    envvar="CHASKI_BACKUP_RECIPIENT",
    required=True,
    help="Public half of the backup key (age1...). Default: CHASKI_BACKUP_RECIPIENT.",
)
@click.option(
    "--into",
    "folder",
    envvar="CHASKI_BACKUP_FOLDER",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the backup file; use another disk. Default: CHASKI_BACKUP_FOLDER.",
)
@json_option
def backup_command(data: Path, recipient: str, folder: Path, as_json: bool) -> None:
    """Write an encrypted copy of the database, and check it. The server may be running.

    If the database is damaged, the file is still written, with `damaged` in its name, and the exit code is 1.

    The file name has the time. The server's own keys (DATA/keys) are not in it. Keep an offline copy of
    that folder in another place.
    """
    config = require_server(Config(data=data.absolute()))
    try:
        to = parse_recipient(recipient)
    except ValueError as error:
        raise click.UsageError(f"--to {error}") from error
    with spinner("Copying the database ...") as tell:
        made = backup.write_backup(
            config,
            server_keys.load(config.keys),
            recipient=to,
            folder=folder,
            now=now_ms(),
            progress=throttle(tell),
        )

    def write(console: Console) -> None:
        console.print(f"{made.file}  {made.bytes:,} bytes", soft_wrap=True)
        console.print(f"SHA-256 {made.sha256}")
        console.print(f"As of {_format_moment(made.at)}: {_count_holdings(made.holdings)}.", soft_wrap=True)
        print_faults(console, made.faults)

    content: dict[str, Any] = {"file": str(made.file), "at": made.at, "bytes": made.bytes, "sha256": made.sha256}
    faults = {"faults": describe_faults(made.faults)}
    print_result({**content, **asdict(made.holdings), **faults}, as_json, write)
    raise SystemExit(1 if made.faults else 0)


@click.command(name="restore")
@click.argument("file", type=file_type)
@click.option("--identity", required=True, type=file_type, help="The key file of `chaski backup-key new`, or of age.")
@click.option("--passphrase-file", type=file_type, help="File with the key's six words. Without it, you are prompted.")
@click.option(
    "--accept-damage", is_flag=True, help="Restore what can be read of a damaged database, and say what is lost."
)
@data_option
@json_option
def restore_command(
    file: Path, identity: Path, passphrase_file: Path | None, accept_damage: bool, data: Path, as_json: bool
) -> None:
    """Restore a database from a backup FILE.

    \b
    1. Make the data folder (mode 0700) and put the server's own keys/ into it. It must have no database.
    2. Run this command. It checks the backup first, and it never overwrites a file.
    3. Run `chaski serve`. Tablets send again by themselves what they still keep (30 days).
    """
    config = Config(data=data.absolute())
    restore.prepare_restore(config)
    identities = backup_key.load_key(identity, lambda: read_passphrase(passphrase_file, "Six words of the backup key"))
    with spinner("Reading the backup ...") as tell:
        done = restore.restore_backup(
            config,
            file,
            identities,
            now=now_ms(),
            progress=throttle(tell),
            accept_damage=accept_damage,
        )

    content: dict[str, Any] = {"at": done.at, "audit_rows": done.audit_rows, "manifest": done.manifest}
    content |= asdict(done.holdings)
    content |= {"lost": describe_faults(done.lost), "unreadable_rows": dict(done.rows)}
    print_result(content, as_json, lambda console: _print_restored(console, data, done))


def _print_restored(console: Console, data: Path, done: RestoreResult) -> None:
    console.print(
        f"Restored into {data}, as of {_format_moment(done.at)}: {_count_holdings(done.holdings)}.", soft_wrap=True
    )
    said = "holds" if not done.lost else "names what is lost"
    console.print(f"The audit trail {said} ({done.audit_rows} rows); manifest {done.manifest} is new.")
    console.print("All sessions and open enrolment codes have ended.")
    console.print("Repeat the changes made after that moment: people, forms, revocations.", soft_wrap=True)
    for table, count in done.rows.items():
        console.print(Text(f"{count} row(s) of the table {table} could not be read."))
    print_faults(console, done.lost)


def _format_moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _count_holdings(held: Holdings) -> str:
    counts = {
        "screening": held.envelopes,
        "tablet": held.tablets,
        "person": held.people,
        "form version": held.form_versions,
    }
    plural = {"person": "people"}
    return ", ".join(
        f"{count:,} {noun if count == 1 else plural.get(noun, noun + 's')}" for noun, count in counts.items()
    )
