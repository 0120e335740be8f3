"""Reads CSV tables of rules: indicator sets, policies and hotlines. Also dates and names of tables.

Rules are tables so that a reviewer can open and read them. It knows columns and line numbers, and must not interpret
a cell.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from screening_forms.errors import FormError, FormProblem

TABLE_NAME = re.compile(r"([a-z][a-z0-9_]*?)_([12][0-9]{3})(?:_([1-9][0-9]{0,2}))?")
"""A table's name: family, year and number, as in pe_adult_2026_2."""
INVISIBLE_SIGN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
"""Invisible characters, some of which control a terminal. An attacker could hide text from a reviewer with them."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_OR_TIME = re.compile(rf"{_DATE.pattern}(?: \d\d:\d\d)?", re.ASCII)
NumberedRow = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class TableFormat:
    """A kind of table: the prefix of its problem codes, its nouns, its columns and its optional columns."""

    code: str
    noun_es: str
    noun_en: str
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def read_rows(self, name: str, text: str) -> list[NumberedRow]:
        """Return the rows with their line numbers; the heading is line 1.

        Raises FormError on missing or unknown columns, invisible characters and spreadsheet formulas.
        """
        text = text.removeprefix("\ufeff")
        heading = text.partition("\n")[0]
        # A spreadsheet program with Spanish settings writes semicolons.
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in heading else ",")
        try:
            cells = list(table)
        except csv.Error as error:
            es, en = f"no se puede leer como tabla CSV: {error}", f"cannot be read as a CSV table: {error}"
            raise FormError([self.problem("unreadable", name, table.line_num, "", es, en)]) from error
        given = tuple(table.fieldnames or ())
        if problems := list(self._column_problems(name, given)):
            raise FormError(problems)
        numbered = list(enumerate(cells, start=2))
        if problems := [found for number, row in numbered for found in self._dangerous_cells(name, number, row)]:
            raise FormError(problems)
        known = [column for column in (*self.columns, *self.optional) if column in given]
        return [(n, {c: (row[c] or "").strip() for c in known}) for n, row in numbered]

    def _column_problems(self, name: str, given: tuple[str, ...]) -> Iterator[FormProblem]:
        for c in self.columns:
            if c not in given:
                es, en = f"falta la columna «{c}»", f"the column '{c}' is missing"
                yield self.problem("missing_column", name, 1, c, es, en)
        for c in given:
            if c and c not in (*self.columns, *self.optional):
                allowed = ", ".join((*self.columns, *self.optional))
                es, en = (
                    f"no se conoce la columna «{c}»; hay: {allowed}",
                    f"unknown column '{c}'; allowed: {allowed}",
                )
                yield self.problem("unknown_column", name, 1, c, es, en)

    def _dangerous_cells(
        self, name: str, number: int, row: Mapping[str | None, str | list[str] | None]
    ) -> Iterator[FormProblem]:
        """Find invisible characters and formulas in all cells. A reviewer also sees cells without a heading."""
        for column, cell in row.items():
            for text in cell if isinstance(cell, list) else [cell or ""]:
                if found := INVISIBLE_SIGN.search(text):
                    es = f"hay un signo que no se ve, U+{ord(found[0]):04X}: bórrelo"
                    en = f"there is an invisible character, U+{ord(found[0]):04X}: delete it"
                    yield self.problem("unseen_sign", name, number, column or "", es, en)
                if text.strip()[:1] in ("=", "+", "-", "@") and text.strip() != "-":
                    es = "una hoja de cálculo lo tomaría por una fórmula: no empiece con = + - @"
                    en = "a spreadsheet program reads it as a formula: do not begin with = + - @"
                    yield self.problem("formula", name, number, column or "", es, en)

    def problem(self, what: str, name: str, row: int, column: str, advice_es: str, advice_en: str) -> FormProblem:
        """Return a problem of one cell of a table of this kind."""
        return FormProblem(
            sheet=f"{name}.csv",
            row=row,
            column=column,
            code=f"{self.code}.{what}",
            advice_es=advice_es,
            advice_en=advice_en,
        )


def table_family(name: str) -> str:
    """Return the part of a name that all versions share: pe_adult_2026_1 -> pe_adult; "" for another name."""
    found = TABLE_NAME.fullmatch(name)
    return found[1] if found else ""


def is_date(text: str) -> bool:
    """True if a text is a calendar day, such as `2026-11-20`."""
    return bool(_DATE.fullmatch(text)) and is_date_or_time(text)


def is_date_or_time(text: str) -> bool:
    """True if a text is a calendar day, alone or with a time: `2026-11-20` or `2026-11-20 15:30`."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return bool(_DATE_OR_TIME.fullmatch(text))
