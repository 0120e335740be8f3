"""Answers that a person takes back or changes: what our engine and the interview keep, drop and ask again.

tests/test_forms_agree_with_odk_engines.py compares the same with the engines of ODK.
"""

from __future__ import annotations

import pytest

from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.engine.interview import Interview
from support.forms import compiled

MINE = {
    **{"peligro": "no", "permiso": "yes", "edad": "18_29", "region": "17", "distrito": "170104", "lugar": "la_pampa"},
    **{"barrio": "otro", "trabajo": "mine", "senas": "gas debt papers", "encierro": "yes", "deuda": "yes"},
}


@pytest.fixture(scope="module")
def cascade() -> Engine:
    return load_engine(compiled("cascade").xform)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"trabajo": "bar"}, {"senas": "papers", "lugar": "la_pampa"}),
        ({"trabajo": "farm"}, {"senas": "papers", "distrito": "170104"}),
        ({"region": "21"}, {"senas": "gas debt papers"}),
        ({"trabajo": "", "region": ""}, {"senas": "papers"}),
    ],
)
def test_a_changed_filter_takes_only_the_choices_that_are_gone(
    cascade: Engine, change: dict[str, str], kept: dict[str, str]
) -> None:
    answers = cascade.drop_invalid(MINE | change).answers
    assert {name: answers.get(name) for name in kept} == kept


@pytest.mark.parametrize("region", ["21", "08", ""])
def test_a_change_at_the_top_of_a_cascade_empties_all_below(cascade: Engine, region: str) -> None:
    answers = cascade.drop_invalid(MINE | {"region": region}).answers
    assert not {"distrito", "lugar", "barrio", "encierro"} & answers.keys()
    assert {"trabajo", "senas", "deuda"} <= answers.keys(), "the rest stays"


def test_an_answer_stays_if_it_fits_once_an_earlier_one_is_gone(cascade: Engine) -> None:
    """`senas` breaks its constraint, and `otras` offers nothing while `senas` says `none`."""
    contradicting = MINE | {"senas": "gas none", "otras": "gas debt"}
    assert cascade.rejected(contradicting).keys() == {"senas", "otras"}
    kept = cascade.drop_invalid(contradicting).answers
    assert "senas" not in kept
    assert kept["otras"] == "gas debt"
    gone = cascade.drop_invalid(MINE | {"trabajo": "farm", "senas": "drink none"}).answers
    assert gone["senas"] == "none", "the constraint is judged without the choice that is gone"


def test_an_answer_that_lost_a_choice_is_named_and_asked_again(cascade: Engine) -> None:
    before = Interview(cascade, dict(MINE), tuple(MINE)).go_to("trabajo")
    after = before.answer("bar")
    assert [node.name for node in before.lost_answers(after)] == ["senas", "deuda"]
    assert after.answers["senas"] == "papers"
    assert after.question is not None
    assert after.question.name == "senas"
    assert after.answer("papers drink").answers["senas"] == "drink papers"


def test_a_required_answer_cannot_be_emptied_and_another_can(cascade: Engine) -> None:
    asked = Interview(cascade, dict(MINE), tuple(MINE))
    with pytest.raises(ValueError, match="necesaria"):
        asked.go_to("edad").answer("")
    at_place = asked.go_to("lugar")
    emptied = at_place.answer("")
    assert "lugar" not in emptied.answers
    assert [node.name for node in at_place.lost_answers(emptied)] == ["encierro"]
