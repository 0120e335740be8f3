"""Checks the choice filters: each question with a filter offers something, and each choice is offered at some time.

Called by `run.py`. The checks try every answer of the questions that a filter names, with the engine of the tablets.
They need that because a spreadsheet changes codes in silence: Excel writes 8 for the region 08, and a required question
without choices ends the interview.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import groupby

from screening_forms.checks.context import CheckContext
from screening_forms.checks.trial_form import TriedCondition, filter_engine
from screening_forms.engine.evaluator import Engine
from screening_forms.errors import FormProblem
from screening_forms.expressions.parser import ExpressionError, Token, parse_expression, subexpressions
from screening_forms.expressions.satisfiability import is_unsatisfiable
from screening_forms.problems import problem
from screening_forms.workbook.columns import PLACEHOLDER
from screening_forms.workbook.reader import Row
from screening_forms.workbook.xlsform_subset import YES_NO

_MOST = 5_000
"""The most answers that are tried for one filter. With more, the filter counts as sound."""
_MOST_QUESTIONS = 6
"""The most questions on which a filter that is tried may rest."""
_SELECTS = ("select_one ", "select_multiple ")

Answers = Mapping[str, str]


def check_offers(context: CheckContext) -> Iterator[FormProblem]:
    """Every filter offers a choice for each combination of answers, and no choice is left out of all of them."""
    trials = [FilterTrial(context, row) for row in context.workbook.survey if row.get("choice_filter")]
    known = [trial for trial in trials if trial.is_known]
    misfits = [found for trial in known for found in _never_offered(context, trials, trial)]
    reported: set[tuple[str, int]] = set()
    for misfit in misfits:
        if (misfit.column, misfit.rows[0].number) not in reported:
            reported.add((misfit.column, misfit.rows[0].number))
            if not misfit.is_blank:  # `check_filter_cells` names a blank cell, offered or not
                yield misfit.problem()
    explained = {(misfit.question, misfit.meant) for misfit in misfits}
    for trial in known:
        for answers in trial.empty:
            if not explained & set(answers.items()):
                yield _nothing_offered(trial, answers)


def _nothing_offered(trial: FilterTrial, answers: Answers) -> FormProblem:
    name = trial.row.get("name")
    if not any(answers.values()):
        guard = " and ".join(f"${{{question}}} != ''" for question in answers)
        before = trial.row.get("relevant")
        better = f"({before}) and {guard}" if before else guard
        return problem("choice.nothing_offered_blank", trial.row, "relevant", name, ", ".join(answers), better)
    told = ", ".join(f"{question} = {answer or '-'}" for question, answer in answers.items())
    columns = ", ".join(trial.columns.values()) or "choice_filter"
    return problem("choice.nothing_offered", trial.row, "choice_filter", name, told, columns)


@dataclass(frozen=True)
class Misfit:
    """Choices that are never offered because of one value in a filter column.

    `meant`: the choice of `question` that the author probably meant; empty if none is near.
    """

    rows: Sequence[Row]
    column: str
    question: str
    meant: str
    codes: Sequence[str]

    @property
    def is_blank(self) -> bool:
        """True if the cell of the column is blank."""
        return bool(self.question) and not self.rows[0].get(self.column)

    def problem(self) -> FormProblem:
        """Return the problem at the first choice, with the rows of the others."""
        row, value = self.rows[0], self.rows[0].get(self.column)
        numbers = _ranges([each.number for each in self.rows])
        if not self.question:
            return problem("choice.never_offered", row, self.column or "name", row.get("name"), numbers)
        better = self.meant or " / ".join(self.codes)
        shown = value, self.question, better, numbers
        return problem("choice.filter_value", row, self.column, *shown, heading=self.column)


def _ranges(numbers: Sequence[int]) -> str:
    """Write row numbers as the author reads them: `60, 110-128`."""
    written: list[str] = []
    for _, run in groupby(enumerate(numbers), key=lambda each: each[1] - each[0]):
        first, *others = (number for _, number in run)
        written.append(f"{first}-{others[-1]}" if others else str(first))
    return ", ".join(written)


def _never_offered(context: CheckContext, trials: Sequence[FilterTrial], trial: FilterTrial) -> Iterator[Misfit]:
    """Group the choices that no question with the list ever offers, by the value in the filter's column."""
    alike = [each for each in trials if each.list_name == trial.list_name]
    users = [row for row in context.workbook.survey if row.get("type").partition(" ")[2] == trial.list_name]
    if not trial.list_name or len(users) > len(alike) or not all(each.is_known for each in alike):
        return
    offered = frozenset[str]().union(*(each.offered for each in alike))
    left_out: dict[tuple[str, str], list[Row]] = {}
    for row in context.lists[trial.list_name]:
        if row.get("name") not in offered:
            column = next((c for q, c in trial.columns.items() if row.get(c) not in trial.codes(q)), "")
            left_out.setdefault((column, row.get(column)), []).append(row)
    for (column, value), rows in left_out.items():
        question = next((q for q, c in trial.columns.items() if c == column), "")
        codes = trial.codes(question) if question else []
        yield Misfit(rows, column, question, nearest_code(value, codes), codes)


