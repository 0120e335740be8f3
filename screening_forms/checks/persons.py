"""Tells a form of persons from a form about a place, and finds its danger, gate, consent and age. For `method.py`.

No question is known by its name, so that authors may choose names. A form about a place interviews no one: its set has
no dimension, it asks no age, sex, language or consent for the route, and its fact `consent` holds without any answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property

from screening_forms.checks.context import CheckContext
from screening_forms.checks.interview_paths import InterviewPaths
from screening_forms.checks.spanish_words import METHOD_TOPICS, fold
from screening_forms.checks.trial_form import TriedCondition
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.languages import SOURCE
from screening_forms.workbook.columns import cell_text
from screening_forms.workbook.reader import Row

OF_A_PERSON = ("age_band", "sex", "lang", "consent")
"""Route fields that tell something of a person."""
CONSENT = "consent"
GATE_TOPICS = ("alone", "private", "safe", "interpreter")
"""What is asked before the interview (WHO ethical and safety recommendations, 2003)."""
CHILD_TOPICS = ("alone", "private", "interpreter")
"""Whether a child feels safe is asked after the child's own yes: until then the interviewer only looks."""
_NOT_INDEPENDENT = re.compile(
    r"\b(jef[ea]s?|patron(es|a)?|empleador\w*|duen[oa]s?|encargad[oa]s?|familia\w*|parient\w*|parej[ao]|espos[oa]"
    r"|companer[oa]s?|del (lugar|trabajo)|conocid[oa]s?)\b"
)
"""In the text of a choice of the gate: who must not interpret."""
_INDEPENDENT = re.compile(r"\b(no (es|son|hay|esta|estan)|ni|sin|independ\w*|ajen[oa]s?|fuera)\b")
_LACKING = re.compile(r"\b(no (hay|se)|nadie|ningun[oa]?)\b")
PATTERNS = {row["topic"]: pattern for pattern, row in METHOD_TOPICS}
TOPIC_ROWS = {row["topic"]: row for _, row in METHOD_TOPICS}


def asks_persons(context: CheckContext) -> bool:
    """True if persons are interviewed; false for a form about a place."""
    fields = {row.get("route") for row in context.workbook.survey}
    rows = [row.get("when") for row in context.workbook.indicators if row.get("code") == CONSENT and row.get("when")]
    assumed = not rows or TriedCondition(context, rows).holds({})
    has_dimensions = context.indicator_set is None or bool(context.indicator_set.dimensions)
    return has_dimensions or bool(fields & {*OF_A_PERSON}) or not assumed


class PersonsForm:
    """The parts of an interview, found by conditions, lists, facts, route fields and topics."""

    def __init__(self, context: CheckContext) -> None:
        self.context = context
        self.paths = InterviewPaths(context)
        self.is_of_children = context.workbook.settings.get("profile", "").startswith("child")

    def row(self, name: str) -> Row:
        """Return the row of a question."""
        return self.context.questions[name]

    @cached_property
    def consent(self) -> str:
        """The question that asks whether the person wants to talk; empty if there is none.

        It can be refused, its text asks for the person's will, and most of the later questions need one answer to it.
        """
        wanted = [row.get("name") for row in self.paths.asked if self._asks_will(row)]
        led = {name: len(self.led_by(name)) for name in wanted}
        return max((name for name in wanted if led[name]), key=led.__getitem__, default="")

    def _asks_will(self, row: Row) -> bool:
        codes = self.paths.codes(row.get("name")) if row.get("type").startswith("select_one ") else frozenset[str]()
        return NO_ANSWERS[0] in codes and len(codes) > 2 and bool(PATTERNS[CONSENT].search(_label(row)))

    def led_by(self, consent: str) -> list[str]:
        """Return the questions that are asked only after a yes to `consent`."""
        return [row.get("name") for row in self.paths.asked if self.follows_yes(row.get("name"), consent)]

    def follows_yes(self, name: str, consent: str) -> bool:
        """True if a question is asked only after one certain answer to `consent`, which is not a refusal."""
        answers = self.paths.needed(name).get(consent, frozenset())
        return len(answers) == 1 and not answers & {"", *NO_ANSWERS, "no"}

    @property
    def yes(self) -> str:
        """The answer to the consent that leads to the interview."""
        found = self.led_by(self.consent)
        return next(iter(self.paths.needed(found[0])[self.consent])) if found else "yes"

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """The questions of which some answer leads away from the consent, in the order of the form."""
        needed = self.paths.needed(self.consent) if self.consent else {}
        names = (row.get("name") for row in self.paths.asked)
        return tuple(n for n in names if n in needed and self.paths.codes(n) - needed[n] and self._blank_stops(n))

    def _blank_stops(self, name: str) -> bool:
        """True if the question cannot be skipped: a blank leads away too, or the question must be answered."""
        return "" not in self.paths.needed(self.consent)[name] or self.row(name).get("required") in ("yes", "true")

    def lets_in(self, name: str) -> set[str]:
        """Return the choices of the question on the interpreter that name someone of the boss or the family."""
        choices = self.context.choices_of(self.row(name)) if "interpreter" in self.topics_of([name]) else []
        return {choice.get("name") for choice in choices if _is_of_the_boss(choice)}

    def good_answers(self, name: str) -> str:
        """Return a condition that names the answers of a question of the gate that may lead to the consent.

        Those are left out whose text names the boss, the family or a lack, and those that refuse.
        """
        choices = self.context.choices_of(self.row(name))
        bad = {"no", *NO_ANSWERS}
        good = [choice.get("name") for choice in choices if not _lacks(choice) and not _is_of_the_boss(choice)]
        named = [f"${{{name}}}='{code}'" for code in good if code not in bad]
        return f"({' or '.join(named)})" if named else f"${{{name}}}='yes'"

    @cached_property
    def danger(self) -> list[str]:
        """The questions of the fact `danger`."""
        return self.paths.fact("danger")

    @cached_property
    def gate(self) -> tuple[str, ...]:
        """The questions that stop the interview, without danger and without what the route tells of the person."""
        return tuple(n for n in self.stops if n not in self.danger and not self.row(n).get("route"))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the gate of this form must have."""
        return CHILD_TOPICS if self.is_of_children else GATE_TOPICS

    def topics_of(self, names: Collection[str]) -> set[str]:
        """Return the topics of the gate that the texts of some questions have."""
        texts = [" ".join(self._texts(name)) for name in names]
        return {topic for topic in GATE_TOPICS if any(PATTERNS[topic].search(text) for text in texts)}

    def _texts(self, name: str) -> Iterator[str]:
        """Yield the label and the choices. A hint may tell of another question of the gate."""
        row = self.row(name)
        yield _label(row)
        yield from (fold(cell_text(choice, "label", SOURCE)) for choice in self.context.choices_of(row))

    def before(self, name: str) -> list[Row]:
        """Return the questions before a question, or all if the name is empty."""
        last = self.row(name).number if name else self.context.workbook.survey[-1].number + 1
        return [row for row in self.paths.asked if row.number < last]


def _label(row: Row) -> str:
    return fold(cell_text(row, "label", SOURCE))


def _is_of_the_boss(choice: Row) -> bool:
    text = fold(cell_text(choice, "label", SOURCE))
    return bool(_NOT_INDEPENDENT.search(text)) and not _INDEPENDENT.search(text)


def _lacks(choice: Row) -> bool:
    return bool(_LACKING.search(fold(cell_text(choice, "label", SOURCE))))
