"""`chaski forms diff` and `chaski forms impact`: the changes of a new form version, and how many outcomes they move.

An author sees the effect before the version is published. The comparison runs on the author's own machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from screening_forms.diff.cases import case_changes
from screening_forms.diff.changes import Change
from screening_forms.diff.forms import form_changes
from screening_forms.impact.comparison import Impact, MovedScreening, Outcome, OutcomeMove, compare_outcomes
from server.cli.authors.compare_inputs import ComparedVersion, progress_bar, version_pair_options
from server.cli.safe_console import make_table
from server.cli.terminal import json_option, print_result, spinner

count_option = click.option(
    "--count",
    type=click.IntRange(0, 100_000),
    default=300,
    show_default=True,
    help="Number of synthetic interviews, besides the author's own cases.",
)
_MAX_MOVES = 12


@click.command(name="diff")
@version_pair_options
@count_option
@json_option
def diff_command(sides: tuple[ComparedVersion, ComparedVersion], count: int, as_json: bool) -> None:
    """List the changes from OLD to NEW, in words.

    It also counts the outcomes that could change. OLD and NEW are each a FORM, a file from `forms compile`, or the
    number or hash of a version on the server.
    """
    old, new = sides
    with spinner("Comparing ..."):
        changes = form_changes(old.form, new.form)
        if old.workbook and new.workbook:
            changes += case_changes(old.workbook, new.workbook)
        moved = compare_outcomes(old.form, new.form, own=new.cases, count=count)
    counts = {"compared": moved.cases + count, "moved": moved.moved, "moved_outcomes": moved.moved_outcomes}
    data = {"changes": [each.as_dict() for each in changes], "impact": counts}

    def write(console: Console) -> None:
        print_changes(console, changes)
        console.print(f"{moved.moved_outcomes} of {counts['compared']} outcomes could change.", style="bold")

    print_result(data, as_json, write)


def print_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print each change: its place and code, then the sentence in Spanish and English."""
    for each in changes:
        place = f"{each.sheet} {each.name}".strip()
        console.print(Text.assemble((place, "bold"), "  ", (each.code, "cyan")))
        console.print(Text(f"    {each.es}"))
        console.print(Text(f"    {each.en}", style="dim"))
    console.print(f"{len(changes)} change(s)." if changes else "No change: the bytes are equal.")


@click.command(name="impact")
@version_pair_options
@count_option
@click.option("--seed", type=int, default=0, help="Another seed generates other interviews.")
@json_option
def impact_command(sides: tuple[ComparedVersion, ComparedVersion], count: int, seed: int, as_json: bool) -> None:
    """Show how many outcomes change from OLD to NEW, and why.

    It fills both versions with the cases of NEW and with synthetic interviews that use every choice. One synthetic
    respondent answers both versions. She gives the same answer to the same question, and also answers new questions.
    """
    old, new = sides
    with progress_bar("Interviews") as progress:
        found = compare_outcomes(old.form, new.form, own=new.cases, count=count, seed=seed, progress=progress)
    print_result(found.as_dict(), as_json, lambda console: print_impact(console, found))


def print_impact(console: Console, found: Impact) -> None:
    """Print the table of outcomes, each kind of move with an example, and the answers without a counterpart."""
    compared = f"{found.cases} case(s) and {found.made_up} synthetic interviews"
    console.print(f"Of {compared}, {found.moved_outcomes} have another outcome, {found.moved} move in all.")
    console.print(_outcome_table(found))
    for move in found.moves[:_MAX_MOVES]:
        _print_move(console, move)
    if len(found.moves) > _MAX_MOVES:
        console.print(f"... and {len(found.moves) - _MAX_MOVES} more kinds of move: --json prints all.")
    for each in found.uncarried:
        what = f"choice {each.question} = {each.choice}" if each.choice else f"question {each.question}"
        console.print(f"Only in the {each.only_in} version: {what}; {each.answers} answer(s) have no counterpart.")


def _outcome_table(found: Impact) -> Table:
    after = sorted({after for _, after in found.outcomes})
    rows: Iterable[list[str | Text]] = (
        [before, *(_cell(found.outcomes.get((before, each), 0), before != each) for each in after)]
        for before in sorted({before for before, _ in found.outcomes})
    )
    return make_table(["before \\ after", *after], rows)


def _cell(count: int, moved: bool) -> Text:
    return Text(str(count or "·"), style="bold yellow" if count and moved else "")


def _print_move(console: Console, move: OutcomeMove) -> None:
    console.print()
    console.print(f"{move.count}: {_describe_outcome(move.before)}  →  {_describe_outcome(move.after)}", style="bold")
    for example in move.examples[:1]:
        _print_example(console, example)


def _describe_outcome(outcome: Outcome) -> str:
    return f"{outcome.outcome} ({outcome.tier}, {outcome.urgency}, to {outcome.queue_kinds or 'no desk'})"


def _print_example(console: Console, example: MovedScreening) -> None:
    console.print(Text(f"   Example: {example.case or 'a synthetic respondent'}"))
    for question, answer in example.words:
        console.print(Text(f"     {question} {answer}", style="dim"))
    for name, why, other in (
        ("before", example.why_before, example.why_after),
        ("after", example.why_after, example.why_before),
    ):
        for sentence in (sentence for sentence in why if sentence not in other):
            console.print(Text(f"   {name}: {sentence}"))
