"""The texts and recordings that a form gets on a channel, and the languages that are not ready for it.

The compiler calls this. Every draft, and every Spanish text in place of a translation, must have its mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from screening_forms.compiled_form import MARKS, left_out_sentences
from screening_forms.languages import FALLBACK, LANGUAGES, SOURCE
from screening_forms.texts.audio import Recording, find_recordings
from screening_forms.texts.translations import Translation, language_coverage, requested_languages
from screening_forms.workbook.columns import TEXT_PARTS, cell_text
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import Resources

LANGUAGE_NOTE = "f_languages"
"""The note that lists the languages left out. The names of authors' questions do not begin with `f_`."""

_ADVICE = "Si la persona habla uno de estos idiomas, busque un intérprete independiente."


@dataclass(frozen=True)
class LocalizedForm:
    """The languages of a form on one channel.

    `texts`: by language except Spanish, the texts by context. `recordings`: by language, Spanish too, the recordings by
    context. `left_out`: by language that is not ready, the number of texts for each reason.
    """

    form_id: str
    texts: Mapping[str, Mapping[str, Translation]]
    recordings: Mapping[str, Mapping[str, Recording]]
    left_out: Mapping[str, Mapping[str, int]]

    @classmethod
    def for_channel(cls, workbook: Workbook, channel: str, resources: Resources) -> LocalizedForm:
        """Choose the languages that are ready for a channel, and collect their texts and recordings."""
        coverage = [language_coverage(workbook, lang, resources) for lang in requested_languages(workbook)]
        left_out = {each.lang: why for each in coverage if (why := each.reasons_against(channel))}
        texts = {each.lang: each.texts for each in coverage if each.lang not in left_out}
        recordings = {lang: find_recordings(workbook, lang, resources) for lang in (SOURCE, *texts)}
        return cls(workbook.settings["form_id"], texts, recordings, left_out)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the form on this channel, Spanish first."""
        return (SOURCE, *self.texts)

    @property
    def fell_back(self) -> dict[str, list[str]]:
        """By language, the contexts of the texts that it shows in Spanish."""
        found = {
            lang: [context for context, text in texts.items() if text.state == "fallback"]
            for lang, texts in self.texts.items()
        }
        return {lang: contexts for lang, contexts in found.items() if contexts}

    @property
    def audio(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The recordings as a bundle lists them, without languages that have none."""
        return {
            lang: {context: asdict(each) for context, each in found.items()}
            for lang, found in self.recordings.items()
            if found
        }

    def cells(self, row: Row, item: str) -> dict[str, str]:
        """Return the text and audio columns of one row; `item` is its question or `<list>.<choice>`."""
        cells = {}
        for part in TEXT_PARTS:
            if source := cell_text(row, part, SOURCE):
                context = f"{self.form_id}/{item}/{part}"
                cells[f"{part}::{LANGUAGES[SOURCE]}"] = source
                for lang, texts in self.texts.items():
                    if text := texts.get(context):
                        cells[f"{part}::{LANGUAGES[lang]}"] = MARKS.get(text.state, "") + text.text
        return cells | self._sounds(f"{self.form_id}/{item}/label")

    def language_note_row(self) -> dict[str, str]:
        """Return the form's first row, a note that lists the languages left out; empty if there are none."""
        if not self.left_out:
            return {}
        text = " ".join([*left_out_sentences(self.left_out), _ADVICE])
        label = {f"label::{LANGUAGES[lang]}": MARKS["fallback"] + text for lang in self.texts}
        return {"type": "note", "name": LANGUAGE_NOTE, f"label::{LANGUAGES[SOURCE]}": text, **label}

    def _sounds(self, context: str) -> dict[str, str]:
        """Return the audio columns of a label. A language that shows Spanish also plays Spanish."""
        cells = {}
        for lang in self.languages:
            text = self.texts.get(lang, {}).get(context)
            heard = FALLBACK[lang] if text is not None and text.state == "fallback" else lang
            if found := self.recordings[heard].get(context):
                cells[f"audio::{LANGUAGES[lang]}"] = found.file_name
        return cells
