"""`chaski forms`: the group, and the commands that work on a workbook alone (check, export, compile, score, assess).

Authors run them on their own machines. This module must not connect to a server or sign; other modules do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from screening_forms.checks import odk_rows, odk_validate
from screening_forms.checks.run import blocking_problems
from screening_forms.compiled_form import CHANNELS, CompiledForm
from screening_forms.compiler.compile_form import check_and_compile, compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import FormError, FormProblem
from screening_forms.rules.dimensions import FACTS, Facts
from screening_forms.rules.indicators import PROFILES
from screening_forms.scoring.assessment import Assessment, assess_indicators, explain_screening
from screening_forms.scoring.reasons import DIMENSION_WORDS
from screening_forms.workbook.package import Package, load_package, pack_package
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE
from screening_forms.workbook.xlsx_writer import write_xlsx
from server.cli.safe_console import echo, make_table
from server.cli.terminal import LazyGroup, json_option, print_problems, print_result, read_json_object, spinner
from sync.documents.signed import Document
from sync.envelope.route import AUTHOR_FIELDS

channel_option = click.option(
    "--channel",
    type=click.Choice(CHANNELS),
    default="training",
    show_default=True,
    help="training includes drafts, marked; field only complete, reviewed languages.",
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
    """Check, try, compare, sign and publish questionnaires.

    FORM is the name of a catalogue form, such as pe_laboral_adulto, or a path: an XLSForm workbook (.xlsx or Markdown
    tables), a source package (.zip), or a folder with the same layout.
    """


def is_in_catalogue(form: str) -> bool:
    """True if FORM names a catalogue form. An author's folder of the same name needs a path, such as ./NAME."""
    return Path(form).name == form and (CATALOGUE / form / "form.md").exists()


def read_package(form: str) -> Package:
    """Read FORM. Raises FormError when it is not a form, OSError when the file is missing."""
    return load_package(CATALOGUE / form if is_in_catalogue(form) else Path(form))


def compile_checked(form: str, channel: str) -> CompiledForm:
    """Check and compile FORM. Raises FormError with all problems."""
    found = read_package(form)
    return compile_form(found.workbook, channel=channel, route_vocabulary=AUTHOR_FIELDS, resources=found.resources)


