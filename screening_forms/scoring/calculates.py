"""Writes the score as XForm calculates: from answers to indicators, dimensions, outcome and referral.

The compiler puts them first in the group `score`. Three-valued logic is part of their text, so every XForms client
computes the same score. A calculate must never be a bare condition: for it Collect writes 1 and web-forms writes true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from screening_forms.errors import FormError, FormProblem
from screening_forms.expressions.parser import (
    NO_ANSWERS,
    ExpressionError,
    When,
    parse_expression,
    parse_when,
    referenced_questions,
    write_possible,
)
from screening_forms.rules.dimensions import ANY_OF, FACTS, RULES, STRONG_IN
from screening_forms.rules.indicators import IndicatorSet
from screening_forms.rules.policy import Policy, PolicyRow
from screening_forms.workbook.reader import Row, Workbook

Calculates = dict[str, str]
"""Node name -> XLSForm expression. A node comes after all nodes that it uses."""


def write_calculates(workbook: Workbook, indicator_set: IndicatorSet, policy: Policy, profile: str) -> Calculates:
    """Return every calculate of the score. Raises FormError with every problem of the sheet `indicators`."""
    whens = parse_whens(workbook)
    unknowns = Unknowns(workbook)
    facts = {f"f_{fact}": _fact(whens.get(fact, [])) for fact in FACTS}
    codes = [code for code in indicator_set.indicators if code in whens]
    indicators = {indicator_node(code): _indicator(whens[code], unknowns.node) for code in codes}
    score = _Score(indicator_set, profile, frozenset(codes))
    return {
        **facts,
        **unknowns.calculates,
        **indicators,
        **dict(score.cells()),
        **dict(score.dimensions()),
        **dict(_decision(policy, score)),
        "fired": _codes_with("1", codes),
        "unknown": _codes_with("", codes),
    }


def indicator_node(code: str) -> str:
    """Return the name of an indicator's node: `D1.01` -> `i_D1_01`."""
    return "i_" + code.replace(".", "_")


def parse_whens(workbook: Workbook) -> dict[str, list[When]]:
    """Parse every `when` of the sheet `indicators`, by code or fact. Rows with the same code are alternatives.

    Raises FormError with all parse errors.
    """
    whens: dict[str, list[When]] = {}
    problems: list[FormProblem] = []
    for row in workbook.indicators:
        code = row.get("code")
        try:
            whens.setdefault(code, []).append(parse_when(row, fact=code in FACTS))
        except FormError as error:
            problems += error.problems
    if problems:
        raise FormError(problems)
    return whens


class Unknowns:
    """Writes the nodes `u_<question>`: 1 while the question has no answer and may be relevant, else 0."""

    def __init__(self, workbook: Workbook) -> None:
        self.calculates: Calculates = {}
        self._rows: dict[str, tuple[Row, tuple[Row, ...]]] = {}
        self._choices: dict[str, set[str]] = {}
        groups: list[Row] = []
        for row in workbook.survey:
            kind = row.get("type").replace("_", " ", 1)
            if kind.startswith("end "):
                groups.pop()
            elif kind.startswith("begin "):
                groups.append(row)
            else:
                self._rows[row.get("name")] = row, tuple(groups)
        for row in workbook.choices:
            self._choices.setdefault(row.get("list_name"), set()).add(row.get("name"))

    def node(self, question: str) -> str | None:
        """Return the name of a question's node; add the node and the nodes that it uses to `calculates`.

        Return None if the question can never be unanswered.
        """
        name = f"u_{question}"
        if name in self.calculates:
            return name if self.calculates[name] else None
        if question not in self._rows:
            return None
        row, groups = self._rows[question]
        self.calculates[name] = ""  # a relevance that refers back to this question gets None
        conditions = [text for asked in (*groups, row) if (text := self._possible_relevance(asked))]
        is_open = self._open(row)
        del self.calculates[name]
        self.calculates[name] = f"if({' and '.join([*conditions, is_open])}, 1, 0)" if is_open else ""
        return name if is_open else None

    def _possible_relevance(self, row: Row) -> str:
        if not row.get("relevant"):
            return ""
        try:
            return f"({write_possible(parse_expression(row.get('relevant')), self.node)})"
        except ExpressionError as error:
            raise FormError([error.at(row, "relevant")]) from error

    def _open(self, row: Row) -> str:
        """Return the condition that a question has no answer; for a calculate, that one of its questions has none."""
        question, (kind, _, choices) = row.get("name"), row.get("type").partition(" ")
        unanswered = [code for code in NO_ANSWERS if code in self._choices.get(choices, ())]
        blank = f"${{{question}}} = ''"
        if kind in ("note", "acknowledge", "start", "end"):
            return ""
        if kind == "calculate":
            names = dict.fromkeys(referenced_questions(parse_expression(row.get("calculation"))))
            return _any(f"${{{name}}} = '1'" for name in map(self.node, names) if name)
        if kind == "select_multiple":
            return _any([blank, *(f"selected(${{{question}}}, '{code}')" for code in unanswered)])
        return _any([blank, *(f"${{{question}}} = '{code}'" for code in unanswered)])


def _any(conditions: Sequence[str] | Iterator[str]) -> str:
    listed = list(conditions)
    return f"({' or '.join(listed)})" if listed else ""


def _fact(whens: Sequence[When]) -> str:
    return f"if({' or '.join(when.certain for when in whens)}, 1, 0)" if whens else "0"


def _indicator(whens: Sequence[When], unknown: Callable[[str], str | None]) -> str:
    certain = " or ".join(when.certain for when in whens)
    possible = " or ".join(when.possible(unknown) for when in whens)
    return f"if({certain}, 1, if({possible}, '', 0))" if possible != certain else f"if({certain}, 1, 0)"


