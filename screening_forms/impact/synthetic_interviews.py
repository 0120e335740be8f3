"""Generates synthetic interviews for any compiled form: every reachable choice, refusals, and a realistic mix.

They show the effect of a new version before it reaches real persons. The same seed must give the same interviews. A
real answer must never come here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from screening_forms.engine.evaluator import LARGEST_INTEGER, Engine, FilledForm
from screening_forms.engine.interview import DANGER_NODE, INDICATOR_NODES
from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import (
    COMPARISONS,
    NO_ANSWERS,
    Token,
    compared_values,
    parse_expression,
    subexpressions,
)

Answers = dict[str, str]

_AIMS, _MENDS = 12, 12
_OPENS, _DANGER = 0.96, 0.1
_OWN_CODE = re.compile(r"selected\(\s*\.\s*,\s*'([^']+)'")
_BEYOND = {">": 1, "<": -1}
_PLAIN = {"date": "2026-10-31", "acknowledge": "OK", "text": "x"}


@dataclass(frozen=True)
class Respondent:
    """A synthetic respondent: how many indicators apply to her (0-1), how often she refuses to answer (0-1)."""

    indicator_rate: float
    refusal_rate: float


@dataclass
class _Question:
    """A question with the codes that matter for drawing an answer.

    `unsaid`: codes for no answer. `alone`: codes that exclude all others. `signs`: codes that the score uses or that
    open questions. `openings`: those that open most. `danger`: those behind the fact of danger. `numbers`: values near
    thresholds.
    """

    node: Node
    codes: list[str]
    unsaid: list[str]
    alone: list[str]
    signs: list[str] = field(default_factory=list)
    openings: list[str] = field(default_factory=list)
    danger: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)


class InterviewGenerator:
    """Generates interviews for one form."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._nodes = engine.nodes
        self._questions = {node.name: _question(node) for node in engine.questions}
        self._relevances = {n.name: parse_expression(n.relevant) for n in engine.form.nodes if n.relevant}
        self._read_rules()

    def generate(self, count: int, seed: int) -> Iterator[Answers]:
        """Yield `count` synthetic interviews. An interview answers every question, relevant or not.

        The first ones aim at each reachable choice in turn, the others are a random mix.
        """
        draws = Random(seed)
        open_targets = {(name, code): None for name, known in self._questions.items() for code in known.codes}
        for _ in range(count):
            target = next(iter(open_targets), None)
            answers = self._draw_aimed(*target, draws) if target else self.draw_answers(draws)
            if target:
                open_targets.pop(target)
                for name, text in self.engine.drop_irrelevant(answers).answers.items():
                    for code in text.split():
                        open_targets.pop((name, code), None)
            yield answers

    def draw_answers(self, draws: Random, wanted: Mapping[str, str] | None = None) -> Answers:
        """Return one respondent's answers to all questions, relevant or not, without broken constraints if possible.

        Answers in `wanted` stay as they are.
        """
        respondent, fixed = Respondent(draws.random() ** 2, max(0.0, 2 * draws.random() - 1) ** 2), wanted or {}
        answers: Answers = defaultdict(str)
        for name, known in self._questions.items():
            answers[name] = fixed[name] if name in fixed else self._draw(known, answers, draws, respondent)
        plain = Respondent(0.1, respondent.refusal_rate)
        for _ in range(_MENDS):
            refused = self.engine.rejected(answers).keys() - fixed.keys()
            if not refused:
                break
            # In the form's order: the order of a set differs between processes.
            for name in (name for name in self._questions if name in refused):
                answers[name] = self._draw(self._questions[name], answers, draws, plain)
        return {name: text for name, text in answers.items() if text}

    # One answer

    def _draw(self, known: _Question, answers: Answers, draws: Random, respondent: Respondent) -> str:
        if known.unsaid and not known.openings and draws.random() < respondent.refusal_rate:
            return known.unsaid[int(draws.random() * len(known.unsaid))]
        if known.node.type == "select_multiple":
            return _draw_codes(known, draws, respondent)
        if known.codes:
            return self._draw_one(known, answers, draws, respondent)
        if known.node.type == "integer":
            return "" if draws.random() < respondent.refusal_rate else _draw_code(known.numbers, draws)
        return _PLAIN.get(known.node.type, "")

    def _draw_one(self, known: _Question, answers: Answers, draws: Random, respondent: Respondent) -> str:
        if known.node.filter:
            offered = self.engine.offered_choices(known.node, FilledForm({}, answers, frozenset(), ()))
            return _draw_code([choice.code for choice in offered], draws)
        if known.danger and draws.random() < _DANGER * respondent.indicator_rate:
            return _draw_code(known.danger, draws)
        if known.openings and draws.random() < _OPENS:
            return _draw_code(known.openings, draws)
        signs = [code for code in known.signs if code not in known.danger]
        if signs and not known.openings:
            others = [code for code in known.codes if code not in (*known.signs, *known.unsaid)]
            return _draw_code(signs if draws.random() < respondent.indicator_rate or not others else others, draws)
        return _draw_code([code for code in known.codes if code not in known.danger], draws)

    # Which answer makes which question relevant

    def _read_rules(self) -> None:
        """Fill each question's signs, openings, danger codes and numbers from the form's conditions."""
        opened: dict[tuple[str, str], set[str]] = defaultdict(set)
        for name, token in self._relevances.items():
            for answer in self._opening_answers(token):
                opened[answer] |= self._answered_in(name)
        for name, known in self._questions.items():
            after = {code: len(_reached(opened, opened[name, code])) for code in known.codes if (name, code) in opened}
            most = max(after.values(), default=0)
            if most and (known.node.required or most * 4 >= len(self._questions)):
                known.openings = [code for code in after if after[code] == most]
            known.signs = list(after)
        for node in self._nodes.values():
            if node.calculate and (node.name.startswith(INDICATOR_NODES) or node.name == DANGER_NODE):
                self._note_scored_codes(node.name == DANGER_NODE, parse_expression(node.calculate))
        for known in self._questions.values():
            known.numbers = known.numbers or ["0", "5", "900"]

    def _opening_answers(self, token: Token, holds: bool = True) -> Iterator[tuple[str, str]]:
        """Yield each question with a code by which the condition holds; `holds=False`: does not hold."""
        if token.symbol in ("and", "or", "(", "not"):
            for part in token:
                yield from self._opening_answers(part, holds != (token.symbol == "not"))
            return
        for question, code in compared_values(token):
            if known := self._questions.get(question):
                if (token.symbol == "!=") != holds:
                    yield question, code
                else:
                    yield from ((question, other) for other in known.codes if other not in (code, *known.unsaid))

    def _note_scored_codes(self, danger: bool, token: Token) -> None:
        """Add the codes and numbers that an indicator, or the fact of danger, uses."""
        for question, code in compared_values(token):
            if known := self._questions.get(question):
                listed = known.danger if danger else known.signs
                if code in known.codes and code not in (*listed, *known.unsaid):
                    listed.append(code)
        for question, number in _thresholds(token):
            if known := self._questions.get(question):
                near = (number - 1, number, number + 1)
                known.numbers += [str(number) for number in near if 0 <= number <= LARGEST_INTEGER]

    def _answered_in(self, name: str) -> set[str]:
        """Return the questions with an answer that have this name or are in the group of this name."""
        inside = (known.node for known in self._questions.values() if name in (known.node.name, *known.node.groups))
        return {node.name for node in inside if node.type not in ("note", "acknowledge")}

    def _draw_aimed(self, name: str, code: str, draws: Random) -> Answers:
        """Draw an interview that contains this answer. It tries _AIMS times: some rules are met by chance only."""
        answers: Answers = {}
        for _ in range(_AIMS):
            wanted = {name: code}
            self._want_filter(self._nodes[name], code, wanted)
            self._want_relevant(name, wanted, draws, frozenset())
            answers = self.draw_answers(draws, wanted)
            if code in self.engine.drop_irrelevant(answers).answers.get(name, "").split():
                break
        return answers

    def _want_relevant(self, name: str, wanted: Answers, draws: Random, seen: frozenset[str]) -> None:
        """Add to `wanted` the answers that make a question relevant, and the questions that it depends on."""
        node = self._nodes[name]
        if name in seen:
            return
        for asked in (*node.groups, name):
            if asked in self._relevances:
                for question in self._want(self._relevances[asked], wanted, draws):
                    self._want_relevant(question, wanted, draws, seen | {name})

    def _want(self, token: Token, wanted: Answers, draws: Random) -> list[str]:
        """Add to `wanted` the answers that meet a condition, and return the questions of these answers."""
        if token.symbol in ("and", "("):
            return [question for part in token for question in self._want(part, wanted, draws)]
        if token.symbol == "or":
            return self._want(token[int(draws.random() * len(token))], wanted, draws)
        if token.symbol == "not":
            others = list(self._opening_answers(token))
            if others:
                question, code = others[int(draws.random() * len(others))]
                wanted.setdefault(question, code)
            return [question for question, _ in others[:1]]
        names = [str(part.value) for part in token if part.symbol == "$"]
        if len(token) != 2 or not names or names[0] not in self._questions:
            return []
        known, value = self._questions[names[0]], str(token[1].value)
        if token.symbol == "!=":
            value = _draw_code([code for code in known.codes if code != value], draws)
        elif token.symbol in _BEYOND and value.isdecimal():
            value = str(int(value) + _BEYOND[token.symbol])
        if known.node.type == "select_multiple" and wanted.get(names[0]):
            value = " ".join({**dict.fromkeys(wanted[names[0]].split()), value: None})
        wanted.setdefault(names[0], value)
        if known.node.type == "select_multiple":
            wanted[names[0]] = value
        return names

    def _want_filter(self, node: Node, code: str, wanted: Answers) -> None:
        """Add to `wanted` the answer that a choice filter compares with a column, such as a district's region."""
        if not node.filter:
            return
        for part in subexpressions(parse_expression(node.filter)):
            sides = {side.symbol: str(side.value) for side in part} if part.symbol == "=" else {}
            if sides.keys() == {"(name)", "$"}:
                value = node.choices[code].columns.get(sides["(name)"], "")
                if value in self._nodes[sides["$"]].choices:
                    wanted[sides["$"]] = value


