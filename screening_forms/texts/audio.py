"""Recordings of questions and answers, for the many who do not read the language that they speak.

Checks, the compiler and the server call this. A recording is known by the SHA-256 of its bytes and belongs to the text
that was read aloud: its file name ends in the beginning of that text's SHA-256, so that it never says another text.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mutagen import mp3, ogg, oggopus

from screening_forms.errors import FormError
from screening_forms.languages import SOURCE
from screening_forms.problems import problem
from screening_forms.texts import translations
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import Shelf

MOST_BYTES = 2**20
MOST_SECONDS = 60
MOST_CHANNELS = 2
OPUS, MP3 = "audio/ogg", "audio/mpeg"
SUFFIXES = {OPUS: ".ogg", MP3: ".mp3"}

_Opus: Any = oggopus.OggOpus  # mutagen comes without types
_Mp3: Any = mp3.MP3
_Page: Any = ogg.OggPage

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


def name_for(item: str, text: str) -> str:
    """Name the recording of a text, without a suffix; `item` is a question's name or `<list>.<choice>`."""
    return f"{item}.{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def item_of(name: str) -> str:
    """The question or choice that a recording of this name is for; empty if the name does not say for which text."""
    item, _, digits = name.rpartition(".")
    return item if len(digits) == _HASH_DIGITS and set(digits) <= set("0123456789abcdef") else ""


def spoken(workbook: Workbook, lang: str, shelf: Shelf) -> dict[str, str]:
    """The texts of a form that are read aloud in one language, by context; what is not translated has no voice."""
    prompts = translations.prompts(workbook)
    if lang == SOURCE:
        return {entry.context: entry.text for entry in prompts}
    texts = translations.resolve(workbook, lang, shelf)
    return {entry.context: texts[entry.context].text for entry in prompts if texts[entry.context].state != "fallback"}


def recordings(workbook: Workbook, lang: str, shelf: Shelf) -> dict[str, Recording]:
    """The recordings of a form's texts of today in one language, by context; what is no recording is left out."""
    found = {}
    for context, text in spoken(workbook, lang, shelf).items() if shelf.recordings else ():
        content = shelf.recordings.get(f"{lang}/{name_for(context.split('/')[1], text)}")
        if content is not None:
            with suppress(FormError):  # The checks speak of it.
                found[context] = read(content)
    return found


def read(content: bytes) -> Recording:
    """Read a recording: Opus in Ogg, or MP3. Raises FormError on anything that is none, or larger or longer than fits.

    What it is, is seen in its bytes; its name and its tags count for nothing.
    """
    if len(content) > MOST_BYTES:
        raise FormError([problem("audio.too_large", _NOWHERE, "", len(content) // 1024, MOST_BYTES // 1024)])
    kind, seconds, channels = _opus(content) if content.startswith(b"OggS") else _mp3(content)
    if not 0 < seconds <= MOST_SECONDS:
        raise FormError([problem("audio.too_long", _NOWHERE, "", round(seconds), MOST_SECONDS)])
    if not 0 < channels <= MOST_CHANNELS:
        raise FormError([problem("audio.channels", _NOWHERE, "", channels)])
    return Recording(hashlib.sha256(content).hexdigest(), kind, len(content), round(seconds * 1000))


def _opus(content: bytes) -> tuple[str, float, int]:
    try:
        pages = _pages(content)
        if not pages[0].packets[0].startswith(b"OpusHead"):
            raise FormError([problem("audio.codec", _NOWHERE, "")])
        if len({page.serial for page in pages}) > 1 or not pages[-1].last:
            raise ValueError("more or less than one whole stream")
        info = _Opus(io.BytesIO(content)).info
    except FormError:
        raise
    except Exception as error:  # bytes from outside: mutagen raises whatever it meets
        raise FormError([problem("audio.unreadable", _NOWHERE, "")]) from error
    return OPUS, info.length, info.channels


def _pages(content: bytes) -> list[Any]:
    """Read every page; mutagen does not look at their checksums, but writes them."""
    pages, stream = [], io.BytesIO(content)
    while stream.tell() < len(content):
        page = _Page(stream)
        if page.write() != content[page.offset : stream.tell()]:
            raise ValueError("a page was damaged")
        pages.append(page)
    return pages


def _mp3(content: bytes) -> tuple[str, float, int]:
    try:
        info = _Mp3(io.BytesIO(content)).info
        if info.sketchy:
            raise ValueError("some bytes only look like MPEG audio")
    except Exception as error:  # bytes from outside, as above
        raise FormError([problem("audio.unreadable", _NOWHERE, "")]) from error
    if info.layer != 3:
        raise FormError([problem("audio.codec", _NOWHERE, "")])
    return MP3, info.length, info.channels
