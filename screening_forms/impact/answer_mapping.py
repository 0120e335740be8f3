"""Carries answers from one version of a form to another, by the question's name and the choice's code.

Called by impact. What has no place in the other version is left out, named and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from screening_forms.engine.evaluator import Engine
from screening_forms.impact.synthetic_interviews import Answers

_OTHER = {"old": "new", "new": "old"}


@dataclass(frozen=True)
class Unmapped:
    """What has no place in the other version: a question, or one of its choices; `answers` had to be left out."""

    question: str
    choice: str
    only_in: str
    answers: int


class AnswerMapping:
    """Carries answers from one version to the other, and counts what it has to leave out."""

    def __init__(self, old: Engine, new: Engine) -> None:
        self._nodes = {"old": old.nodes, "new": new.nodes}
        self._left = {key: 0 for side in ("old", "new") for key in self._only_in(side)}

    def to_old(self, answers: Answers) -> Answers:
        """Answers to the new version, as far as the old one takes them."""
        return self._map(answers, "new", "old")

    def to_new(self, answers: Answers) -> Answers:
        """Answers to the old version, as far as the new one takes them."""
        return self._map(answers, "old", "new")

    def asks_more(self, side: str) -> bool:
        """Whether that version asks something that the other does not."""
        return any(only_in == side and not choice for only_in, _, choice in self._left)

    def unmapped(self) -> tuple[Unmapped, ...]:
        """Everything that only one version has, with how many answers were left out for it."""
        return tuple(Unmapped(name, choice, side, count) for (side, name, choice), count in self._left.items())

    def _only_in(self, side: str) -> Iterator[tuple[str, str, str]]:
        others = self._nodes[_OTHER[side]]
        for node in self._nodes[side].values():
            other = others.get(node.name)
            if not node.is_question or node.type in ("note", "acknowledge"):
                continue
            if other is None or not ((node.choices and other.choices) or node.type == other.type):
                yield side, node.name, ""
            else:
                yield from ((side, node.name, code) for code in node.choices if code not in other.choices)

    def _map(self, answers: Answers, side: str, to: str) -> Answers:
        differing = {name for only_in, name, _ in self._left if only_in == side}
        taken = self._nodes[to]
        came = {name: text for name, text in answers.items() if name in taken and name not in differing}
        for name, text in ((name, text) for name, text in answers.items() if name in differing):
            node = taken.get(name)
            lost = [code for code in ("", *text.split()) if (side, name, code) in self._left]
            for code in lost:
                self._left[side, name, code] += 1
            if node is not None and "" not in lost:
                kept = [code for code in text.split() if code not in lost] if node.choices else [text]
                came[name] = " ".join(kept) if node.type == "select_multiple" or len(kept) == 1 else ""
        return came
