"""Checks each question by itself: its type, name, appearance, group and route field. Called by `run.py`."""

import re
from collections.abc import Iterator

from screening_forms.checks.context import CheckContext
from screening_forms.engine.evaluator import RESULT_NODES
from screening_forms.errors import FormProblem
from screening_forms.problems import Cell, problem, suggest
from screening_forms.ubigeo import is_in_peru
from screening_forms.workbook.reader import Row
from screening_forms.workbook.xlsform_subset import (
    APPEARANCES,
    GROUP_TYPES,
    QUESTION_TYPES,
    SELECT_TYPES,
    TYPES_WITHOUT_ANSWER,
    WHY_FORBIDDEN,
)

COMPILER_NODES = frozenset(
    {*RESULT_NODES, "consent_policy"}
)  # the compiler adds these nodes; conditions and texts may use them
_XFORMS_OWN = ("meta",)  # ODK stores an instance's ID there

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLACE = re.compile(r"[0-9]{6}|[0-9]{4}|[0-9]{2}")  # district, province, region (SPEC 7.1)
_OUR_NAME = re.compile(r"[cdfipu]_.*")  # the node prefixes in scoring/calculates.py


def check_types(context: CheckContext) -> Iterator[FormProblem]:
    """Every question has an allowed type: none stores a person's name, image, voice or location."""
    for row in context.workbook.survey:
        given = row.get("type")
        kind, _, rest = given.replace("begin ", "begin_").replace("end ", "end_").partition(" ")
        plain = kind in QUESTION_TYPES and (len(rest.split()) == 1 if kind in SELECT_TYPES else not rest)
        if not given:
            yield problem("type.missing", row, "type")
        elif given not in GROUP_TYPES and not plain:
            yield _not_allowed(row, given, kind, rest)
        elif kind == "text" and not row.get("reason"):
            yield problem("type.text_without_reason", row, "reason")
        elif kind == "calculate" and not row.get("calculation"):
            yield problem("question.no_calculation", row, "calculation")
        elif kind in SELECT_TYPES and rest not in context.lists:
            yield problem("choice.unknown_list", row, "type", rest, **suggest(rest, context.lists))


def _not_allowed(row: Row, given: str, kind: str, rest: str) -> FormProblem:
    if kind in WHY_FORBIDDEN:
        return problem(WHY_FORBIDDEN[kind], row, "type", given)
    if kind in SELECT_TYPES and not rest:
        return problem("choice.no_list", row, "type", given)
    if kind in SELECT_TYPES and rest.endswith(" or_other"):
        return problem("type.or_other", row, "type")
    return problem(
        "type.forbidden",
        row,
        "type",
        given,
        ", ".join(QUESTION_TYPES),
        **suggest(kind, {*QUESTION_TYPES, *GROUP_TYPES} - {kind}),
    )


def check_questions(context: CheckContext) -> Iterator[FormProblem]:
    """No row without an answer is required, and every appearance is one that all clients show."""
    for row in context.workbook.survey:
        if row.get("type") in (*TYPES_WITHOUT_ANSWER, "calculate") and row.get("required") not in ("", "no", "false"):
            yield problem("question.required_note", row, "required", row.get("type"))
        for word in row.get("appearance").split():
            if word not in APPEARANCES:
                yield problem("question.appearance", row, "appearance", word, **suggest(word, APPEARANCES))


def check_names(context: CheckContext) -> Iterator[FormProblem]:
    """Every question has a unique name, which is not one of the compiler's."""
    seen: dict[str, int] = {}
    for row in context.workbook.survey:
        name = row.get("name")
        if row.get("type") in ("end_group", "end group"):
            continue
        if not name:
            yield problem("name.missing", row, "name")
        elif name in (*COMPILER_NODES, *_XFORMS_OWN) or _OUR_NAME.fullmatch(name):
            yield problem("name.reserved", row, "name", name)
        elif name in seen:
            yield problem("name.duplicate", row, "name", name, seen[name])
        elif not _NAME.fullmatch(name):
            yield problem("name.bad", row, "name", name)
        seen.setdefault(name, row.number)


def check_groups(context: CheckContext) -> Iterator[FormProblem]:
    """Groups close in order, none is empty, and the group `score`, which holds the outcome, exists."""
    opened: list[Row] = []
    before: Row | None = None
    for row in context.workbook.survey:
        kind = row.get("type").replace(" ", "_")
        if kind == "begin_group":
            opened.append(row)
        elif kind == "end_group" and not opened:
            yield problem("group.not_open", row, "type")
        elif kind == "end_group":
            closed = opened.pop()
            name = closed.get("name")
            if closed is before and name != "score":
                yield problem("group.empty", closed, "type", name)
            if row.get("name") not in ("", name):
                yield problem("group.closes_another", row, "name", row.get("name"), name)
        before = row
    yield from (problem("group.not_closed", row, "type", row.get("name")) for row in opened)
    score = context.questions.get("score")
    if score is None or score.get("type").replace(" ", "_") != "begin_group":
        yield problem("group.no_score", Cell("survey"), "name")


def check_route(context: CheckContext) -> Iterator[FormProblem]:
    """Route fields come from select_one questions with codes of the vocabulary: a server reads them."""
    vocabulary = context.route_vocabulary
    for field in context.workbook.settings.get("omit_route", "").split():
        if field not in vocabulary:
            yield problem("route.unknown_field", context.settings, "omit_route", field, **suggest(field, vocabulary))
    seen: dict[str, int] = {}
    for row in context.workbook.survey:
        field = row.get("route")
        if not field:
            continue
        if field not in vocabulary:
            yield problem("route.unknown_field", row, "route", field, **suggest(field, vocabulary))
        elif field in seen:
            yield problem("route.duplicate", row, "route", field, seen[field])
        elif not row.get("type").startswith("select_one "):
            yield problem("route.not_a_choice", row, "route", field)
        else:
            yield from _route_choices(context, row, field)
        seen.setdefault(field, row.number)


def _route_choices(context: CheckContext, row: Row, field: str) -> Iterator[FormProblem]:
    codes = context.route_vocabulary[field]
    for choice in context.choices_of(row):
        name = choice.get("name")
        if name not in codes if codes else not _PLACE.fullmatch(name):
            yield problem("route.outside_vocabulary", choice, "name", name, field, **suggest(name, codes))
        elif not codes and not is_in_peru(name):
            yield problem("choice.unknown_place", choice, "name", name)
