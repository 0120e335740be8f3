"""A form in three languages, its gettext files in a folder, and recordings, for tests of translations and audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polib

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.translators.po_files import merge_into_file
from screening_forms.workbook.reader import Workbook, parse_markdown
from screening_forms.workbook.resources import Resources, load_built_in
from support.forms import WHOLE
from sync.envelope.route import AUTHOR_FIELDS

SIGN_OFF = "Translator: RENITLI 321\nVariety: {lang} Cusco\nDate: 2026-11-20\nBack-translation: Dice lo mismo."


def trilingual() -> Workbook:
    """The whole form of tests/support/forms.py with texts in three languages."""
    return parse_markdown(WHOLE.replace("| es |\n\n| indic", "| es quz ayr |\n\n| indic"))


def edit(locales: Path, lang: str, change: Callable[[polib.POEntry], None]) -> None:
    """Change every entry of a language's file and save it, as a text editor does."""
    held = polib.pofile(str(locales / lang / "LC_MESSAGES" / "forms.po"))
    for entry in held:
        change(entry)
    held.save()


def draft(entry: polib.POEntry) -> None:
    """Translate an entry, as a draft."""
    entry.msgstr, entry.flags = f"rimay {entry.msgctxt}", ["fuzzy"]


def signed(lang: str) -> Callable[[polib.POEntry], None]:
    """Translate an entry and sign it off."""

    def sign(entry: polib.POEntry) -> None:
        entry.msgstr, entry.flags, entry.tcomment = f"rimay {entry.msgctxt}", [], SIGN_OFF.format(lang=lang)

    return sign


def drafted(locales: Path) -> Path:
    """Fill a folder: Quechua all drafted, Aymara all but the first text."""
    for lang in ("quz", "ayr"):
        merge_into_file(trilingual(), lang, locales)
        edit(locales, lang, draft)

    def forget(entry: polib.POEntry) -> None:
        if entry.msgctxt == "small/peligro/label":
            entry.msgstr = ""

    edit(locales, "ayr", forget)
    return locales


def compiled_in(channel: str, locales: Path, recordings: dict[str, bytes] | None = None) -> CompiledForm:
    """Compile the ten questions with a folder's translations and with recordings."""
    resources = Resources(recordings=recordings or {}).with_fallback(load_built_in(locales))
    return compile_form(trilingual(), channel=channel, route_vocabulary=AUTHOR_FIELDS, resources=resources)
