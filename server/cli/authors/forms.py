"""`chaski forms`: what form authors do with a workbook, on their own machines. What speaks to a server, or signs, is in
modules of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from screening_forms.checks import odk_validate
from screening_forms.checks.run import blocking_problems
from screening_forms.compiled_form import CHANNELS, CompiledForm
from screening_forms.compiler.compile_form import check_and_compile, compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import FormError, FormProblem
from screening_forms.rules.indicators import PROFILES
from screening_forms.scoring.assessment import Assessment, assess_indicators, explain_screening
from screening_forms.scoring.reasons import DIMENSION_WORDS
from screening_forms.workbook.package import Package, load_package, pack_package
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE
from screening_forms.workbook.xlsx_writer import write_xlsx
from server.cli.terminal import LazyGroup, json_option, print_problems, print_result, read_json_object, spinner
from sync.documents.signed import Document
from sync.envelope.route import AUTHOR_FIELDS

channel_option = click.option(
    "--channel",
    type=click.Choice(CHANNELS),
    default="training",
    show_default=True,
    help="training shows drafts, marked; field ships only complete, reviewed languages.",
)


SUBCOMMANDS = {
    "check": "authors.forms:check",
    "export": "authors.forms:export",
    "compile": "authors.forms:compile_command",
    "score": "authors.forms:score",
    "assess": "authors.forms:assess",
    "try": "authors.try_form:try_command",
    "diff": "authors.compare:diff_command",
    "impact": "authors.compare:impact_command",
    "tables": "authors.rule_tables:tables",
    "translations": "authors.translations:translations",
    "draft": "authors.versions:draft",
    "versions": "authors.versions:versions",
    "show": "authors.versions:show_version",
    "sign": "authors.sign:sign_command",
    "return": "authors.versions:return_version",
    "withdraw": "authors.versions:withdraw",
    "discard": "authors.versions:discard",
    "publish": "authors.rollouts:publish",
    "rings": "authors.rollouts:rings",
    "widen": "authors.rollouts:widen",
    "halt": "authors.rollouts:halt",
    "resume": "authors.rollouts:resume",
    "roll-back": "authors.rollouts:roll_back",
    "close": "authors.rollouts:close",
    "retire": "authors.rollouts:retire",
    "inventory": "authors.rollouts:inventory",
    "publish-table": "authors.publish_table:publish_table",
    "redraft": "authors.publish_table:redraft",
    "token": "authors.tokens:token",
    "card": "authors.card:card",
}


@click.group(cls=LazyGroup, lazy_commands=SUBCOMMANDS)
def forms() -> None:
    """Check, compile, try, translate, compare, sign and publish questionnaires.

    FORM is the name of a form in the catalogue, such as pe_laboral_adulto, or the path of an XLSForm workbook (.xlsx
    or Markdown tables), of a source package (.zip), or of a folder laid out like one.
    """


def is_in_catalogue(form: str) -> bool:
    """Whether FORM is one of the catalogue; a folder of the author's own may be called alike, but has a path."""
    return Path(form).name == form and (CATALOGUE / form / "form.md").exists()


def read_package(form: str) -> Package:
    """Read FORM; raises FormError when it is no form, OSError when it is not there."""
    return load_package(CATALOGUE / form if is_in_catalogue(form) else Path(form))


def compile_checked(form: str, channel: str) -> CompiledForm:
    """Check and compile FORM; raises FormError with all problems at once."""
    found = read_package(form)
    return compile_form(found.workbook, channel=channel, route_vocabulary=AUTHOR_FIELDS, resources=found.resources)


@click.command()
@click.argument("form")
@channel_option
@click.option("--odk", is_flag=True, help="Ask ODK Validate as well whether the form opens in ODK (some seconds).")
@json_option
def check(form: str, channel: str, odk: bool, as_json: bool) -> None:
    """Name everything that is wrong with FORM: sheet, row, column, code, and what to do. Exit code 1 if anything is.

    The sheet `cases` is run as well. Most problems stop the form from compiling; those with "blocking": false in the
    JSON only leave a language, an indicator or a guidance text out.
    """
    try:
        problems = _find_problems(read_package(form), channel, odk)
    except FormError as error:
        problems = list(error.problems)
    if as_json:
        stops = blocking_problems(problems, channel)
        listed = [{**asdict(problem), "blocking": problem in stops} for problem in problems]
        print_result({"ok": not problems, "problems": listed}, True, lambda _: None)
    elif problems:
        print_problems(problems)
    else:
        click.echo("No problems found.")
    raise SystemExit(1 if problems else 0)


def _find_problems(found: Package, channel: str, odk: bool) -> list[FormProblem]:
    book, vocabulary = found.workbook, AUTHOR_FIELDS
    problems, form = check_and_compile(book, channel=channel, route_vocabulary=vocabulary, resources=found.resources)
    if odk and form is not None:
        with spinner("Asking ODK Validate ..."):
            problems += odk_validate.validate(form.xform, odk_validate.node_rows(book))
    return problems


