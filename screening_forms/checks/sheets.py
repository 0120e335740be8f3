"""Checks a workbook's sheets, columns and settings. Called by `run.py` before the checks of single rows."""

import re
from collections.abc import Collection, Iterator, Mapping

from screening_forms.checks.context import CheckContext
from screening_forms.errors import FormProblem
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.problems import Cell, problem, suggest
from screening_forms.rules.indicators import PROFILES
from screening_forms.rules.policy import CONSENT_POLICIES
from screening_forms.texts.translations import requested_languages
from screening_forms.workbook.columns import TEXT_PARTS, heading_language
from screening_forms.workbook.xlsform_subset import (
    COLUMNS_BY_SHEET,
    FORBIDDEN_SETTINGS,
    MEDIA_COLUMNS,
    REQUIRED_COLUMNS,
    REQUIRED_SETTINGS,
)

_FORM_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_file(context: CheckContext) -> Iterator[FormProblem]:
    """The reader found no problem in the file: hidden, merged or calculated cells, misspelt sheet names."""
    yield from context.workbook.file_problems


def check_settings(context: CheckContext) -> Iterator[FormProblem]:
    """Every required setting has a value, and the named tables, profile and languages exist."""
    one_of: Mapping[str, Collection[str]] = {
        "default_language": (LANGUAGES[SOURCE],),
        "indicator_set": sorted(context.resources.indicator_sets),
        "policy": sorted(context.resources.policies),
        "profile": PROFILES,
        "consent_policy": CONSENT_POLICIES,
        "unreached_on_purpose": ("yes", "no"),
    }
    some_of: Mapping[str, Collection[str]] = {"languages": LANGUAGES, "ubigeo_lists": context.lists}
    row, settings = context.settings, context.workbook.settings
    for name in REQUIRED_SETTINGS:
        if not settings.get(name):
            yield problem("settings.missing", row, name, name)
    if settings.get("form_id") and not _FORM_ID.fullmatch(settings["form_id"]):
        yield problem("settings.bad_value", row, "form_id", settings["form_id"], "a-z 0-9 _ (40)")
    given = [(name, settings[name], values) for name, values in one_of.items() if name in settings]
    given += [(name, value, some_of[name]) for name in some_of for value in settings.get(name, "").split()]
    for name, value, values in given:
        if value not in values:
            yield problem("settings.bad_value", row, name, value, ", ".join(values))


def check_forbidden_settings(context: CheckContext) -> Iterator[FormProblem]:
    """No setting sends or encrypts answers: only the envelope decides that."""
    for name in context.workbook.headings.get("settings", ()):
        if name.partition("::")[0] in FORBIDDEN_SETTINGS:
            yield problem("settings.forbidden", context.settings, name, name)


def check_columns(context: CheckContext) -> Iterator[FormProblem]:
    """Every column is known, unique and spelled correctly.

    pyxform ignores unknown columns: with `relevent` in place of `relevant`, a form would ask every question.
    """
    filters = " ".join(row.get("choice_filter") for row in context.workbook.survey)
    for sheet, headings in context.workbook.headings.items():
        heading_row = Cell(sheet, 1)
        known = {*COLUMNS_BY_SHEET[sheet], *(FORBIDDEN_SETTINGS if sheet == "settings" else ())}
        if sheet == "choices":
            known.update(re.findall(r"\w+", filters))
        if sheet == "cases":
            known.update(headings)  # `check_cases` reports a heading that is not a question
        for heading in headings:
            base = heading.partition("::")[0]
            plain = re.sub(r"\W+", "_", base.lower())
            if sheet == "survey" and base in MEDIA_COLUMNS:
                yield problem("column.media", heading_row, heading, heading)
            elif plain in COLUMNS_BY_SHEET[sheet] and plain != base:
                yield problem("column.wrong_case", heading_row, heading, heading, plain)
            elif base not in known:
                yield problem("column.unknown", heading_row, heading, heading, **suggest(base, known))
            elif base in TEXT_PARTS and heading_language(heading) not in (
                SOURCE,
                *requested_languages(context.workbook),
            ):
                languages = context.workbook.settings.get("languages") or SOURCE
                yield problem("column.unknown_language", heading_row, heading, heading, languages)
        for heading in dict.fromkeys(heading for heading in headings if headings.count(heading) > 1):
            yield problem("column.duplicate", heading_row, heading, heading)
        bases = {heading.partition("::")[0] for heading in headings}
        if bases <= known:  # otherwise the misspelt column is probably the missing one
            for needed in REQUIRED_COLUMNS.get(sheet, ()):
                if needed not in bases:
                    yield problem("column.missing", heading_row, needed, needed)
