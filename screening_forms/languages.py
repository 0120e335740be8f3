"""Contains the languages that a form may be in: their tags, their names, what stands in for each, and bilingual texts.

Tablets and desks load this too. It imports nothing of the forms.
"""

import re
from typing import NamedTuple


class Bilingual(NamedTuple):
    """The same text in Spanish and in English."""

    es: str
    en: str


SOURCE = "es"
OWN_NAMES = {"es": "Español", "quz": "Runasimi", "ayr": "Aymar aru"}
LANGUAGES = {tag: f"{name} ({tag})" for tag, name in OWN_NAMES.items()}
LANGUAGE_NAMES = {
    "es": Bilingual("español", "Spanish"),
    "quz": Bilingual("quechua", "Quechua"),
    "ayr": Bilingual("aimara", "Aymara"),
}
FALLBACK = {"quz": "es", "ayr": "es"}  # quy never stands in for quz

_TAG = re.compile(r"\(([\w-]+)\)\s*$")


def language_tag(name: str) -> str:
    """Return the tag in a language's name: `Español (es)` -> `es`; a name without parentheses is its own tag."""
    found = _TAG.search(name)
    return found[1] if found else name.strip()
