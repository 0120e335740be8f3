"""`chaski forms token new | list | revoke`: API tokens for programs that call the publishing endpoints.

A token must not reach screenings, tablets or people; the server restricts it."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from server.cli.safe_console import make_table
from server.cli.staff_session import Account, account_options
from server.cli.terminal import format_time, json_option, print_result

_ROLES = ("author", "reviewer", "publisher")


@click.group()
def token() -> None:
    """Make, list and revoke API tokens for your own programs.

    A token may use the publishing endpoints with the roles you give it. It never reaches screenings, tablets or people.
    Send it as `Authorization: Bearer TOKEN`, with the header `Chaski-Request: 1`.
    """


@token.command()
@click.argument("label")
@click.option(
    "--role",
    "roles",
    type=click.Choice(_ROLES),
    multiple=True,
    required=True,
    help="Role of the token. May be repeated.",
)
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="Days until it expires.")
@account_options
@json_option
def new(label: str, roles: tuple[str, ...], days: int, account: Account, as_json: bool) -> None:
    """Make a token with the name LABEL. It is shown only once."""
    with account.sign_in() as staff:
        made = staff.post("/v1/tokens", json={"label": label, "roles": sorted(set(roles)), "days": days})

    def write(console: Console) -> None:
        console.print(made["token"], style="bold", soft_wrap=True)
        console.print(
            f"Shown once; valid until {format_time(made['expires'])}. To end it: forms token revoke {made['id']}"
        )

    print_result(made, as_json, write)


@token.command(name="list")
@account_options
@json_option
def list_tokens(account: Account, as_json: bool) -> None:
    """List your tokens, also expired and revoked ones."""
    with account.sign_in() as staff:
        found = staff.list("/v1/tokens")

    def write(console: Console) -> None:
        table = make_table(("id", "label", "roles", "until", "last used", "ended"), map(_token_row, found))
        console.print(table if found else "You have no token.")

    print_result(found, as_json, write)


def _token_row(held: dict[str, Any]) -> list[str]:
    times = (format_time(held[name]) if held[name] else "" for name in ("expires", "used", "revoked"))
    return [held["id"], held["label"], " ".join(held["roles"]), *times]


@token.command()
@click.argument("id_", metavar="ID")
@account_options
@json_option
def revoke(id_: str, account: Account, as_json: bool) -> None:
    """Revoke the token ID at once."""
    with account.sign_in() as staff:
        staff.delete(f"/v1/tokens/{id_}")
    print_result({"id": id_, "revoked": True}, as_json, lambda console: console.print(f"Token {id_} has ended."))
