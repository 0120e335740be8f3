"""Writes and updates the gettext `.po` files that translators edit in Poedit, Weblate or a text editor.

`forms translations` calls it. An update must never lose a translator's text, and must never turn a draft into a
reviewed translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polib

from screening_forms.errors import FormError, FormProblem
from screening_forms.languages import LANGUAGES
from screening_forms.texts.sign_off import is_same_sign_off, void_sign_off
from screening_forms.texts.translations import (
    TranslatableText,
    judge_translation,
    translatable_texts,
    workbook_translations,
)
from screening_forms.translators.notes import TranslatorNotes
from screening_forms.workbook.reader import Workbook
from screening_forms.workbook.resources import LOCALES, parse_po

WRAP = 100
_HEADER_NOTE = (
    "{language}: unreviewed draft, for training only. Written without a registered translator; no entry may lose\n"
    "its fuzzy mark before a translator (RENITLI number, variety, date) and a back-translation have signed it off.\n"
    "X-Loans lists words kept in Spanish spelling on purpose."
)


@dataclass(frozen=True)
class MergeResult:
    """The contexts that a merge changed or left, by what it did.

    `taken`: replaced by the returned text. `kept`: a reviewed text that a returned draft does not replace. `unsigned`:
    the sign-off was for other words. `unknown`: not in the form. `remembered`: translated like the same
    Spanish elsewhere.
    """

    taken: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()


def write_template(workbook: Workbook) -> str:
    """Return a form's `.pot` template: the Spanish texts with notes and no translations."""
    return _write_po(_blank_po(""), _merge_entries(workbook, {}, {}, {})[0])


def update_catalogue(
    workbook: Workbook, lang: str, held: str, returned: str = "", beside: str = ""
) -> tuple[str, MergeResult]:
    """Update a language's `.po` text `held` to a form's Spanish, and merge the `.po` text that a translator `returned`.

    A new entry is a draft. Its translation comes from the workbook's own column, else from an entry with the same
    Spanish in `held` or `beside`. Changed Spanish turns an entry into a draft that keeps the former Spanish. An entry
    that the form no longer has becomes obsolete. Raises FormError if `returned` is in another language.
    """
    form_id = workbook.settings["form_id"]
    old = parse_po(held) if held else _blank_po(lang)
    alive_last = sorted(old, key=lambda entry: not entry.obsolete)
    mine = {entry.msgctxt or "": entry for entry in alive_last if _form_of(entry) == form_id}
    done = MergeResult()
    if returned:
        sent = _read_returned(returned, lang)
        done = _merge_returned(workbook, mine, sent, lang)
        loans = {word for each in (old, sent) for word in each.metadata.get("X-Loans", "").split()}
        old.metadata["X-Loans"] = " ".join(sorted(loans))
    memory = _translation_memory([*old, *(parse_po(beside) if beside else ())])
    merged, remembered = _merge_entries(workbook, mine, workbook_translations(workbook, lang), memory)
    kept = [entry for entry in old if _form_of(entry) != form_id]
    entries = sorted([*kept, *merged], key=_form_of)
    return _write_po(old, entries), replace(done, remembered=remembered)


def merge_into_file(workbook: Workbook, lang: str, locales: Path = LOCALES, returned: str = "") -> MergeResult:
    """Update `<locales>/<lang>/LC_MESSAGES/forms.po` in place, as `update_catalogue` does, and return what changed."""
    path = locales / lang / "LC_MESSAGES" / "forms.po"
    text, done = update_catalogue(workbook, lang, path.read_text(encoding="utf-8") if path.exists() else "", returned)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return done


def _merge_entries(
    workbook: Workbook, mine: Mapping[str, polib.POEntry], own: Mapping[str, str], memory: Mapping[str, polib.POEntry]
) -> tuple[list[polib.POEntry], tuple[str, ...]]:
    notes, rest, remembered = TranslatorNotes(workbook), dict(mine), []
    merged = []
    for entry in translatable_texts(workbook):
        held = rest.pop(entry.context, None) or polib.POEntry(msgctxt=entry.context, msgid=entry.text, flags=["fuzzy"])
        _update_entry(held, entry)
        if not held.msgstr and entry.context in own:
            held.msgstr, held.flags = own[entry.context], ["fuzzy"]
        elif not held.msgstr and entry.text in memory:
            like = memory[entry.text]
            held.msgstr, held.flags, held.tcomment = like.msgstr, ["fuzzy"], f"From memory: {like.msgctxt}"
            remembered.append(entry.context)
        held.comment = notes.note_for(entry)
        held.occurrences = [(f"{workbook.settings['form_id']}/{entry.sheet}", str(entry.row))]
        merged.append(held)
    for gone in rest.values():
        gone.obsolete = True
    return [*merged, *rest.values()], tuple(remembered)


