"""The texts of a form in its other languages: workbook <-> `locales/<lang>/LC_MESSAGES/forms.po`.

Checks, the compiler and translators call this. Spanish is the source; a draft is never passed off as reviewed, and a
translation whose Spanish has changed is a draft again.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polib

from screening_forms.shelf import CATALOGUE, LOCALES, SHIPPED, Shelf, shipped
from screening_forms.workbook import Row, Workbook, read

SOURCE = "es"
LANGUAGES = {"es": "Español (es)", "quz": "Runasimi (quz)", "ayr": "Aymar aru (ayr)"}
FALLBACK = {"quz": "es", "ayr": "es"}  # quy never stands in for quz
PARTS = ("label", "hint", "guidance_hint", "constraint_message", "required_message")
LIST_TYPE = re.compile(r"select_(?:one|multiple)\s+(\S+)")
TAG = re.compile(r"\((\w+)\)\s*$")
PLACEHOLDER = re.compile(r"\$\{\s*([\w.-]+)\s*\}")

# Official alphabets (R.M. 1218-85-ED): three vowels; plain, aspirated and ejective stops; Aymara long vowels.
_SPELLING = {
    "quz": re.compile(r"(?:chh|ch’|ch|[kpqt][h’]?|[ahilmnñrsuwy])+"),
    "ayr": re.compile(r"(?:chh|ch’|ch|[kpqt][h’]?|[aäiïjlmnñrsuüwxy])+"),
}
_WORD = re.compile(r"[^\W\d_]+(?:’[^\W\d_]*)*")
_PARTICLE = re.compile(r" del? (?=[A-ZÁÉÍÓÚÑ])")  # Madre de Dios
_OPENERS = " \n\t¿¡«“(-"
_SENTENCE_ENDS = ".:?!»”"
_WRONG_APOSTROPHES = "'`´ʼ‘"

_HEADER_NOTE = (
    "{language}: unreviewed draft, for training only. Written without a registered translator; no entry may lose\n"
    "its fuzzy mark before a translator (RENITLI number, variety, date) and a back-translation have signed it off.\n"
    "X-Loans lists words kept in Spanish spelling on purpose."
)


@dataclass(frozen=True)
class Entry:
    """One Spanish text to translate: `context` is `<form_id>/<question or list.choice>/<part>`."""

    context: str
    text: str
    sheet: str
    row: int
    part: str


@dataclass(frozen=True)
class Translated:
    """A text as people will see it; `state` is reviewed, draft, or fallback (Spanish, for want of a translation).

    `stale`: it was made from another Spanish text, and may now say something else.
    """

    text: str
    state: str
    stale: bool = False


@dataclass(frozen=True)
class Coverage:
    """How far a language has come; `missing` names the contexts that have no text at all."""

    lang: str
    reviewed: int
    draft: int
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Every text is there, reviewed or draft: fit for the training channel."""
        return not self.missing

    @property
    def releasable(self) -> bool:
        """Every text is there and reviewed: fit for the field channel."""
        return self.complete and not self.draft


def tag(heading: str) -> str:
    """The language of a column: `quz` for `label::Runasimi (quz)` and `label::quz`, Spanish for a bare `label`."""
    _, separator, language = heading.partition("::")
    found = TAG.search(language)
    return (found[1] if found else language.strip()) if separator else SOURCE


def cell(row: Row, part: str, lang: str) -> str:
    """The text of one part of a row in the workbook's own column for a language, or an empty string."""
    return next((v for h, v in row.cells.items() if h.partition("::")[0] == part and tag(h) == lang), "")


def languages(workbook: Workbook) -> tuple[str, ...]:
    """The languages beside Spanish that the form asks for in its settings."""
    return tuple(lang for lang in workbook.settings.get("languages", "").split() if lang != SOURCE)


def extract(workbook: Workbook) -> tuple[Entry, ...]:
    """Every Spanish text that needs a translation, in the workbook's order; proper names of places do not."""
    return tuple(_entries(workbook))


def _entries(workbook: Workbook) -> Iterator[Entry]:
    form_id = workbook.settings.get("form_id", "")
    for row, name in (*_questions(workbook), *_choices(workbook)):
        for part in PARTS:
            if text := cell(row, part, SOURCE):
                yield Entry(f"{form_id}/{name}/{part}", text, row.sheet, row.number, part)


def _questions(workbook: Workbook) -> Iterator[tuple[Row, str]]:
    return ((row, row.get("name")) for row in workbook.survey if row.get("name"))


def _choices(workbook: Workbook) -> Iterator[tuple[Row, str]]:
    names_of_places = workbook.settings.get("ubigeo_lists", "").split()
    for row in workbook.choices:
        if row.get("list_name") not in names_of_places:
            yield row, f"{row.get('list_name')}.{row.get('name')}"


def load(form_id: str, lang: str, shelf: Shelf = SHIPPED) -> dict[str, tuple[str, Translated]]:
    """A form's translations by context, each with the Spanish it was made from; untranslated entries are left out."""
    entries = (e for e in shelf.catalogue(lang).values() if e.msgstr and _form_of(e) == form_id)
    return {e.msgctxt or "": (e.msgid, _translated(e)) for e in entries}


def _translated(entry: polib.POEntry) -> Translated:
    # A merge keeps the former Spanish beside a draft until somebody looked at it again.
    stale = bool(entry.fuzzy and entry.previous_msgid)
    return Translated(entry.msgstr, "draft" if entry.fuzzy else "reviewed", stale)