@click.command()
@click.argument("form")
@channel_option
@click.option("--odk", is_flag=True, help="Also run ODK Validate on the form (takes some seconds).")
@json_option
def check(form: str, channel: str, odk: bool, as_json: bool) -> None:
    """List every problem of FORM, with what to do.

    Each problem has its sheet, row, column and code. Exit code 1 means that there are problems. The cases in the sheet
    `cases` run too. Most problems block compiling. Those with "blocking": false in the JSON leave out a language, or
    block only the channel `field`, for which a form must be complete and protect the person.
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
        echo("No problems found.")
    raise SystemExit(1 if problems else 0)


def _find_problems(found: Package, channel: str, odk: bool) -> list[FormProblem]:
    book, vocabulary = found.workbook, AUTHOR_FIELDS
    problems, form = check_and_compile(book, channel=channel, route_vocabulary=vocabulary, resources=found.resources)
    if odk and form is not None:
        with spinner("Running ODK Validate ..."):
            problems += odk_validate.validate(form.xform, odk_rows.node_rows(book))
    return problems


@click.command()
@click.argument("form")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(form: str, file: Path) -> None:
    """Write FORM as a workbook that you can edit.

    FILE.xlsx is for LibreOffice or Excel. FILE.zip gets the whole source package: workbook, indicator set,
    policy, translations, recordings.
    """
    found = read_package(form)
    if file.suffix.lower() not in (".xlsx", ".zip"):
        raise click.UsageError("FILE must end in .xlsx or .zip.")
    is_whole = file.suffix.lower() == ".zip"
    file.write_bytes(pack_package(found) if is_whole else write_xlsx(found.workbook, found.resources))
    echo(f"{file} holds {form}, version {found.workbook.settings.get('version', '')}.", err=True)


@click.command(name="compile")
@click.argument("form")
@channel_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the unsigned bundle to this file.")
@click.option("--xform", type=click.Path(path_type=Path), help="Write only the XForm to this file, for any ODK client.")
@json_option
def compile_command(form: str, channel: str, out: Path | None, xform: Path | None, as_json: bool) -> None:
    """Compile FORM into a bundle to be signed.

    Author and reviewer sign exactly these bytes.
    """
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
        about = f" version {version.version}, channel {channel}"
        console.print(Text.assemble((version.form_id, "bold"), about))
        console.print(f"  sha256 {document.sha256}, {len(document.payload):,} bytes")
        console.print(f"  languages: {', '.join(version.languages)}")
        for lang, why in version.left_out.items():
            console.print(f"  left out: {lang} ({', '.join(f'{count} {reason}' for reason, count in why.items())})")
        for lang, contexts in version.fell_back.items():
            console.print(f"  {lang}: {len(contexts)} texts not translated, shown in Spanish")

    print_result(data, as_json, write)


@click.command()
@click.argument("form")
@click.option(
    "--answers", required=True, type=click.Path(path_type=Path, exists=True), help="JSON {question: value or [values]}."
)
@json_option
def score(form: str, answers: Path, as_json: bool) -> None:
    """Score a file of answers with FORM, as a tablet does.

    It shows the outcome and its reasons.
    """
    version = compile_checked(form, "training")
    filled = load_engine(version.xform).run(read_json_object(answers))
    if filled.missing:
        echo(f"Required but not answered, so a tablet would not seal this: {', '.join(filled.missing)}", err=True)
    _print_assessment(explain_screening(version, filled), as_json)


@click.command()
@click.option("--profile", required=True, type=click.Choice(PROFILES))
@click.option("--policy", "policy_name", required=True, help="Name of the policy, such as pe_adult_2026_1.")
@click.option(
    "--indicator-set",
    default="ilo_delphi_2009",
    show_default=True,
    help="Name of the indicator set; also pe_sexual_2026_1 or ilo_hard_to_see_2012.",
)
@click.option(
    "--indicators",
    "indicators_file",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help='JSON {"D1.01": 1 | 0 | null, ...}; missing codes are unknown. Facts: minor, danger, place (0), consent (1).',
)
@json_option
def assess(profile: str, policy_name: str, indicator_set: str, indicators_file: Path, as_json: bool) -> None:
    """Apply a policy to indicators, without a form.

    The dimension rule is applied first. A missing code is unknown, not absent. Unknown codes keep an
    outcome open. The indicator lists for sexual exploitation are not verified. With pe_adult_sexual_2026_1 they decide
    only together with a third party's profit or control (P codes).
    """
    values = read_json_object(indicators_file)
    facts = {name: values.pop(name) for name in FACTS if name in values}
    found = assess_indicators(
        values,
        Facts(**facts),
        profile=profile,
        policy=BUILT_IN.policy(policy_name),
        indicator_set=BUILT_IN.indicator_set(indicator_set),
    )
    _print_assessment(found, as_json)


def _print_assessment(found: Assessment, as_json: bool) -> None:
    def write(console: Console) -> None:
        kinds = ", ".join(found.queue_kinds) or "no queue: counted only"
        decided = f" (tier {found.tier}), urgency {found.urgency}, to: {kinds}"
        console.print(Text.assemble((found.outcome, "bold"), decided))
        rows = (
            (code, _yes_or_no(bounds.low.positive), _yes_or_no(bounds.high.positive), DIMENSION_WORDS[code])
            for code, bounds in found.dimensions.items()
        )
        console.print(make_table(("dimension", "least", "most", ""), rows))
        for sentence in found.why:
            console.print(Text(f"  {sentence}"))

    print_result(found.as_dict(), as_json, write)


def _yes_or_no(positive: bool) -> str:
    return "yes" if positive else "no"
