"""`chaski serve | trust show | audit verify | check`: run and inspect the server, for administrators.

They work on the data folder itself, on the server's machine, and need no login."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server import config, server_keys
from server.app import serve
from server.cli.admin.data_folder import data_option, open_database, require_server
from server.cli.admin.faults import describe_faults, print_faults, throttle
from server.cli.terminal import json_option, now_ms, print_result, spinner
from server.database import snapshot
from server.flows.operations import audit, integrity
from server.flows.trust import documents
from sync.wire.json_object import SHA256_HEX


@click.command(name="serve")
def serve_command() -> None:
    """Run the server: tablet API and staff API.

    It ends with SIGTERM or Ctrl-C. Settings are CHASKI_* environment variables. CHASKI_DATA is required.
    """
    serve(config.load(os.environ))


def _format_day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()


@click.group(name="trust")
def trust_group() -> None:
    """Show which keys may sign what."""


@trust_group.command(name="show")
@data_option
@json_option
def show_trust(data: Path, as_json: bool) -> None:
    """Show the trust in force and the pin of its roots."""
    reading = open_database(config.Config(data=data)).read()
    found = documents.trust_in_force(reading)
    content: dict[str, Any] = {
        "number": found.number,
        "demo": found.demo,
        "pin": found.pin,
        "threshold": found.threshold,
        "roots": list(found.roots),
        "registrars": list(found.registrars),
        "authors": {kid: signer.person for kid, signer in found.authors.items()},
        "reviewers": {kid: signer.person for kid, signer in found.reviewers.items()},
        "servers": list(found.servers),
        "issued": found.issued,
        "expires": found.expires,
        "next": {kind: documents.next_number(reading, kind, now=now_ms()) for kind in ("trust", "registry")},
    }

    def write(console: Console) -> None:
        demo = ("  DEMO: training only" if found.demo else "", "bold red")
        roots = f", {found.threshold} of {len(found.roots)} roots, pin {found.pin}"
        console.print(Text.assemble((f"Trust {found.number}", "bold"), demo, roots))
        console.print(f"issued {_format_day(found.issued)}, renew before {_format_day(found.expires)}")
        console.print("next numbers to sign: trust {trust}, registry {registry}".format(**content["next"]))
        persons = {kid: signer.person for kid, signer in (*found.authors.items(), *found.reviewers.items())}
        for kind in ("roots", "registrars", "authors", "reviewers", "servers"):
            for kid in content[kind]:
                console.print(f"  {kind[:-1]:<10} {kid}  {persons.get(kid, '')}")

    print_result(content, as_json, write)


@click.group(name="audit")
def audit_group() -> None:
    """Verify the audit trail, a hash chain of all actions."""


def _parse_head(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, str] | None:
    if value is None:
        return None
    number, _, digest = value.partition(":")
    if not re.fullmatch("[0-9]{1,18}", number) or not SHA256_HEX.fullmatch(digest):
        raise click.BadParameter(f"{value!r} is not NUMBER:HASH, a row number and 64 hex digits.")
    return int(number), digest


@audit_group.command()
@data_option
@click.option(
    "--head",
    metavar="NUMBER:HASH",
    callback=_parse_head,
    help="A head that you know from an earlier time. Row NUMBER must still have this hash.",
)
@json_option
def verify(data: Path, head: tuple[int, str] | None, as_json: bool) -> None:
    """Verify the audit trail: its hash chain, and that screenings, referrals and tablets are those it names.

    Only --head finds a trail that was cut off or written anew as a whole. Exit code 1 if anything is wrong.
    """
    database = require_server(config.Config(data=data)).database
    with spinner("Reading the audit trail ..."), snapshot.open_reading(database) as reading:
        verdict = audit.verify(reading, head)

    def write(console: Console) -> None:
        said = ("broken", "bold red") if verdict.faults else ("the chain holds", "green")
        console.print(Text.assemble(f"{verdict.rows} rows, ", said, f", head {verdict.head}"))
        print_faults(console, verdict.faults)
        if verdict.accepted:
            console.print(f"{len(verdict.accepted)} fault(s) were accepted at a restore.")

    content = {"rows": verdict.rows, "head": verdict.head, "broken_at": verdict.broken_at}
    described = {"faults": describe_faults(verdict.faults), "accepted": describe_faults(verdict.accepted)}
    print_result({**content, **described}, as_json, write)
    raise SystemExit(1 if verdict.faults else 0)


@click.command(name="check")
@data_option
@json_option
def check_command(data: Path, as_json: bool) -> None:
    """Check the whole database for damage: pages, screenings, routes, documents, recordings, keys, the audit trail.

    The server may be running. The result says what is wrong, where, and what to do. Exit code 1 if anything is.
    """
    served = require_server(config.Config(data=data))
    keys = server_keys.find_route_keys(served.keys)
    with spinner("Checking ...") as tell:
        telling = throttle(lambda part: tell(f"Checking: {part}"))
        found = integrity.check_file(served.database, keys=keys, progress=telling)

    def write(console: Console) -> None:
        if not found.faults:
            console.print(
                Text.assemble(("No damage found", "green"), f"; {found.audit_rows} audit rows, head {found.head}")
            )
        print_faults(console, found.faults)

    content = {"audit_rows": found.audit_rows, "head": found.head}
    described = {"faults": describe_faults(found.faults), "accepted": describe_faults(found.accepted)}
    print_result({**content, **described}, as_json, write)
    raise SystemExit(1 if found.faults else 0)
