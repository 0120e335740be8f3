"""Checks that each comparison of a `when` can hold, with the questions as the form asks them. Called by `run.py`.

`${debt}='no' and selected(${debt_kind},'stay')` never holds if `debt_kind` is asked only after a yes. The check follows
conditions and constraints through groups and earlier questions. What it cannot follow counts as possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from screening_forms.checks.accepted_answers import accepts, nearest_number, refused_answers
from screening_forms.checks.constraints import own_answer
from screening_forms.checks.context import CheckContext
from screening_forms.checks.interview_paths import InterviewPaths
from screening_forms.errors import FormProblem
from screening_forms.expressions.alternatives import (
    Alternative,
    alternatives,
    comparison,
    joined,
    needs_an_answer,
)
from screening_forms.expressions.answer_sets import all_of, possible_answers
from screening_forms.expressions.parser import (
    Comparison,
    ExpressionError,
    Token,
    parse_expression,
    referenced_questions,
    subexpressions,
    write_expression,
)
from screening_forms.expressions.satisfiability import is_unsatisfiable
from screening_forms.problems import problem
from screening_forms.workbook.columns import PLACEHOLDER
from screening_forms.workbook.reader import Row

NOTHING = "none"
"""The choice of a list that says that no other one fits."""
_MOST = 300
"""The most alternatives of one condition. With more, the condition counts as possible."""
_MOST_STEPS = 2_000
"""The most combinations that are tried for one alternative."""


def check_live(context: CheckContext) -> Iterator[FormProblem]:
    """Every comparison of a `when` is true for some interview: a sign that no answers can show is never found."""
    conditions = LiveConditions(context)
    types = {name: row.get("type").partition(" ")[0] for name, row in context.questions.items()}
    for row in context.workbook.indicators:
        token = _parsed(row.get("when"))
        if token is None or is_unsatisfiable([token], types):
            continue  # other checks report it
        if dead := conditions.dead_comparisons(token):
            asked = list(dict.fromkeys(name for part in dead for name in referenced_questions(part)))
            blocked = [place for name in asked if (place := conditions.blocked(name))]
            for where, column in blocked:
                yield problem("expression.never", where, column, where.get(column))
            if not blocked:
                yield _never(conditions, row, token, dead, asked)


def _never(
    conditions: LiveConditions, row: Row, token: Token, dead: Sequence[Token], asked: Sequence[str]
) -> FormProblem:
    better = conditions.without_dead(token, dead)
    if not better:
        return problem("expression.never", row, "when", row.get("when"))
    told = ", ".join(map(conditions.describe_question, asked))
    return problem("when.never", row, "when", write_expression(dead[0]), told, better)


class LiveConditions:
    """Tells which conditions can hold in some interview with a workbook."""

    def __init__(self, context: CheckContext) -> None:
        self.context = context
        self.paths = InterviewPaths(context)
        self._chains: dict[str, list[list[Alternative]]] = {}

    @cached_property
    def _reported(self) -> frozenset[str]:
        """The questions whose constraints another check reports. They count as if they accepted everything."""
        return frozenset(refused_answers(self.context))

    @cached_property
    def _domains(self) -> Mapping[str, frozenset[str]]:
        names = [name for name, row in self.context.questions.items() if row.get("type").startswith("select_one ")]
        return {name: self.paths.codes(name) | {""} for name in names if self.paths.codes(name)}

    def dead_comparisons(self, token: Token) -> list[Token]:
        """Return the comparisons of a condition that are in no alternative that can hold, in order."""
        ways = _ways_of_tokens(token)
        if ways is None:
            return []
        alive = {part for way in ways if self.is_live(way) for part in way}
        return [part for part in _leaves(token) if part not in alive]

    def is_live(self, parts: Sequence[Token]) -> bool:
        """True if all comparisons can hold in one interview, or if that cannot be judged."""
        compared = [found for part in parts if (found := comparison(part))]
        asked = [each.question for each in compared if needs_an_answer(each) and each.question in self.paths.groups]
        needed = [self.paths.needed(name) for name in asked if name in self.context.questions]
        own = [possible_answers(part, self._domains) for part in parts]
        if all_of([*own, *needed]) is None:
            return False
        return self._is_possible(tuple(compared), frozenset(), [_MOST_STEPS])

    def _is_possible(self, way: Alternative, followed: frozenset[str], steps: list[int]) -> bool:
        """True if the comparisons fit together with the conditions of each question that they need."""
        steps[0] -= 1
        if steps[0] < 0:
            return True
        if not self._fits(way):
            return False
        open_names = [each.question for each in way if needs_an_answer(each) and each.question not in followed]
        if not open_names:
            return True
        ways = joined([[way], *self._chain(open_names[0])], _MOST)
        now = followed | {open_names[0]}
        return ways is None or any(self._is_possible(more, now, steps) for more in ways)

    def blocked(self, name: str) -> tuple[Row, str] | None:
        """Return row and column of the condition because of which a question is never asked or never answered."""
        row = self.context.questions.get(name)
        ways: list[Alternative] | None = [()]
        for each in (*self.paths.groups.get(name, ()), *([row] if row else [])):
            token = _parsed(each.get("relevant"))
            ways = joined([ways, alternatives(token, _MOST) if token else [()]], _MOST)
            if ways is None:
                return None
            if not any(self._is_possible(way, frozenset(), [_MOST_STEPS]) for way in ways):
                return each, "relevant"
        answered = Comparison(name, "!=", "")
        if row and not self._is_possible((answered,), frozenset(), [_MOST_STEPS]):
            return row, "constraint"
        return None

    def _fits(self, way: Alternative) -> bool:
        """True if each question has an answer that meets all its comparisons, and its constraint."""
        by_question: dict[str, list[Comparison]] = {}
        for each in way:
            by_question.setdefault(each.question, []).append(each)
        return all(accepts(self.context, found, self._rule(name)) for name, found in by_question.items())

    def _rule(self, name: str) -> str | None:
        return "" if name in self._reported else None

    def _chain(self, name: str) -> list[list[Alternative]]:
        """Return the alternatives of each condition around a question, and of a constraint that names others."""
        if name not in self._chains:
            row = self.context.questions.get(name)
            rows = (*self.paths.groups.get(name, ()), *([row] if row else []))
            tokens = [token for each in rows if (token := _parsed(each.get("relevant")))]
            if row and PLACEHOLDER.search(row.get("constraint")) and (rule := _parsed(row.get("constraint"))):
                tokens.append(own_answer(rule, name))
            found = (alternatives(token, _MOST) for token in tokens)
            self._chains[name] = [ways for ways in found if ways is not None]
        return self._chains[name]

    def without_dead(self, token: Token, dead: Sequence[Token]) -> str:
        """Return the condition without a comparison that stands in the way; empty if that does not help.

        The comparison of the earliest question is removed first: the later question has the sign.
        """
        ways = [way for way in _ways_of_tokens(token) or [] if set(way) & {*dead}]
        removable = {part: None for way in ways for part in way if len(way) > 1}
        for part in sorted(removable, key=self._rank):
            rest = _without(token, {part})
            if rest is not None and not self.dead_comparisons(rest):
                return write_expression(rest)
        rest = _without(token, {*dead})
        if rest is not None and not self.dead_comparisons(rest):
            return write_expression(rest)
        found = comparison(token)
        if found is not None and self.context.questions[found.question].get("type") == "integer":
            return nearest_number(self.context, found)
        return ""

    def _rank(self, part: Token) -> tuple[bool, int]:
        """Return the order in which comparisons are removed: "none of these" first, then the earliest question."""
        found = comparison(part)
        row = self.context.questions.get(found.question) if found else None
        return not (found and found.value == NOTHING), row.number if row else 0

    def describe_question(self, name: str) -> str:
        """Return a question with its row and its rules, as the author reads them."""
        row = self.context.questions.get(name)
        rules = [row.get(column) for column in ("relevant", "constraint") if row.get(column)] if row else []
        groups = [group.get("relevant") for group in self.paths.groups.get(name, ()) if group.get("relevant")]
        shown = " / ".join((*rules, *groups[-1:])) or "-"
        return f"{name} ({row.number if row else 0}: {shown})"


def _ways_of_tokens(token: Token) -> list[tuple[Token, ...]] | None:
    """Return the alternatives of a `when` as its own comparisons; None for too many. A `when` has no `not`."""
    if token.symbol == "(":
        return _ways_of_tokens(token[0])
    if token.symbol not in ("and", "or"):
        return [(token,)]
    parts = [_ways_of_tokens(part) for part in token]
    ways: list[tuple[Token, ...]] = [()] if token.symbol == "and" else []
    for part in parts:
        if part is None:
            return None
        ways = [(*way, *more) for way in ways for more in part] if token.symbol == "and" else [*ways, *part]
        if len(ways) > _MOST:
            return None
    return ways


def _leaves(token: Token) -> list[Token]:
    return list(dict.fromkeys(part for part in subexpressions(token) if comparison(part)))


def _without(token: Token, removed: set[Token]) -> Token | None:
    """Return a condition without some comparisons; None if nothing is left."""
    if token in removed:
        return None
    if token.symbol not in ("and", "or", "("):
        return token
    left = tuple(rest for part in token if (rest := _without(part, removed)) is not None)
    if len(left) > 1:
        return Token(token.symbol, token.value, left)
    if not left:
        return None
    return Token("(", "", left) if token.symbol == "(" and left[0].symbol in ("and", "or") else left[0]


def _parsed(text: str) -> Token | None:
    try:
        return parse_expression(text) if text else None
    except ExpressionError:
        return None  # `check_expressions` reports it
