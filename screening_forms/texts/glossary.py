"""The agreed words of `locales/glossary.csv`: whether a Spanish term was translated with the word agreed on.

Checks and `forms translations status` call this. Quechua and Aymara put endings on words, so an agreed word is looked
for by its stem; a finding is a hint to a translator, never a reason to refuse a text.
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
# What a Spanish verb's stem may end in here: present, past, future, conditional, gerund, participle, with pronouns.
_VERB = re.compile(
    r"(?:[aeiáéí]r|[ae]n?|[aei]mos|an?|ó|[ae]ste|[ai]eron|aron|[aí]a[ns]?|aba[ns]?|ando|iendo|[ai]d[oa]s?|"
    r"(?:[aei]r)?[áé]n?|(?:[aei]r)ía[ns]?|[ae]ran?|ieran?)(?:[lm]es?|l[ao]s?|se|nos)?"
)
_ALTERNATIVES = re.compile(r"\s*/\s*")


@dataclass(frozen=True)
class Term:
    """One Spanish term; `agreed` are the words for it in one language, any of which will do."""

    spanish: str
    agreed: tuple[str, ...]
    lang: str

    def is_said_in(self, words: Sequence[str]) -> bool:
        """Whether a Spanish text of these words says it, in the singular or plural, a verb in any of its forms."""
        wanted = self._wanted
        if all(len(word) <= 2 for word in wanted):  # sí, no: the whole of an answer, not a word among others
            return tuple(words) == wanted
        starts = range(len(words) - len(wanted) + 1)
        return any(all(map(_is_form, words[start:], wanted)) for start in starts)

    def is_translated_in(self, words: Sequence[str]) -> bool:
        """Whether a translation of these words has one of those agreed on, with whatever endings."""
        return any(all(any(word.startswith(stem) for word in words) for stem in stems) for stems in self._stems)

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        return tuple(_words(self.spanish))

    @cached_property
    def _stems(self) -> list[list[str]]:
        return [[_stem(part, self.lang) for part in _words(agreed)] for agreed in self.agreed]


class Glossary:
    """The terms by language."""

    def __init__(self, content: str) -> None:
        rows = list(csv.DictReader(content.splitlines()))
        languages = [name for name in (rows[0] if rows else {}) if name not in ("es", "note")]
        self._terms: Mapping[str, Sequence[Term]] = {lang: list(_terms(rows, lang)) for lang in languages}

    @classmethod
    def built_in(cls) -> Self:
        """The glossary that comes with this version."""
        return cls((LOCALES / "glossary.csv").read_text(encoding="utf-8"))

    def findings(self, spanish: str, text: str, lang: str) -> list[Term]:
        """The terms that the Spanish text has and whose agreed word the translation does not have."""
        said, kept = _words(spanish), _words(text)
        return [term for term in self._terms.get(lang, ()) if term.is_said_in(said) and not term.is_translated_in(kept)]


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
    """What stays of a word when endings come: without the infinitive, and in Aymara without the last vowel."""
    if lang == "quz" and len(word) > 4 and word.endswith("y"):
        return word[:-1]
    if lang == "ayr" and len(word) > 4:
        return word.removesuffix("ña").rstrip("aiu") if word.endswith("ña") else word.rstrip("aiu")
    return word
