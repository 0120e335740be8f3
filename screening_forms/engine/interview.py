"""The state of one interview: the next question, the effect of an answer, going back, and ending early.

The user interface that shows the questions drives it. It must use no screen, no clock and no disk: answers stay in
memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from screening_forms.engine.evaluator import Engine, FilledForm
from screening_forms.engine.xform_reader import Choice, Node
from screening_forms.errors import AnswerError
from screening_forms.expressions.parser import parse_expression, referenced_questions

DANGER_NODE = "f_danger"
"""The calculate of every compiled form that is 1 if a person is in danger."""


@dataclass(frozen=True)
class Interview:
    """The answers so far. `turns`: the questions and notes that had their turn, in that order.

    `at`: the question to which the interview went back; empty for the next one. `closing`: only required questions are
    still asked.
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

        Confirmations such as "only I see the screen" are left out: they were true only at the time of the answer.
        """
        nodes = self.engine.nodes
        answers = {name: text for name, text in self.answers.items() if nodes[name].type != "acknowledge"}
        asked = self.engine.drop_invalid(answers).relevant
        turns = [name for name in self.turns if name in asked and nodes[name].type != "acknowledge"]
        return {"answers": answers, "turns": turns, "at": self.at if self.at in asked else "", "closing": self.closing}

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
        had = self.closing or name in self.turns
        return name in self.filled.relevant and (name in self.filled.missing or not had)

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
        filled = self.engine.drop_invalid(tried)
        if not text and node.name in filled.missing:
            raise AnswerError(node.name, "esta pregunta es necesaria")
        kept = tuple(name for name in self.turns if self._keeps_turn(name, filled) or name == node.name)
        turns = kept if node.name in kept else (*kept, node.name)
        return replace(self, answers=filled.answers, turns=turns, at="")

    def _keeps_turn(self, name: str, filled: FilledForm) -> bool:
        return name in filled.relevant and filled.answers.get(name, "") == self.answers.get(name, "")

    def lost_answers(self, later: Self) -> tuple[Node, ...]:
        """Return the questions, without the present one, whose answers a later state lacks, or lacks in part."""
        gone = {name for name, text in self.answers.items() if later.answers.get(name) != text}
        return tuple(node for node in self.engine.questions if node.name in gone and node is not self.question)

    def go_back(self, steps: int) -> Self:
        """Go back over `steps` questions that had their turn, in reverse order, at most to the first."""
        place = (*self.turns, self.at).index(self.at)
        return replace(self, at=self.turns[max(place - steps, 0)]) if self.turns else self

    def go_to(self, name: str) -> Self:
        """Go to one question, again or before its turn."""
        return replace(self, at=name)

    def close(self) -> Self:
        """Ask only required questions from now on."""
        return replace(self, at="", closing=True)

    def reopen(self) -> Self:
        """Ask all relevant questions that had no turn, after a `close`."""
        return replace(self, closing=False)

    @property
    def danger_question(self) -> str:
        """The last relevant question that can report danger; empty if the form has none."""
        node = self.engine.nodes.get(DANGER_NODE)
        names = set(referenced_questions(parse_expression(node.calculate))) if node else set()
        asked = [each.name for each in self.engine.questions if each.name in names & self.filled.relevant]
        return asked[-1] if asked else ""
