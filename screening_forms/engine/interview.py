"""The state of one interview: the next question, the effect of an answer, going back, and ending early.

The user interface that shows the questions drives it. It must use no screen, no clock and no disk: answers stay in
memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import dropwhile, takewhile
from typing import Any, Self

from screening_forms.engine.evaluator import Engine, FilledForm
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.errors import AnswerError
from screening_forms.expressions.parser import NO_ANSWERS, parse_expression, referenced_questions

DANGER_NODE = "f_danger"
"""The calculate of every compiled form that is 1 if a person is in danger."""

CONSENT_NODE = "f_consent"
"""The calculate of a compiled form that is 1 if the person agrees to a referral."""

MINOR_NODE = "f_minor"
"""The calculate of a compiled form that is 1 for a child, and while the age is in doubt."""

INDICATOR_NODES = "i_"
"""The prefix of the calculates that tell which indicators fired. `rules/dimensions.py` names the families."""

OBSERVED_NODES = ("i_O_", "i_X_")
"""The same for the families whose questions the interviewer answers by looking: observed signs and bright lines."""

OUTCOME_NODE = "outcome"
"""The calculate with the outcome. The notes of guidance stand in its group, behind a confirmation."""


@dataclass(frozen=True)
class Interview:
    """The answers so far. `turns`: the questions and notes that had their turn, in that order.

    `at`: the question to which the interview went back; empty for the next one. `closing`: the person stopped; `close`
    names the questions that are still asked.
    """

    engine: Engine = field(repr=False, compare=False)
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    turns: tuple[str, ...] = field(default=(), repr=False)
    at: str = ""
    closing: bool = False

    @classmethod
    def resume(cls, engine: Engine, content: Mapping[str, Any]) -> Self:
        """Resume an interview from the content that `saved_state` returned."""
        return cls(engine, content["answers"], tuple(content["turns"]), content["at"], content["closing"])

    def saved_state(self) -> dict[str, Any]:
        """Return the state for `resume` as JSON values.

        Confirmations such as "only I see the screen" are left out: they were true only at the time of the answer. The
        guidance behind them is shown again.
        """
        kept = self._before_ending()
        asked = kept.filled.relevant
        turns = [name for name in kept.turns if name in asked]
        at = self.at if self.at in asked else ""
        return {"answers": dict(kept.answers), "turns": turns, "at": at, "closing": self.closing}

    def _before_ending(self) -> Self:
        """Return this state without confirmations and without the turns of the guidance."""
        nodes = self.engine.nodes
        answers = {name: text for name, text in self.answers.items() if nodes[name].type != "acknowledge"}
        again = self._ending | {node.name for node in self.engine.questions if node.type == "acknowledge"}
        return replace(self, answers=answers, turns=tuple(name for name in self.turns if name not in again))

    @cached_property
    def filled(self) -> FilledForm:
        """The form with the answers so far."""
        return self.engine.drop_invalid(self.answers)

    @cached_property
    def question(self) -> Node | None:
        """The question or note to show now; None if all had their turn."""
        if self.at:
            return self.engine.nodes[self.at]
        return next((node for node in self.engine.questions if self._is_due(node.name)), None)

    def _is_due(self, name: str) -> bool:
        if self.closing:
            return name in self._due_after_stop
        return name in self.filled.relevant and (name in self.filled.missing or name not in self.turns)

    @property
    def due(self) -> tuple[Node, ...]:
        """The questions and notes that have no turn yet, in the form's order."""
        return tuple(node for node in self.engine.questions if self._is_due(node.name))

    @cached_property
    def _due_after_stop(self) -> frozenset[str]:
        """The names that are still due if the interview is closed now."""
        asked = {*self.filled.missing}
        if not self._is_referred_in_danger:
            refusable = self._questions_of(DANGER_NODE, CONSENT_NODE) | self._observed_questions
            asked |= self._waiting(refusable)
        return frozenset(asked | self._waiting(self._notes_before(asked) | self._ending))

    def _waiting(self, names: Set[str]) -> set[str]:
        """Return the relevant names that had no turn."""
        return {name for name in names if name in self.filled.relevant and name not in self.turns}

    @property
    def _is_referred_in_danger(self) -> bool:
        """True if noted danger opens a referral. No further answer is needed for it, and time matters."""
        return self.is_in_danger and bool(self.filled.values.get("queue_kinds"))

    def _notes_before(self, asked: Set[str]) -> set[str]:
        """Return the notes that introduce questions: those of the same group that come before them."""
        found: set[str] = set()
        before: dict[str, list[str]] = {}
        for node in self.engine.questions:
            if node.type == "note":
                before.setdefault(node.group, []).append(node.name)
            elif node.name in asked:
                found.update(before.get(node.group, ()))
        return found

    @property
    def _has_shown_guidance(self) -> bool:
        """True if the guidance had a turn, or may be shown. After a correction the interviewer must confirm again."""
        nodes = self.engine.nodes
        return any(name in self.answers or (name in self.turns and nodes[name].type == "note") for name in self._ending)

    @property
    def _ending(self) -> set[str]:
        """The confirmation and the guidance at the end: the questions in the group of the outcome."""
        outcome = self.engine.nodes.get(OUTCOME_NODE)
        group = outcome.group if outcome else ""
        return {node.name for node in self.engine.questions if group and group in node.groups}

    @property
    def _observed_questions(self) -> set[str]:
        """The questions that need no talk: of observed signs and bright lines; for a child, of every indicator.

        A form without a question on consent is about a place. There a stop means leaving, and nothing more is observed.
        """
        if self._questions_of(CONSENT_NODE) <= self._questions_of(DANGER_NODE):
            return set()
        families = INDICATOR_NODES if self.filled.values.get(MINOR_NODE) == "1" else OBSERVED_NODES
        return self._questions_of(*(name for name in self.engine.nodes if name.startswith(families)))

    def _questions_of(self, *calculates: str) -> set[str]:
        """Return the questions that some calculates refer to; none for a calculate that the form lacks."""
        found = [node for name in calculates if (node := self.engine.nodes.get(name))]
        return {name for node in found for name in _references(node.calculate) if self._is_asked(name)}

    def _is_asked(self, name: str) -> bool:
        node = self.engine.nodes.get(name)
        return node is not None and node.is_question

    def is_required(self, node: Node) -> bool:
        """True if a question may not stay blank."""
        return node.name in self.engine.drop_invalid({**self.answers, node.name: ""}).missing

    def choices(self, node: Node) -> tuple[Choice, ...]:
        """Return the choices of a question that pass its filter with the answers so far."""
        return self.engine.offered_choices(node, self.filled)

    @property
    def reviewed(self) -> tuple[Node, ...]:
        """The questions that had their turn, in the form's order, without notes and confirmations."""
        shown = [node for node in self.engine.questions if node.type not in ("note", "acknowledge")]
        return tuple(node for node in shown if node.name in self.turns)

    def answer(self, text: str) -> Self:
        """Answer the present question and go on with the next one; an empty text is no answer.

        Raises AnswerError if the question does not accept the answer, LookupError if no question is left. It drops
        answers that are no longer valid (`lost_answers` lists them). Their questions are asked again if they become
        relevant again.
        """
        node = self.question
        if node is None:
            raise LookupError("every question had its turn")
        tried = {**self.answers, node.name: text}
        if why := self.engine.rejected(tried).get(node.name):
            raise AnswerError(node.name, why)
        changed = text != self.answers.get(node.name, "") and node.name not in self._ending
        former = self._before_ending() if changed and self._has_shown_guidance else self
        tried = {**former.answers, node.name: text}
        filled = self.engine.drop_invalid(tried)
        if not text and node.name in filled.missing:
            raise AnswerError(node.name, "esta pregunta es necesaria")
        kept = tuple(name for name in former.turns if self._keeps_turn(name, filled) or name == node.name)
        turns = kept if node.name in kept else (*kept, node.name)
        return replace(self, answers=filled.answers, turns=turns, at="")

    def _keeps_turn(self, name: str, filled: FilledForm) -> bool:
        return name in filled.relevant and filled.answers.get(name, "") == self.answers.get(name, "")

    def lost_answers(self, later: Self) -> tuple[Node, ...]:
        """Return the questions, without the present one, whose answers a later state lacks, or lacks in part."""
        gone = {name for name, text in self.answers.items() if later.answers.get(name) != text} - self._ending
        return tuple(node for node in self.engine.questions if node.name in gone and node is not self.question)

    def go_back(self, steps: int) -> Self:
        """Go back over `steps` questions that had their turn, in reverse order, at most to the first."""
        place = (*self.turns, self.at).index(self.at)
        return replace(self, at=self.turns[max(place - steps, 0)]) if self.turns else self

    def go_to(self, name: str) -> Self:
        """Go to one question, again or before its turn."""
        return replace(self, at=name)

    def close(self) -> Self:
        """Stop the interview. A stop is no refusal, so some questions and notes are still due, if they are relevant.

        They are: the required questions, the questions that had no turn on danger, on consent to a referral and on what
        the interviewer only observes, the notes that introduce them, and the guidance. Noted danger opens a referral;
        then only what is required is due.
        """
        return replace(self, at="", closing=True)

    def reopen(self) -> Self:
        """Ask all relevant questions that had no turn, after a `close`. The guidance comes again at the end."""
        return replace(self._before_ending(), closing=False)

    @property
    def is_skipping(self) -> bool:
        """True if a stop would skip, or has skipped, a question or note that had no turn."""
        names = {node.name for node in self.engine.questions}
        return bool(self._waiting(names) - self._due_after_stop)

    @property
    def is_in_danger(self) -> bool:
        """True if danger is noted."""
        return self.filled.values.get(DANGER_NODE) == "1"

    @property
    def has_enough(self) -> bool:
        """True if a referral of this adult is settled, and the person may stop without losing it.

        The outcome is positive when every open question counts as a no, so no further answer changes the desk. Consent
        is still open: a stop asks for it. False in danger, after a stop, and for a child.
        """
        values = self.filled.values
        if self.closing or self.is_in_danger or values.get(MINOR_NODE) == "1" or values.get(OUTCOME_NODE) != "positive":
            return False
        return self.is_skipping and bool(self._waiting(self._questions_of(CONSENT_NODE)))

    @property
    def has_open_consent(self) -> bool:
        """True if the person was neither for nor against a referral: no answer is not a refusal."""
        answers = [self.answers.get(name, "") for name in self._questions_of(CONSENT_NODE) & self.filled.relevant]
        return bool(answers) and all(answer in ("", *NO_ANSWERS) for answer in answers)

    @property
    def danger_question(self) -> str:
        """The question in which the danger key notes danger of the person; empty if the form has none.

        Before consent it is the first: the interviewer decides it, and the next one is about the interviewer. After
        consent it is a later one, which the person is asked; one that had no turn comes first.
        """
        relevant = self.filled.relevant
        arrival = [name for name in self._danger_on_arrival if name in relevant]
        names = self._questions_of(DANGER_NODE) - {*self._danger_on_arrival}
        later = [node.name for node in self.engine.questions if node.name in names & relevant]
        waiting = [name for name in later if name not in self.turns]
        return next(iter((*waiting, *reversed(later), *arrival)), "")

    @property
    def _danger_on_arrival(self) -> list[str]:
        """The questions on danger that come first, before any other question."""
        names = self._questions_of(DANGER_NODE)
        asked = [node.name for node in self.engine.questions if node.type != "note"]
        return [*takewhile(names.__contains__, dropwhile(lambda name: name not in names, asked))]

    @cached_property
    def danger_choice(self) -> Choice | None:
        """The choice that `note_danger` answers at once; None if the person is asked first, or danger is noted."""
        name = self.danger_question
        if self.is_in_danger or name not in self._danger_on_arrival:
            return None
        for choice in self.choices(self.engine.nodes[name]):
            if self.engine.drop_invalid({**self.answers, name: choice.code}).values.get(DANGER_NODE) == "1":
                return choice
        return None

    def note_danger(self) -> Self:
        """Stop, and note danger of the person: at once, or by the question that is open then.

        That question needs a new answer. Its former answer is taken back, so it stays due until it is answered.
        """
        name, closed = self.danger_question, self.close()
        if self.is_in_danger:
            return closed
        if choice := self.danger_choice:
            return closed.go_to(name).answer(choice.code)
        answers = {other: text for other, text in self.answers.items() if other != name}
        turns = tuple(other for other in self.turns if other != name)
        return replace(closed, answers=answers, turns=turns, at=name)

    @property
    def guidance(self) -> Node | None:
        """The note with the guidance for the present answers; None if the form has none for them."""
        return self.engine.nodes.get(self.filled.values.get("guidance", ""))


@cache
def _references(calculate: str) -> tuple[str, ...]:
    return tuple(referenced_questions(parse_expression(calculate)))
