"""Laws of the questionnaires on synthetic people.

No strong sign ends as negative, a refusal is not a no, and a stop is not a refusal.

`make laws` draws 20,000 people for each form (PEOPLE=n); `make test` draws 500.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.engine.interview import Interview
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from screening_forms.rules.dimensions import UNCOUNTED
from screening_forms.rules.indicators import indicator_set_from_dict
from screening_forms.rules.policy import OUTCOMES
from support.forms import CATALOGUE_FORMS, compiled
from support.stopping import answer_rest, danger_questions, referral_questions

PEOPLE = int(os.environ.get("PEOPLE", "500"))
RANK = {outcome: number for number, outcome in enumerate(OUTCOMES)}
FIRST = {"peligro", "peligro_suyo", "armas"}
"""The questions on danger that come before the gate."""
ADULTS = ("pe_laboral_adulto", "pe_sexual_adulto", "pe_trabajo_forzoso")
for_each_form = pytest.mark.parametrize("form", CATALOGUE_FORMS)


def rank(engine: Engine, answers: dict[str, str]) -> int | None:
    """Return the rank of an outcome; None if the interview was not scored."""
    return RANK.get(engine.drop_invalid(answers).values.get("outcome", ""))


@for_each_form
def test_no_strong_sign_bright_line_or_observed_sign_of_anybody_is_negative(form: str) -> None:
    made = compiled(form)
    known = indicator_set_from_dict(made.indicator_set)
    signs = {*known.strong(made.profile), *(code for letter in UNCOUNTED for code in known.family(letter))}
    engine, met = load_engine(made.xform), 0
    for answers in InterviewGenerator(engine).generate(PEOPLE, seed=1):
        values = engine.drop_invalid(answers).values
        found = signs.intersection(values.get("fired", "").split())
        met += bool(found)
        assert not found or values["outcome"] != "negative", (sorted(found), answers)
    assert met > PEOPLE / 20, "too few of the people show a sign"


@for_each_form
def test_refusing_a_question_never_leads_to_less_than_its_most_harmless_answer(form: str) -> None:
    engine, draws, compared = load_engine(compiled(form).xform), Random("silence"), 0
    refusable = {node.name: node for node in engine.questions if node.choices.keys() >= {"no_answer"}}
    for answers in InterviewGenerator(engine).generate(PEOPLE, seed=2):
        name = draws.choice([name for name in answers if name in refusable] or [""])
        if not name:
            continue
        said = [rank(engine, {**answers, name: code}) for code in refusable[name].choices if code not in NO_ANSWERS]
        silent = draws.choice([code for code in NO_ANSWERS if code in refusable[name].choices])
        refused = rank(engine, {**answers, name: silent})
        if refused is not None and None not in said:
            compared += 1
            # If each answer would be positive, a refusal leads to a review: no answer supports more.
            least = min(RANK["review"], *(outcome for outcome in said if outcome is not None))
            assert refused >= least, (name, silent, answers)
    assert compared > PEOPLE / 10


def stopped_at(engine: Engine, answers: dict[str, str], part: float, said_last: dict[str, str]) -> Interview:
    """Return the end of an interview that stopped after this part of its questions (0-1).

    `said_last`: the answers to the questions that a stop still asks.
    """
    filled = engine.drop_invalid({**answers, **dict.fromkeys(said_last, "")})
    asked = [node.name for node in engine.questions if node.name in filled.relevant]
    last = min((asked.index(name) for name in said_last if name in asked), default=len(asked))
    had = tuple(asked[: int(part * last)])
    before = {name: filled.answers[name] for name in had if name in filled.answers}
    return answer_rest(Interview(engine, before, had).close(), {**answers, **said_last})


@for_each_form
def test_a_stop_with_consent_to_a_referral_reaches_the_desk_that_finishing_reaches(form: str) -> None:
    engine, draws, referred = load_engine(compiled(form).xform), Random("stop and agree"), 0
    agreed = dict.fromkeys(referral_questions(engine), "yes")
    for answers in InterviewGenerator(engine).generate(PEOPLE, seed=3):
        stopped = stopped_at(engine, answers, draws.random(), agreed)
        finished = engine.drop_invalid({**stopped.answers, **agreed})
        assert stopped.filled.values["queue_kinds"] == finished.values["queue_kinds"], answers
        if finished.values["outcome"] != "negative" and "outcome" in finished.relevant:
            referred += 1
            assert finished.values["queue_kinds"], (finished.values, answers)
    assert referred > PEOPLE / 4


@pytest.mark.parametrize("form", ADULTS)
def test_a_stop_that_leaves_the_referral_open_opens_none_and_claims_no_refusal(form: str) -> None:
    engine, draws, opened = load_engine(compiled(form).xform), Random("stop and say nothing"), 0
    asked = referral_questions(engine)
    silent = dict.fromkeys(asked | (danger_questions(engine) - FIRST), "")
    for answers in InterviewGenerator(engine).generate(PEOPLE, seed=4):
        values = stopped_at(engine, answers, draws.random(), silent).filled.values
        owed = values["tier"] in ("child", "danger") or values["guidance"] == "guidance_seen"
        if not owed and values["outcome"] != "negative":
            opened += 1
            assert values["queue_kinds"] == "", answers
    assert opened > PEOPLE / 10
