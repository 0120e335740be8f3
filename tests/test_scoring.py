"""From indicators to an outcome: the ILO's example classes, Palermo's rule for children, the laws of not knowing."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms import engine, workbook
from screening_forms.compile import compile_form
from screening_forms.compiled import CompiledForm
from screening_forms.errors import AnswerError
from screening_forms.reasons import LAST_WORD
from screening_forms.scoring import Assessment, assess, explain
from screening_forms.shelf import SHIPPED, shipped
from sync.route import AUTHOR_FIELDS

ILO = SHIPPED.indicator_set("ilo_delphi_2009")
ADULT = SHIPPED.policy("pe_adult_2026_1")
CHILD = SHIPPED.policy("pe_child_2026_1")
CODES = sorted(ILO.indicators)
ORDER = {"negative": 0, "labour_rights": 1, "review": 1, "positive": 2}

EXPLOITATION = {"D4.01": 1, "D4.04": 1}
DECEPTION = {"D1.01": 1, "D1.08": 1}
COERCION = {"D2.01": 1, "D2.03": 1}
VULNERABILITY = {"D3.08": 1, "D3.04": 1, "D3.15": 1}
AT_DESTINATION = {"D5.01": 1, "D5.14": 1}

VALUES = st.dictionaries(st.sampled_from(CODES), st.sampled_from([0, 1, None]))
FACTS = st.fixed_dictionaries({name: st.integers(0, 1) for name in ("minor", "danger", "place")})


def adult(values: dict[str, int | None], *, complete: bool = True, **facts: int) -> Assessment:
    """Assess an adult; with `complete`, what is not named was answered with no."""
    known: dict[str, int | None] = dict.fromkeys(CODES, 0) if complete else {}
    return assess({**known, **values}, profile="adult_labour", policy=ADULT, indicator_set=ILO, **facts)


def child(values: dict[str, int | None], *, complete: bool = True, **facts: int) -> Assessment:
    known: dict[str, int | None] = dict.fromkeys(CODES, 0) if complete else {}
    return assess({**known, **values}, profile="child_labour", policy=CHILD, indicator_set=ILO, **facts)


@pytest.mark.parametrize(
    ("values", "outcome", "tier", "urgency", "queues"),
    [
        ({}, "negative", "none", "none", ()),
        (EXPLOITATION, "labour_rights", "T3", "routine", ("labour",)),
        (DECEPTION, "review", "T4", "routine", ("review",)),
        (DECEPTION | EXPLOITATION, "positive", "T2", "prompt", ("protection",)),
        (DECEPTION | EXPLOITATION | AT_DESTINATION, "positive", "T1", "prompt", ("protection",)),
        (COERCION | EXPLOITATION | AT_DESTINATION, "positive", "T1", "prompt", ("protection",)),
        (COERCION | EXPLOITATION, "positive", "T2", "prompt", ("protection",)),
        (VULNERABILITY | EXPLOITATION, "positive", "T2", "prompt", ("protection",)),
        (VULNERABILITY | EXPLOITATION | AT_DESTINATION, "positive", "T2", "prompt", ("protection",)),
        (AT_DESTINATION | EXPLOITATION, "positive", "T2", "prompt", ("protection",)),
        ({"D4.01": 1}, "negative", "none", "none", ()),
        ({"X.01": 1}, "negative", "none", "none", ()),
    ],
)
def test_the_ilos_example_classes_come_out_as_written(
    values: dict[str, int | None], outcome: str, tier: str, urgency: str, queues: tuple[str, ...]
) -> None:
    result = adult(values)
    assert (result.outcome, result.tier, result.urgency, result.queue_kinds) == (outcome, tier, urgency, queues)


@pytest.mark.parametrize(
    ("values", "place", "outcome"),
    [
        ({}, 0, "review"),
        ({}, 1, "positive"),
        ({"D4.02": 1}, 0, "review"),
        ({"X.01": 1}, 0, "positive"),
        ({"X.02": 1}, 0, "positive"),
        ({"X.03": 1}, 0, "positive"),
        ({"D5.01": 1}, 0, "positive"),
        (EXPLOITATION, 0, "positive"),
        ({"D4.02": 1, "D4.03": 1, "D4.04": 1}, 0, "positive"),
        (DECEPTION, 0, "positive"),
        (VULNERABILITY, 0, "review"),
    ],
)
def test_a_child_always_goes_to_the_child_desk_at_once(values: dict[str, int | None], place: int, outcome: str) -> None:
    for result in (adult(values, minor=1, place=place), child(values, place=place)):
        assert (result.outcome, result.tier) == (outcome, "child")
        assert (result.urgency, result.queue_kinds) == ("immediate", ("child",))


def test_a_child_with_unanswered_items_keeps_the_child_route() -> None:
    for result in (adult({}, complete=False, minor=1), child({}, complete=False)):
        assert (result.outcome, result.tier, result.queue_kinds) == ("review", "child", ("child",))


def test_debt_bondage_alone_is_strong_for_a_child() -> None:
    assert child({"D2.03": 1}).outcome == "positive"


@pytest.mark.parametrize("consent", [0, 1])
def test_danger_needs_neither_score_nor_consent(consent: int) -> None:
    result = adult({}, complete=False, danger=1, consent=consent)
    assert (result.outcome, result.tier, result.urgency) == ("positive", "danger", "immediate")
    assert result.queue_kinds == ("protection",)


def test_a_child_in_danger_goes_to_the_child_desk() -> None:
    for result in (adult({}, danger=1, minor=1), child({}, danger=1), child({}, danger=1, minor=1)):
        assert (result.tier, result.queue_kinds) == ("danger", ("child",))


@pytest.mark.parametrize("values", [EXPLOITATION, DECEPTION, DECEPTION | EXPLOITATION])
def test_an_adult_who_declines_is_counted_and_not_referred(values: dict[str, int | None]) -> None:
    asked, declined = adult(values), adult(values, consent=0)
    assert (declined.outcome, declined.tier, declined.urgency) == (asked.outcome, asked.tier, asked.urgency)
    assert (declined.queue_kinds, declined.guidance) == ((), "guidance_counted")


def test_a_child_is_referred_without_consent() -> None:
    assert adult({}, minor=1, consent=0).queue_kinds == ("child",)


def test_under_a_duty_to_report_a_positive_is_referred_without_consent() -> None:
    known: dict[str, int | None] = dict.fromkeys(CODES, 0)
    for values, queues in ((DECEPTION | EXPLOITATION, ("protection",)), (EXPLOITATION, ())):
        result = assess(
            {**known, **values},
            profile="adult_labour",
            policy=ADULT,
            indicator_set=ILO,
            consent=0,
            consent_policy="duty_to_report",
        )
        assert result.queue_kinds == queues


def test_what_is_left_out_is_unknown_and_never_a_no() -> None:
    assert adult({}, complete=False).outcome == "review"
    assert adult(EXPLOITATION, complete=False).outcome == "review"
    assert adult(DECEPTION | EXPLOITATION, complete=False).outcome == "positive"


@given(VALUES, FACTS, st.sampled_from(CODES))
def test_replacing_an_answer_by_unknown_never_lowers_the_outcome_at_max(
    values: dict[str, int | None], facts: dict[str, int], code: str
) -> None:
    def at_max(given_values: dict[str, int | None]) -> int:
        found: dict[str, int | None] = {c: 0 if given_values.get(c) == 0 else 1 for c in CODES}
        return ORDER[adult(found, **facts).outcome]

    assert at_max({**values, code: None}) >= at_max(values)


@given(VALUES, FACTS)
def test_what_is_positive_without_the_unknowns_is_positive_with_them(
    values: dict[str, int | None], facts: dict[str, int]
) -> None:
    for run in (adult, child):
        result = run(values, **facts)
        assert all(bounds.high.positive >= bounds.low.positive for bounds in result.dimensions.values())
        low: dict[str, int | None] = {c: v or 0 for c, v in values.items()}
        if run(low, **facts).outcome == "positive":
            assert result.outcome == "positive"


@given(VALUES, FACTS, st.sampled_from(CODES))
def test_one_more_indicator_never_lowers_the_outcome(
    values: dict[str, int | None], facts: dict[str, int], code: str
) -> None:
    for run in (adult, child):
        assert ORDER[run({**values, code: 1}, **facts).outcome] >= ORDER[run(values, **facts).outcome]


@given(VALUES, FACTS)
def test_consent_changes_the_queues_and_nothing_that_was_found(
    values: dict[str, int | None], facts: dict[str, int]
) -> None:
    yes, no = adult(values, consent=1, **facts), adult(values, consent=0, **facts)
    assert (yes.outcome, yes.tier, yes.urgency, yes.dimensions) == (no.outcome, no.tier, no.urgency, no.dimensions)
    assert set(no.queue_kinds) <= set(yes.queue_kinds)


@given(VALUES, FACTS)
def test_a_child_is_never_negative_and_always_reaches_the_child_desk(
    values: dict[str, int | None], facts: dict[str, int]
) -> None:
    for result in (adult(values, **{**facts, "minor": 1}), child(values, **facts)):
        assert result.outcome in ("positive", "review")
        assert result.queue_kinds == ("child",)


def test_unknown_codes_and_values_are_all_named() -> None:
    with pytest.raises(AnswerError, match=r"D1\.99, Z\.1"):
        adult({"D1.99": 1, "D1.01": 1, "Z.1": 0})
    for wrong in (2, "1", True, 1.0):
        with pytest.raises(AnswerError, match=r"D1\.02"):
            adult({"D1.02": wrong})  # type: ignore[dict-item]
    with pytest.raises(AnswerError, match="minor"):
        adult({}, minor=None)  # type: ignore[arg-type]


def test_the_printed_assessment_has_the_documented_shape() -> None:
    printed = adult({**DECEPTION, "D4.01": 1, "D4.02": None}).as_dict()
    assert list(printed) == ["outcome", "tier", "urgency", "queue_kinds", "dimensions", "why"]
    assert printed["dimensions"]["D4"] == {
        "min": False,
        "max": True,
        "strong_min": 1,
        "medium_min": 0,
        "weak_min": 0,
        "strong_max": 1,
        "medium_max": 1,
        "weak_max": 0,
    }


def test_the_reasons_name_the_rule_its_source_the_signs_and_what_was_not_answered() -> None:
    why = "\n".join(adult({**DECEPTION, "D4.01": 1, "D4.02": None}).why)
    assert "pe_adult_2026_1" in why
    assert "Captación con engaño: D1.01 Engañada sobre la naturaleza del trabajo" in why
    assert "Condiciones de explotación, queda abierto. No se sabe: D4.02 Malas condiciones de vida." in why
    assert "la mesa de revisión" in why
    assert why.endswith(LAST_WORD)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> CompiledForm:
    source = Path(workbook.__file__).parent / "catalogue" / "pe_laboral_adulto" / "form.md"
    no_translations = tmp_path_factory.mktemp("locales")
    read = workbook.read(source)
    return compile_form(read, channel="training", route_vocabulary=AUTHOR_FIELDS, shelf=shipped(no_translations))


def interview(running: engine.Engine, draws: random.Random) -> engine.Filled:
    """Answer whatever comes up, as people do: mostly something, at times nothing."""
    opening = {"peligro": "no", "interprete": "none_needed"}
    opening |= dict.fromkeys(("a_solas", "privado", "seguro_ahora", "consiente"), "yes")
    answers: dict[str, engine.Answer] = {}
    for question in running.questions:
        code = opening.get(question.name) or draws.choice([*question.choices, "13"])
        answer: engine.Answer = [code] if question.type == "select_multiple" else code
        try:
            running.run({**answers, question.name: answer})
        except AnswerError:
            continue
        answers[question.name] = answer
    return running.run(answers)


def test_the_second_opinion_agrees_with_what_the_form_wrote_on_the_tablet(form: CompiledForm) -> None:
    running, draws, seen = engine.load(form.xform), random.Random(7), set()
    for _ in range(40):
        filled = interview(running, draws)
        result, wrote = explain(form, filled), filled.values
        if result.outcome == "not_scored":
            assert not wrote["outcome"]
            continue
        assert [result.outcome, result.tier, result.urgency, result.guidance, " ".join(result.queue_kinds)] == [
            wrote[name] for name in ("outcome", "tier", "urgency", "guidance", "queue_kinds")
        ]
        assert (wrote["fired"].split(), wrote["unknown"].split()) == ([*result.fired], [*result.unknown])
        seen.add(result.tier)
    assert {"child", "danger", "T4"} < seen


def test_without_consent_there_is_no_score_to_explain(form: CompiledForm) -> None:
    result = explain(form, engine.load(form.xform).run({"peligro": "no", "edad": "30_59"}))
    assert (result.outcome, result.queue_kinds) == ("not_scored", ())
