"""Checks a text against the official orthography of its language (R.M. 1218-85-ED): letters, apostrophe, Unicode form.

Checks and `forms translations status` use it. It has no dictionary: a text without a finding can still be misspelt.
"""

import re
import unicodedata
from collections.abc import Iterator

from screening_forms.workbook.columns import PLACEHOLDER

APOSTROPHE = "’"

# Three vowels; plain, aspirated and ejective stops; Aymara also has long vowels.
_WORDS = {
    "quz": re.compile(r"(?:chh|ch’|ch|[kpqt][h’]?|[ahilmnñrsuwy])+"),
    "ayr": re.compile(r"(?:chh|ch’|ch|[kpqt][h’]?|[aäiïjlmnñrsuüwxy])+"),
}
_LETTERS = {"quz": frozenset("achiklmnñpqrstuwyh"), "ayr": frozenset("aächiïjklmnñpqrstuüwxyh")}
_WORD = re.compile(r"[^\W\d_]+(?:’[^\W\d_]*)*")
_PARTICLE = re.compile(r" del? (?=[A-ZÁÉÍÓÚÑ])")  # Madre de Dios
_OPENERS = " \n\t¿¡«“(-"
_SENTENCE_ENDS = ".:?!»”"
_WRONG_APOSTROPHES = "'`´ʼʻ‘′"
_RIGHT = str.maketrans(dict.fromkeys(_WRONG_APOSTROPHES, APOSTROPHE))


def spelling_findings(text: str, lang: str, loans: frozenset[str] = frozenset()) -> list[str]:
    """Return a Spanish description of each deviation from the official orthography; none for other languages.

    Names (a capital letter inside a sentence, or all capitals) and the words in `loans` are not checked.
    """
    if lang not in _WORDS:
        return []
    return [*_signs(text), *(f"${{{name}}}" for name in PLACEHOLDER.findall(text)), *_words(text, lang, loans)]


def _signs(text: str) -> Iterator[str]:
    yield from (f"apóstrofo {sign} en lugar de ’" for sign in _WRONG_APOSTROPHES if sign in text)
    if not unicodedata.is_normalized("NFC", text):
        yield "no está en la forma Unicode NFC"
    for sign in dict.fromkeys(text):
        if sign not in "\n\t" and unicodedata.category(sign) in ("Cc", "Cf", "Co"):
            yield f"signo invisible U+{ord(sign):04X}"


def _words(text: str, lang: str, loans: frozenset[str]) -> Iterator[str]:
    righted = unicodedata.normalize("NFC", text).translate(_RIGHT)
    plain = _PARTICLE.sub(" ", PLACEHOLDER.sub(" ", righted))
    for found in _WORD.finditer(plain):
        word, before = found[0], plain[: found.start()].rstrip(_OPENERS)
        is_name = word.isupper() or (word[0].isupper() and before != "" and before[-1] not in _SENTENCE_ENDS)
        if not is_name and word.lower() not in loans and not _WORDS[lang].fullmatch(word.lower()):
            yield f"«{word}»{_why(word.lower(), lang)}"


def _why(word: str, lang: str) -> str:
    strange = "".join(dict.fromkeys(letter for letter in word if letter not in (*_LETTERS[lang], APOSTROPHE)))
    if strange and set(strange) <= set("eoéóíúá"):
        return f" ({', '.join(strange)}: solo hay a, i, u)"
    return f" (fuera del alfabeto: {', '.join(strange)})" if strange else ""