def _codes_with(value: str, codes: Sequence[str]) -> str:
    listed = [f"if(${{{indicator_node(code)}}} = '{value}', '{code} ', '')" for code in codes]
    return f"concat({', '.join(listed)})" if len(listed) > 1 else "".join(listed) or "''"


@dataclass(frozen=True)
class _Score:
    """The counts by dimension and kind of a form's indicators: `min` counts unknown as 0, `max` as 1."""

    indicator_set: IndicatorSet
    profile: str
    codes: frozenset[str]

    def members(self, dimension: str, kind: str) -> list[str]:
        return [code for code in self.indicator_set.members(self.profile, dimension, kind) if code in self.codes]

    def cells(self) -> Iterator[tuple[str, str]]:
        for dimension in self.indicator_set.dimensions:
            for kind in RULES[dimension].kinds:
                members = self.members(dimension, kind)
                for bound in _FOUND:
                    terms = [_found(code, bound) for code in members]
                    if len(terms) == 1:
                        yield f"c_{dimension}_{kind}_{bound}", f"if({terms[0]}, 1, 0)"
                    elif terms:
                        yield f"c_{dimension}_{kind}_{bound}", " + ".join(f"({term})" for term in terms)

    def dimensions(self) -> Iterator[tuple[str, str]]:
        for dimension in self.indicator_set.dimensions:
            for bound in _FOUND:
                clauses = [
                    " and ".join(f"${{c_{dimension}_{kind}_{bound}}} >= {least}" for kind, least in clause.items())
                    for clause in RULES[dimension].clauses
                    if all(len(self.members(dimension, kind)) >= least for kind, least in clause.items())
                ]
                condition = " or ".join(f"({clause})" for clause in clauses)
                yield f"d_{dimension}_{bound}", f"if({condition}, 1, 0)" if clauses else "0"

    def atom(self, bound: str) -> Callable[[str], str]:
        """Return a function that writes a policy's name as an expression at `min` or `max`."""

        def text(name: str) -> str:
            if name in _NAMED:
                return _NAMED[name]
            if name in FACTS:
                return f"${{f_{name}}} = '1'"
            if name in self.indicator_set.dimensions:
                return f"${{d_{name}_{bound}}} = '1'"
            if name == "any_strong" or name in STRONG_IN:
                among = (STRONG_IN[name],) if name in STRONG_IN else self.indicator_set.dimensions
                cells = [each for each in among if self.members(each, "strong")]
                return _any(f"${{c_{each}_strong_{bound}}} >= 1" for each in cells) or "false()"
            if name in ANY_OF:
                family = [code for code in self.indicator_set.family(ANY_OF[name]) if code in self.codes]
                return _any(_found(code, bound) for code in family) or "false()"
            return _found(name, bound) if name in self.codes else "false()"

        return text


_FOUND = {"min": "= '1'", "max": "!= '0'"}  # text comparison: an unknown node is blank, not a number


def _found(code: str, bound: str) -> str:
    return f"${{{indicator_node(code)}}} {_FOUND[bound]}"


_NAMED: Mapping[str, str] = {
    "always": "true()",
    "duty_to_report": "${consent_policy} = 'duty_to_report'",
    "positive": "${outcome} = 'positive'",
    "tier_danger": "${tier} = 'danger'",
    "tier_child": "${tier} = 'child'",
    **{tier: f"${{tier}} = '{tier}'" for tier in ("T1", "T2", "T3", "T4")},
}


def _decision(policy: Policy, score: _Score) -> Iterator[tuple[str, str]]:
    """Yield the policy's calculates: the outcome at both bounds, the outcome if they differ, and the referral."""
    outcomes, undecided, referrals = map(policy.step, ("outcome", "undecided", "referral"))
    for bound in ("min", "max"):
        yield f"p_{bound}", _first(outcomes, score.atom(bound))
        yield f"p_{bound}_outcome", _pick(f"p_{bound}", [row.outcome for row in outcomes])
    yield "p_min_tier", _pick("p_min", [row.tier for row in outcomes])
    yield "p_undecided", _first(undecided, score.atom("min"))
    yield "p_undecided_outcome", _pick("p_undecided", [row.outcome for row in undecided])
    yield "p_undecided_tier", _pick("p_undecided", [row.tier for row in undecided])
    agreed = "${p_min_outcome} = ${p_max_outcome} or ${p_min_outcome} = 'positive'"
    for result in ("outcome", "tier"):
        yield result, f"if({agreed}, ${{p_min_{result}}}, ${{p_undecided_{result}}})"
    yield "p_referral", _first(referrals, score.atom("min"))
    yield "urgency", _pick("p_referral", [row.urgency for row in referrals])
    yield "queue_kinds", _pick("p_referral", [" ".join(row.queue_kinds) for row in referrals])
    yield "guidance", _pick("p_referral", [row.guidance for row in referrals])


def _first(rows: Sequence[PolicyRow], atom: Callable[[str], str]) -> str:
    """Return an expression for the number of the first row that holds. The last row of a valid policy always holds."""
    text = str(len(rows))
    for number, row in reversed(list(enumerate(rows[:-1], start=1))):
        text = f"if({row.condition.write(atom)}, {number}, {text})"
    return text


def _pick(chosen: str, values: Sequence[str]) -> str:
    """Return an expression for the value in the chosen row."""
    numbers: dict[str, list[str]] = {}
    for number, value in enumerate(values, start=1):
        numbers.setdefault(value, []).append(f"${{{chosen}}} = '{number}'")
    text = f"'{values[-1]}'"
    for value, rows in numbers.items():
        if value != values[-1]:
            text = f"if({' or '.join(rows)}, '{value}', {text})"
    return text
