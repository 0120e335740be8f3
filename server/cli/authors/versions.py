"""`chaski forms draft | versions | show | return | withdraw | discard`: form versions on the server before approval.

Problems that the server finds are printed like those of `forms check`, so that an author needs to learn one format."""

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

# Not str.isdecimal: that accepts digits of other scripts, and more digits than int() can read.
VERSION_ID = re.compile(r"[0-9]{1,16}")
version_argument = click.argument("version", type=click.IntRange(1), metavar="ID")
reason_option = click.option("--reason", required=True, help="Reason for the change; other people read it.")
form_option = click.option("--form", help="List only this form, such as pe_laboral_adulto.")
_PROBLEM_FIELDS = [field.name for field in fields(FormProblem)]


@contextmanager
def raise_form_problems() -> Iterator[None]:
    """Convert a RefusedError whose response lists form problems into a FormError with those problems."""
    try:
        yield
    except RefusedError as refused:
        listed = refused.problem.get("problems")
        if not isinstance(listed, list) or not listed:
            raise
        raise FormError(read_problems(listed)) from refused


def read_problems(listed: Sequence[dict[str, Any]]) -> list[FormProblem]:
    """Build FormProblems from the problem list of a response."""
    return [FormProblem(**{name: each[name] for name in _PROBLEM_FIELDS}) for each in listed]


def print_version(console: Console, version: dict[str, Any]) -> None:
    """Print a version: its id, state, hash, tables, author and reviewer."""
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
    """Upload FORM with all its sources. The server compiles it and stores it as your draft.

    A second upload of the same form, version and channel replaces your draft. The server stores nothing when a problem
    blocks compiling. Other problems are listed.
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
    """List the versions of all forms with their states."""
    with account.sign_in() as staff:
        found = staff.list("/v1/versions" + (f"?form={form}" if form else ""))

    def write(console: Console) -> None:
        for each in found:
            console.print(f"{_version_line(each)}, by {each['author']}, {format_time(each['changed'])}", soft_wrap=True)
        if not found:
            console.print("There are no versions yet.")

    print_result(found, as_json, write)


@click.command(name="show")
@version_argument
@click.option(
    "--save", type=click.Path(path_type=Path), help="Write its source package to this file, to read, change or sign it."
)
@account_options
@json_option
def show_version(version: int, save: Path | None, account: Account, as_json: bool) -> None:
    """Show version ID and its reported trials."""
    with account.sign_in() as staff:
        found = staff.get(f"/v1/versions/{version}")
        if save is not None:
            save.write_bytes(staff.get_bytes(f"/v1/versions/{version}/source"))

    def write(console: Console) -> None:
        print_version(console, found)
        console.print(f"  version before: {found['before'] or 'none'}")
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
    """Return the submitted version ID to its author (reviewer)."""
    with account.sign_in() as staff:
        found = staff.post(f"/v1/versions/{version}/return", json={"reason": reason})
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@version_argument
@account_options
@json_option
def withdraw(version: int, account: Account, as_json: bool) -> None:
    """Withdraw version ID from review, to draft again."""
    with account.sign_in() as staff:
        found = staff.delete(f"/v1/versions/{version}/submission")
    print_result(found, as_json, lambda console: print_version(console, found))


@click.command()
@version_argument
@account_options
@json_option
def discard(version: int, account: Account, as_json: bool) -> None:
    """Delete your draft ID and its trials. Reviewers and administrators may delete any draft."""
    with account.sign_in() as staff:
        staff.delete(f"/v1/versions/{version}")
    print_result(
        {"id": version, "discarded": True}, as_json, lambda console: console.print(f"Draft {version} is deleted.")
    )
