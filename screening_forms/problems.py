"""Every code that the form checks give, with the advice an author reads, in Spanish and English: problems.csv.

A code is stable: other programs may rely on it. The words may change; they say what to do, not only what is wrong.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from screening_forms.errors import FormProblem
from screening_forms.languages import Bilingual


class ProblemPlace(Protocol):
    """Where a problem is: a row of a sheet, as the author counts; 0 is the whole sheet."""

    @property
    def sheet(self) -> str: ...

    @property
    def number(self) -> int: ...


@dataclass(frozen=True)
class Cell:
    """A place without a row of the workbook behind it."""

    sheet: str
    number: int = 0


_CATALOGUE = Path(__file__).with_name("problems.csv")

with _CATALOGUE.open(encoding="utf-8", newline="") as _rows:
    ADVICE = {row["code"]: Bilingual(row["es"], row["en"]) for row in csv.DictReader(_rows)}

NOT_BLOCKING = (
    "translation.",
    "audio.",
    "indicator.unreached",
    "choice.unused_list",
    "cell.decimal",
    "policy.guidance_missing",
)
"""What an author should know but a draft may have: a language that is not whole is left out, never half shown."""


def problem(code: str, row: ProblemPlace, column: str, *values: object, **more: str) -> FormProblem:
    """Make the problem of one cell; `values` and `more` fill the places in both texts."""
    texts = [text.format(*values, **more) for text in ADVICE[code]]
    return FormProblem(
        sheet=row.sheet, row=row.number, column=column, code=code, advice_es=texts[0], advice_en=texts[1]
    )


def suggest(word: str, known: Iterable[str]) -> dict[str, str]:
    """The nearest right name, as the words to put behind both texts; nothing if none is near."""
    near = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    if not near:
        return {"hint_es": "", "hint_en": ""}
    return {"hint_es": f"; ¿quiso decir «{near[0]}»?", "hint_en": f"; did you mean '{near[0]}'?"}
