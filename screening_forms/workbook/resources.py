"""The resources of a form: indicator sets, policies, translations and recordings that a workbook names.

The compiler and the checks look them up here. `Resources` contains texts and bytes, and must contain no paths. So a
form compiles to the same bytes from this release's files, an author's folder and a server's database.
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
        """Return both resources in one. This one wins where both have a name; a language counts as a whole."""
        return Resources(
            {**fallback.indicator_sets, **self.indicator_sets},
            {**fallback.policies, **self.policies},
            {**fallback.catalogues, **self.catalogues},
            {**fallback.recordings, **self.recordings},
        )

    def indicator_set(self, name: str) -> IndicatorSet:
        """Return an indicator set. Raises FormError on an unknown name, or with every problem of its table."""
        return _parsed_set(name, _named(INDICATOR_SET_TABLE, self.indicator_sets, name))

    def policy(self, name: str) -> Policy:
        """Return a policy. Raises FormError on an unknown name, or with every problem of its table."""
        return _parsed_policy(name, _named(POLICY_TABLE, self.policies, name))

    def catalogue(self, lang: str) -> dict[str, polib.POEntry]:
        """Return a language's entries by context, without obsolete ones. The cache shares them: do not change them."""
        return {entry.msgctxt or "": entry for entry in self._po(lang) if not entry.obsolete}

    def header(self, lang: str, name: str) -> str:
        """Return one field of the header of a language's `.po`, or an empty string."""
        return str(self._po(lang).metadata.get(name, ""))

    def form_texts(self, lang: str, form_id: str) -> str:
        """Return one form's entries of a language's `.po` as the text of a `.po` with the same header."""
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
        es, en = f"no existe {kind.noun_es} «{name}»; hay: {known}", f"unknown {kind.noun_en} '{name}'; known: {known}"
        raise FormError([kind.problem("unknown", name, 0, "", es, en)])
    return texts[name]


# Every check and every compilation parses the same texts.
_parsed_set = lru_cache(maxsize=32)(parse_indicator_set)
_parsed_policy = lru_cache(maxsize=32)(parse_policy)


def parse_po(text: str) -> polib.POFile:
    """Parse the text of a `.po` file; raises FormError if it is not one."""
    try:
        # polib would open a file if the text were its path. The two empty lines prevent that.
        return polib.pofile(f"{text}\n\n", wrapwidth=100)
    except Exception as error:  # Untrusted bytes: polib raises errors of many types.
        es, en = f"no se entiende el archivo .po: {error}", f"the .po file cannot be read: {error}"
        raise FormError([FormProblem("settings", 0, "languages", "translation.unreadable", es, en)]) from error


_parsed_po = lru_cache(maxsize=32)(parse_po)  # Callers only read the shared result.


def load_built_in(locales: Path = LOCALES) -> Resources:
    """Return this release's tables, and the translations of a folder with gettext's layout."""
    files = sorted(locales.glob("*/LC_MESSAGES/forms.po"))
    return Resources(
        _texts(HERE / "indicator_sets"),
        _texts(HERE / "policies"),
        {path.parts[-3]: path.read_text(encoding="utf-8") for path in files},
    )


BUILT_IN = load_built_in()
