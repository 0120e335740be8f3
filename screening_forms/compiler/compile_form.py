"""Compiles a workbook into a `CompiledForm`: an XForm with its score inside, and all other parts of a version.

`chaski forms compile` calls it, and every signer compiles again to compare bytes. The same workbook must always give
the same bytes. This module must sign nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from pyxform.builder import create_survey_element_from_dict
from pyxform.errors import PyXFormError
from pyxform.xls2json import workbook_to_json
from pyxform.xls2json_backends import get_xlsform

from screening_forms.checks.cases import case_failures
from screening_forms.checks.context import RouteVocabulary
from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.padding import bucket_size
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.errors import FormError, FormProblem
from screening_forms.gc_pause import gc_paused
from screening_forms.languages import LANGUAGES, SOURCE
from screening_forms.rules.policy import CONSENT_POLICIES
from screening_forms.scoring.calculates import Calculates, write_calculates
from screening_forms.texts.localization import LocalizedForm
from screening_forms.ubigeo import place_name
from screening_forms.workbook.columns import TEXT_PARTS, cell_text
from screening_forms.workbook.reader import Row, Workbook
from screening_forms.workbook.resources import BUILT_IN, Resources

OWN_COLUMNS = ("route", "reason")
"""Columns of the survey that Chaski reads and pyxform does not know."""


def compile_form(
    workbook: Workbook,
    *,
    channel: str,
    route_vocabulary: RouteVocabulary,
    resources: Resources = BUILT_IN,
    run_cases: bool = True,
) -> CompiledForm:
    """Compile a form for a channel, `training` or `field`. Raises FormError with every problem to correct.

    With `run_cases=False` the author's cases do not run: such a form is for comparison, never for publication.
    """
    problems, form = check_and_compile(
        workbook, channel=channel, route_vocabulary=route_vocabulary, resources=resources, run_cases=run_cases
    )
    if form is None:
        raise FormError(blocking_problems(problems, channel) or problems)
    return form


def check_and_compile(
    workbook: Workbook,
    *,
    channel: str,
    route_vocabulary: RouteVocabulary,
    resources: Resources = BUILT_IN,
    run_cases: bool = True,
) -> tuple[list[FormProblem], CompiledForm | None]:
    """Return every problem, failed cases too, and the compiled form; None if a problem blocks it."""
    problems = check_form(workbook, route_vocabulary, resources=resources)
    if blocking_problems(problems, channel):
        return problems, None
    try:
        return problems, _compile(workbook, channel, resources, run_cases)
    except FormError as error:
        return [*problems, *error.problems], None


@gc_paused()
def _compile(workbook: Workbook, channel: str, resources: Resources, run_cases: bool) -> CompiledForm:
    settings = workbook.settings
    indicator_set = resources.indicator_set(settings["indicator_set"])
    referral_policy = resources.policy(settings["policy"])
    consent_policy = settings.get("consent_policy", CONSENT_POLICIES[0])
    localized = LocalizedForm.for_channel(workbook, channel, resources)
    score = write_calculates(workbook, indicator_set, referral_policy, settings["profile"])
    xform = _xform(workbook, localized, score, consent_policy)
    form = _load_checked(xform, workbook)
    if run_cases and (failed := list(case_failures(workbook, form))):
        raise FormError(failed)
    return CompiledForm(
        form_id=settings["form_id"],
        version=settings["version"],
        title=settings["form_title"],
        channel=channel,
        languages=localized.languages,
        left_out=localized.left_out,
        fell_back=localized.fell_back,
        audio=localized.audio,
        free_text={row.get("name"): row.get("reason") for row in workbook.survey if row.get("type") == "text"},
        profile=settings["profile"],
        consent_policy=consent_policy,
        route={row.get("route"): row.get("name") for row in workbook.survey if row.get("route")},
        omit_route=tuple(settings.get("omit_route", "").split()),
        bucket=bucket_size(form),
        indicator_set=indicator_set.as_dict(),
        policy=referral_policy.as_dict(),
        xform=xform,
    )


def _load_checked(xform: str, workbook: Workbook) -> Engine:
    """Load the XForm as a tablet does. Raises FormError with the engine's problems in the rows of their questions."""
    try:
        return load_engine(xform)
    except FormError as error:
        rows = {row.get("name"): row.number for row in workbook.survey}
        placed = [
            replace(found, sheet="survey", row=rows[found.column], column="name") if found.column in rows else found
            for found in error.problems
        ]
        raise FormError(placed) from error


def _xform(workbook: Workbook, localized: LocalizedForm, score: Calculates, consent_policy: str) -> str:
    """Return the XForm from pyxform, which receives only the columns and settings that it knows."""
    survey = list(_survey(workbook, localized, score))
    survey.append({"type": "calculate", "name": "consent_policy", "calculation": f"'{consent_policy}'"})
    choices = [_choice_cells(workbook, row, localized) for row in workbook.choices]
    settings = {name: workbook.settings[name] for name in ("form_id", "form_title", "version")}
    settings["default_language"] = LANGUAGES[SOURCE]
    sheets = {"survey": survey, "choices": choices, "settings": [settings]}
    headers = {f"{name}_header": [dict.fromkeys(key for row in rows for key in row)] for name, rows in sheets.items()}
    try:
        # `pyxform.convert` does the same through a temporary file; the sandbox forbids files.
        content = workbook_to_json(workbook_dict=get_xlsform({**sheets, **headers}), warnings=[])
        return f'<?xml version="1.0"?>{create_survey_element_from_dict(content).xml().toxml()}'
    except PyXFormError as error:
        raise _compile_error(
            "compile.pyxform", f"pyxform no lo acepta: {error}", f"pyxform rejects it: {error}"
        ) from error


def _survey(workbook: Workbook, localized: LocalizedForm, score: Calculates) -> Iterator[dict[str, str]]:
    """Yield the survey's rows: a note on missing translations if needed, and the calculates first in group `score`.

    Other groups get short names: no rule refers to them, and long names would enlarge every sealed screening.
    """
    taken = {row.get("name") for row in workbook.survey}
    if note := localized.language_note_row():
        yield note
    short = (name for number in itertools.count(1) if (name := f"g{number}") not in taken)
    for row in workbook.survey:
        kind, name = row.get("type").replace("_", " ", 1), row.get("name")
        cells = {**_other_cells(row), **localized.cells(row, name)}
        if kind == "begin group" and name != "score":
            cells["name"] = next(short)
        elif kind == "end group":
            cells = {"type": kind}
        yield cells
        if kind == "begin group" and name == "score":
            for node, calculation in score.items():
                yield {"type": "calculate", "name": node, "calculation": calculation}


def _choice_cells(workbook: Workbook, row: Row, localized: LocalizedForm) -> dict[str, str]:
    cells = {**_other_cells(row), **localized.cells(row, f"{row.get('list_name')}.{row.get('name')}")}
    if row.get("list_name") in workbook.settings.get("ubigeo_lists", "").split():
        place = cell_text(row, "label", SOURCE) or place_name(row.get("name"))
        cells |= {f"label::{LANGUAGES[language]}": place for language in localized.languages}
    return cells


def _other_cells(row: Row) -> dict[str, str]:
    return {
        column: text
        for column, text in row.cells.items()
        if column.partition("::")[0] not in TEXT_PARTS and column not in OWN_COLUMNS
    }


def _compile_error(code: str, advice_es: str, advice_en: str) -> FormError:
    return FormError([FormProblem("survey", 0, "", code, advice_es, advice_en)])
