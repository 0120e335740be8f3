"""The translations of a form: its translatable texts, the state of each translation, and a language's coverage.

Checks, the compiler and the tools of translators use it. Spanish is the source. A draft must never count as reviewed; a
translation becomes a draft again when its Spanish text changes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polib

from screening_forms.languages import SOURCE
from screening_forms.texts.sign_off import lacking_fields
from screening_forms.workbook.columns import TEXT_PARTS, cell_text, heading_language, parse_heading
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import BUILT_IN, Resources


@dataclass(frozen=True)
class TranslatableText:
    """One Spanish text to translate: `context` is `<form_id>/<question or list.choice>/<part>`."""

    context: str
    text: str
    sheet: str
    row: int
    part: str

    @property
    def item(self) -> str:
        """The question's name, or `<list>.<choice>`."""
        return self.context.split("/")[1]


@dataclass(frozen=True)
class Translation:
    """A text as a form shows it; `state` is reviewed, draft, or fallback (Spanish, because there is no translation).

    `stale`: it is a translation of another Spanish text, so its meaning may differ. `lacking`: the missing fields of
    its sign-off, if its entry is not marked as a draft.
    """

    text: str
    state: str
    stale: bool = False
    lacking: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The reason against the channel field: missing, stale, unsigned or draft; empty if there is none."""
        if self.state == "fallback":
            return "missing"
        if self.stale:
            return "stale"
        if self.lacking:
            return "unsigned"
        return "draft" if self.state == "draft" else ""


@dataclass(frozen=True)
class LanguageCoverage:
    """The texts of a form in one language, by context, with counts by state."""

    lang: str
    texts: Mapping[str, Translation]

    @property
    def reviewed(self) -> int:
        """The number of texts with a valid sign-off."""
        return sum(text.state == "reviewed" for text in self.texts.values())

    @property
    def draft(self) -> int:
        """The number of drafts, stale and unsigned texts included."""
        return sum(text.state == "draft" for text in self.texts.values())

    @property
    def missing(self) -> tuple[str, ...]:
        """The contexts without a translation."""
        return self.contexts_with("missing")

    def contexts_with(self, reason: str) -> tuple[str, ...]:
        """Return the contexts of the texts with this reason against the channel field."""
        return tuple(context for context, text in self.texts.items() if text.reason == reason)

    def reasons_against(self, channel: str) -> dict[str, int]:
        """Return the reasons against the language on a channel, with their numbers of texts; empty if it is ready.

        Training shows drafts, with marks, if there is any translation. Field needs every text to be reviewed.
        """
        reasons = Counter(text.reason for text in self.texts.values() if text.reason)
        if reasons["missing"] == len(self.texts) > 0:
            return {"none": reasons["missing"]}
        return dict(sorted(reasons.items())) if channel == "field" else {}


def requested_languages(workbook: Workbook) -> tuple[str, ...]:
    """Return the languages in the form's settings, except Spanish."""
    return tuple(lang for lang in workbook.settings.get("languages", "").split() if lang != SOURCE)


def translatable_texts(workbook: Workbook) -> tuple[TranslatableText, ...]:
    """Return the Spanish texts to translate, in the workbook's order, without names of places."""
    return tuple(_entries(workbook))


def _entries(workbook: Workbook) -> Iterator[TranslatableText]:
    form_id = workbook.settings.get("form_id", "")
    for row, name in (*_questions(workbook), *_choices(workbook)):
        spanish = {
            part: text
            for heading, text in row.cells.items()
            for part, lang in [parse_heading(heading)]
            if lang == SOURCE
        }
        for part in TEXT_PARTS:
            if text := spanish.get(part):
                yield TranslatableText(f"{form_id}/{name}/{part}", text, row.sheet, row.number, part)


def _questions(workbook: Workbook) -> Iterator[tuple[Row, str]]:
    return ((row, row.get("name")) for row in workbook.survey if row.get("name"))


def _choices(workbook: Workbook) -> Iterator[tuple[Row, str]]:
    names_of_places = workbook.settings.get("ubigeo_lists", "").split()
    for row in workbook.choices:
        if row.get("list_name") not in names_of_places:
            yield row, f"{row.get('list_name')}.{row.get('name')}"


def workbook_translations(workbook: Workbook, lang: str) -> dict[str, str]:
    """Return the translations in the workbook's own columns of a language, by context."""
    form_id = workbook.settings.get("form_id", "")
    if not any(heading_language(heading) == lang for headings in workbook.headings.values() for heading in headings):
        return {}
    return {
        f"{form_id}/{name}/{part}": text
        for row, name in (*_questions(workbook), *_choices(workbook))
        for part in TEXT_PARTS
        if (text := cell_text(row, part, lang))
    }


def recordable_texts(workbook: Workbook) -> tuple[TranslatableText, ...]:
    """Return the texts that an interviewer reads aloud: labels of questions, notes and choices."""
    groups = {row.number for row in workbook.survey if row.get("type").replace(" ", "_") == "begin_group"}
    labels = (entry for entry in translatable_texts(workbook) if entry.part == "label")
    return tuple(entry for entry in labels if entry.sheet == "choices" or entry.row not in groups)


def resolve_translations(workbook: Workbook, lang: str, resources: Resources = BUILT_IN) -> dict[str, Translation]:
    """Return every text of a form in one language, by context.

    A translation of another Spanish text is a draft. A text in the workbook's own column is a draft too, because a
    column has no sign-off. It replaces other drafts, but no reviewed text. A text without translation is Spanish.
    """
    entries, columns = resources.catalogue(lang), workbook_translations(workbook, lang)
    texts = {
        entry.context: judge_translation(entry.text, entries.get(entry.context), lang)
        for entry in translatable_texts(workbook)
    }
    drafts = {context: Translation(text, "draft") for context, text in columns.items()}
    return texts | {
        context: draft
        for context, draft in drafts.items()
        if context in texts and texts[context].state != "reviewed" and texts[context].text != draft.text
    }


def judge_translation(spanish: str, entry: polib.POEntry | None, lang: str) -> Translation:
    """Return the translation of a Spanish text by its `.po` entry; a missing entry (None) gives the Spanish text."""
    if entry is None or not entry.msgstr:
        return Translation(spanish, "fallback")
    # A merge keeps the former Spanish text in the draft until a translator has looked at it again.
    stale = entry.msgid != spanish or bool(entry.fuzzy and entry.previous_msgid)
    lacking = () if entry.fuzzy else lacking_fields(entry.tcomment, lang)
    return Translation(entry.msgstr, "draft" if entry.fuzzy or stale or lacking else "reviewed", stale, lacking)


def language_coverage(workbook: Workbook, lang: str, resources: Resources = BUILT_IN) -> LanguageCoverage:
    """Return the coverage of a form in one language."""
    return LanguageCoverage(lang, resolve_translations(workbook, lang, resources))


def loan_words(lang: str, resources: Resources = BUILT_IN) -> frozenset[str]:
    """Return the words that a language keeps in Spanish spelling: the X-Loans header of its `.po`."""
    return frozenset(resources.header(lang, "X-Loans").lower().split())