def resolve(workbook: Workbook, lang: str, shelf: Shelf = SHIPPED) -> dict[str, Translated]:
    """Every text of a form in one language, by context.

    A translation made from another Spanish text is a draft, and so is one in the workbook's own column: nobody has
    signed it. Where there is none, Spanish stands in and says so.
    """
    held = load(workbook.settings.get("form_id", ""), lang, shelf)
    own = {(row.sheet, row.number): row for row in (*workbook.survey, *workbook.choices)}
    texts: dict[str, Translated] = {}
    for entry in extract(workbook):
        column = cell(own[entry.sheet, entry.row], entry.part, lang)
        source, translated = held.get(entry.context, (entry.text, Translated(entry.text, "fallback")))
        if source != entry.text:
            translated = Translated(translated.text, "draft", stale=True)
        texts[entry.context] = Translated(column, "draft") if column else translated
    return texts


def coverage(workbook: Workbook, lang: str, shelf: Shelf = SHIPPED) -> Coverage:
    """Count a form's reviewed and draft texts in one language, and name the missing ones."""
    texts = resolve(workbook, lang, shelf)
    states = [text.state for text in texts.values()]
    missing = tuple(context for context, text in texts.items() if text.state == "fallback")
    return Coverage(lang, states.count("reviewed"), states.count("draft"), missing)


def merge_template(form_id: str, locales: Path = LOCALES) -> dict[str, Coverage]:
    """Bring both `.po` files up to date with a form of the catalogue; tells how far each language is."""
    workbook = read(CATALOGUE / form_id / "form.md")
    for lang in FALLBACK:
        merge(workbook, lang, locales)
    return {lang: coverage(workbook, lang, shipped(locales)) for lang in FALLBACK}


def merge(workbook: Workbook, lang: str, locales: Path = LOCALES) -> None:
    """Write a form's Spanish texts into a language's `.po`, keeping every translation.

    New entries are born fuzzy. Changed Spanish makes an entry fuzzy and keeps the former text beside it; entries that
    the form no longer has become obsolete.
    """
    form_id = workbook.settings["form_id"]
    held = _open(lang, locales)
    mine = {e.msgctxt: e for e in held if _form_of(e) == form_id}
    merged = [_merged(entry, mine.pop(entry.context, None)) for entry in extract(workbook)]
    for entry in mine.values():
        entry.obsolete = True
    kept = [e for e in held if _form_of(e) != form_id]
    result = polib.POFile(wrapwidth=100)
    result.header, result.metadata = held.header, held.metadata
    result.extend(sorted([*kept, *merged, *mine.values()], key=_form_of))
    path = _path(lang, locales)
    path.parent.mkdir(parents=True, exist_ok=True)
    result.save(str(path))


def _merged(entry: Entry, held: polib.POEntry | None) -> polib.POEntry:
    if held is None:
        return polib.POEntry(msgctxt=entry.context, msgid=entry.text, msgstr="", flags=["fuzzy"])
    held.obsolete = False
    if held.msgid != entry.text:
        held.previous_msgid, held.msgid = held.msgid, entry.text
        held.flags = sorted({*held.flags, "fuzzy"})
    return held


def _open(lang: str, locales: Path) -> polib.POFile:
    path = _path(lang, locales)
    if path.exists():
        return polib.pofile(str(path), wrapwidth=100)
    blank = polib.POFile(wrapwidth=100)
    blank.header = _HEADER_NOTE.format(language=LANGUAGES[lang])
    blank.metadata = {
        "Project-Id-Version": "chaski",
        "Language": lang,
        "Language-Team": LANGUAGES[lang],
        "Last-Translator": "unreviewed draft",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "X-Status": "unreviewed draft",
        "X-Loans": "",
    }
    return blank


def _path(lang: str, locales: Path) -> Path:
    return locales / lang / "LC_MESSAGES" / "forms.po"


def _form_of(entry: polib.POEntry) -> str:
    return (entry.msgctxt or "").partition("/")[0]


def loans(lang: str, shelf: Shelf = SHIPPED) -> frozenset[str]:
    """Words that a language's file keeps in Spanish spelling on purpose (its X-Loans header)."""
    return frozenset(shelf.header(lang, "X-Loans").lower().split())


def spelling(text: str, lang: str, loan_words: frozenset[str] = frozenset()) -> list[str]:
    """What in a text is not the official orthography: wrong apostrophes, not NFC, references, words of other letters.

    Names (a capital inside a sentence, or all capitals) and the words of `loan_words` are let through.
    """
    wrong = [f"apóstrofo {c} en lugar de ’" for c in _WRONG_APOSTROPHES if c in text]
    if not unicodedata.is_normalized("NFC", text):
        wrong.append("no está en la forma Unicode NFC")
    wrong += [f"${{{name}}}" for name in PLACEHOLDER.findall(text)]
    plain = _PARTICLE.sub(" ", PLACEHOLDER.sub(" ", unicodedata.normalize("NFC", text)))
    for found in _WORD.finditer(plain):
        word = found[0]
        before = plain[: found.start()].rstrip(_OPENERS)
        is_name = word.isupper() or (word[0].isupper() and before != "" and before[-1] not in _SENTENCE_ENDS)
        if not is_name and word.lower() not in loan_words and not _SPELLING[lang].fullmatch(word.lower()):
            wrong.append(f"«{word}»")
    return wrong
