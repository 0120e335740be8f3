"""The text columns of a workbook: the parts of a row that people read, and the language of each heading.

Checks, translations, the compiler and the .xlsx writer all read headings by this one table. It must read no file and
no translation outside the workbook.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from screening_forms.languages import SOURCE, Bilingual, language_tag
from screening_forms.workbook.reader import Row


class PartWords(NamedTuple):
    """A text part's name, and the Spanish words by which a translator's note tells its use."""

    name: Bilingual
    use_es: str


PART_WORDS = {
    "label": PartWords(Bilingual("texto", "text"), "texto que se lee"),
    "hint": PartWords(Bilingual("ayuda", "hint"), "indicación para quien entrevista"),
    "guidance_hint": PartWords(Bilingual("orientación", "guidance"), "ayuda para quien entrevista"),
    "constraint_message": PartWords(
        Bilingual("mensaje de la condición", "constraint message"), "aviso si la respuesta no vale"
    ),
    "required_message": PartWords(
        Bilingual("mensaje de obligatoria", "message of a required question"), "aviso si falta la respuesta"
    ),
}
TEXT_PARTS = tuple(PART_WORDS)
SELECT_TYPE = re.compile(r"select_(?:one|multiple)\s+(\S+)")
PLACEHOLDER = re.compile(r"\$\{\s*([\w.-]+)\s*\}")


@lru_cache(maxsize=1024)
def parse_heading(heading: str) -> tuple[str, str]:
    """Return the part and the language of a column.

    `label::Runasimi (quz)` and `label::quz` are the `label` in `quz`; `label` alone is Spanish.
    """
    part, separator, language = heading.partition("::")
    return part, language_tag(language) if separator else SOURCE


def heading_language(heading: str) -> str:
    """Return the language of a column."""
    return parse_heading(heading)[1]


def cell_text(row: Row, part: str, lang: str) -> str:
    """Return the text of one part of a row in the workbook's column of a language, or an empty string."""
    return next((text for heading, text in row.cells.items() if parse_heading(heading) == (part, lang)), "")