def _update_entry(held: polib.POEntry, entry: TranslatableText) -> None:
    """Set an entry's Spanish to the form's. If the Spanish changed, the entry becomes a draft without a sign-off."""
    held.obsolete = False
    if not held.msgstr:
        held.msgid, held.previous_msgid, held.flags = entry.text, None, ["fuzzy"]
    elif held.msgid != entry.text:
        held.previous_msgid, held.msgid = held.msgid, entry.text
        held.flags = sorted({*held.flags, "fuzzy"})
        held.tcomment = void_sign_off(held.tcomment)
    elif not held.fuzzy:
        held.previous_msgid = None


def _translation_memory(entries: Sequence[polib.POEntry]) -> dict[str, polib.POEntry]:
    """Return Spanish -> translated entry. Reviewed entries come before drafts, then the first entry wins."""
    found: dict[str, polib.POEntry] = {}
    for entry in sorted(entries, key=lambda entry: bool(entry.fuzzy or entry.obsolete)):
        if entry.msgstr and not entry.previous_msgid:
            found.setdefault(entry.msgid, entry)
    return found


def _read_returned(text: str, lang: str) -> polib.POFile:
    """Parse a translator's file. Raises FormError if its header names another language or variety."""
    sent = parse_po(text)
    language = sent.metadata.get("Language", "")
    if language.replace("-", "_").partition("_")[0] != lang:
        es = f"el archivo es de «{language}», no de «{lang}»: mire «Language» en su cabecera"
        en = f"the file is in '{language}', not in '{lang}': see 'Language' in its header"
        raise FormError([FormProblem("survey", 0, "", "translation.other_language", es, en)])
    return sent


def _merge_returned(workbook: Workbook, mine: dict[str, polib.POEntry], sent: polib.POFile, lang: str) -> MergeResult:
    """Replace entries in `mine` by the translator's, except a reviewed text by a draft. Return what was done."""
    spanish = {entry.context: entry.text for entry in translatable_texts(workbook)}
    done: dict[str, list[str]] = {"taken": [], "kept": [], "unsigned": [], "unknown": []}
    for entry in sent:
        context, held = entry.msgctxt or "", mine.get(entry.msgctxt or "")
        if entry.obsolete or not entry.msgstr or (held is not None and _same(held, entry)):
            continue
        if context not in spanish:
            done["unknown"].append(context)
            continue
        if held is not None and held.msgstr != entry.msgstr and is_same_sign_off(held.tcomment, entry.tcomment):
            entry.flags, entry.tcomment = ["fuzzy"], void_sign_off(entry.tcomment)
            done["unsigned"].append(context)
        before, after = (judge_translation(spanish[context], each, lang).state for each in (held, entry))
        if before == "reviewed" != after:
            done["kept"].append(context)
        else:
            mine[context] = entry
            done["taken"].append(context)
    return MergeResult(**{name: tuple(contexts) for name, contexts in done.items()})


def _same(held: polib.POEntry, sent: polib.POEntry) -> bool:
    return all(getattr(held, name) == getattr(sent, name) for name in ("msgid", "msgstr", "fuzzy", "tcomment"))


def _write_po(header: polib.POFile, entries: list[polib.POEntry]) -> str:
    result = polib.POFile(wrapwidth=WRAP)
    result.header, result.metadata = header.header, header.metadata
    result.extend(entries)
    return str(result)


def _blank_po(lang: str) -> polib.POFile:
    blank = polib.POFile(wrapwidth=WRAP)
    language = LANGUAGES.get(lang, "")
    blank.header = _HEADER_NOTE.format(language=language) if lang else ""
    blank.metadata = {
        "Project-Id-Version": "chaski",
        "Language": lang,
        "Language-Team": language,
        "Last-Translator": "unreviewed draft" if lang else "",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "X-Status": "unreviewed draft",
        "X-Loans": "",
    }
    return blank


def _form_of(entry: polib.POEntry) -> str:
    return (entry.msgctxt or "").partition("/")[0]
