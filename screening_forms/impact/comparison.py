"""Compares the outcomes of two versions of a form over the author's own cases and over synthetic interviews.

Authors and reviewers see the changed outcomes before they publish. Each interview answers both versions: answers are
mapped by question name and choice code. A synthetic respondent also answers questions that only one version has; a
case leaves them blank, which counts as unknown. A real answer must never come here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from random import Random
from typing import Any

from screening_forms.checks.cases import case_answers
from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import SEALED_RESULTS, FilledForm, load_engine
from screening_forms.engine.interview import DANGER_NODE
from screening_forms.engine.xform_reader import Node
from screening_forms.errors import AnswerError
from screening_forms.expressions.parser import parse_expression, referenced_questions
from screening_forms.impact.answer_mapping import AnswerMapping, Unmapped
from screening_forms.impact.synthetic_interviews import Answers, InterviewGenerator
from screening_forms.scoring.assessment import explain_screening
from screening_forms.workbook.reader import Workbook

EXAMPLES = 3
"""How many screenings of each move are listed in full."""

Progress = Callable[[int, int], None]


def _no_progress(done: int, total: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Outcome:
    """The result of a screening as the server routes it."""

    outcome: str
    tier: str
    urgency: str
    queue_kinds: str


@dataclass(frozen=True)
class MovedScreening:
    """One screening with another result. `case` is the author's name for it, "" for a synthetic one.

    `answers` has all answers by question, as `forms try` takes them. `words` has labels and answers of the questions
    behind indicators and facts.
    """

    case: str
    answers: Mapping[str, str]
    words: tuple[tuple[str, str], ...]
    why_before: tuple[str, ...]
    why_after: tuple[str, ...]


@dataclass(frozen=True)
class OutcomeMove:
    """The screenings that have the result `before` in the old version and `after` in the new one."""

    before: Outcome
    after: Outcome
    count: int
    examples: tuple[MovedScreening, ...]


@dataclass(frozen=True)
class Impact:
    """The comparison of all screenings. `outcomes` counts every pair (before, after), also equal ones.

    `moves` has all pairs of different results, the most frequent first.
    """

    cases: int
    made_up: int
    outcomes: Mapping[tuple[str, str], int]
    moves: tuple[OutcomeMove, ...]
    uncarried: tuple[Unmapped, ...]

    @property
    def moved_outcomes(self) -> int:
        """The number of screenings with another outcome."""
        return sum(count for (before, after), count in self.outcomes.items() if before != after)

    @property
    def moved(self) -> int:
        """The number of screenings with another outcome, tier, urgency or desk."""
        return sum(move.count for move in self.moves)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        pairs = [{"before": b, "after": a, "count": count} for (b, a), count in self.outcomes.items()]
        counts = {"moved": self.moved, "moved_outcomes": self.moved_outcomes}
        return {**asdict(self), "outcomes": pairs, **counts}


@dataclass(frozen=True)
class _PairedAnswers:
    """One interview's answers to each version; `case` is "" for a synthetic one."""

    case: str
    old: Answers
    new: Answers


def compare_outcomes(
    old: CompiledForm,
    new: CompiledForm,
    *,
    own: Mapping[str, Answers] | None = None,
    count: int = 300,
    seed: int = 0,
    progress: Progress = _no_progress,
) -> Impact:
    """Compare two versions over an author's `own` cases and `count` synthetic interviews.

    `own`: name -> answers to the new version. Raises AnswerError if a case does not fit the new version.
    """
    versions = _Version(old), _Version(new)
    mapping = AnswerMapping(versions[0].engine, versions[1].engine)
    persons = (_case(name, answers, versions[1], mapping) for name, answers in (own or {}).items())
    total = len(own or {}) + count
    outcomes: Counter[tuple[str, str]] = Counter()
    moves: Counter[tuple[Outcome, Outcome]] = Counter()
    examples: dict[tuple[Outcome, Outcome], list[MovedScreening]] = {}
    for done, person in enumerate(chain(persons, _made_up(*versions, mapping, count, seed)), start=1):
        filled = versions[0].engine.drop_invalid(person.old), versions[1].engine.drop_invalid(person.new)
        before, after = (_outcome(each) for each in filled)
        outcomes[before.outcome, after.outcome] += 1
        if before != after:
            moves[before, after] += 1
            kept = examples.setdefault((before, after), [])
            if len(kept) < EXAMPLES:
                kept.append(_example(person, versions, filled))
        if done % 50 == 0 or done == total:
            progress(done, total)
    told = tuple(OutcomeMove(*pair, number, tuple(examples[pair])) for pair, number in moves.most_common())
    return Impact(len(own or {}), count, dict(sorted(outcomes.items())), told, mapping.unmapped())


