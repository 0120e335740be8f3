"""Contains `CheckContext`: a workbook under check, with the indexes that several checks share."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from screening_forms.rules.indicators import IndicatorSet
from screening_forms.rules.policy import Policy
from screening_forms.workbook.columns import SELECT_TYPE, TEXT_PARTS
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import Resources
from screening_forms.workbook.xlsform_subset import EXPRESSION_COLUMNS

RouteVocabulary = Mapping[str, Collection[str]]
"""Route field -> codes that a question may give it. No codes: INEI's code of a district, province or region."""


@dataclass(frozen=True)
class CheckContext:
    """A workbook under check, with the server's route vocabulary, the tables and recordings, and shared indexes."""

    workbook: Workbook
    route_vocabulary: RouteVocabulary
    resources: Resources

    @cached_property
    def settings(self) -> Row:
        return Row("settings", 2, self.workbook.settings)

    @cached_property
    def questions(self) -> dict[str, Row]:
        return {row.get("name"): row for row in self.workbook.survey if row.get("name")}

    @cached_property
    def lists(self) -> dict[str, list[Row]]:
        lists: dict[str, list[Row]] = {}
        for row in self.workbook.choices:
            lists.setdefault(row.get("list_name"), []).append(row)
        return lists

    @cached_property
    def groups(self) -> dict[str, tuple[Row, ...]]:
        """The groups around each row of the survey that is not a group, the outermost first."""
        found: dict[str, tuple[Row, ...]] = {}
        above: tuple[Row, ...] = ()
        for row in self.workbook.survey:
            kind = row.get("type").replace(" ", "_", 1)
            if kind == "end_group":
                above = above[:-1]
            elif kind == "begin_group":
                above = (*above, row)
            else:
                found[row.get("name")] = above
        return found

    @cached_property
    def indicator_set(self) -> IndicatorSet | None:
        """The indicator set of the settings; None if it does not exist, which `check_settings` reports."""
        name = self.workbook.settings.get("indicator_set", "")
        return self.resources.indicator_set(name) if name in self.resources.indicator_sets else None

    @cached_property
    def policy(self) -> Policy | None:
        name = self.workbook.settings.get("policy", "")
        return self.resources.policy(name) if name in self.resources.policies else None

    def choices_of(self, row: Row) -> list[Row]:
        """Return the choices of a select; empty for another type or an unknown list."""
        found = SELECT_TYPE.match(row.get("type"))
        return self.lists.get(found[1], []) if found else []

    def texts(self) -> Iterator[tuple[Row, str, str]]:
        """Yield row, column and text of every visible text, in all languages."""
        for row in (*self.workbook.survey, *self.workbook.choices):
            for heading, text in row.cells.items():
                if heading.partition("::")[0] in TEXT_PARTS:
                    yield row, heading, text

    def expressions(self) -> Iterator[tuple[Row, str, str]]:
        """Yield row, column and text of every cell with an expression."""
        for row in self.workbook.survey:
            yield from ((row, column, row.get(column)) for column in EXPRESSION_COLUMNS if row.get(column))
        yield from ((row, "when", row.get("when")) for row in self.workbook.indicators if row.get("when"))
