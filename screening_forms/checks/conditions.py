"""Checks conditions and the sheet `indicators`: names, syntax, order, circles, satisfiability and coverage.

Called by `run.py`. A check must report each fault once, in the cell where an author can correct it.
"""

import re
from collections.abc import Iterator, Mapping

from screening_forms.checks.constraints import own_answer
from screening_forms.checks.context import CheckContext
from screening_forms.checks.questions import COMPILER_NODES
from screening_forms.checks.several_answers import questions_of_several_answers, wrong_comparisons
from screening_forms.engine.evaluator import RESULT_NODES
from screening_forms.errors import FormError, FormProblem
from screening_forms.expressions.parser import (
    COMPARISONS,
    FUNCTIONS,
    NO_ANSWERS,
    ExpressionError,
    Token,
    compared_values,
    parse_expression,
    parse_when,
    subexpressions,
)
from screening_forms.problems import Cell, problem, suggest
from screening_forms.rules.dimensions import ANY_OF, DIMENSIONS, FACTS, INDICATOR_CODE, STRONG_IN
from screening_forms.rules.indicators import PROFILES
from screening_forms.workbook.columns import PLACEHOLDER
from screening_forms.workbook.reader import Row
from screening_forms.workbook.xlsform_subset import COLUMN_OF_SYMBOL, TYPES_WITHOUT_ANSWER, YES_NO

_STRING = re.compile(r"""'[^']*'|"[^"]*\"""")
_CALL = re.compile(r"([A-Za-z][\w:-]*)\s*\(")
_CURLY = re.compile("[“”„‟‘’‛«»´`]")


def check_references(context: CheckContext) -> Iterator[FormProblem]:
    """Every `${question}` exists and has an answer, and each compared code is one of its choices."""
    known = {*context.questions, *COMPILER_NODES}
    for row, column, text in context.expressions():
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            if name not in known:
                yield problem("reference.unknown", row, column, name, **suggest(name, known))
            elif name not in COMPILER_NODES and context.questions[name].get("type") in TYPES_WITHOUT_ANSWER:
                yield problem("reference.no_question", row, column, name)
        for name, chosen in _compared_choices(text, row.get("name") if column == "constraint" else ""):
            choices = {choice.get("name") for choice in context.choices_of(context.questions.get(name, row))}
            if name in context.questions and choices and chosen and chosen not in choices:
                yield problem("reference.unknown_choice", row, column, chosen, name, **suggest(chosen, choices))


def _compared_choices(text: str, own: str) -> list[tuple[str, str]]:
    """Return questions with the codes that they are compared with; `own` is the question that `.` means."""
    try:
        token = parse_expression(text)
        return list(compared_values(own_answer(token, own) if own else token))
    except ExpressionError:
        return []  # `check_expressions` reports it


def check_expressions(context: CheckContext) -> Iterator[FormProblem]:
    """Every expression is in the XPath subset that all engines evaluate to the same value."""
    several = questions_of_several_answers(context)
    for row, column, text in context.expressions():
        if strange := _foreign_syntax(text):
            yield problem(strange[0], row, column, strange[1])
            continue
        try:
            if column == "when":
                _parse_when(row, several)
            elif column != "required" or text not in YES_NO:
                token = parse_expression(text)
                if column != "calculation" and not _is_condition(token):
                    yield problem("expression.bare_condition", row, column, text)
                if any(COLUMN_OF_SYMBOL.get(part.symbol, column) != column for part in subexpressions(token)):
                    yield problem("expression.misplaced", row, column, text)
        except FormError as error:
            yield from error.problems
        except ExpressionError as error:
            yield error.at(row, column)


def _parse_when(row: Row, several: frozenset[str]) -> None:
    """Parse a `when`. Raises FormError, without the `!=` that `check_several_answers` reports."""
    try:
        parse_when(row, fact=row.get("code") in FACTS)
    except FormError as error:
        reported = any(part.symbol == "!=" for part in wrong_comparisons(several, row, "when", row.get("when")))
        others = [found for found in error.problems if not reported or found.code != "when.negation"]
        if others:
            raise FormError(others) from error


def _foreign_syntax(text: str) -> tuple[str, str] | None:
    """Return code and text of curly quotes or an unknown function: clearer advice than a parse error."""
    if found := _CURLY.search(text):
        return "expression.curly_quotes", found[0]
    called = [name for name in _CALL.findall(_STRING.sub("", text)) if name not in (*FUNCTIONS, "and", "or")]
    return ("expression.function", called[0]) if called else None


