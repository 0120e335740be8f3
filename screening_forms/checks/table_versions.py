"""Checks new versions of indicator sets and policies before they are published.

A published table must never change under its name. An indicator code must keep its meaning in every set for ever:
desks open old screenings by it, and statistics add up several years by it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from screening_forms.errors import FormError, FormProblem
from screening_forms.rules.csv_table import TABLE_NAME, TableFormat, table_family
from screening_forms.rules.indicators import INDICATOR_SET_TABLE, parse_indicator_set
from screening_forms.rules.policy import POLICY_TABLE, parse_policy
from screening_forms.workbook.resources import Resources
from screening_forms.workbook.xlsx_reader import read_tables

MOST_BYTES, MOST_ROWS = 256 * 2**10, 1000
"""The most bytes and rows of a table: ten times the largest built-in one. Every check reads all published tables."""
_SAME = ("", "yes", "no")


@dataclass(frozen=True)
class TableKind:
    """One kind of table: its format, and the setting that names the form's table of this kind."""

    table: TableFormat
    setting: str

    def tables_in(self, resources: Resources) -> Mapping[str, str]:
        """Return the tables of this kind in `resources`, name -> CSV."""
        return resources.indicator_sets if self.setting == "indicator_set" else resources.policies

    def as_resources(self, name: str, text: str) -> Resources:
        """Return resources that hold only this table."""
        return Resources({name: text}) if self.setting == "indicator_set" else Resources(policies={name: text})


TABLE_KINDS = {"set": TableKind(INDICATOR_SET_TABLE, "indicator_set"), "policy": TableKind(POLICY_TABLE, "policy")}


def read_table_text(content: bytes, filename: str, kind: str) -> str:
    """Return a table as CSV text, from a CSV file or an .xlsx workbook.

    The workbook's sheet is named `indicator_set` or `policy` after its kind, or is the only one. Raises FormError.
    """
    if not filename.lower().endswith(".xlsx"):
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _table_error(
                kind, filename, "unreadable", "guárdelo como CSV en UTF-8", "save it as CSV in UTF-8"
            ) from error
    wanted = TABLE_KINDS[kind].table.code
    titles = [each.title for each in read_tables(content, filename, ())]
    named = [title for title in titles if title.strip().lower() == wanted] or titles
    if len(named) != 1:
        es, en = f"llame «{wanted}» a la hoja de la tabla", f"call the table's sheet '{wanted}'"
        raise _table_error(kind, filename, "no_sheet", es, en)
    found = next(each for each in read_tables(content, filename, [named[0].strip().lower()]) if each.title == named[0])
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(cells for _, cells in found.lines)
    return written.getvalue()


def previous_version(kind: str, name: str, earlier: Resources) -> str:
    """Return the name of the newest earlier version in a table's family; "" if there is none."""
    others = [
        each
        for each in TABLE_KINDS[kind].tables_in(earlier)
        if each != name and table_family(each) == table_family(name)
    ]
    return max(others, key=_version_key, default="")


def version_problems(
    kind: str, name: str, text: str, earlier: Resources, *, year: int | None = None
) -> list[FormProblem]:
    """Return every problem that prevents publishing a table beside all `earlier` ones.

    With `year` the table must also have the next free number. Only a server knows all earlier tables and gives a year.
    """
    if len(text.encode()) > MOST_BYTES or len(text.splitlines()) > MOST_ROWS + 1:
        es = f"la tabla es demasiado grande: hasta {MOST_ROWS} filas y {MOST_BYTES >> 10} KiB"
        en = f"the table is too large: at most {MOST_ROWS} rows and {MOST_BYTES >> 10} KiB"
        return [TABLE_KINDS[kind].table.problem("too_large", name, 0, "", es, en)]
    found = [*_name_problems(kind, name, text, earlier, year)]
    try:
        parse_table(kind, name, text)
    except FormError as error:
        return [*found, *error.problems]
    return [*found, *_code_problems(name, text, earlier)] if kind == "set" else found


def parse_table(kind: str, name: str, text: str) -> dict[str, Any]:
    """Parse a table into JSON values. Raises FormError with every problem in its rows."""
    return (parse_indicator_set(name, text) if kind == "set" else parse_policy(name, text)).as_dict()


def _version_key(name: str) -> tuple[int, int]:
    found = TABLE_NAME.fullmatch(name)
    return (int(found[2]), int(found[3] or 0)) if found else (0, 0)


