"""`chaski desk`: a referral coordinator's work. Keys and plaintext stay in this process and are never written."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.staff_session import Account, account_options
from server.cli.terminal import LazyGroup, format_time, json_option, print_result
from server.flows.desks.referrals import RESULTS
from sync.desk.client import VerifiedScreening

pin_option = click.option(
    "--pin", required=True, help="Pin of the roots, from your paper; it keeps a false server out."
)


TRAINING_HINT = " Training has a view of its own: --mode training."


SUBCOMMANDS = {
    "accept": "desk.referrals:accept",
    "claim": "desk.referrals:claim",
    "close": "desk.referrals:close",
    "decide": "desk.worklist:decide",
    "examine": "desk.worklist:examine",
    "open": "desk.referrals:open_referral",
    "queue": "desk.referrals:queue",
    "work": "desk.worklist:work",
}


@click.group(cls=LazyGroup, lazy_commands=SUBCOMMANDS)
def desk() -> None:
    """See queues, open screenings with your own key, accept and close referrals, decide what waits for a person."""


mode_option = click.option(
    "--mode",
    type=click.Choice(["field", "training"]),
    default="field",
    show_default=True,
    help="Training screenings live in a view of their own and alarm nobody.",
)


@click.command()
@click.argument("queue", required=False)
@mode_option
@pin_option
@account_options
@json_option
def queue(queue: str | None, mode: str, pin: str, account: Account, as_json: bool) -> None:
    """List your queues, or the referrals waiting in QUEUE, such as 17-protection, the most urgent first."""
    with account.open_desk(pin) as session:
        found = session.list_referrals(queue, mode) if queue else session.list_queues(mode)
    columns = (
        ("id", "state", "urgency", "deadline", "mark") if queue else ("id", "title", "waiting", "accepted", "overdue")
    )

    def write(console: Console) -> None:
        table = Table(*columns, box=None, padding=(0, 2, 0, 0))
        for row in found:
            table.add_row(*(_cell_text(column, row.get(column)) for column in columns))
        console.print(table if found else f"Nothing here in {mode}.{TRAINING_HINT if mode == 'field' else ''}")

    print_result(found, as_json, write)


def _cell_text(column: str, value: Any) -> str:
    if column == "deadline" and isinstance(value, int):
        return format_time(value)
    return "" if value is None else str(value)


@click.command(name="open")
@click.argument("referral")
@pin_option
@account_options
@json_option
def open_referral(referral: str, pin: str, account: Account, as_json: bool) -> None:
    """Open a screening with your own key, on this machine: answers, indicators, and the outcome computed again."""
    with account.open_desk(pin) as session:
        opened = session.open_screening(referral)
    print_result(opened.as_dict(), as_json, lambda console: print_screening(console, opened))


def print_screening(console: Console, opened: VerifiedScreening) -> None:
    """Print a screening for the person whose key opened it."""
    console.print(
        f"[bold]{opened.title}[/] {opened.version} ({opened.mode}), from {opened.device}, region {opened.region}"
    )
    if opened.revoked:
        console.print("This tablet has been revoked: weigh what it sent.", style="bold red")
    if not opened.vouched:
        console.print(
            "Who signed this form version may not sign any more: its texts are vouched for by one person only.",
            style="red",
        )
    if opened.route_agrees is False:
        console.print("The server sorted it by something else than it says: it is on the work list.", style="bold red")
    for answer in opened.answers:
        console.print(Text(f"\n{answer.text_es}", style="bold"))
        if opened.lang != "es":
            console.print(Text(f"{answer.text}  [{opened.lang}, {answer.text_state}]", style="dim"))
        console.print(Text(f"  {answer.answer_es}"))
    console.print(Text(f"\n{opened.outcome}, {opened.tier}", style="bold"))
    for sentence in opened.assessment.why:
        console.print(Text(f"  {sentence}"))
    if opened.agrees:
        console.print("Computed again here: the same.", style="green")
    for difference in opened.differences:
        console.print(
            f"{difference.name}: the tablet says {difference.recorded}, here {difference.computed}", style="bold red"
        )
    if opened.missing:
        console.print(f"Not opened in this session: numbers {', '.join(map(str, opened.missing))} of the same tablet.")


def _print_state(referral: dict[str, Any], as_json: bool) -> None:
    print_result(referral, as_json, lambda console: console.print(f"{referral['id']} is {referral['state']}."))


@click.command()
@click.argument("referral")
@pin_option
@account_options
@json_option
def claim(referral: str, pin: str, account: Account, as_json: bool) -> None:
    """Reserve a referral for yourself, for as long as the lease lasts."""
    with account.open_desk(pin) as session:
        _print_state(session.claim(referral), as_json)


@click.command()
@click.argument("referral")
@pin_option
@account_options
@json_option
def accept(referral: str, pin: str, account: Account, as_json: bool) -> None:
    """Take on a referral; the inspector who sent it is told."""
    with account.open_desk(pin) as session:
        _print_state(session.accept(referral), as_json)


@click.command()
@click.argument("referral")
@click.option(
    "--result",
    required=True,
    type=click.Choice(RESULTS),
    help="How it ended; the inspector learns only that it has.",
)
@pin_option
@account_options
@json_option
def close(referral: str, result: str, pin: str, account: Account, as_json: bool) -> None:
    """End the work on a referral that you accepted."""
    with account.open_desk(pin) as session:
        _print_state(session.close(referral, result), as_json)
