"""Scoring: from indicators to an outcome, with unknown values, more evidence, the duty to report and the reasons."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import AnswerError
from screening_forms.rules.dimensions import Facts
from screening_forms.rules.policy import parse_policy
from screening_forms.scoring.assessment import Assessment, assess_indicators, explain_screening
from screening_forms.scoring.reasons import LAST_WORD
from screening_forms.workbook.resources import BUILT_IN
from support.forms import CATALOGUE_FORMS, compiled, walk, wishes

ILO = BUILT_IN.indicator_set("ilo_delphi_2009")
ADULT = BUILT_IN.policy("pe_adult_2026_1")
CHILD = BUILT_IN.policy("pe_child_2026_1")
CODES = sorted(ILO.indicators)
ORDER = {"negative": 0, "labour_rights": 1, "review": 2, "positive": 3}

EXPLOITATION = {"D4.01": 1, "D4.04": 1}
DECEPTION = {"D1.01": 1, "D1.08": 1}

RULES = {
    "pe_adult_2026_1": ("ilo_delphi_2009", "adult_labour"),
    "pe_child_2026_1": ("ilo_delphi_2009", "child_labour"),
    "pe_adult_sexual_2026_1": ("pe_sexual_2026_1", "adult_sexual"),
    "pe_forced_labour_2026_1": ("ilo_hard_to_see_2012", "adult_forced_labour"),
    "pe_adult_2026_2": ("ilo_delphi_2026_1", "adult_labour"),
    "pe_child_2026_2": ("ilo_delphi_2026_1", "child_labour"),
    "pe_adult_sexual_2026_2": ("pe_sexual_2026_2", "adult_sexual"),
    "pe_forced_labour_2026_2": ("ilo_hard_to_see_2026_1", "adult_forced_labour"),
}
by_every_policy = pytest.mark.parametrize("policy", RULES)
Values = dict[str, int | None]
DATA = st.data()
FACTS = st.fixed_dictionaries({name: st.integers(0, 1) for name in ("minor", "danger", "place")})


def adult(values: dict[str, int | None], *, complete: bool = True, **facts: int) -> Assessment:
    """Assess an adult; with `complete`, every code without a value is 0."""
    known: dict[str, int | None] = dict.fromkeys(CODES, 0) if complete else {}
    return assess_indicators(
        {**known, **values}, Facts(**facts), profile="adult_labour", policy=ADULT, indicator_set=ILO
    )


def child(values: dict[str, int | None], *, complete: bool = True, **facts: int) -> Assessment:
    known: dict[str, int | None] = dict.fromkeys(CODES, 0) if complete else {}
    return assess_indicators(
        {**known, **values}, Facts(**facts), profile="child_labour", policy=CHILD, indicator_set=ILO
    )


def test_a_child_with_unanswered_items_keeps_the_child_route() -> None:
    for result in (adult({}, complete=False, minor=1), child({}, complete=False)):
        assert (result.outcome, result.tier, result.queue_kinds) == ("review", "child", ("child",))


def test_under_a_duty_to_report_a_positive_is_referred_without_consent() -> None:
    known: dict[str, int | None] = dict.fromkeys(CODES, 0)
    for values, queues in ((DECEPTION | EXPLOITATION, ("protection",)), (EXPLOITATION, ())):
        result = assess_indicators(
            {**known, **values},
            Facts(consent=0),
            profile="adult_labour",
            policy=ADULT,
            indicator_set=ILO,
            consent_policy="duty_to_report",
        )
        assert result.queue_kinds == queues


def test_a_missing_code_is_unknown_and_never_a_no() -> None:
    assert adult({}, complete=False).outcome == "review"
    assert adult(EXPLOITATION, complete=False).outcome == "review"
    assert adult(DECEPTION | EXPLOITATION, complete=False).outcome == "positive"


def run(policy: str, values: Values, **facts: int) -> Assessment:
    indicator_set, profile = RULES[policy]
    known = BUILT_IN.indicator_set(indicator_set)
    chosen = BUILT_IN.policy(policy)
    return assess_indicators(values, Facts(**facts), profile=profile, policy=chosen, indicator_set=known)


def codes(policy: str) -> list[str]:
    return sorted(BUILT_IN.indicator_set(RULES[policy][0]).indicators)


def draw_values(policy: str, data: st.DataObject) -> Values:
    """Draw values for some codes of a policy's set. Few are 1, so that the first rows do not always decide."""
    value = st.sampled_from([0, 0, 1, None])
    return data.draw(st.dictionaries(st.sampled_from(codes(policy)), value)) | dict.fromkeys(
        data.draw(st.sets(st.sampled_from(codes(policy)))), 0
    )


@by_every_policy
@given(data=DATA, facts=FACTS)
def test_replacing_an_answer_by_unknown_never_lowers_the_outcome_at_max(
    policy: str, data: st.DataObject, facts: dict[str, int]
) -> None:
    def at_max(given_values: Values) -> int:
        found: Values = {c: 0 if given_values.get(c) == 0 else 1 for c in codes(policy)}
        return ORDER[run(policy, found, **facts).outcome]

    values, code = draw_values(policy, data), data.draw(st.sampled_from(codes(policy)))
    assert at_max({**values, code: None}) >= at_max(values)


@by_every_policy
@given(data=DATA, facts=FACTS)
def test_a_positive_at_the_lower_bound_stays_positive_with_unknowns(
    policy: str, data: st.DataObject, facts: dict[str, int]
) -> None:
    values = draw_values(policy, data)
    result = run(policy, values, **facts)
    assert all(bounds.high.positive >= bounds.low.positive for bounds in result.dimensions.values())
    if run(policy, {c: v or 0 for c, v in values.items()}, **facts).outcome == "positive":
        assert result.outcome == "positive"


