"""`chaski desk`: a coordinator's referrals, from the queue through `open` and `accept` to `close`.

This process decrypts the screenings, because the server has no desk key. Keys and plaintext must not reach a disk."""

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

pin_option = click.option("--pin", required=True, help="Pin of the roots, from your paper. It detects a false server.")


TRAINING_HINT = " For training screenings use --mode training."


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
    """Work on referrals and on the work list.

    A coordinator opens screenings with her own key, on her own machine.
    """


mode_option = click.option(
    "--mode",
    type=click.Choice(["field", "training"]),
    default="field",
    show_default=True,
    help="List real or training screenings. Training never causes an alarm.",
)


@click.command()
@click.argument("queue", required=False)
@mode_option
@pin_option
@account_options
@json_option
def queue(queue: str | None, mode: str, pin: str, account: Account, as_json: bool) -> None:
    """List your queues, or the referrals in QUEUE.

    QUEUE is a name such as 17-protection. The most urgent referrals come first.
    """
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
    """Decrypt and show a screening, on this machine.

    It shows the answers, the indicators and the recomputed outcome.
    """
    with account.open_desk(pin) as session:
        opened = session.open_screening(referral)
    print_result(opened.as_dict(), as_json, lambda console: print_screening(console, opened))


def print_screening(console: Console, opened: VerifiedScreening) -> None:
    """Print a decrypted screening: warnings first, then answers, outcome and reasons."""
    console.print(
        f"[bold]{opened.title}[/] {opened.version} ({opened.mode}), from {opened.device}, region {opened.region}"
    )
    if opened.revoked:
        console.print("This tablet is revoked. Check with care what it sent.", style="bold red")
    if not opened.vouched:
        console.print(
            "One signer of this form version may no longer sign. Only one person now vouches for its texts.",
            style="red",
        )
    if opened.route_agrees is False:
        console.print(
            "The server used other routing data than the sealed data. The case is on the work list.", style="bold red"
        )
    if opened.sealed_sha not in ("", opened.sha):
        console.print(
            "The tablet sealed another form version, which is unknown, refused or does not fit. Check this tablet.",
            style="bold red",
        )
    for answer in opened.answers:
        console.print(Text(f"\n{answer.text_es}", style="bold"))
        if opened.lang != "es":
            console.print(Text(f"{answer.text}  [{opened.lang}, {answer.text_state}]", style="dim"))
        console.print(Text(f"  {answer.answer_es}"))
    console.print(Text(f"\n{opened.outcome}, {opened.tier}", style="bold"))
    for sentence in opened.assessment.why:
        console.print(Text(f"  {sentence}"))
    if opened.agrees and not opened.dropped:
        console.print("Recomputed here: the same outcome.", style="green")
    for difference in opened.differences:
        console.print(
            f"{difference.name}: the tablet recorded {difference.recorded}, recomputed {difference.computed}",
            style="bold red",
        )
    if opened.missing:
        console.print(
            f"Not opened in this session: screenings {', '.join(map(str, opened.missing))} of the same tablet."
        )


def _print_state(referral: dict[str, Any], as_json: bool) -> None:
    print_result(referral, as_json, lambda console: console.print(f"{referral['id']} is {referral['state']}."))


@click.command()
@click.argument("referral")
@pin_option
@account_options
@json_option
def claim(referral: str, pin: str, account: Account, as_json: bool) -> None:
    """Reserve a referral for yourself until the lease ends."""
    with account.open_desk(pin) as session:
        _print_state(session.claim(referral), as_json)


@click.command()
@click.argument("referral")
@pin_option
@account_options
@json_option
def accept(referral: str, pin: str, account: Account, as_json: bool) -> None:
    """Accept a referral. The inspector's tablet gets the status at its next sync."""
    with account.open_desk(pin) as session:
        _print_state(session.accept(referral), as_json)


@click.command()
@click.argument("referral")
@click.option(
    "--result",
    required=True,
    type=click.Choice(RESULTS),
    help="How it ended. The inspector learns only that it is closed.",
)
@pin_option
@account_options
@json_option
def close(referral: str, result: str, pin: str, account: Account, as_json: bool) -> None:
    """Close a referral that you accepted."""
    with account.open_desk(pin) as session:
        _print_state(session.close(referral, result), as_json)
