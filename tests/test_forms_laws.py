"""Laws of the questionnaires on synthetic people: no strong sign ends as negative, and a refusal is not a no.

`make laws` draws 20,000 people for each form (PEOPLE=n); `make test` draws 500.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.expressions.parser import NO_ANSWERS
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from screening_forms.rules.dimensions import UNCOUNTED
from screening_forms.rules.indicators import indicator_set_from_dict
from screening_forms.rules.policy import OUTCOMES
from support.forms import CATALOGUE_FORMS, compiled

PEOPLE = int(os.environ.get("PEOPLE", "500"))
RANK = {outcome: number for number, outcome in enumerate(OUTCOMES)}
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
