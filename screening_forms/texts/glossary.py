"""The glossary: finds translations that do not use the agreed words of `locales/glossary.csv`.

Checks and `forms translations status` use it. Quechua and Aymara add endings to words, so it searches for the stems of
agreed words. A finding is a hint for the translator; it must not reject a text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from screening_forms.workbook.resources import LOCALES

_WORD = re.compile(r"[^\W\d_]+(?:’[^\W\d_]*)*|\d+")
_ASIDE = re.compile(r"\s*\(.*?\)")
# The endings of Spanish verbs: present, past, future, conditional, gerund, participle, with pronouns.
_VERB = re.compile(
    r"(?:[aeiáéí]r|[ae]n?|[aei]mos|an?|ó|[ae]ste|[ai]eron|aron|[aí]a[ns]?|aba[ns]?|ando|iendo|[ai]d[oa]s?|"
    r"(?:[aei]r)?[áé]n?|(?:[aei]r)ía[ns]?|[ae]ran?|ieran?)(?:[lm]es?|l[ao]s?|se|nos)?"
)
_ALTERNATIVES = re.compile(r"\s*/\s*")


@dataclass(frozen=True)
class Term:
    """One Spanish term. `agreed`: its words in one language; a translation may use any of them."""

    spanish: str
    agreed: tuple[str, ...]
    lang: str

    def is_said_in(self, words: Sequence[str]) -> bool:
        """True if the words of a Spanish text contain the term, in singular or plural, or in any form of a verb."""
        wanted = self._wanted
        if all(len(word) <= 2 for word in wanted):  # sí, no: only as the whole answer
            return tuple(words) == wanted
        starts = range(len(words) - len(wanted) + 1)
        return any(all(map(_is_form, words[start:], wanted)) for start in starts)

    def is_translated_in(self, words: Sequence[str]) -> bool:
        """True if the words of a translation contain one of the agreed words, with any endings."""
        return any(all(any(word.startswith(stem) for word in words) for stem in stems) for stems in self._stems)

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        return tuple(_words(self.spanish))

    @cached_property
    def _stems(self) -> list[list[str]]:
        return [[_stem(part, self.lang) for part in _words(agreed)] for agreed in self.agreed]


class Glossary:
    """The terms of all languages; `content` is the text of a file like `locales/glossary.csv`."""

    def __init__(self, content: str) -> None:
        rows = list(csv.DictReader(content.splitlines()))
        languages = [name for name in (rows[0] if rows else {}) if name not in ("es", "note")]
        self._terms: Mapping[str, Sequence[Term]] = {lang: list(_terms(rows, lang)) for lang in languages}

    @classmethod
    def built_in(cls) -> Self:
        """Return the glossary of this release."""
        return cls((LOCALES / "glossary.csv").read_text(encoding="utf-8"))

    def findings(self, spanish: str, text: str, lang: str) -> list[Term]:
        """Return the terms in the Spanish text whose agreed words the translation does not contain."""
        source, translation = _words(spanish), _words(text)
        terms = self._terms.get(lang, ())
        return [term for term in terms if term.is_said_in(source) and not term.is_translated_in(translation)]


def _terms(rows: Iterable[Mapping[str, str]], lang: str) -> Iterable[Term]:
    for row in rows:
        if row[lang].strip():
            for spanish in _ASIDE.sub("", row["es"]).split(" o "):
                yield Term(spanish, tuple(_ALTERNATIVES.split(row[lang].strip())), lang)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _is_form(word: str, wanted: str) -> bool:
    if not word.startswith(wanted[:-2]):
        return False
    if word in (wanted, wanted + "s", wanted + "es"):
        return True
    is_verb = len(wanted) > 4 and wanted[-2:] in ("ar", "er", "ir")
    return is_verb and _VERB.fullmatch(word[len(wanted) - 2 :]) is not None


def _stem(word: str, lang: str) -> str:
    """Return the stem of a word: without the ending of the infinitive, and in Aymara without the last vowels."""
    if lang == "quz" and len(word) > 4 and word.endswith("y"):
        return word[:-1]
    if lang == "ayr" and len(word) > 4:
        return word.removesuffix("ña").rstrip("aiu") if word.endswith("ña") else word.rstrip("aiu")
    return word
