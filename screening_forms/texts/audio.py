"""Recordings of questions and answers, for the many who do not read the language that they speak.

Checks, the compiler and the server call this. A recording is known by the SHA-256 of its bytes and belongs to the text
that was read aloud: its file name ends in the beginning of that text's SHA-256, so that it never says another text.
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

MOST_BYTES = 2**20
MOST_SECONDS = 60
MOST_CHANNELS = 2
OPUS, MP3 = "audio/ogg", "audio/mpeg"
SUFFIXES = {OPUS: ".ogg", MP3: ".mp3"}

_HASH_DIGITS = 8
_NOWHERE = Row("survey", 0, {})  # whoever knows the recording's place puts it in


@dataclass(frozen=True)
class Recording:
    """What a bundle says of one recording; `type` is its media type, `size` in bytes."""

    sha256: str
    type: str
    size: int
    milliseconds: int

    @property
    def file_name(self) -> str:
        """The name under which ODK clients look for it."""
        return self.sha256 + SUFFIXES[self.type]


def recording_name(item: str, text: str) -> str:
    """Name the recording of a text, without a suffix; `item` is a question's name or `<list>.<choice>`."""
    return f"{item}.{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def item_of_recording(name: str) -> str:
    """The question or choice that a recording of this name is for; empty if the name does not say for which text."""
    item, _, digits = name.rpartition(".")
    return item if len(digits) == _HASH_DIGITS and set(digits) <= set("0123456789abcdef") else ""


def spoken_texts(workbook: Workbook, lang: str, resources: Resources) -> dict[str, str]:
    """The texts of a form that are read aloud in one language, by context; what is not translated has no voice."""
    prompts = recordable_texts(workbook)
    if lang == SOURCE:
        return {entry.context: entry.text for entry in prompts}
    texts = resolve_translations(workbook, lang, resources)
    return {entry.context: texts[entry.context].text for entry in prompts if texts[entry.context].state != "fallback"}


def find_recordings(workbook: Workbook, lang: str, resources: Resources) -> dict[str, Recording]:
    """The recordings of a form's texts of today in one language, by context; what is no recording is left out."""
    found = {}
    for context, text in spoken_texts(workbook, lang, resources).items() if resources.recordings else ():
        content = resources.recordings.get(f"{lang}/{recording_name(context.split('/')[1], text)}")
        if content is not None:
            with suppress(FormError):  # The checks speak of it.
                found[context] = read_recording(content)
    return found


def read_recording(content: bytes) -> Recording:
    """Read a recording: Opus in Ogg, or MP3. Raises FormError on anything that is none, or larger or longer than fits.

    What it is, is seen in its bytes; its name and its tags count for nothing.
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
