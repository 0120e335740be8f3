"""The policies of 2026_2: strong signs, people who are held, purpose before exploitation, vulnerability, children."""

from __future__ import annotations

import pytest

from screening_forms.rules.dimensions import Facts
from screening_forms.scoring.assessment import Assessment, assess_indicators
from screening_forms.workbook.resources import BUILT_IN

RULES = {
    "pe_adult_2026_2": ("ilo_delphi_2026_1", "adult_labour"),
    "pe_adult_sexual_2026_2": ("pe_sexual_2026_2", "adult_sexual"),
    "pe_forced_labour_2026_2": ("ilo_hard_to_see_2026_1", "adult_forced_labour"),
    "pe_child_2026_2": ("ilo_delphi_2026_1", "child_labour"),
}
ADULTS = ("pe_adult_2026_2", "pe_adult_sexual_2026_2")
"""The policies for adults with the dimensions D1 to D6."""
AT_LEAST_REVIEW = ("D1.01", "D2.01", "D2.02", "D5.01", "D5.02", "D5.03", "D5.04", "D5.07", "D5.08", "D5.14", "N.01")
HELD = ("D5.01", "D5.02", "D5.03")
DECEIVED, COERCED, COERCED_HERE = ("D1.01", "D1.02"), ("D2.01", "D2.04"), ("D5.01", "D5.03")
EXPLOITED = {"pe_adult_2026_2": ("D4.01", "D4.04"), "pe_adult_sexual_2026_2": ("D4.04", "D4.07", "D4.08")}


def assess(policy: str, *fired: str, unknown: tuple[str, ...] = (), **facts: int) -> Assessment:
    """Assess indicators that fired; `unknown` ones have no answer, and every other one is a no."""
    name, profile = RULES[policy]
    known = BUILT_IN.indicator_set(name)
    values: dict[str, int | None] = dict.fromkeys(known.indicators, 0) | dict.fromkeys(unknown, None)
    return assess_indicators(
        values | dict.fromkeys(fired, 1),
        Facts(**facts),
        profile=profile,
        policy=BUILT_IN.policy(policy),
        indicator_set=known,
    )


def listed(policy: str, dimension: str) -> tuple[str, ...]:
    indicators = BUILT_IN.indicator_set(RULES[policy][0]).indicators
    return tuple(code for code in indicators if code.startswith(f"{dimension}."))


@pytest.mark.parametrize("policy", RULES)
def test_no_single_strong_sign_bright_line_or_observed_sign_is_negative(policy: str) -> None:
    name, profile = RULES[policy]
    known = BUILT_IN.indicator_set(name)
    signs = (*known.strong(profile), *known.family("X"), *known.family("N"), *known.family("P"), *known.family("O"))
    assert len(signs) >= 10
    for sign in signs:
        assert assess(policy, sign).outcome != "negative", sign


@pytest.mark.parametrize("sign", AT_LEAST_REVIEW)
@pytest.mark.parametrize("policy", ADULTS)
def test_a_sign_that_can_be_enough_alone_is_reviewed(policy: str, sign: str) -> None:
    assert assess(policy, sign).outcome == "review"
    assert assess(policy, sign, *EXPLOITED[policy]).outcome in ("review", "positive")


def test_excessive_hours_alone_or_with_bad_conditions_are_a_case_of_labour_rights() -> None:
    for fired in (("D4.01",), ("D4.01", "D4.04"), ("D4.01", "D4.03", "D4.06"), ("D4.04", "D4.05", "D4.06")):
        found = assess("pe_adult_2026_2", *fired)
        assert (found.outcome, found.tier, found.queue_kinds) == ("labour_rights", "T3", ("labour",))


@pytest.mark.parametrize("sign", HELD)
def test_a_person_who_is_held_and_exploited_is_positive(sign: str) -> None:
    for exploited in (("D4.01",), ("D4.04", "D4.05", "D4.06"), ("N.01",)):
        assert assess("pe_adult_2026_2", sign, *exploited).outcome == "positive"
    for exploited in (EXPLOITED["pe_adult_sexual_2026_2"], ("N.01",)):
        assert assess("pe_adult_sexual_2026_2", sign, *exploited).outcome == "positive"


@pytest.mark.parametrize("sign", ["F2.10", "F2.13", "F3.03", "F3.05", "F3.08"])
@pytest.mark.parametrize("exploited", ["F2.01", "F2.02", "F2.04", "F2.14", "N.01"])
def test_forced_labour_counts_across_dimensions_when_the_person_is_held(sign: str, exploited: str) -> None:
    assert assess("pe_forced_labour_2026_2", sign, exploited).outcome == "positive"


@pytest.mark.parametrize("recruited", [DECEIVED, COERCED])
@pytest.mark.parametrize("policy", ADULTS)
def test_purpose_is_enough_before_any_exploitation(policy: str, recruited: tuple[str, ...]) -> None:
    for unknown in ((), listed(policy, "D4"), (*listed(policy, "D4"), "N.01")):
        found = assess(policy, *recruited, *COERCED_HERE, unknown=unknown)
        assert (found.outcome, found.urgency, found.queue_kinds) == ("positive", "prompt", ("protection",))


def test_exploitation_with_vulnerability_alone_is_reviewed_in_the_labour_form() -> None:
    for means in (("D3.01", "D3.02", "D3.04"), ("D6.01", "D6.03", "D6.05")):
        found = assess("pe_adult_2026_2", *EXPLOITED["pe_adult_2026_2"], *means)
        assert (found.outcome, found.tier, found.queue_kinds) == ("review", "T4", ("review",))


def test_bad_conditions_alone_in_a_bar_are_a_case_of_labour_rights() -> None:
    found = assess("pe_adult_sexual_2026_2", *EXPLOITED["pe_adult_sexual_2026_2"])
    assert (found.outcome, found.queue_kinds) == ("labour_rights", ("labour",))


@pytest.mark.parametrize("policy", [policy for policy in RULES if policy != "pe_child_2026_2"])
def test_what_an_inspector_saw_of_an_accompanied_person_is_reviewed_without_consent(policy: str) -> None:
    for sign in ("O.04", "O.05", "O.12"):
        found = assess(policy, sign, consent=0)
        assert (found.outcome, found.tier, found.queue_kinds) == ("review", "T4", ("review",))


@pytest.mark.parametrize("policy", RULES)
def test_a_child_in_review_is_prompt_and_a_positive_child_is_immediate(policy: str) -> None:
    found = assess(policy, minor=1)
    assert (found.outcome, found.urgency, found.queue_kinds) == ("review", "prompt", ("child",))
    for fired, facts in (((), {"place": 1}), (("X.01",), {}), (("N.01",), {})):
        urgent = assess(policy, *fired, minor=1, **facts)
        expected = ("review", "prompt") if fired == ("N.01",) else ("positive", "immediate")
        assert (urgent.outcome, urgent.urgency, urgent.queue_kinds) == (*expected, ("child",))
