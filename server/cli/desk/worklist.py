"""`chaski desk work | examine | decide`: the work list of cases that need a person's decision.

Coordinators and administrators use it. No command decides by itself."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server.cli.desk.reading import ScreenReader, plain_option
from server.cli.staff_session import Account, account_options
from server.cli.terminal import format_time, json_option, print_result
from sync.wire.encoding import natural


def _describe_reason(code: str) -> str:
    """Format `since.<milliseconds>` (a silent tablet) as a time. Other codes stay as they are."""
    name, _, value = code.partition(".")
    try:
        return f"since {format_time(natural(value))}" if name == "since" else code
    except ValueError:
        return code


def _print_item(console: Console, item: dict[str, Any]) -> None:
    about = f"{item['label'] or item['dev']}  {_describe_reason(item['reason'])}"
    console.print(Text(f"{item['id']}  {item['kind']}  {about}  {format_time(item['opened'])}", style="bold"))
    console.print(Text(f"  {item['sentence']}"))
    console.print(Text(f"  decide: {', '.join(item['decisions'])}", style="dim"))
    for each in item.get("envelopes", ()):
        queues = f"referrals {', '.join(each['referrals'])}" if each["referrals"] else "in no queue"
        console.print(Text(f"  {format_time(each['received'])}  {each['outcome']}, number {each['seq']}, {queues}"))


@click.command()
@click.argument("item", required=False, type=click.IntRange(1))
@click.option("--kept", is_flag=True, help="List the screenings that were kept apart. They can still be released.")
@account_options
@json_option
def work(item: int | None, kept: bool, account: Account, as_json: bool) -> None:
    """List the work list, or show ITEM with its screenings."""
    with account.sign_in() as staff:
        found: Any = staff.get(f"/v1/work-list/{item}") if item else staff.list(f"/v1/work-list?kept={int(kept)}")

    def write(console: Console) -> None:
        for each in [found] if item else found:
            _print_item(console, each)
        if not found:
            console.print("Nothing is kept apart." if kept else "Nothing to decide.")

    print_result(found, as_json, write)


@click.command()
@click.argument("item", type=click.IntRange(1))
@plain_option
@account_options
@json_option
def examine(item: int, plain: bool, account: Account, as_json: bool) -> None:
    """Decrypt and show every screening of ITEM, on this machine, as `chaski desk open` does."""
    reader = ScreenReader.choose(plain=plain, as_json=as_json)
    with account.open_desk() as session:
        opened = session.open_work_item(item)
    reader.show(opened, [each.as_dict() for each in opened])


@click.command()
@click.argument("item", type=click.IntRange(1))
@click.argument("decision")
@account_options
@json_option
def decide(item: int, decision: str, account: Account, as_json: bool) -> None:
    """Decide ITEM of the work list.

    `release` puts its screenings into their queues. `keep_apart` holds them for a later release.
    """
    with account.sign_in() as staff:
        found = staff.post(f"/v1/work-list/{item}/decision", json={"decision": decision})
    print_result(
        found, as_json, lambda console: console.print(f"{found['id']} ({found['kind']}) is settled: {decision}.")
    )
