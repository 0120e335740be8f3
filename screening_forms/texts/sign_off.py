"""The sign-off of one translation: the registered translator, the variety, the date, and a back-translation.

It is in the translator comments of a `.po` entry, which Poedit and Weblate preserve. A text without all four fields
must count as a draft, even if its entry is not marked as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from screening_forms.rules.csv_table import is_date_or_time

SIGN_OFF_FIELDS = ("Translator", "Variety", "Date", "Back-translation")
_FIELD = re.compile(rf"({'|'.join(SIGN_OFF_FIELDS)}):\s*(.*)")
_REGISTER = re.compile(r"RENITLI 0*[1-9]\d{0,5}")
_FORMER = "Former "


def lacking_fields(comments: str, lang: str) -> tuple[str, ...]:
    """Return the fields of a sign-off that are missing or not valid.

    Translator comments have one `Field: value` in each line; a longer value continues in the next lines.

    `Variety` begins with the tag of the language, such as `quz Cusco`. So a translator registered for Ayacucho Quechua
    (quy) cannot sign a text in quz.
    """
    values = _values(comments)
    good = {
        "Translator": bool(_REGISTER.fullmatch(values["Translator"])),
        "Variety": values["Variety"].partition(" ")[0] == lang,
        "Date": is_date_or_time(values["Date"]),
        "Back-translation": bool(values["Back-translation"]),
    }
    return tuple(name for name in SIGN_OFF_FIELDS if not good[name])


def is_same_sign_off(one: str, other: str) -> bool:
    """True if the comments of two entries contain the same sign-off."""
    values = _values(one)
    return any(values.values()) and values == _values(other)


def void_sign_off(comments: str) -> str:
    """Return the comments with their sign-off marked as a former one, because it was for another text."""
    return "\n".join(_FORMER + line if _FIELD.match(line) else line for line in comments.split("\n"))


def _values(comments: str) -> Mapping[str, str]:
    values, name = dict.fromkeys(SIGN_OFF_FIELDS, ""), ""
    for line in map(str.strip, comments.split("\n")):
        if found := _FIELD.fullmatch(line):
            name = found[1]
            values[name] = found[2].strip()
        elif line.startswith(_FORMER) or not line:
            name = ""
        elif name:
            values[name] += f" {line}"
    return values
