"""Maps answers between two versions of a form, by the question's name and the choice's code.

`comparison.py` gives one interview to both versions with it. An answer without a place in the other version must be
counted, never dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from screening_forms.engine.evaluator import Engine
from screening_forms.impact.synthetic_interviews import Answers

_OTHER = {"old": "new", "new": "old"}


@dataclass(frozen=True)
class Unmapped:
    """A question or choice of one version only (`only_in`: old or new), with the number of answers left out.

    `choice` is empty for a whole question.
    """

    question: str
    choice: str
    only_in: str
    answers: int


class AnswerMapping:
    """Maps answers from one version to the other and counts those without a place."""

    def __init__(self, old: Engine, new: Engine) -> None:
        self._nodes = {"old": old.nodes, "new": new.nodes}
        self._left = {key: 0 for side in ("old", "new") for key in self._only_in(side)}

    def to_old(self, answers: Answers) -> Answers:
        """Return the new version's answers that fit the old one."""
        return self._map(answers, "new", "old")

    def to_new(self, answers: Answers) -> Answers:
        """Return the old version's answers that fit the new one."""
        return self._map(answers, "old", "new")

    def asks_more(self, side: str) -> bool:
        """True if the version `side` (old or new) has a question that the other lacks."""
        return any(only_in == side and not choice for only_in, _, choice in self._left)

    def unmapped(self) -> tuple[Unmapped, ...]:
        """Return everything that only one version has, with the number of answers left out."""
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
