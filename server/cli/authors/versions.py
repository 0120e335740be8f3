"""`chaski forms draft | versions | show | return | withdraw | discard`: form versions on the server, before they are
approved. What is wrong with a form comes back as on the author's own machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook.package import pack_package
from server.cli.authors.forms import channel_option, read_package
from server.cli.staff_session import Account, account_options
from server.cli.terminal import format_time, json_option, print_problems, print_result, spinner
from sync.exchange.transport import RefusedError

# Not str.isdecimal, which also holds for digits of other scripts, and for more of them than int() reads.
VERSION_ID = re.compile(r"[0-9]{1,16}")
version_argument = click.argument("version", type=click.IntRange(1), metavar="ID")
reason_option = click.option("--reason", required=True, help="Why; others will read it.")
form_option = click.option("--form", help="Only this form, such as pe_laboral_adulto.")
_PROBLEM_FIELDS = [field.name for field in fields(FormProblem)]


@contextmanager
def raise_form_problems() -> Iterator[None]:
    """Turn a refusal that lists what is wrong with a form into a FormError with the same list."""
    try:
        yield
    except RefusedError as refused:
        listed = refused.problem.get("problems")
        if not isinstance(listed, list) or not listed:
            raise
        raise FormError(read_problems(listed)) from refused


def read_problems(listed: Sequence[dict[str, Any]]) -> list[FormProblem]:
    """Read problems as the server lists them."""
    return [FormProblem(**{name: each[name] for name in _PROBLEM_FIELDS}) for each in listed]


def print_version(console: Console, version: dict[str, Any]) -> None:
    """Say what a version is and where it stands."""
    console.print(Text(_version_line(version), style="bold"))
    console.print(Text(f"  sha256 {version['sha']}"))
    console.print(Text(f"  indicator set {version['indicator_set'] or '?'}, policy {version['policy'] or '?'}"))
    reviewed = f", approved by {version['reviewer']}" if version["reviewer"] else ""
    console.print(Text(f"  by {version['author']}{reviewed}; changed {format_time(version['changed'])}"))
    if version["validated"]:
        console.print(Text(f"  ODK Validate: {version['validated']}"))
    if version["reason"]:
        console.print(Text(f"  {version['reason']}", style="yellow"))


def _version_line(version: dict[str, Any]) -> str:
    return f"{version['id']}  {version['form']} {version['version']} ({version['channel']})  {version['state']}"


@click.command()
@click.argument("form")
@channel_option
@account_options
@json_option
def draft(form: str, channel: str, account: Account, as_json: bool) -> None:
    """Upload FORM with all that it is compiled of; the server compiles it and keeps it as your draft.

    The same form, version and channel again takes the place of your draft. Nothing is kept of a form with problems that
    stop it; what is left to put right is listed.
    """
    content = pack_package(read_package(form))
    with account.sign_in() as staff, raise_form_problems(), spinner("Uploading; the server compiles it ..."):
        made = staff.post(f"/v1/drafts?channel={channel}", data=content)

    def write(console: Console) -> None:
        print_version(console, made)
        if made["problems"]:
            print_problems(read_problems(made["problems"]))
        console.print(f"Next: chaski forms sign {made['id']} --key author.key")

    print_result(made, as_json, write)


@click.command()
@form_option
@account_options
@json_option
def versions(form: str | None, account: Account, as_json: bool) -> None:
    """List the versions of all forms, or of one, and where each stands."""
    with account.sign_in() as staff:
        found = staff.get("/v1/versions" + (f"?form={form}" if form else ""))

    def write(console: Console) -> None:
        for each in found:
            console.print(f"{_version_line(each)}, by {each['author']}, {format_time(each['changed'])}", soft_wrap=True)
        if not found:
            console.print("There is no version yet.")

    print_result(found, as_json, write)


@click.command(name="show")
@version_argument
@click.option("--save", type=click.Path(path_type=Path), help="Write its source package here: to read, change or sign.")
@account_options
@json_option
def show_version(version: int, save: Path | None, account: Account, as_json: bool) -> None:
    """Show version ID, and what came out of made-up interviews with it."""
    with account.sign_in() as staff:
        found = staff.get(f"/v1/versions/{version}")
        if save is not None:
            save.write_bytes(staff.get_bytes(f"/v1/versions/{version}/source"))

    def write(console: Console) -> None:
        print_version(console, found)
        console.print(f"  before it: {found['before'] or 'none'}")
        for each in found["trials"]:
            to = " ".join(each["queue_kinds"]) or "no desk"
            console.print(
                f"  tried {format_time(each['at'])}: {each['outcome']} {each['tier']}, {each['fired']} fired, to {to}"
            )

    print_result(found, as_json, write)


@click.command(name="return")
@version_argument
@reason_option
@account_options
@json_option
def return_version(version: int, reason: str, account: Account, as_json: bool) -> None:
    """Give version ID, which somebody submitted, back to its author."""
    with account.sign_in() as staff:
        found = staff.post(f"/v1/versions/{version}/return", json={"reason": reason})
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@version_argument
@account_options
@json_option
def withdraw(version: int, account: Account, as_json: bool) -> None:
    """Take version ID back from review; it is your draft again."""
    with account.sign_in() as staff:
        found = staff.delete(f"/v1/versions/{version}/submission")
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@version_argument
@account_options
@json_option
def discard(version: int, account: Account, as_json: bool) -> None:
    """Throw your draft ID away, with what was tried with it; a reviewer or an administrator, anybody's."""
    with account.sign_in() as staff:
        staff.delete(f"/v1/versions/{version}")
    print_result(
        {"id": version, "discarded": True}, as_json, lambda console: console.print(f"Draft {version} is gone.")
    )