def unpublished_tables(own: Resources, known: Resources, *, year: int) -> list[tuple[str, str, str]]:
    """Return setting, name and CSV of each table in `own` that `known` lacks.

    Raises FormError with every problem that prevents publishing one of them.
    """
    found = [
        (kind, table_kind.setting, name, text)
        for kind, table_kind in TABLE_KINDS.items()
        for name, text in table_kind.tables_in(own).items()
        if name not in table_kind.tables_in(known)
        or table_kind.tables_in(known)[name].splitlines() != text.splitlines()
    ]
    if wrong := [
        each for kind, _, name, text in found for each in version_problems(kind, name, text, known, year=year)
    ]:
        raise FormError(wrong)
    return [(setting, name, text) for _, setting, name, text in found]


def _name_problems(kind: str, name: str, text: str, earlier: Resources, year: int | None) -> Iterator[FormProblem]:
    table, there = TABLE_KINDS[kind].table, TABLE_KINDS[kind].tables_in(earlier)
    if not table_family(name):
        es = f"llame a la tabla por su familia, el año y un número, como pe_adult_2026_2; no «{name}»"
        en = f"call the table by its family, the year and a number, such as pe_adult_2026_2; not '{name}'"
        yield table.problem("bad_name", name, 0, "", es, en)
    elif name in there and there[name].splitlines() != text.splitlines():
        es = "ese nombre ya es de otra tabla, que no cambia: dele el número siguiente"
        en = "that name belongs to another table, which never changes: give it the next number"
        yield table.problem("name_used", name, 0, "", es, en)
    elif (
        (newest := previous_version(kind, name, earlier))
        and name not in there
        and _version_key(name) <= _version_key(newest)
    ):
        es, en = f"ya hay una versión más nueva: {newest}", f"there is a newer version already: {newest}"
        yield table.problem("not_newer", name, 0, "", es, en)
    elif name not in there and year is not None and not _is_next(name, newest, year):
        # A name that skips years or numbers would block the names before it for all other authors.
        es = f"salta años o números: use el año en curso o el siguiente, y el número que sigue a {newest or 'ninguno'}"
        en = f"it skips years or numbers: take this year or the next, and the number after {newest or 'none'}"
        yield table.problem("skips", name, 0, "", es, en)


def _is_next(name: str, newest: str, year: int) -> bool:
    (in_year, number), (last_year, last) = _version_key(name), _version_key(newest)
    return in_year <= year + 1 and number <= (last + 1 if in_year == last_year else 1)


def _code_problems(name: str, text: str, earlier: Resources) -> Iterator[FormProblem]:
    """Yield a problem for each code that has another dimension, sign or label than in an earlier set.

    Another label is allowed if the author writes `yes` in the column `same_meaning`.
    """
    known: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for other, held in earlier.indicator_sets.items():
        for row in _indicators(other, held) if other != name else ():
            known.setdefault(row["code"], []).append((other, row))
    for number, cells in INDICATOR_SET_TABLE.read_rows(name, text):
        same, was = cells.get("same_meaning", ""), known.get(cells["code"], [])
        if same not in _SAME:
            es, en = f"«same_meaning» es yes o no, no «{same}»", f"'same_meaning' is yes or no, not '{same}'"
            yield INDICATOR_SET_TABLE.problem("bad_same_meaning", name, number, "same_meaning", es, en)
        strange = [each for each in was if _meaning(each[1]) != _meaning(cells)]
        if not strange and same != "yes" and all(_labels(row) != _labels(cells) for _, row in was):
            strange = was
        if strange:
            es, en = _reuse_advice(cells["code"], *strange[-1], words_only=_meaning(strange[-1][1]) == _meaning(cells))
            yield INDICATOR_SET_TABLE.problem("code_reused", name, number, "code", es, en)


def _indicators(name: str, text: str) -> list[dict[str, str]]:
    try:
        return [cells for _, cells in INDICATOR_SET_TABLE.read_rows(name, text)]
    except FormError:  # A table that this version no longer reads must not block other tables.
        return []


def _meaning(row: Mapping[str, str]) -> tuple[str, str]:
    return row["dimension"], row.get("sign", "")


def _labels(row: Mapping[str, str]) -> tuple[str, str]:
    return row["label_es"], row["label_en"]


def _reuse_advice(code: str, table: str, row: Mapping[str, str], *, words_only: bool) -> tuple[str, str]:
    es = f"{code} ya es «{row['label_es']}» en {table}: use un código que nadie usó"
    en = f"{code} is already '{row['label_en']}' in {table}: take a code that no set has used"
    if words_only:
        es += ", o escriba yes en la columna same_meaning si solo cambian las palabras"
        en += ", or write yes in the column same_meaning if only the words change"
    return es, en


def _table_error(kind: str, filename: str, what: str, es: str, en: str) -> FormError:
    return FormError([TABLE_KINDS[kind].table.problem(what, filename.rpartition(".")[0], 0, "", es, en)])
