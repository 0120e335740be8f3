"""`chaski forms tables check | effect`: checks a new indicator set or policy, and shows its effect on each form.

Authors run it on their own machine before `chaski forms publish-table`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from screening_forms.checks.table_versions import TABLE_KINDS, previous_version, read_table_text, version_problems
from screening_forms.errors import FormError
from screening_forms.impact import table_effect
from screening_forms.rules.csv_table import table_family
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE
from server.cli.authors.compare import count_option, print_changes, print_impact
from server.cli.authors.compare_inputs import progress_bar
from server.cli.authors.forms import read_package
from server.cli.safe_console import safe_text
from server.cli.terminal import json_option, print_problems, print_result
from sync.envelope.route import AUTHOR_FIELDS

file_argument = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
kind_option = click.option("--kind", type=click.Choice(tuple(TABLE_KINDS)), required=True, help="Kind of the table.")


@click.group()
def tables() -> None:
    """Check a new version of an indicator set or policy.

    The commands also show what it would change. FILE is a CSV table, or an .xlsx workbook with a sheet
    `indicator_set` or `policy`. The file's name is the table's name: family, year, number, such as pe_adult_2026_2.csv.
    """


@tables.command()
@file_argument
@kind_option
@json_option
def check(file: Path, kind: str, as_json: bool) -> None:
    """List every problem that blocks publishing FILE.

    It also lists the changes from the version before. A code keeps its meaning for ever. If its words change, the
    column same_meaning must say yes.
    """
    text = read_table_text(file.read_bytes(), file.name, kind)
    problems = version_problems(kind, file.stem, text, BUILT_IN)
    before = previous_version(kind, file.stem, BUILT_IN)
    earlier = TABLE_KINDS[kind].tables_in(BUILT_IN)
    changes = (
        table_effect.table_changes(kind, before, earlier[before], file.stem, text) if before and not problems else []
    )
    data = {
        "ok": not problems,
        "problems": [asdict(each) for each in problems],
        "former": before,
        "changes": [each.as_dict() for each in changes],
    }

    def write(console: Console) -> None:
        if problems:
            print_problems(problems)
            return
        console.print(f"No problems found. Version before: {before or 'none'}.")
        if before:
            print_changes(console, changes)

    print_result(data, as_json, write)
    raise SystemExit(1 if problems else 0)


@tables.command()
@file_argument
@kind_option
@click.option(
    "--form", "forms", multiple=True, help="A FORM to compare. Default: the whole catalogue. May be repeated."
)
@count_option
@json_option
def effect(file: Path, kind: str, forms: tuple[str, ...], count: int, as_json: bool) -> None:
    """Show which outcomes change with FILE, for each form.

    It compiles each form that uses the table's family with FILE.
    """
    text = read_table_text(file.read_bytes(), file.name, kind)
    if problems := version_problems(kind, file.stem, text, BUILT_IN):
        raise FormError(problems)
    named = forms or tuple(sorted(path.parent.name for path in CATALOGUE.glob("*/form.md")))
    packages = {form: read_package(form) for form in named}
    with progress_bar("Interviews") as progress:
        found = table_effect.effect_on_forms(
            kind,
            file.stem,
            text,
            packages,
            route_vocabulary=AUTHOR_FIELDS,
            count=count,
            progress=progress,
        )

    def write(console: Console) -> None:
        for each in found:
            console.rule(safe_text(f"{each.form_id}: {each.former} → {file.stem}"))
            if each.impact is None:
                print_problems(each.problems)
                continue
            print_changes(console, each.changes)
            print_impact(console, each.impact)
        if not found:
            console.print(f"No form here uses {table_family(file.stem)}.")

    print_result([each.as_dict() for each in found], as_json, write)
