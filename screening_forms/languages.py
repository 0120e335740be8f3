"""The languages of forms: their tags, their names and their fallback languages; and the type of bilingual texts.

Every package imports this, tablets and desks too. It must import no other module of the project.
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
FALLBACK = {"quz": "es", "ayr": "es"}  # Never quy for quz: it is another variety of Quechua.

_TAG = re.compile(r"\(([\w-]+)\)\s*$")


def language_tag(name: str) -> str:
    """Return the tag in a language's name: `Español (es)` -> `es`. A name without parentheses is the tag itself."""
    found = _TAG.search(name)
    return found[1] if found else name.strip()
