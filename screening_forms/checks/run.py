"""Runs all checks on a form's workbook and returns every problem with its cell.

The compiler and `forms check` call `check_form`. Allowed types and columns are in `workbook/xlsform_subset.py`, codes
and advice in `problems.csv`. Checks are functions in one module per part of a workbook; they must change nothing.
"""

from collections.abc import Callable, Iterator

from screening_forms.checks.accepted_answers import check_accepted
from screening_forms.checks.cases import check_cases
from screening_forms.checks.choice_filters import check_offers
from screening_forms.checks.choices import check_choices, check_filter_cells, check_filters, check_lists
from screening_forms.checks.conditions import (
    check_circles,
    check_expressions,
    check_fit,
    check_indicators,
    check_order,
    check_references,
    check_refusable,
)
from screening_forms.checks.constraints import check_possible
from screening_forms.checks.context import CheckContext, RouteVocabulary
from screening_forms.checks.coverage import check_facts, check_guidance, check_newest, check_reach
from screening_forms.checks.identifying import check_identifying, check_reasons
from screening_forms.checks.live_conditions import check_live
from screening_forms.checks.method import check_accusing, check_method
from screening_forms.checks.numbers import check_numbers
from screening_forms.checks.questions import check_groups, check_names, check_questions, check_route, check_types
from screening_forms.checks.several_answers import check_several_answers
from screening_forms.checks.sheets import check_columns, check_file, check_forbidden_settings, check_settings
from screening_forms.checks.texts import check_links, check_sentences, check_signs, check_spanish
from screening_forms.checks.translations import check_recordings, check_translations
from screening_forms.errors import FormProblem
from screening_forms.problems import FIELD_ONLY, NOT_BLOCKING
from screening_forms.workbook.reader import SHEETS, Workbook
from screening_forms.workbook.resources import BUILT_IN, Resources

Check = Callable[[CheckContext], Iterator[FormProblem]]

SHEET_CHECKS: tuple[Check, ...] = (
    check_file,
    check_settings,
    check_forbidden_settings,
    check_columns,
)
ROW_CHECKS: tuple[Check, ...] = (
    check_types,
    check_names,
    check_groups,
    check_questions,
    check_route,
    check_choices,
    check_lists,
    check_filters,
    check_offers,
    check_identifying,
    check_reasons,
    check_filter_cells,
    check_spanish,
    check_sentences,
    check_signs,
    check_links,
    check_references,
    check_expressions,
    check_order,
    check_circles,
    check_possible,
    check_accepted,
    check_live,
    check_several_answers,
    check_numbers,
    check_fit,
    check_indicators,
    check_reach,
    check_newest,
    check_facts,
    check_refusable,
    check_guidance,
    check_method,
    check_accusing,
    check_cases,
    check_translations,
    check_recordings,
)


def check_form(
    workbook: Workbook, route_vocabulary: RouteVocabulary, *, resources: Resources = BUILT_IN
) -> list[FormProblem]:
    """Return every problem of a form, in the order of its sheets and rows.

    `route_vocabulary`: the codes that a question may give each route field. No codes: INEI's code of
    a district, a province or a region (`AUTHOR_FIELDS` in `sync/envelope/route.py`).
    """
    context = CheckContext(workbook, route_vocabulary, resources)
    problems = {found for function in SHEET_CHECKS for found in function(context)}
    if not any(
        found.code == "column.wrong_case" for found in problems
    ):  # with a misspelt heading, every row would seem to lack a value
        problems |= {found for function in ROW_CHECKS for found in function(context)}
    order = {name: place for place, name in enumerate(SHEETS)}
    return sorted(problems, key=lambda p: (order.get(p.sheet, -1), p.row, p.column, p.code, p.advice_es))


def blocking_problems(problems: list[FormProblem], channel: str = "training") -> list[FormProblem]:
    """Return the problems that block compilation for a channel. A form for `training` may be incomplete."""
    passed = NOT_BLOCKING if channel == "field" else (*NOT_BLOCKING, *FIELD_ONLY)
    return [found for found in problems if not found.code.startswith(passed)]
