"""`chaski statistics`: prints the published statistics, as text or as CSV.

An administrator uses it, and signs in. It must not compute a figure; the server has already hidden what is small."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from server.cli.safe_console import echo, visible
from server.cli.staff_session import Account, account_options
from server.cli.terminal import json_option, print_result

_COLUMNS = ("period", "table", "value", "count")


@click.command(name="statistics")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: one row for each value, and a row `total` per table.")
@click.option(
    "--mode",
    type=click.Choice(["field", "training"]),
    default="field",
    show_default=True,
    help="Print the statistics of real or of training screenings.",
)
@account_options
@json_option
def statistics_command(as_csv: bool, mode: str, account: Account, as_json: bool) -> None:
    """Print the published statistics: one table per period and fact.

    A month is published when it is over. A small month is published together with the next ones.
    `< 11` stands for 0 to 10 screenings. `hidden` stands for a count that would give a small one back.
    Only administrators may read them.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    with account.sign_in() as staff:
        tables = staff.list(f"/v1/statistics?mode={mode}")
    if as_csv:
        for line in _format_csv(tables).splitlines():
            echo(line)
    else:
        print_result(tables, as_json, lambda console: _print_periods(console, tables))


def _format_csv(tables: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for each in tables:
        counts = {**each["counts"], "total": each["total"]}
        for value, count in counts.items():
            rows.writerow(map(visible, (each["period"], each["table"], value, str(count))))
    return text.getvalue()


def _print_periods(console: Console, tables: Sequence[dict[str, Any]]) -> None:
    for (period, total), group in groupby(tables, key=lambda each: (each["period"], each["total"])):
        console.print(Text(f"{period}  {total} screenings", style="bold"))
        for each in group:
            console.print(Text(f"  {each['table']:<9} {_describe(each['counts'])}"))
    if not tables:
        console.print("No period is published yet.")


def _describe(counts: dict[str, str]) -> str:
    """Format the numbers one by one, then the values of each mark together: a region table has 26 rows."""
    parts = [f"{value} {count}" for value, count in counts.items() if count.isdecimal()]
    for mark in dict.fromkeys(count for count in counts.values() if not count.isdecimal()):
        parts.append(f"{mark}: {' '.join(value for value, count in counts.items() if count == mark)}")
    return "; ".join(parts)
