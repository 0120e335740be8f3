"""`chaski desk work | examine | decide`: what a person has to decide, for coordinators and administrators."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server.cli.desk import desk, pin_option, write_opened
from server.cli.staff import Who, staff_options
from server.cli.terminal import json_option, local_time, show
from sync.encoding import natural


def _reason(code: str) -> str:
    """Write since when a tablet is silent as a time; every other reason is short as it is."""
    name, _, value = code.partition(".")
    try:
        return f"since {local_time(natural(value))}" if name == "since" else code
    except ValueError:
        return code


def _write(console: Console, item: dict[str, Any]) -> None:
    about = f"{item['label'] or item['dev']}  {_reason(item['reason'])}"
    console.print(Text(f"{item['id']}  {item['kind']}  {about}  {local_time(item['opened'])}", style="bold"))
    console.print(Text(f"  {item['sentence']}"))
    console.print(Text(f"  decide: {', '.join(item['decisions'])}", style="dim"))
    for each in item.get("envelopes", ()):
        queues = f"referrals {', '.join(each['referrals'])}" if each["referrals"] else "in no queue"
        console.print(Text(f"  {local_time(each['received'])}  {each['outcome']}, number {each['seq']}, {queues}"))


@desk.command()
@click.argument("item", required=False, type=click.IntRange(1))
@click.option("--kept", is_flag=True, help="List what was kept apart instead; it can still be released.")
@staff_options
@json_option
def work(item: int | None, kept: bool, who: Who, as_json: bool) -> None:
    """List what a person has to decide, or show ITEM with the screenings it is about."""
    path = f"/v1/work-list/{item}" if item else f"/v1/work-list?kept={int(kept)}"
    with who.sign_in() as staff:
        found = staff.get(path)

    def write(console: Console) -> None:
        for each in [found] if item else found:
            _write(console, each)
        if not found:
            console.print("Nothing is kept apart." if kept else "Nothing to decide.")

    show(found, as_json, write)


@desk.command()
@click.argument("item", type=click.IntRange(1))
@pin_option
@staff_options
@json_option
def examine(item: int, pin: str, who: Who, as_json: bool) -> None:
    """Open every screening that ITEM is about with your own key, on this machine, before you decide."""
    with who.at_desk(pin) as session:
        opened = session.examine(item)

    def write(console: Console) -> None:
        for each in opened:
            write_opened(console, each)
        if not opened:
            console.print("This is about no screening that you could open.")

    show([each.as_dict() for each in opened], as_json, write)


@desk.command()
@click.argument("item", type=click.IntRange(1))
@click.argument("decision")
@staff_options
@json_option
def decide(item: int, decision: str, who: Who, as_json: bool) -> None:
    """Settle ITEM; `release` puts a screening into its queues now, `keep_apart` leaves it aside, to release later."""
    with who.sign_in() as staff:
        found = staff.post(f"/v1/work-list/{item}/decision", json={"decision": decision})
    show(found, as_json, lambda console: console.print(f"{found['id']} ({found['kind']}) is settled: {decision}."))
