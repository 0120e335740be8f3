"""The sign-off of one translation: who answers for it, for which variety, since when, and what it says in Spanish.

It stands in the entry's translator comments, where Poedit and Weblate keep what a translator writes. Without all four
lines a text is a draft, whatever its marks say.
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
    """Name the fields of a sign-off that are not there or do not count.

    Translator comments have one `Field: value` a line, and longer values go on in the next lines.

    `Variety` begins with the language's own tag, such as `quz Cusco`: a register number for Ayacucho Quechua (quy)
    signs nothing in quz.
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
    """Whether two entries' comments carry one and the same sign-off."""
    values = _values(one)
    return any(values.values()) and values == _values(other)


def void_sign_off(comments: str) -> str:
    """Keep a sign-off in the comments as a former one: it was given for other words."""
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
