"""The texts of a form in its other languages: which there are, how far each has come, and where it may be shown.

Checks, the compiler and translators' tools call this. Spanish is the source; a draft is never passed off as reviewed,
and a translation whose Spanish has changed is a draft again.
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
    """A text as people will see it; `state` is reviewed, draft, or fallback (Spanish, for want of a translation).

    `stale`: it was made from another Spanish text, and may now say something else. `lacking`: what its sign-off lacks,
    though no mark says that it is a draft.
    """

    text: str
    state: str
    stale: bool = False
    lacking: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is not fit for the field: missing, stale, unsigned, draft; empty if it is."""
        if self.state == "fallback":
            return "missing"
        if self.stale:
            return "stale"
        if self.lacking:
            return "unsigned"
        return "draft" if self.state == "draft" else ""


@dataclass(frozen=True)
class LanguageCoverage:
    """How far a language has come, with its texts by context."""

    lang: str
    texts: Mapping[str, Translation]

    @property
    def reviewed(self) -> int:
        """How many texts somebody answers for."""
        return sum(text.state == "reviewed" for text in self.texts.values())

    @property
    def draft(self) -> int:
        """How many texts are there that nobody answers for, stale and unsigned ones included."""
        return sum(text.state == "draft" for text in self.texts.values())

    @property
    def missing(self) -> tuple[str, ...]:
        """The contexts that have no text at all."""
        return self.contexts_with("missing")

    def contexts_with(self, reason: str) -> tuple[str, ...]:
        """The contexts whose text is not fit for the field for one reason."""
        return tuple(context for context, text in self.texts.items() if text.reason == reason)

    def reasons_against(self, channel: str) -> dict[str, int]:
        """Why the language does not ship on a channel: reasons and their numbers of texts; empty if it does.

        Training shows whatever there is, marked; field ships a language whole and reviewed or not at all.
        """
        reasons = Counter(text.reason for text in self.texts.values() if text.reason)
        if reasons["missing"] == len(self.texts) > 0:
            return {"none": reasons["missing"]}
        return dict(sorted(reasons.items())) if channel == "field" else {}


def requested_languages(workbook: Workbook) -> tuple[str, ...]:
    """The languages beside Spanish that the form asks for in its settings."""
    return tuple(lang for lang in workbook.settings.get("languages", "").split() if lang != SOURCE)


def translatable_texts(workbook: Workbook) -> tuple[TranslatableText, ...]:
    """Every Spanish text that needs a translation, in the workbook's order; proper names of places do not."""
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
    """The texts of a language that the workbook has in columns of its own, by context."""
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
    """The texts that are read to a person, and so are worth recording: questions, notes and answers."""
    groups = {row.number for row in workbook.survey if row.get("type").replace(" ", "_") == "begin_group"}
    labels = (entry for entry in translatable_texts(workbook) if entry.part == "label")
    return tuple(entry for entry in labels if entry.sheet == "choices" or entry.row not in groups)


def resolve_translations(workbook: Workbook, lang: str, resources: Resources = BUILT_IN) -> dict[str, Translation]:
    """Every text of a form in one language, by context.

    A translation made from another Spanish text is a draft, and so is one in the workbook's own column, which nobody
    can sign: it stands before other drafts, and behind a reviewed text. Where there is none, Spanish stands in.
    """
    held, columns = resources.catalogue(lang), workbook_translations(workbook, lang)
    texts = {
        entry.context: judge_translation(entry.text, held.get(entry.context), lang)
        for entry in translatable_texts(workbook)
    }
    drafts = {context: Translation(text, "draft") for context, text in columns.items()}
    return texts | {
        context: draft
        for context, draft in drafts.items()
        if context in texts and texts[context].state != "reviewed" and texts[context].text != draft.text
    }


def judge_translation(spanish: str, held: polib.POEntry | None, lang: str) -> Translation:
    """See what an entry is worth as the translation of a Spanish text."""
    if held is None or not held.msgstr:
        return Translation(spanish, "fallback")
    # A merge keeps the former Spanish beside a draft until somebody looked at it again.
    stale = held.msgid != spanish or bool(held.fuzzy and held.previous_msgid)
    lacking = () if held.fuzzy else lacking_fields(held.tcomment, lang)
    return Translation(held.msgstr, "draft" if held.fuzzy or stale or lacking else "reviewed", stale, lacking)


def language_coverage(workbook: Workbook, lang: str, resources: Resources = BUILT_IN) -> LanguageCoverage:
    """See how far a form has come in one language."""
    return LanguageCoverage(lang, resolve_translations(workbook, lang, resources))


def loan_words(lang: str, resources: Resources = BUILT_IN) -> frozenset[str]:
    """Words that a language's file keeps in Spanish spelling on purpose (its X-Loans header)."""
    return frozenset(resources.header(lang, "X-Loans").lower().split())