def _question(node: Node) -> _Question:
    codes = list(node.choices)
    unsaid = [code for code in codes if code in NO_ANSWERS]
    counted = "count-selected" in node.constraint
    alone = [code for code in _OWN_CODE.findall(node.constraint) if code in codes] if counted else []
    return _Question(node, codes, unsaid, alone)


def _reached(opened: Mapping[tuple[str, str], set[str]], first: set[str]) -> set[str]:
    """Return all questions that may become relevant, directly or later, once those in `first` have answers."""
    reached: set[str] = set()
    due = first
    while due:
        reached |= due
        due = {name for (question, _), names in opened.items() if question in due for name in names} - reached
    return reached


def _draw_codes(known: _Question, draws: Random, respondent: Respondent) -> str:
    likely = respondent.indicator_rate / 2
    chosen = [c for c in known.codes if c not in known.unsaid and c not in known.alone and draws.random() < likely]
    return " ".join(chosen) if chosen or not known.alone else _draw_code(known.alone, draws)


def _draw_code(codes: list[str], draws: Random) -> str:
    return codes[int(draws.random() * len(codes))] if codes else ""


def _thresholds(token: Token) -> Iterator[tuple[str, int]]:
    """Yield question and number of every comparison of a question with an integer."""
    for part in subexpressions(token):
        sides = {side.symbol: side.value for side in part} if part.symbol in COMPARISONS else {}
        if sides.keys() == {"$", "(integer)"}:
            yield str(sides["$"]), int(sides["(integer)"])