def cases_by_name(workbook: Workbook) -> dict[str, Answers]:
    """Return an author's cases as `compare_outcomes` takes them. A repeated name gets its row number."""
    found: dict[str, Answers] = {}
    for row in workbook.cases:
        name = row.get("case") or f"cases:{row.number}"
        found[f"{name} ({row.number})" if name in found else name] = case_answers(workbook, row)
    return found


class _Version:
    """One version with its engine, its interview generator, and the questions behind each indicator and fact."""

    def __init__(self, form: CompiledForm) -> None:
        self.form = form
        self.engine = load_engine(form.xform)
        self.generator = InterviewGenerator(self.engine)
        self._questions = {
            node.name: tuple(referenced_questions(parse_expression(node.calculate)))
            for node in self.engine.form.nodes
            if node.calculate and node.name.startswith(("i_", "f_"))
        }

    def decisive(self, filled: FilledForm) -> set[str]:
        """Return the questions behind the facts and behind fired or unknown indicators."""
        facts = (DANGER_NODE, "f_minor", "f_place", "f_consent")
        found = [name for name in self._questions if filled.values[name] != "0" or name in facts]
        return {question for name in found for question in self._questions[name]}


def _case(name: str, answers: Answers, new: _Version, mapping: AnswerMapping) -> _PairedAnswers:
    try:
        new.engine.drop_irrelevant(answers)
    except AnswerError as error:
        raise AnswerError(error.question, f"{error.why} (caso «{name}»)") from error
    return _PairedAnswers(name, mapping.to_old(answers), answers)


def _made_up(old: _Version, new: _Version, mapping: AnswerMapping, count: int, seed: int) -> Iterator[_PairedAnswers]:
    """Yield synthetic interviews generated from the new and the old version by turns.

    So added and removed questions both get answers. Questions that only the other version has are answered there.
    """
    draws = Random(seed)
    in_new = new.generator.generate(count - count // 2, seed)
    in_old = old.generator.generate(count // 2, seed)
    for answers in in_new:
        mapped = mapping.to_old(answers)
        yield _PairedAnswers(
            "", old.generator.draw_answers(draws, mapped) if mapping.asks_more("old") else mapped, answers
        )
        if answers := next(in_old, {}):
            mapped = mapping.to_new(answers)
            yield _PairedAnswers(
                "", answers, new.generator.draw_answers(draws, mapped) if mapping.asks_more("new") else mapped
            )


def _outcome(filled: FilledForm) -> Outcome:
    values = [filled.values.get(name, "") for name in SEALED_RESULTS]
    return Outcome(values[0] or "not_scored", *values[1:]) if "outcome" in filled.relevant else NOT_SCORED


NOT_SCORED = Outcome("not_scored", "none", "none", "")


def _example(
    person: _PairedAnswers, versions: tuple[_Version, _Version], filled: tuple[FilledForm, FilledForm]
) -> MovedScreening:
    reasons = [explain_screening(version.form, each).why for version, each in zip(versions, filled, strict=True)]
    words = {}
    for version, each in zip(versions, filled, strict=True):
        decisive = version.decisive(each)
        for node in version.engine.questions:
            if node.name in decisive and node.name in each.answers:
                words[_label(node.label, node.name)] = _answer(node, each.answers[node.name])
    answers = {**filled[0].answers, **filled[1].answers}
    return MovedScreening(person.case, answers, tuple(words.items()), *reasons)


def _answer(node: Node, text: str) -> str:
    codes = text.split() if node.choices else []
    return "; ".join(_label(node.choices[code].label, code) for code in codes) if codes else text


def _label(label: Mapping[str, str], name: str) -> str:
    return label.get("es") or label.get("") or name
