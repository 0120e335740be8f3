"""`chaski forms publish-table | redraft`: publishes an indicator set or policy, and drafts its forms again with it.

The server does the checks and compiles the drafts. A published name must not be used for another table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server.cli.authors.compare_inputs import progress_bar
from server.cli.authors.versions import print_version, raise_form_problems
from server.cli.staff_session import Account, account_options
from server.cli.terminal import json_option, print_result, spinner
from sync.errors import SyncError
from sync.exchange.staff_session import StaffSession

PATHS = {"set": "indicator-sets", "policy": "policies"}
kind_option = click.option("--kind", type=click.Choice(tuple(PATHS)), required=True, help="Kind of the table.")
_POLL_SECONDS = 0.5


@click.command(name="publish-table")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@kind_option
@account_options
@json_option
def publish_table(file: Path, kind: str, account: Account, as_json: bool) -> None:
    """Publish an indicator set or policy from FILE.

    FILE is CSV or .xlsx; its name, such as pe_adult_2026_2, becomes the table's name. A published name cannot be used
    again. The output lists the changes, and the form versions with an earlier table.
    """
    with account.sign_in() as staff, raise_form_problems(), spinner("Uploading; the server checks it ..."):
        done = staff.put(f"/v1/{PATHS[kind]}/{file.stem}", data=file.read_bytes())

    def write(console: Console) -> None:
        console.print(f"{done['name']} is published. Version before: {done['former'] or 'none'}.")
        for each in done["changes"]:
            console.print(Text(f"  {each['es']}"))
            console.print(Text(f"  {each['en']}", style="dim"))
        for each in done["users"]:
            print_version(console, each)
        if done["users"]:
            console.print(f"To draft these forms with it: chaski forms redraft {done['name']} --kind {kind}")

    print_result(done, as_json, write)


@click.command()
@click.argument("name")
@kind_option
@account_options
@json_option
def redraft(name: str, kind: str, account: Account, as_json: bool) -> None:
    """Draft forms again with the table NAME.

    Each form that uses an earlier table of its family gets a new draft.
    """
    with account.sign_in() as staff:
        task = staff.post(f"/v1/{PATHS[kind]}/{name}/drafts")
        drafted = wait_for_task(staff, task, "Forms")

    def write(console: Console) -> None:
        for each in drafted:
            said = f"draft {each['draft']}" if each["draft"] else f"no draft: {each['code']}"
            console.print(f"{each['form']} ({each['channel']}), after version {each['former']}: {said}", soft_wrap=True)
            for problem in each["problems"]:
                console.print(Text(f"  {problem['sheet']}:{problem['row']} {problem['code']}: {problem['advice_es']}"))
        if not drafted:
            console.print("No form uses an earlier table of this family.")

    print_result(drafted, as_json, write)


def wait_for_task(staff: StaffSession, task: dict[str, Any], what: str) -> Any:
    """Wait for a server task, show a progress bar, and return its result. Raises SyncError if the task failed."""
    with progress_bar(what) as progress:
        while task["state"] in ("waiting", "running"):
            time.sleep(_POLL_SECONDS)
            task = staff.get(f"/v1/tasks/{task['id']}")
            progress(task["done"], task["of"])
    if task["problem"]:
        raise SyncError(task["problem"]["code"], f"{task['problem']['title']}. {task['problem']['advice']}")
    return task["result"]
