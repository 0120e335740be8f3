"""`chaski forms translations extract | merge | status`: gettext files for translators, and the state of each language.

Authors use it on their own machine. A merge must not lose a translated text, or replace a reviewed text by a draft."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from screening_forms.compiled_form import CHANNELS
from screening_forms.languages import FALLBACK, LANGUAGES, SOURCE
from screening_forms.texts.audio import find_recordings, recording_name, spoken_texts
from screening_forms.texts.glossary import Glossary
from screening_forms.texts.translations import requested_languages
from screening_forms.translators.po_files import MergeResult, merge_into_file, update_catalogue, write_template
from screening_forms.translators.status import TranslationStatus, translation_statuses
from screening_forms.workbook.package import Package, pack_package
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE, LOCALES, parse_po
from server.cli.authors.forms import is_in_catalogue, read_package
from server.cli.safe_console import make_table
from server.cli.terminal import json_option, print_result

_COLUMNS = {
    **{name: name for name in ("reviewed", "draft", "stale", "unsigned", "missing")},
    "spelling": "spell",
    "glossary": "terms",
}


@click.group()
def translations() -> None:
    """Exchange texts with translators; show their state.

    Files are gettext `.po`, for Poedit, Weblate or a text editor. See locales/README.md.
    """


@translations.command()
@click.argument("form")
@click.option(
    "--lang",
    type=click.Choice(tuple(LANGUAGES)),
    help="Include the texts of this language. Default: an empty template (.pot).",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option(
    "--prompts", is_flag=True, help="Write a CSV of the texts to record in this language, with file names, instead."
)
def extract(form: str, lang: str | None, out: Path, prompts: bool) -> None:
    """Write FORM's texts into a file for a translator.

    With --prompts the file is for a speaker who records the texts.
    """
    found = read_package(form)
    if prompts:
        text = _recording_prompts(found, lang or SOURCE)
    elif lang in FALLBACK:
        text = update_catalogue(
            found.workbook, lang, _stored_texts(found, lang), beside=BUILT_IN.catalogues.get(lang, "")
        )[0]
    else:
        text = write_template(found.workbook)
    out.write_text(text, encoding="utf-8")


@translations.command()
@click.argument("form")
@click.argument("returned", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def merge(form: str, returned: tuple[Path, ...], as_json: bool) -> None:
    """Merge the .po files that translators RETURNED.

    It also updates the translations to the Spanish texts. FORM is a catalogue form, a source package or a
    folder with the same layout. Texts whose Spanish changed become drafts again. No translation is lost, and a
    draft never replaces a reviewed text.
    """
    found = read_package(form)
    texts = [path.read_text(encoding="utf-8-sig") for path in returned]
    sent = {parse_po(text).metadata.get("Language", ""): text for text in texts}
    asked = requested_languages(found.workbook)
    if strange := [lang for lang in sent if lang not in asked]:
        raise click.ClickException(
            f"{form} needs {', '.join(asked) or 'no language'} besides Spanish, not '{strange[0]}': "
            "see 'Language' in the file's header, and 'languages' in the form's settings."
        )
    done = _merge_into_catalogue(found, sent) if is_in_catalogue(form) else _merge_into_package(Path(form), found, sent)
    print_result(
        {lang: asdict(each) for lang, each in done.items()}, as_json, lambda console: _print_merge(console, done)
    )


@translations.command()
@click.argument("forms", metavar="[FORM]...", nargs=-1)
@click.option("--findings", is_flag=True, help="List every text with a problem.")
@json_option
def status(forms: tuple[str, ...], findings: bool, as_json: bool) -> None:
    """Show the state of each language of FORM.

    Without FORM it shows all forms of the catalogue. The last columns say on which channels a language ships. A text is
    reviewed when its translator has signed it off (locales/README.md). Training ships all texts, with drafts marked.
    Field ships only complete, reviewed languages.
    """
    names = forms or tuple(sorted(path.parent.name for path in CATALOGUE.glob("*/form.md")))
    glossary = Glossary.built_in()
    found = {}
    for name in names:
        read = read_package(name)
        found[name] = list(translation_statuses(read.workbook, read.resources, glossary))
    data = {name: {each.coverage.lang: each.as_dict() for each in held} for name, held in found.items()}

    def write(console: Console) -> None:
        for name, held in found.items():
            console.print(name, style="bold")
            console.print(_status_table(held))
            for each in held:
                _print_details(console, each, findings)

    print_result(data, as_json, write)


def _stored_texts(found: Package, lang: str) -> str:
    """Return the form's texts in a language, from its own files or the built-in ones; "" if there are none."""
    form_id = found.workbook.settings.get("form_id", "")
    return found.resources.form_texts(lang, form_id) if lang in found.resources.catalogues else ""


