"""`chaski desk`: a coordinator's referrals, from the queue through `open` and `accept` to `close`.

This process decrypts the screenings, because the server has no desk key. Keys and plaintext must not reach a disk."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from screening_forms.ubigeo import place_name
from server.cli.desk.reading import ScreenReader, plain_option
from server.cli.safe_console import make_table
from server.cli.staff_session import Account, account_options
from server.cli.terminal import LazyGroup, format_time, json_option, print_result
from server.flows.desks.referrals import RESULTS

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
@account_options
@json_option
def queue(queue: str | None, mode: str, account: Account, as_json: bool) -> None:
    """List your queues, or the referrals in QUEUE.

    QUEUE is a name such as 17-protection. The most urgent referrals come first; of a long queue, the first page.
    With --json it prints all of them.
    """
    more = False
    with account.open_desk() as session:
        if queue and not as_json:
            pages = session.referral_pages(queue, mode)
            found, more = next(pages), next(pages, None) is not None
        else:
            found = session.list_referrals(queue, mode) if queue else session.list_queues(mode)
    columns = _REFERRAL_COLUMNS if queue else ("id", "title", "waiting", "accepted", "overdue")

    def write(console: Console) -> None:
        table = make_table(columns, ([_cell_text(column, row) for column in columns] for row in found))
        console.print(table if found else f"Nothing here in {mode}.{TRAINING_HINT if mode == 'field' else ''}")
        if more:
            console.print(f"These are the {len(found)} most urgent ones. There are more.")

    print_result(found, as_json, write)


_REFERRAL_COLUMNS = ("id", "state", "urgency", "deadline", "arrived", "place", "holder", "mark")


def _cell_text(column: str, row: dict[str, Any]) -> str:
    """Return a cell as text. A place is INEI's name of the province, or its code if INEI has no such province."""
    if column == "place":
        code = str(row.get("place") or "")
        return place_name(code) or code
    value = row.get({"arrived": "received", "holder": "holder_login"}.get(column, column))
    if column in ("deadline", "arrived") and isinstance(value, int):
        return format_time(value)
    return "" if value is None else str(value)


@click.command(name="open")
@click.argument("referral")
@plain_option
@account_options
@json_option
def open_referral(referral: str, plain: bool, account: Account, as_json: bool) -> None:
    """Decrypt and show a screening, on this machine.

    It shows the recomputed outcome, the reasons and the answers, in the terminal's second screen. Nothing of it stays
    in the terminal's history. The key ! hides the screen at once; so do five minutes without a key.
    """
    reader = ScreenReader.choose(plain=plain, as_json=as_json)
    with account.open_desk() as session:
        opened = session.open_screening(referral)
    reader.show([opened], opened.as_dict())


def _print_state(referral: dict[str, Any], as_json: bool) -> None:
    print_result(referral, as_json, lambda console: console.print(f"{referral['id']} is {referral['state']}."))


@click.command()
@click.argument("referral")
@account_options
@json_option
def claim(referral: str, account: Account, as_json: bool) -> None:
    """Reserve a referral for yourself until the lease ends."""
    with account.open_desk() as session:
        _print_state(session.claim(referral), as_json)


@click.command()
@click.argument("referral")
@account_options
@json_option
def accept(referral: str, account: Account, as_json: bool) -> None:
    """Accept a referral. The inspector's tablet gets the status at its next sync."""
    with account.open_desk() as session:
        _print_state(session.accept(referral), as_json)


@click.command()
@click.argument("referral")
@click.option(
    "--result",
    required=True,
    type=click.Choice(RESULTS),
    help="How it ended. The inspector learns only that it is closed.",
)
@account_options
@json_option
def close(referral: str, result: str, account: Account, as_json: bool) -> None:
    """Close a referral that you accepted."""
    with account.open_desk() as session:
        _print_state(session.close(referral, result), as_json)
