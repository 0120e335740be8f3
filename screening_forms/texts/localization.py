"""What people read and hear of a form on a channel: its languages, their marks, its recordings, and who is left out.

The compiler calls this. A draft and a text in Spanish for want of a translation say so wherever they are shown.
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
"""The note that names the languages left out; authors' questions have no such names."""

_ADVICE = "Si la persona habla uno de estos idiomas, busque un intérprete independiente."


@dataclass(frozen=True)
class LocalizedForm:
    """The texts of each language that ships beside Spanish, and the recordings of each, Spanish included, by context.

    `left_out`: why each of the other languages does not ship, as reasons and their numbers of texts.
    """

    form_id: str
    texts: Mapping[str, Mapping[str, Translation]]
    recordings: Mapping[str, Mapping[str, Recording]]
    left_out: Mapping[str, Mapping[str, int]]

    @classmethod
    def for_channel(cls, workbook: Workbook, channel: str, resources: Resources) -> LocalizedForm:
        """See which languages are fit for a channel, and gather what they show."""
        held = [language_coverage(workbook, lang, resources) for lang in requested_languages(workbook)]
        left_out = {each.lang: why for each in held if (why := each.reasons_against(channel))}
        texts = {each.lang: each.texts for each in held if each.lang not in left_out}
        recordings = {lang: find_recordings(workbook, lang, resources) for lang in (SOURCE, *texts)}
        return cls(workbook.settings["form_id"], texts, recordings, left_out)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that ship, Spanish first."""
        return (SOURCE, *self.texts)

    @property
    def fell_back(self) -> dict[str, list[str]]:
        """The texts that each language shows in Spanish."""
        found = {
            lang: [context for context, text in texts.items() if text.state == "fallback"]
            for lang, texts in self.texts.items()
        }
        return {lang: contexts for lang, contexts in found.items() if contexts}

    @property
    def audio(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The recordings as a bundle lists them; languages without any are not named."""
        return {
            lang: {context: asdict(each) for context, each in found.items()}
            for lang, found in self.recordings.items()
            if found
        }

    def cells(self, row: Row, item: str) -> dict[str, str]:
        """Write the text and audio columns of one row; `item` is its question or `<list>.<choice>`."""
        cells = {}
        for part in TEXT_PARTS:
            if source := cell_text(row, part, SOURCE):
                context = f"{self.form_id}/{item}/{part}"
                cells[f"{part}::{LANGUAGES[SOURCE]}"] = source
                for lang, texts in self.texts.items():
                    if text := texts.get(context):
                        cells[f"{part}::{LANGUAGES[lang]}"] = MARKS.get(text.state, "") + text.text
        return cells | self._sounds(f"{self.form_id}/{item}/label")

    def note(self) -> dict[str, str]:
        """Write the row that names, at the head of the form, the languages left out; empty if there are none."""
        if not self.left_out:
            return {}
        text = " ".join([*left_out_sentences(self.left_out), _ADVICE])
        label = {f"label::{LANGUAGES[lang]}": MARKS["fallback"] + text for lang in self.texts}
        return {"type": "note", "name": LANGUAGE_NOTE, f"label::{LANGUAGES[SOURCE]}": text, **label}

    def _sounds(self, context: str) -> dict[str, str]:
        """The recording of a label in each language, and of the Spanish where that is what is shown."""
        cells = {}
        for lang in self.languages:
            text = self.texts.get(lang, {}).get(context)
            heard = FALLBACK[lang] if text is not None and text.state == "fallback" else lang
            if found := self.recordings[heard].get(context):
                cells[f"audio::{LANGUAGES[lang]}"] = found.file_name
        return cells
