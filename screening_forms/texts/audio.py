"""Recordings of questions and choices: their names, their files and their limits.

Many people do not read the language that they speak. The SHA-256 of its bytes identifies a recording. Its file name
ends in the first digits of the SHA-256 of its text: a form must never play the recording of another text.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from screening_forms.errors import FormError
from screening_forms.languages import SOURCE
from screening_forms.problems import problem
from screening_forms.texts import sound_formats
from screening_forms.texts.translations import recordable_texts, resolve_translations
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import Resources

MOST_BYTES = 2**20  # 1 MiB
MOST_SECONDS = 60
MOST_CHANNELS = 2
OPUS, MP3 = "audio/ogg", "audio/mpeg"
SUFFIXES = {OPUS: ".ogg", MP3: ".mp3"}

_HASH_DIGITS = 8
_NOWHERE = Row("survey", 0, {})  # The caller knows the place and fills it in.


@dataclass(frozen=True)
class Recording:
    """The entry of one recording in a bundle; `type` is its media type, `size` is in bytes."""

    sha256: str
    type: str
    size: int
    milliseconds: int

    @property
    def file_name(self) -> str:
        """The file name that ODK clients request."""
        return self.sha256 + SUFFIXES[self.type]


def recording_name(item: str, text: str) -> str:
    """Return the file name, without suffix, of the recording of a text; `item` is a question or `<list>.<choice>`."""
    return f"{item}.{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def item_of_recording(name: str) -> str:
    """Return the question or choice in the name of a recording; empty if the name has no digits of a hash."""
    item, _, digits = name.rpartition(".")
    return item if len(digits) == _HASH_DIGITS and set(digits) <= set("0123456789abcdef") else ""


def spoken_texts(workbook: Workbook, lang: str, resources: Resources) -> dict[str, str]:
    """Return a form's texts to read aloud in one language, by context, without untranslated texts."""
    prompts = recordable_texts(workbook)
    if lang == SOURCE:
        return {entry.context: entry.text for entry in prompts}
    texts = resolve_translations(workbook, lang, resources)
    return {entry.context: texts[entry.context].text for entry in prompts if texts[entry.context].state != "fallback"}


def find_recordings(workbook: Workbook, lang: str, resources: Resources) -> dict[str, Recording]:
    """Return the recordings of a form's present texts in one language, by context, without faulty files."""
    found = {}
    for context, text in spoken_texts(workbook, lang, resources).items() if resources.recordings else ():
        content = resources.recordings.get(f"{lang}/{recording_name(context.split('/')[1], text)}")
        if content is not None:
            with suppress(FormError):  # The checks report it.
                found[context] = read_recording(content)
    return found


def read_recording(content: bytes) -> Recording:
    """Read a recording: Opus in Ogg, or MP3. Raises FormError on other bytes, or if it is too large or too long.

    The bytes alone decide; the file name and the tags do not count.
    """
    if len(content) > MOST_BYTES:
        raise FormError([problem("audio.too_large", _NOWHERE, "", len(content) // 1024, MOST_BYTES // 1024)])
    kind = OPUS if content.startswith(b"OggS") else MP3
    try:
        sound = sound_formats.read_opus(content) if kind == OPUS else sound_formats.read_mp3(content)
    except sound_formats.CodecError as error:
        raise FormError([problem("audio.codec", _NOWHERE, "")]) from error
    except sound_formats.SoundError as error:
        raise FormError([problem("audio.unreadable", _NOWHERE, "")]) from error
    if not 0 < sound.seconds <= MOST_SECONDS:
        raise FormError([problem("audio.too_long", _NOWHERE, "", round(sound.seconds), MOST_SECONDS)])
    if not 0 < sound.channels <= MOST_CHANNELS:
        raise FormError([problem("audio.channels", _NOWHERE, "", sound.channels)])
    return Recording(hashlib.sha256(content).hexdigest(), kind, len(content), round(sound.seconds * 1000))
