"""People who stop an interview: they answer some questions, stop, and answer what is asked after a stop.

Tests compare them with the same people who finish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from screening_forms.engine.evaluator import Engine
from screening_forms.engine.interview import CONSENT_NODE, DANGER_NODE, Interview
from screening_forms.engine.xform_reader import Node
from screening_forms.expressions.parser import parse_expression, referenced_questions


def fact_questions(engine: Engine, fact: str) -> frozenset[str]:
    """Return the questions that decide a fact, such as `f_consent`; none if the form has no such fact."""
    node = engine.nodes.get(fact)
    return frozenset(referenced_questions(parse_expression(node.calculate))) if node else frozenset()


def referral_questions(engine: Engine) -> frozenset[str]:
    """Return the questions that ask for consent to a referral, which may be left open."""
    asked = fact_questions(engine, CONSENT_NODE)
    return frozenset(name for name in asked if not engine.nodes[name].required)


def danger_questions(engine: Engine) -> frozenset[str]:
    """Return the questions that can report danger."""
    return fact_questions(engine, DANGER_NODE)


def answer_next(interview: Interview, wished: Mapping[str, str]) -> Interview:
    """Answer the present question as wished.

    A wish that does not fit is no answer. A required question gets its first choice then.
    """
    node = interview.question
    assert node is not None
    offered = [choice.code for choice in interview.choices(node)]
    wish = wished.get(node.name, "")
    fits = not node.choices or set(wish.split()) <= set(offered)
    if fits and wish and node.name not in interview.engine.rejected({**interview.answers, node.name: wish}):
        return interview.answer(wish)
    return interview.answer(_first_choice(interview, node) if interview.is_required(node) else "")


def _first_choice(interview: Interview, node: Node) -> str:
    offered = interview.choices(node)
    return offered[0].code if offered else ""


def answer_rest(interview: Interview, wished: Mapping[str, str]) -> Interview:
    """Answer all questions that are still due."""
    while interview.question:
        interview = answer_next(interview, wished)
    return interview


def states(engine: Engine, wished: Mapping[str, str]) -> Iterator[Interview]:
    """Yield the interview with a person before each question, and after the last one."""
    interview = Interview(engine)
    yield interview
    while interview.question:
        interview = answer_next(interview, wished)
        yield interview


@dataclass(frozen=True)
class Stop:
    """One person who stopped at one question, and the same person who went on without answering more.

    Both give the same answers to the questions that a stop leads to.
    """

    stopped: Interview
    finished: Interview

    @classmethod
    def at(cls, interview: Interview, wished: Mapping[str, str]) -> Stop:
        """Stop in a state. `wished` has the answers to questions after the stop; the person gives no others."""
        stopped = answer_rest(interview.close(), wished)
        later = {name: text for name, text in stopped.answers.items() if name not in interview.answers}
        return cls(stopped, answer_rest(replace(interview, closing=False), later))
