"""Where a workbook finds what it names and does not hold itself: indicator sets, policies, translations, recordings.

The compiler and the checks look things up here. A resources holds texts and bytes, never paths, so that the same form
compiles alike from this version's own files, from an author's folder and from what a server keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import polib

from screening_forms.errors import FormError, FormProblem
from screening_forms.rules.csv_table import TableFormat
from screening_forms.rules.indicators import INDICATOR_SET_TABLE, IndicatorSet, parse_indicator_set
from screening_forms.rules.policy import POLICY_TABLE, Policy, parse_policy

HERE = Path(__file__).parents[1]
LOCALES = HERE / "locales"
CATALOGUE = HERE / "catalogue"


@dataclass(frozen=True)
class Resources:
    """Tables by name as CSV text, `.po` texts by language, recordings by `<language>/<question or list.choice>`."""

    indicator_sets: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    catalogues: Mapping[str, str] = field(default_factory=dict)
    recordings: Mapping[str, bytes] = field(default_factory=dict)

    def with_fallback(self, fallback: Resources) -> Resources:
        """This resources before another: what both have, a whole language too, is taken from this one."""
        return Resources(
            {**fallback.indicator_sets, **self.indicator_sets},
            {**fallback.policies, **self.policies},
            {**fallback.catalogues, **self.catalogues},
            {**fallback.recordings, **self.recordings},
        )

    def indicator_set(self, name: str) -> IndicatorSet:
        """An indicator set by its name; FormError if there is none, or with every problem of its table."""
        return _parsed_set(name, _named(INDICATOR_SET_TABLE, self.indicator_sets, name))

    def policy(self, name: str) -> Policy:
        """A policy by its name; FormError if there is none, or with every problem of its table."""
        return _parsed_policy(name, _named(POLICY_TABLE, self.policies, name))

    def catalogue(self, lang: str) -> dict[str, polib.POEntry]:
        """The entries of a language by context, only to be read; obsolete ones are left out."""
        return {entry.msgctxt or "": entry for entry in self._po(lang) if not entry.obsolete}

    def header(self, lang: str, name: str) -> str:
        """What the header of a language's `.po` says under a name; blank if nothing."""
        return str(self._po(lang).metadata.get(name, ""))

    def form_texts(self, lang: str, form_id: str) -> str:
        """One form's part of a language's `.po`, as text, with the header of the whole."""
        whole, part = self._po(lang), polib.POFile(wrapwidth=100)
        part.header, part.metadata = whole.header, whole.metadata
        part.extend(entry for entry in whole if (entry.msgctxt or "").startswith(f"{form_id}/"))
        return str(part)

    def _po(self, lang: str) -> polib.POFile:
        return _parsed_po(self.catalogues.get(lang, ""))


def _texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.csv"))}


def _named(kind: TableFormat, texts: Mapping[str, str], name: str) -> str:
    if name not in texts:
        known = ", ".join(sorted(texts))
        es, en = f"no existe {kind.noun_es} «{name}»; hay: {known}", f"no {kind.noun_en} '{name}'; there is: {known}"
        raise FormError([kind.problem("unknown", name, 0, "", es, en)])
    return texts[name]


# The same texts are asked for by every check and every compilation.
_parsed_set = lru_cache(maxsize=32)(parse_indicator_set)
_parsed_policy = lru_cache(maxsize=32)(parse_policy)


def parse_po(text: str) -> polib.POFile:
    """Read a `.po`; raises FormError if it is none."""
    try:
        # polib opens a file where the text is the path of one, and no path ends in empty lines.
        return polib.pofile(f"{text}\n\n", wrapwidth=100)
    except Exception as error:  # bytes from outside: polib raises whatever it meets
        es, en = f"no se entiende el archivo .po: {error}", f"a .po file makes no sense: {error}"
        raise FormError([FormProblem("settings", 0, "languages", "translation.unreadable", es, en)]) from error


_parsed_po = lru_cache(maxsize=32)(parse_po)  # these are only read


def load_built_in(locales: Path = LOCALES) -> Resources:
    """What comes with this version, with the translations of a folder laid out as gettext wants it."""
    files = sorted(locales.glob("*/LC_MESSAGES/forms.po"))
    return Resources(
        _texts(HERE / "indicator_sets"),
        _texts(HERE / "policies"),
        {path.parts[-3]: path.read_text(encoding="utf-8") for path in files},
    )


BUILT_IN = load_built_in()