@click.command()
@click.argument("form")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(form: str, file: Path) -> None:
    """Write FORM as a workbook to go on with: FILE.xlsx for LibreOffice or Excel.

    FILE.zip takes the whole source package instead: workbook, indicator set, policy, translations, recordings.
    """
    found = read_package(form)
    if file.suffix.lower() not in (".xlsx", ".zip"):
        raise click.UsageError("FILE must end in .xlsx or .zip.")
    is_whole = file.suffix.lower() == ".zip"
    file.write_bytes(pack_package(found) if is_whole else write_xlsx(found.workbook, found.resources))
    click.echo(f"{file} holds {form}, version {found.workbook.settings.get('version', '')}.", err=True)


@click.command(name="compile")
@click.argument("form")
@channel_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the unsigned bundle here, for `forms sign`.")
@click.option("--xform", type=click.Path(path_type=Path), help="Write the XForm alone here, for any ODK client.")
@json_option
def compile_command(form: str, channel: str, out: Path | None, xform: Path | None, as_json: bool) -> None:
    """Compile FORM into a bundle: the exact bytes that author and reviewer sign."""
    with spinner("Compiling ..."):
        version = compile_checked(form, channel)
    document = Document(version.to_bytes())
    if out is not None:
        out.write_bytes(document.payload)
    if xform is not None:
        xform.write_text(version.xform, encoding="utf-8")
    data = {
        "form_id": version.form_id,
        "version": version.version,
        "sha256": document.sha256,
        "channel": version.channel,
        "languages": list(version.languages),
        "left_out": version.left_out,
        "fell_back": version.fell_back,
        "bytes": len(document.payload),
    }

    def write(console: Console) -> None:
        console.print(f"[bold]{version.form_id}[/] version {version.version}, channel {channel}")
        console.print(f"  sha256 {document.sha256}, {len(document.payload):,} bytes")
        console.print(f"  languages: {', '.join(version.languages)}")
        for lang, why in version.left_out.items():
            console.print(f"  left out: {lang} ({', '.join(f'{count} {reason}' for reason, count in why.items())})")
        for lang, contexts in version.fell_back.items():
            console.print(f"  in Spanish for want of {lang}: {len(contexts)} texts")

    print_result(data, as_json, write)


@click.command()
@click.argument("form")
@click.option(
    "--answers", required=True, type=click.Path(path_type=Path, exists=True), help="JSON {question: value or [values]}."
)
@json_option
def score(form: str, answers: Path, as_json: bool) -> None:
    """Fill FORM with answers as a tablet would and show what its own calculates find."""
    version = compile_checked(form, "training")
    filled = load_engine(version.xform).run(read_json_object(answers))
    if filled.missing:
        click.echo(f"Required and not answered; a tablet would not seal this: {', '.join(filled.missing)}", err=True)
    _print_assessment(explain_screening(version, filled), as_json)


@click.command()
@click.option("--profile", required=True, type=click.Choice(PROFILES))
@click.option("--policy", "policy_name", required=True, help="Such as pe_adult_2026_1.")
@click.option(
    "--indicator-set", default="ilo_delphi_2009", show_default=True, help="Also pe_sexual_2026_1, ilo_hard_to_see_2012."
)
@click.option(
    "--indicators",
    "indicators_file",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help='JSON {"D1.01": 1 | 0 | null, ...}; codes left out are unknown. Facts: minor, danger, place (0), consent (1).',
)
@json_option
def assess(profile: str, policy_name: str, indicator_set: str, indicators_file: Path, as_json: bool) -> None:
    """Apply the dimension rule and a policy to indicators, without a form.

    A code that is left out is unknown, not absent, and unknowns keep an outcome open. The lists for sexual
    exploitation are unverified: pe_adult_sexual_2026_1 lets them decide only together with a third party's profit or
    control (P codes).
    """
    values = read_json_object(indicators_file)
    facts = {name: values.pop(name) for name in ("minor", "danger", "consent", "place") if name in values}
    found = assess_indicators(
        values,
        profile=profile,
        policy=BUILT_IN.policy(policy_name),
        indicator_set=BUILT_IN.indicator_set(indicator_set),
        **facts,
    )
    _print_assessment(found, as_json)


def _print_assessment(found: Assessment, as_json: bool) -> None:
    def write(console: Console) -> None:
        kinds = ", ".join(found.queue_kinds) or "no queue: counted only"
        console.print(f"[bold]{found.outcome}[/] (tier {found.tier}), urgency {found.urgency}, to: {kinds}")
        table = Table("dimension", "least", "most", "", box=None, padding=(0, 2, 0, 0))
        for code, bounds in found.dimensions.items():
            table.add_row(
                code, _yes_or_no(bounds.low.positive), _yes_or_no(bounds.high.positive), DIMENSION_WORDS[code]
            )
        console.print(table)
        for sentence in found.why:
            console.print(Text(f"  {sentence}"))

    print_result(found.as_dict(), as_json, write)


def _yes_or_no(positive: bool) -> str:
    return "yes" if positive else "no"
