"""`chaski forms card`: prints the neutral help card that an inspector gives to each person.

The card is the same for each outcome. It must not show why it was given."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from screening_forms.help_card.content import REGIONS, make_card
from screening_forms.help_card.page import render_html, render_text
from server.cli.terminal import json_option, print_result


@click.command()
@click.option("--region", required=True, help=f"INEI code of the region: {', '.join(REGIONS)}.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a printable page (one A4 sheet) to this file.",
)
@json_option
def card(region: str, page: Path | None, as_json: bool) -> None:
    """Print the neutral help card of a region.

    It has the numbers to call, in every language, with drafts marked. Its outside does not show why it was given.
    The page prints on one A4 sheet. Fold the upper half to the back, then the left half to the back.
    """
    made = make_card(region)
    if page is not None:
        page.write_text(render_html(made), encoding="utf-8")

    def write(console: Console) -> None:
        for line in render_text(made):
            console.print(Text(line))

    print_result(made.as_dict(), as_json, write)
