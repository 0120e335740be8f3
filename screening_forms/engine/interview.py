"""One interview as it goes: what is asked next, what an answer changes, going back and ending early.

Driven by whatever shows questions to a person. It knows no screen, no clock and no disk; answers stay in memory.
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
"""The calculate of every compiled form that says whether somebody is in danger."""


@dataclass(frozen=True)
class Interview:
    """The answers so far. `turns` are the questions and notes that had their turn, in that order.

    `at` is the one gone back to, empty for the next. `closing`: only what the form requires is still asked.
    """

    engine: Engine = field(repr=False, compare=False)
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    turns: tuple[str, ...] = field(default=(), repr=False)
    at: str = ""
    closing: bool = False

    @classmethod
    def resume(cls, engine: Engine, content: Mapping[str, Any]) -> Self:
        """Go on with what `saved_state` returned."""
        return cls(engine, content["answers"], tuple(content["turns"]), content["at"], content["closing"])

    def saved_state(self) -> dict[str, Any]:
        """Return what `resume` needs, as plain JSON. "Only I see the screen" held when it was said, and is left out."""
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
        """What is to be asked or shown now; None when everything had its turn."""
        if self.at:
            return self.engine.nodes[self.at]
        return next((node for node in self.engine.questions if self._is_due(node.name)), None)

    def _is_due(self, name: str) -> bool:
        had = self.closing or name in self.turns
        return name in self.filled.relevant and (name in self.filled.missing or not had)

    def is_required(self, node: Node) -> bool:
        """Whether a question may not stay blank."""
        return node.name in self.engine.drop_invalid({**self.answers, node.name: ""}).missing

    def choices(self, node: Node) -> tuple[Choice, ...]:
        """The choices that go with the answers so far."""
        return self.engine.offered_choices(node, self.filled)

    @property
    def reviewed(self) -> tuple[Node, ...]:
        """The questions that had their turn, in the form's order; notes and confirmations are no answers to look at."""
        shown = [node for node in self.engine.questions if node.type not in ("note", "acknowledge")]
        return tuple(node for node in shown if node.name in self.turns)

    def answer(self, text: str) -> Self:
        """Answer the present question, with an empty text for none, and go on where the interview was.

        Raises AnswerError, and nothing has changed, where the question does not take it. Answers that no longer belong
        are dropped, and their questions are asked anew if they ever come back; `lost` names them.
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
        return name in filled.relevant and (name in filled.answers or name not in self.answers)

    def lost_answers(self, later: Self) -> tuple[Node, ...]:
        """The questions, save the present one, whose answers are there no more in a later state."""
        gone = self.answers.keys() - later.answers.keys()
        return tuple(node for node in self.engine.questions if node.name in gone and node is not self.question)

    def go_back(self, steps: int) -> Self:
        """Go back over questions that had their turn, in the reverse order of their turns, at most to the first."""
        place = (*self.turns, self.at).index(self.at)
        return replace(self, at=self.turns[max(place - steps, 0)]) if self.turns else self

    def go_to(self, name: str) -> Self:
        """Ask one question again, or ahead of its turn."""
        return replace(self, at=name)

    def close(self) -> Self:
        """Ask from now on only what the form requires."""
        return replace(self, at="", closing=True)

    def reopen(self) -> Self:
        """Ask everything again that is relevant and has had no turn."""
        return replace(self, closing=False)

    @property
    def danger_question(self) -> str:
        """The last question asked here by which the form learns of danger; empty where it has none."""
        node = self.engine.nodes.get(DANGER_NODE)
        names = set(referenced_questions(parse_expression(node.calculate))) if node else set()
        asked = [each.name for each in self.engine.questions if each.name in names & self.filled.relevant]
        return asked[-1] if asked else ""
