"""What a form author can get wrong: all problems at once, each in its cell.

The compiler and `forms check` call `check`; it changes nothing. What is allowed is in whitelist.py, codes and advice
are in advice.py, the checks themselves in a module for each part of a workbook.
"""

from collections.abc import Callable, Iterator

from screening_forms.checks import choices as choice_checks
from screening_forms.checks import conditions as rule_checks
from screening_forms.checks import questions as question_checks
from screening_forms.checks import sheets as sheet_checks
from screening_forms.checks import texts as text_checks
from screening_forms.checks import translations as language_checks
from screening_forms.checks.cases import check_cases
from screening_forms.checks.context import RouteVocabulary, Subject
from screening_forms.errors import FormProblem
from screening_forms.problems import NOT_BLOCKING
from screening_forms.workbook.reader import SHEETS, Workbook
from screening_forms.workbook.resources import SHIPPED, Shelf

Check = Callable[[Subject], Iterator[FormProblem]]

OF_SHEETS: tuple[Check, ...] = (
    sheet_checks.check_file,
    sheet_checks.check_settings,
    sheet_checks.check_forbidden_settings,
    sheet_checks.check_columns,
)
OF_ROWS: tuple[Check, ...] = (
    question_checks.check_types,
    question_checks.check_names,
    question_checks.check_groups,
    question_checks.check_questions,
    question_checks.check_route,
    choice_checks.check_choices,
    choice_checks.check_lists,
    choice_checks.check_filters,
    text_checks.check_spanish,
    text_checks.check_sentences,
    text_checks.check_signs,
    text_checks.check_links,
    rule_checks.check_references,
    rule_checks.check_expressions,
    rule_checks.check_order,
    rule_checks.check_circles,
    rule_checks.check_possible,
    rule_checks.check_fit,
    rule_checks.check_indicators,
    rule_checks.check_reach,
    rule_checks.check_refusable,
    rule_checks.check_guidance,
    check_cases,
    language_checks.check_translations,
    language_checks.check_recordings,
)


def check(workbook: Workbook, route_vocabulary: RouteVocabulary, *, shelf: Shelf = SHIPPED) -> list[FormProblem]:
    """Find every problem of a form, in the order of its sheets and rows.

    `route_vocabulary`: the codes that a question may feed into each route field; no codes stand for the first four
    digits of a district code (sync.route.AUTHOR_FIELDS).
    """
    subject = Subject(workbook, route_vocabulary, shelf)
    problems = {found for function in OF_SHEETS for found in function(subject)}
    if not any(found.code == "column.wrong_case" for found in problems):  # else every row seems to lack what it has
        problems |= {found for function in OF_ROWS for found in function(subject)}
    order = {name: place for place, name in enumerate(SHEETS)}
    return sorted(problems, key=lambda p: (order.get(p.sheet, -1), p.row, p.column, p.code, p.advice_es))


def blocking(problems: list[FormProblem], channel: str = "training") -> list[FormProblem]:
    """Those that no form may be compiled with for a channel: people in the field get no form without cases."""
    passed = NOT_BLOCKING if channel == "field" else (*NOT_BLOCKING, "case.none")
    return [found for found in problems if not found.code.startswith(passed)]
