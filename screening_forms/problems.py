"""The catalogue of form problems: every code with its Spanish and English advice, from problems.csv.

A code is stable, because other programs may use it. The advice may change; it tells the author what to do.
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
    """The place of a problem: a row of a sheet, as the author counts; 0 is the whole sheet."""

    @property
    def sheet(self) -> str: ...

    @property
    def number(self) -> int: ...


@dataclass(frozen=True)
class Cell:
    """A place that is not a `Row` of the workbook."""

    sheet: str
    number: int = 0


_CATALOGUE = Path(__file__).with_name("problems.csv")

with _CATALOGUE.open(encoding="utf-8", newline="") as _rows:
    ADVICE = {row["code"]: Bilingual(row["es"], row["en"]) for row in csv.DictReader(_rows)}

NOT_BLOCKING = (
    "translation.",
    "audio.",
    "choice.unused_list",
    "cell.decimal",
)
"""Codes, or beginnings of codes, of problems that do not stop the compiler. It leaves an incomplete language out."""

FIELD_ONLY = (
    "case.none",
    "fact.missing",
    "indicator.unreached",
    "indicator.alike",
    "indicator.dimension_unreached",
    "indicator.essential",
    "method.",
    "indicator_set.superseded",
    "policy.guidance_",
    "policy.superseded",
    "question.date_without_reason",
    "question.empty_reason",
    "question.unbounded",
)
"""Codes, or beginnings of codes, of problems that stop the compiler for the channel `field` only."""


def problem(code: str, row: ProblemPlace, column: str, *values: object, **more: str) -> FormProblem:
    """Make the problem of one cell; `values` and `more` fill the placeholders of both texts."""
    texts = [text.format(*values, **more) for text in ADVICE[code]]
    return FormProblem(
        sheet=row.sheet, row=row.number, column=column, code=code, advice_es=texts[0], advice_en=texts[1]
    )


def suggest(word: str, known: Iterable[str]) -> dict[str, str]:
    """Return the known name nearest to a word, as endings for both texts; empty endings if none is near."""
    near = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    if not near:
        return {"hint_es": "", "hint_en": ""}
    return {"hint_es": f"; ¿quiso decir «{near[0]}»?", "hint_en": f"; did you mean '{near[0]}'?"}
