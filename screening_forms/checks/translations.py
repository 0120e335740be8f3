"""Checks translations and recordings, each problem with its cell.

`run.py` and `forms translations status` call it. These problems must not block compilation: the compiler leaves out a
language or a recording that is not ready.
"""

from collections.abc import Iterator
from dataclasses import replace

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormError, FormProblem
from screening_forms.languages import FALLBACK, LANGUAGES, SOURCE
from screening_forms.problems import problem
from screening_forms.texts.audio import item_of_recording, read_recording, recording_name, spoken_texts
from screening_forms.texts.glossary import Glossary
from screening_forms.texts.orthography import spelling_findings
from screening_forms.texts.translations import (
    TranslatableText,
    loan_words,
    recordable_texts,
    requested_languages,
    resolve_translations,
    translatable_texts,
)
from screening_forms.workbook.reader import Row


def check_translations(context: CheckContext) -> Iterator[FormProblem]:
    """Every text has, in each language of the form, a correctly spelled translation of the present Spanish."""
    for lang in checked_languages(context):
        yield from text_problems(context, lang)


def text_problems(context: CheckContext, lang: str) -> Iterator[FormProblem]:
    """Yield missing, stale, misspelt and unsigned translations of one language."""
    texts = resolve_translations(context.workbook, lang, context.resources)
    if all(text.state == "fallback" for text in texts.values()):
        yield problem("translation.none", context.settings, "languages", lang)
        return
    loans = loan_words(lang, context.resources)
    for entry in translatable_texts(context.workbook):
        row, column, text = _row(entry), f"{entry.part}::{LANGUAGES[lang]}", texts[entry.context]
        if text.state == "fallback":
            yield problem("translation.missing", row, column, lang, entry.context)
        elif wrong := spelling_findings(text.text, lang, loans):
            yield problem("translation.spelling", row, column, lang, entry.context, ", ".join(wrong))
        if text.stale:
            yield problem("translation.stale", row, column, lang, entry.context)
        elif text.lacking:
            yield problem("translation.unsigned", row, column, lang, entry.context, ", ".join(text.lacking))


def glossary_problems(context: CheckContext, lang: str, glossary: Glossary) -> Iterator[FormProblem]:
    """Yield translations without the glossary's term. They are hints for translators and not part of the checks."""
    texts = resolve_translations(context.workbook, lang, context.resources)
    for entry in translatable_texts(context.workbook):
        if (text := texts[entry.context]).state != "fallback":
            for term in glossary.findings(entry.text, text.text, lang):
                values = lang, entry.context, term.spanish, " / ".join(term.agreed)
                yield problem("translation.glossary", _row(entry), f"{entry.part}::{LANGUAGES[lang]}", *values)


def check_recordings(context: CheckContext) -> Iterator[FormProblem]:
    """Every recording has an allowed format and belongs to a present text of the form."""
    if not context.resources.recordings:
        return
    items = {entry.item: entry for entry in recordable_texts(context.workbook)}
    texts = {
        lang: spoken_texts(context.workbook, lang, context.resources) for lang in (SOURCE, *checked_languages(context))
    }
    for key, content in context.resources.recordings.items():
        lang, _, name = key.partition("/")
        item = item_of_recording(name) or name
        if item not in items or lang not in texts:
            yield problem("audio.unknown", Row("survey", 0, {}), "", key)
            continue
        entry = items[item]
        row, column = _row(entry), f"audio::{LANGUAGES[lang]}"
        text = texts[lang].get(entry.context)
        wanted = recording_name(item, text) if text else ""
        if name == item:
            yield problem("audio.unbound", row, column, key, wanted or "-")
        elif name != wanted:
            yield problem("audio.stale", row, column, key, wanted or "-")
        try:
            read_recording(content)
        except FormError as error:
            yield from (replace(each, sheet=row.sheet, row=row.number, column=column) for each in error.problems)


def checked_languages(context: CheckContext) -> Iterator[str]:
    """Return the form's known languages without Spanish; `check_settings` reports unknown ones."""
    return filter(FALLBACK.__contains__, requested_languages(context.workbook))


def _row(entry: TranslatableText) -> Row:
    return Row(entry.sheet, entry.row, {})