def nearest_code(value: str, codes: Sequence[str]) -> str:
    """Return the code that a value was probably meant to be: as a spreadsheet changes numbers, swapped, or near."""
    number = value.removesuffix(".0").lstrip("0")
    padded = [code for code in codes if number and code.lstrip("0") == number]
    swapped = [code for code in codes if sorted(code) == sorted(value)]
    folded = [code for code in codes if value and code.casefold() == value.casefold()]
    near = get_close_matches(value, codes, n=1, cutoff=0.6) if value else []
    return next(iter((*padded, *folded, *swapped, *near)), "")


class FilterTrial:
    """One question with a filter, tried with every combination of answers to the questions that its filter names.

    `offered`: the choices that some combination offers. `empty`: the combinations without any choice.
    """

    def __init__(self, context: CheckContext, row: Row) -> None:
        self.context, self.row = context, row
        self._conditions_tried: dict[str, TriedCondition | None] = {}
        self.list_name = row.get("type").partition(" ")[2]
        self.names = tuple(self._with_filters())
        self.offered: frozenset[str] = frozenset()
        self.empty: list[Answers] = []
        self._steps = 0
        few = len(self.names) <= _MOST_QUESTIONS
        self.is_known = few and row.get("name") in self._engines and self._try_all()

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column of choices with which the filter compares each question."""
        return dict(_compared_columns(self.row.get("choice_filter")))

    def codes(self, question: str) -> list[str]:
        """Return the choices of a question that the filter names."""
        choices = self.context.choices_of(self.context.questions[question])
        return [code for choice in choices if (code := choice.get("name")) and " " not in code]

    def _with_filters(self) -> list[str]:
        """Return the questions of the filter and those of their own filters, as in a cascade of three, in order."""
        found: dict[str, int] = {}
        waiting = [self._filter]
        while waiting and len(found) <= _MOST_QUESTIONS:
            for name in PLACEHOLDER.findall(waiting.pop()):
                row = self.context.questions.get(name)
                if name not in found:
                    found[name] = row.number if row else 0
                    waiting += [row.get("choice_filter")] if row else []
        return sorted(found, key=found.__getitem__)

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        """One engine for each question with a filter; empty if the filters cannot be judged."""
        rows = {name: self.context.questions.get(name) for name in (*self.names, self.row.get("name"))}
        columns = {*self.context.workbook.headings.get("choices", ())}
        found: dict[str, Engine] = {}
        for name, row in rows.items():
            if row is None or not row.get("type").startswith(_SELECTS) or not self.context.choices_of(row):
                return {}
            if row.get("choice_filter"):
                engine = filter_engine(self.context, name, beside=self.names)
                if engine is None or not set(_columns(row.get("choice_filter"))) <= columns:
                    return {}
                found[name] = engine
        return found

    def _try_all(self) -> bool:
        """Try all combinations. Return False if they are too many."""
        offered: set[str] = set()
        empty: list[Answers] = []
        for answers in self._combinations({}, self.names):
            if self._steps > _MOST:
                return False
            codes = self._offers(self.row.get("name"), answers)
            offered.update(codes)
            if not codes and self._is_asked(answers):
                empty.append({name: answers[name] for name in dict.fromkeys(PLACEHOLDER.findall(self._filter))})
        self.offered = frozenset(offered)
        self.empty = list({tuple(each.items()): each for each in empty}.values())
        return self._steps <= _MOST

    @property
    def _filter(self) -> str:
        return self.row.get("choice_filter")

    def _combinations(self, answers: Answers, names: Sequence[str]) -> Iterator[Answers]:
        """Yield every combination of answers in which each answer is offered after the answers before it."""
        self._steps += 1
        if not names or self._steps > _MOST:
            yield answers
            return
        name, *others = names
        codes = self._offers(name, answers) if self.context.questions[name].get("choice_filter") else self.codes(name)
        for code in (*codes, "") if self._may_be_blank(name, answers) else codes:
            yield from self._combinations({**answers, name: code}, others)

    def _offers(self, name: str, answers: Answers) -> tuple[str, ...]:
        engine = self._engines[name]
        filled = engine.drop_irrelevant(answers)
        return tuple(choice.code for choice in engine.offered_choices(engine.nodes[name], filled))

    def _is_asked(self, answers: Answers) -> bool:
        """True if the question can be asked with these answers.

        With a blank answer, the lack of choices is a fault only if the question must be answered.
        """
        blank = [name for name, code in answers.items() if not code]
        if blank and not self._is_required:
            return False
        texts = self._conditions(self.row)
        if any(not tried.holds(answers) for text in texts if (tried := self._tried(text)) is not None):
            return False
        conditions = [token for text in texts for token in _parsed(text)]
        conditions += [Token("=", parts=(Token("$", n), Token("(string)", code))) for n, code in answers.items()]
        types = {name: row.get("type").partition(" ")[0] for name, row in self.context.questions.items()}
        return not is_unsatisfiable(conditions, types)

    def _tried(self, text: str) -> TriedCondition | None:
        """Return a condition that rests on the tried questions alone; None for another one."""
        if text not in self._conditions_tried:
            tried = TriedCondition(self.context, [text])
            self._conditions_tried[text] = tried if tried.is_known and {*tried.names} <= {*self.names} else None
        return self._conditions_tried[text]

    @property
    def _is_required(self) -> bool:
        return YES_NO.get(self.row.get("required"), True)

    def _may_be_blank(self, name: str, answers: Answers) -> bool:
        """True if a question can stay blank: it may be skipped, or it is not asked after the answers before it."""
        row = self.context.questions[name]
        conditions = map(self._tried, self._conditions(row))
        return YES_NO.get(row.get("required")) is not True or any(
            tried is None or not tried.holds(answers) for tried in conditions
        )

    def _conditions(self, row: Row) -> list[str]:
        around = self.context.groups.get(row.get("name"), ())
        return [text for each in (*around, row) if (text := each.get("relevant"))]


def _compared_columns(text: str) -> Iterator[tuple[str, str]]:
    for token in _parsed(text):
        for part in subexpressions(token):
            sides = {side.symbol: side.value for side in part}
            if part.symbol in ("=", "selected") and sides.keys() == {"$", "(name)"}:
                yield sides["$"], sides["(name)"]


def _columns(text: str) -> list[str]:
    return [part.value for token in _parsed(text) for part in subexpressions(token) if part.symbol == "(name)"]


def _parsed(text: str) -> list[Token]:
    try:
        return [parse_expression(text)] if text else []
    except ExpressionError:
        return []  # `check_expressions` reports it