@by_every_policy
@given(data=DATA, facts=FACTS)
def test_one_more_indicator_never_lowers_the_outcome(policy: str, data: st.DataObject, facts: dict[str, int]) -> None:
    values, code = draw_values(policy, data), data.draw(st.sampled_from(codes(policy)))
    more = run(policy, {**values, code: 1}, **facts)
    assert ORDER[more.outcome] >= ORDER[run(policy, values, **facts).outcome]


@by_every_policy
@given(data=DATA, facts=FACTS)
def test_consent_changes_the_queues_and_no_finding(policy: str, data: st.DataObject, facts: dict[str, int]) -> None:
    values = draw_values(policy, data)
    yes, no = run(policy, values, consent=1, **facts), run(policy, values, consent=0, **facts)
    assert (yes.outcome, yes.tier, yes.urgency, yes.dimensions) == (no.outcome, no.tier, no.urgency, no.dimensions)
    assert set(no.queue_kinds) <= set(yes.queue_kinds)


@by_every_policy
@given(data=DATA, facts=FACTS)
def test_a_child_is_never_negative_and_always_reaches_the_child_desk(
    policy: str, data: st.DataObject, facts: dict[str, int]
) -> None:
    result = run(policy, draw_values(policy, data), **{**facts, "minor": 1})
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


def test_an_unknown_profile_raises_an_error_and_is_never_negative() -> None:
    with pytest.raises(AnswerError, match=r"site.*adult_labour, child_labour"):
        assess_indicators({}, profile="site", policy=ADULT, indicator_set=ILO)


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


def test_a_policy_never_finds_a_dimension_that_its_set_lacks() -> None:
    result = assess_indicators(
        dict.fromkeys(CODES, 0),
        profile="adult_labour",
        policy=BUILT_IN.policy("pe_forced_labour_2026_1"),
        indicator_set=ILO,
    )
    assert result.outcome == "negative"


def test_the_reasons_name_involuntariness_penalties_and_third_parties() -> None:
    forced = "\n".join(run("pe_forced_labour_2026_1", {"F2.01": 1, "F2.17": 0, "F2.11": None}).why)
    assert "F2.01 Obligación de trabajar más horas o días de lo legal (fuerte, sin quererlo). No basta" in forced
    assert "Trabajo y vida bajo presión, queda abierto. No se sabe: F2.02" in forced
    alone = run("pe_forced_labour_2026_1", {**dict.fromkeys(codes("pe_forced_labour_2026_1"), 0), "F2.11": 1}).why
    assert "Regla: al menos una de 32 señales: violencia física o sexual, hecha o anunciada." in alone[1]
    sexual = "\n".join(run("pe_adult_sexual_2026_1", {"P.01": 1, "D2.01": 1, "D2.03": 1}).why)
    assert "Otra persona manda o gana con esto: P.01 Otra persona se queda con todo o parte" in sexual
    assert "Regla: otra persona manda o gana con esto y (captación con engaño o" in sexual


def test_the_reasons_name_rule_source_indicators_and_unanswered_questions() -> None:
    why = "\n".join(adult({**DECEPTION, "D4.01": 1, "D4.02": None}).why)
    assert "pe_adult_2026_1" in why
    assert "Captación con engaño: D1.01 Engañada sobre la naturaleza del trabajo" in why
    assert "Condiciones de explotación, queda abierto. No se sabe: D4.02 Malas condiciones de vida." in why
    assert "la mesa de revisión" in why
    assert why.endswith(LAST_WORD)


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_the_second_opinion_agrees_with_the_forms_own_score(name: str) -> None:
    form, draws, seen = compiled(name), random.Random(7), set()
    running = load_engine(form.xform)
    for _ in range(60):
        filled = walk(running, [wishes(running, draws)])
        result, wrote = explain_screening(form, filled), filled.values
        if result.outcome == "not_scored":
            assert not wrote["outcome"]
            continue
        assert [result.outcome, result.tier, result.urgency, result.guidance, " ".join(result.queue_kinds)] == [
            wrote[node] for node in ("outcome", "tier", "urgency", "guidance", "queue_kinds")
        ]
        assert (wrote["fired"].split(), wrote["unknown"].split()) == ([*result.fired], [*result.unknown])
        seen.add(result.tier)
    assert len(seen) >= 2


def test_without_consent_the_outcome_is_not_scored() -> None:
    form = compiled("pe_laboral_adulto")
    result = explain_screening(form, load_engine(form.xform).run({"peligro": "no", "edad": "30_59"}))
    assert (result.outcome, result.queue_kinds) == ("not_scored", ())


def test_a_certain_indicator_may_add_a_second_desk_and_an_unknown_one_may_not() -> None:
    heading = "step,when,outcome,tier,urgency,queue_kinds,guidance,source,provenance"
    rows = (
        "outcome,X.01 or D5,positive,T1,,,,s,p",
        "outcome,always,negative,none,,,,s,p",
        "undecided,always,review,T4,,,,s,p",
        "referral,T1 and X.01,,,prompt,child protection,both,s,p",
        "referral,always,,,prompt,protection,one,s,p",
    )
    two_desks = parse_policy("two_desks", "\n".join((heading, *rows)))
    values: Values = {"D5.01": 1, "D5.02": 1}
    for more, queues in (({"X.01": 1}, ("child", "protection")), ({"X.01": None}, ("protection",))):
        found = assess_indicators({**values, **more}, profile="adult_labour", policy=two_desks, indicator_set=ILO)
        assert found.queue_kinds == queues
