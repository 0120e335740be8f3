"""Checks the lists of choices: names, unused lists, and columns of choice filters. Called by `run.py`."""

import re
from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import ExpressionError, parse_expression, subexpressions
from screening_forms.problems import problem, suggest

_CHOICE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_LIST_NAME = re.compile(r"[\w.-]+")


def check_choices(context: CheckContext) -> Iterator[FormProblem]:
    """Every choice has a unique name in its list."""
    for rows in context.lists.values():
        seen: dict[str, int] = {}
        folded: dict[str, str] = {}
        for row in rows:
            name = row.get("name")
            if not name or not row.get("list_name"):
                yield problem("name.missing", row, "name" if not name else "list_name")
            elif name in seen:
                yield problem("choice.duplicate", row, "name", name, seen[name])
            elif not _CHOICE_NAME.fullmatch(name):
                yield problem("choice.bad_name", row, "name", name)
            elif folded.get(name.lower(), name) != name:
                yield problem("choice.case_twin", row, "name", name, folded[name.lower()])
            seen.setdefault(name, row.number)
            folded.setdefault(name.lower(), name)


def check_lists(context: CheckContext) -> Iterator[FormProblem]:
    """Every list is used by a question. An unused list often means a misspelt list name in a question."""
    used = {row.get("type").partition(" ")[2] for row in context.workbook.survey}
    for name, rows in context.lists.items():
        if name and not _LIST_NAME.fullmatch(name):
            yield problem("choice.bad_list", rows[0], "list_name", name)
        elif name and name not in used:
            yield problem("choice.unused_list", rows[0], "list_name", name)


def check_filters(context: CheckContext) -> Iterator[FormProblem]:
    """A choice filter uses only columns of the sheet `choices`; otherwise it would offer no choice."""
    columns = {*context.workbook.headings.get("choices", ())} - {
        "list_name",
        "label",
    }  # the compiled list lacks these two
    for row in context.workbook.survey:
        for name in _names(row.get("choice_filter")):
            if name not in columns:
                yield problem("choice.filter_column", row, "choice_filter", name, **suggest(name, columns))


def _names(text: str) -> list[str]:
    try:
        return (
            [part.value for part in subexpressions(parse_expression(text)) if part.symbol == "(name)"] if text else []
        )
    except ExpressionError:
        return []  # `check_expressions` reports it


def check_filter_cells(context: CheckContext) -> Iterator[FormProblem]:
    """Every choice has a value in each column of its filter: JavaRosa compares a blank cell, ODK Web Forms none."""
    columns = {*context.workbook.headings.get("choices", ())}
    for row in context.workbook.survey:
        for name in dict.fromkeys(_names(row.get("choice_filter"))):
            choices = context.choices_of(row) if name in columns else []
            known = " / ".join(dict.fromkeys(choice.get(name) for choice in choices if choice.get(name)))
            for choice in choices:
                if not choice.get(name):
                    yield problem(
                        "choice.filter_blank", choice, name, choice.get("name"), row.get("name"), known, heading=name
                    )