def _recording_prompts(found: Package, lang: str) -> str:
    """Return a CSV of the texts to read aloud, each with the file name of its recording."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["file", "recorded", "text"])
    recorded = find_recordings(found.workbook, lang, found.resources)
    for context, text in spoken_texts(found.workbook, lang, found.resources).items():
        name = f"audio/{lang}/{recording_name(context.split('/')[1], text)}.ogg"
        rows.writerow([name, "yes" if context in recorded else "no", text])
    return written.getvalue()


def _merge_into_catalogue(found: Package, sent: dict[str, str]) -> dict[str, MergeResult]:
    langs = tuple(sent) or requested_languages(found.workbook)
    return {lang: merge_into_file(found.workbook, lang, LOCALES, sent.get(lang, "")) for lang in langs}


def _merge_into_package(path: Path, found: Package, sent: dict[str, str]) -> dict[str, MergeResult]:
    """Write `.po` files into an author's folder or source package. Raises ClickException for a single workbook."""
    if not path.is_dir() and path.suffix != ".zip":
        raise click.ClickException(
            f"{path} is a single workbook. Move it into a folder as form{path.suffix}, and give that folder as FORM."
        )
    texts, done = dict(found.included.catalogues), {}
    for lang in tuple(sent) or requested_languages(found.workbook):
        beside = BUILT_IN.catalogues.get(lang, "")
        texts[lang], done[lang] = update_catalogue(
            found.workbook, lang, _stored_texts(found, lang), sent.get(lang, ""), beside
        )
    if path.is_dir():
        for lang in done:
            (path / f"{lang}.po").write_text(texts[lang], encoding="utf-8")
    else:
        path.write_bytes(pack_package(replace(found, included=replace(found.included, catalogues=texts))))
    return done


def _print_merge(console: Console, done: dict[str, MergeResult]) -> None:
    for lang, each in done.items():
        console.print(
            f"{lang}: {len(each.taken)} texts merged, {len(each.remembered)} drafted from equal Spanish texts"
        )
        for contexts, why in (
            (each.kept, "the reviewed text stays: the returned text is a draft"),
            (each.unsigned, "a draft: its sign-off belongs to other words"),
            (each.unknown, "not merged: the form has no such text"),
        ):
            for context in contexts:
                console.print(f"  {context}: {why}")


def _status_table(held: list[TranslationStatus]) -> Table:
    return make_table(("", *_COLUMNS.values(), "audio", *CHANNELS), map(_status_row, held), gap=1)


def _status_row(each: TranslationStatus) -> list[str]:
    counts = each.counts()
    ships = ["no" if each.coverage.reasons_against(channel) else "yes" for channel in CHANNELS]
    return [
        each.coverage.lang,
        *(str(counts[column]) for column in _COLUMNS),
        f"{each.recorded}/{each.prompts}",
        *ships,
    ]


def _print_details(console: Console, each: TranslationStatus, findings: bool) -> None:
    for channel in CHANNELS:
        if why := each.coverage.reasons_against(channel):
            reasons = ", ".join(f"{count} {reason}" for reason, count in why.items())
            console.print(f"{each.coverage.lang} does not ship on {channel}: {reasons}")
    for problem in each.problems if findings else ():
        console.print(f"  {problem.sheet}:{problem.row} {problem.code}: {problem.advice_en}")