def check_order(context: CheckContext) -> Iterator[FormProblem]:
    """A condition refers only to earlier questions: else an answer could make an earlier question relevant."""
    score = context.questions.get("score")
    known = {**context.questions, **dict.fromkeys(RESULT_NODES, score)} if score else context.questions
    for row, column, text in context.expressions():
        if column not in ("relevant", "choice_filter", "constraint", "required"):
            continue
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            asked = known.get(name)
            if asked and asked.number >= row.number and asked.get("type") not in ("calculate", "note", "start", "end"):
                yield problem("reference.forward", row, column, name, asked.number)


def check_circles(context: CheckContext) -> Iterator[FormProblem]:
    """No calculation depends on its own value, directly or through other questions and their conditions."""
    rests_on = _dependencies(context)
    for row in context.workbook.survey:
        name = row.get("name")
        if row.get("type") == "calculate" and name in _reachable(name, rests_on):
            yield problem("expression.circle", row, "calculation", name)


def _dependencies(context: CheckContext) -> dict[str, set[str]]:
    """Return question -> the questions in its formula, its condition and the conditions of its groups."""
    rests_on: dict[str, set[str]] = {}
    above: list[set[str]] = [set()]
    for row in context.workbook.survey:
        names = {*above[-1], *PLACEHOLDER.findall(row.get("relevant"))}
        kind = row.get("type").replace(" ", "_", 1)
        if kind == "begin_group":
            above.append(names)
        elif kind == "end_group":
            above = above[:-1] or [set()]
        rests_on[row.get("name")] = names | {*PLACEHOLDER.findall(row.get("calculation"))}
    return rests_on


def _reachable(name: str, rests_on: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(rests_on[name])
    while waiting:
        if (next_name := waiting.pop()) not in found:
            found.add(next_name)
            waiting += rests_on.get(next_name, ())
    return found


def _is_condition(token: Token) -> bool:
    """True if an expression has comparisons only. Engines disagree on the truth of other values."""
    if token.symbol in ("and", "or", "(", "not"):
        return all(_is_condition(part) for part in token)
    return token.symbol in (*COMPARISONS, "true", "false", "selected")


def check_fit(context: CheckContext) -> Iterator[FormProblem]:
    """The indicator set has the profile and every indicator and dimension that the policy names."""
    row, known, policy = context.settings, context.indicator_set, context.policy
    profile = context.workbook.settings.get("profile", "")
    if known and profile in PROFILES and profile not in known.profiles:
        listed = ", ".join(known.profiles)
        yield problem("settings.profile_not_in_set", row, "profile", profile, known.name, listed)
    if known and policy:
        families = [name for name, letter in ANY_OF.items() if known.family(letter)]
        strong = [name for name, dimension in STRONG_IN.items() if dimension in known.dimensions]
        there = {*known.indicators, *known.dimensions, *families, *strong}
        of_a_set = {*DIMENSIONS, *ANY_OF, *STRONG_IN}
        named = (name for name in policy.names("outcome") if INDICATOR_CODE.fullmatch(name) or name in of_a_set)
        if lacking := [name for name in named if name not in there]:
            yield problem("policy.not_of_this_set", row, "policy", policy.name, known.name, ", ".join(lacking))


def check_indicators(context: CheckContext) -> Iterator[FormProblem]:
    """Every row of the sheet `indicators` has a condition and the code of an indicator or a fact."""
    if not context.workbook.indicators:
        yield problem("indicator.none", Cell("indicators"), "")
    if not context.indicator_set:
        return
    known = {*context.indicator_set.indicators, *FACTS}
    for row in context.workbook.indicators:
        code = row.get("code")
        if code not in known:
            near = suggest(code.upper(), known)
            yield problem("indicator.unknown", row, "code", code, context.indicator_set.name, **near)
        if not row.get("when"):
            yield problem("indicator.no_when", row, "when")


def check_refusable(context: CheckContext) -> Iterator[FormProblem]:
    """A question that counts for an indicator can be left unanswered: silence must never count as yes or no."""
    scoring = [row for row in context.workbook.indicators if row.get("code") not in FACTS]
    for name in dict.fromkeys(name for row in scoring for name in PLACEHOLDER.findall(row.get("when"))):
        row = context.questions.get(name)
        if row is None:
            continue
        if YES_NO.get(row.get("required"), True):
            yield problem("question.not_refusable", row, "required")
        choices = {choice.get("name") for choice in context.choices_of(row)}
        lacking = [code for code in NO_ANSWERS if code not in choices]
        if choices and lacking:
            yield problem("choice.not_refusable", row, "type", row.get("type").split()[1], ", ".join(lacking))
