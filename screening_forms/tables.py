"""Reads the CSV tables that carry rules as data: indicator sets and policies, which a reviewer can open and read.

Called by indicators and policy; it knows columns and line numbers, never what a cell means.
"""

import csv
import io
from dataclasses import dataclass

from screening_forms.errors import FormError, FormProblem

NumberedRow = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Kind:
    """A kind of table: what it is called in problem codes and in words, its columns."""

    code: str
    noun_es: str
    noun_en: str
    columns: tuple[str, ...]

    def rows(self, name: str, text: str) -> list[NumberedRow]:
        """The rows with their line numbers (the heading is line 1); raises FormError if columns are missing."""
        table = csv.DictReader(io.StringIO(text, newline=""))
        try:
            cells = list(table)
        except csv.Error as error:
            es, en = f"no se puede leer como tabla CSV: {error}", f"cannot be read as a CSV table: {error}"
            raise FormError([self.problem("unreadable", name, table.line_num, "", es, en)]) from error
        missing = [column for column in self.columns if column not in (table.fieldnames or ())]
        if missing:
            raise FormError(
                [
                    self.problem(
                        "missing_column", name, 1, c, f"falta la columna «{c}»", f"the column '{c}' is missing"
                    )
                    for c in missing
                ]
            )
        return [(n, {c: (row[c] or "").strip() for c in self.columns}) for n, row in enumerate(cells, start=2)]

    def problem(self, what: str, name: str, row: int, column: str, advice_es: str, advice_en: str) -> FormProblem:
        """A problem in one cell of one table of this kind."""
        return FormProblem(
            sheet=f"{name}.csv",
            row=row,
            column=column,
            code=f"{self.code}.{what}",
            advice_es=advice_es,
            advice_en=advice_en,
        )
