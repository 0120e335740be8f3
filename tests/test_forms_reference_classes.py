"""The policies on the example classes of the ILO and of the Palermo Protocol, policy by policy.

Each test is one sentence of a policy's rules. Every indicator that a test does not name is 0.
"""

from collections.abc import Iterable
from functools import cache
from itertools import combinations

import pytest

from screening_forms.rules.dimensions import Facts
from screening_forms.scoring.assessment import Assessment, assess_indicators
from screening_forms.workbook.resources import BUILT_IN

LISTS = {
    "pe_adult_2026_1": ("ilo_delphi_2009", "adult_labour"),
    "pe_child_2026_1": ("ilo_delphi_2009", "child_labour"),
    "pe_adult_sexual_2026_1": ("pe_sexual_2026_1", "adult_sexual"),
    "pe_forced_labour_2026_1": ("ilo_hard_to_see_2012", "adult_forced_labour"),
}
ADULT, CHILD, SEXUAL, FORCED = LISTS
FOR_ADULTS = (ADULT, SEXUAL, FORCED)

EXPLOITED = ("D4.01", "D4.04")
DECEIVED = ("D1.01", "D1.08")
COERCED = ("D2.01", "D2.03")
VULNERABLE = ("D3.08", "D3.01", "D3.06")
HELD = ("D5.01", "D5.14")
DEPENDENT = ("D6.03", "D6.04", "D6.05")
THREATENED = ("D5.07", "D5.14")


def found(policy: str, signs: Iterable[str] = (), **facts: int) -> Assessment:
    """Assess a person with exactly these indicators; all others are 0."""
    indicator_set, profile = LISTS[policy]
    known = BUILT_IN.indicator_set(indicator_set)
    values: dict[str, int | None] = {**dict.fromkeys(known.indicators, 0), **dict.fromkeys(signs, 1)}
    chosen = BUILT_IN.policy(policy)
    return assess_indicators(values, Facts(**facts), profile=profile, policy=chosen, indicator_set=known)


def verdict(policy: str, signs: Iterable[str] = (), **facts: int) -> tuple[str, str, str]:
    result = found(policy, signs, **facts)
    return result.outcome, result.tier, " ".join(result.queue_kinds)


@cache
def codes(policy: str, letters: str) -> tuple[str, ...]:
    return tuple(code for code in BUILT_IN.indicator_set(LISTS[policy][0]).indicators if code[0] in letters)


# Adults at work: pe_adult_2026_1


def test_no_means_and_no_exploitation_is_negative() -> None:
    assert verdict(ADULT) == ("negative", "none", "")


def test_exploitation_alone_goes_to_the_labour_desk() -> None:
    assert verdict(ADULT, EXPLOITED) == ("labour_rights", "T3", "labour")


@pytest.mark.parametrize("recruited", [DECEIVED, COERCED])
def test_deceptive_or_coercive_recruitment_then_coerced_exploitation_is_trafficking(
    recruited: tuple[str, ...],
) -> None:
    assert verdict(ADULT, (*recruited, *EXPLOITED, *HELD)) == ("positive", "T1", "protection")


@pytest.mark.parametrize("means", [DECEIVED, COERCED, VULNERABLE, HELD, DEPENDENT])
def test_any_of_the_five_means_with_exploitation_is_presumed_trafficking(means: tuple[str, ...]) -> None:
    assert verdict(ADULT, (*means, *EXPLOITED)) == ("positive", "T2", "protection")


@pytest.mark.parametrize("means", [DECEIVED, COERCED, VULNERABLE, HELD, DEPENDENT])
def test_means_without_exploitation_go_to_review(means: tuple[str, ...]) -> None:
    assert verdict(ADULT, means) == ("review", "T4", "review")


def test_abused_vulnerability_and_coercion_without_deceit_or_force_stay_presumed() -> None:
    assert verdict(ADULT, (*VULNERABLE, *EXPLOITED, *HELD)) == ("positive", "T2", "protection")


@pytest.mark.parametrize(
    ("signs", "positive"),
    [
        (["D5.01"], False),
        (["D5.01", "D5.14"], True),
        (["D5.01", "D5.15"], True),
        (["D5.01", "D5.02"], True),
        (["D5.14", "D5.13"], False),
        (["D5.14", "D5.13", "D5.15"], True),
        (["D5.14", "D5.13", "D5.12"], True),
        (["D3.08", "D3.15", "D3.16"], False),
        (["D3.15", "D3.16"], False),
    ],
    ids=["S1", "S1M1", "S1W1", "S2", "M2", "M2W1", "M3", "M1W2", "W2"],
)
def test_the_vectors_of_the_dimension_rule_decide_a_persons_means(signs: list[str], positive: bool) -> None:
    dimension = signs[0].partition(".")[0]
    assert found(ADULT, signs).dimensions[dimension].low.positive is positive
    assert found(ADULT, [*signs, *EXPLOITED]).outcome == ("positive" if positive else "labour_rights")


def test_bright_lines_for_children_never_count_for_an_adult() -> None:
    assert verdict(ADULT, ["X.01", "X.02", "X.03"]) == ("negative", "none", "")


# Children: pe_child_2026_1, and every policy for adults that meets a child


@pytest.mark.parametrize("signs", [["X.01"], ["X.02"], ["X.03"]])
@pytest.mark.parametrize("policy", LISTS)
def test_a_bright_line_sends_a_child_to_the_child_desk_as_positive(policy: str, signs: list[str]) -> None:
    assert verdict(policy, signs, minor=1) == ("positive", "child", "child")


@pytest.mark.parametrize("policy", LISTS)
def test_a_child_found_at_a_bar_lodging_mine_or_camp_needs_no_other_sign(policy: str) -> None:
    assert verdict(policy, place=1, minor=1) == ("positive", "child", "child")


@pytest.mark.parametrize("policy", LISTS)
def test_any_single_strong_sign_is_enough_for_a_child(policy: str) -> None:
    indicator_set, profile = LISTS[policy]
    strong = BUILT_IN.indicator_set(indicator_set).strong(profile)
    assert strong
    assert {verdict(policy, [code], minor=1) for code in strong} == {("positive", "child", "child")}


@pytest.mark.parametrize("policy", [ADULT, CHILD])
def test_an_exploited_child_is_positive_without_any_means(policy: str) -> None:
    assert verdict(policy, ["D4.02", "D4.03", "D4.04"], minor=1) == ("positive", "child", "child")


@pytest.mark.parametrize("policy", LISTS)
def test_any_other_child_is_reviewed_at_the_child_desk_and_never_negative(policy: str) -> None:
    assert verdict(policy, minor=1) == ("review", "child", "child")
    for code in codes(policy, "DFP"):
        outcome, tier, queues = verdict(policy, [code], minor=1)
        assert (outcome in ("positive", "review"), tier, queues) == (True, "child", "child")


@pytest.mark.parametrize("policy", LISTS)
def test_a_child_is_referred_with_or_without_consent(policy: str) -> None:
    result = found(policy, minor=1, consent=0)
    assert (result.urgency, result.queue_kinds) == ("immediate", ("child",))


# Danger


@pytest.mark.parametrize("consent", [0, 1])
@pytest.mark.parametrize("policy", FOR_ADULTS)
def test_danger_needs_neither_a_score_nor_consent(policy: str, consent: int) -> None:
    result = found(policy, danger=1, consent=consent)
    assert (result.outcome, result.tier, result.urgency) == ("positive", "danger", "immediate")
    assert result.queue_kinds == ("protection",)


@pytest.mark.parametrize("policy", LISTS)
def test_a_child_in_danger_goes_to_the_child_desk_at_once(policy: str) -> None:
    assert verdict(policy, danger=1, minor=1) == ("positive", "danger", "child")


# Adults in bars and lodgings: pe_adult_sexual_2026_1


@pytest.mark.parametrize("profit", ["P.01", "P.02", "P.03", "P.04", "P.05"])
@pytest.mark.parametrize("means", [DECEIVED, COERCED, VULNERABLE, THREATENED, DEPENDENT])
def test_any_means_and_any_third_party_profit_or_control_is_positive(means: tuple[str, ...], profit: str) -> None:
    assert verdict(SEXUAL, (*means, profit)) == ("positive", "T2", "protection")


def test_deceit_or_force_then_coercion_there_and_profit_is_the_strongest_tier() -> None:
    for recruited in (DECEIVED, COERCED):
        assert verdict(SEXUAL, (*recruited, *THREATENED, "P.01")) == ("positive", "T1", "protection")


def test_the_unverified_list_never_decides_alone() -> None:
    listed = codes(SEXUAL, "D")
    assert verdict(SEXUAL, listed) == ("review", "T4", "review")
    for signs in (*combinations(listed, 1), *combinations(listed, 2)):
        assert found(SEXUAL, signs).outcome in ("negative", "review")


def test_a_third_partys_profit_without_any_means_goes_to_review() -> None:
    assert verdict(SEXUAL, codes(SEXUAL, "P")) == ("review", "T4", "review")


def test_an_adult_who_works_freely_and_for_herself_is_not_referred() -> None:
    assert verdict(SEXUAL) == ("negative", "none", "")


# Local adults without a story of recruitment: pe_forced_labour_2026_1

UNWILLING = {"F1": ("F1.04", "F1.06"), "F2": ("F2.01", "F2.08"), "F3": ("F3.01", "F3.01")}  # strong, and the mildest
PENALTIES = {"F1": ("F1.08", "F1.12"), "F2": ("F2.11", "F2.17"), "F3": ("F3.09", "F3.10")}


@pytest.mark.parametrize("dimension", UNWILLING)
def test_one_unwilling_and_one_penalty_one_of_them_strong_is_positive(dimension: str) -> None:
    (strong, mild), (harsh, light) = UNWILLING[dimension], PENALTIES[dimension]
    for signs in ((strong, harsh), (strong, light), (mild, harsh)):
        assert verdict(FORCED, signs) == ("positive", "T2", "protection")


def test_two_mild_signs_are_not_enough() -> None:
    assert found(FORCED, ["F2.08", "F2.17"]).outcome == "labour_rights"
    assert found(FORCED, ["F1.06", "F1.12"]).outcome == "review"


@pytest.mark.parametrize("signs", [*UNWILLING.values(), *PENALTIES.values()])
def test_only_unwilling_or_only_penalties_are_never_positive(signs: tuple[str, ...]) -> None:
    assert found(FORCED, signs).outcome in ("review", "labour_rights")


def test_unwilling_in_one_dimension_with_penalty_in_another_goes_to_review() -> None:
    assert verdict(FORCED, ["F1.04", "F2.11"]) == ("review", "T4", "review")


def test_unfree_recruitment_without_a_way_out_is_the_strongest_tier() -> None:
    for later in ("F2", "F3"):
        signs = (UNWILLING["F1"][0], PENALTIES["F1"][0], UNWILLING[later][0], PENALTIES[later][0])
        assert verdict(FORCED, signs) == ("positive", "T1", "protection")


@pytest.mark.parametrize("sign", ["F1.06", "F2.01", "F2.04", "F2.07", "F2.14", "F2.17", "F3.02"])
def test_wages_hours_and_conditions_alone_go_to_the_labour_desk(sign: str) -> None:
    assert verdict(FORCED, [sign]) == ("labour_rights", "T3", "labour")


def test_dependence_on_an_employer_for_bed_and_food_alone_is_negative() -> None:
    assert verdict(FORCED, ["F2.08"]) == ("negative", "none", "")


def test_every_other_indicator_reaches_a_desk() -> None:
    for code in set(codes(FORCED, "F")) - {"F2.08"}:
        assert found(FORCED, [code]).queue_kinds


# Consent


@pytest.mark.parametrize(
    ("policy", "signs"),
    [(ADULT, (*DECEIVED, *EXPLOITED)), (SEXUAL, (*DECEIVED, "P.01")), (FORCED, ("F2.01", "F2.11"))],
)
def test_an_adult_without_consent_is_counted_and_not_referred(policy: str, signs: tuple[str, ...]) -> None:
    asked, declined = found(policy, signs), found(policy, signs, consent=0)
    assert (declined.outcome, declined.tier, declined.urgency) == (asked.outcome, asked.tier, asked.urgency)
    assert (declined.queue_kinds, declined.guidance) == ((), "guidance_counted")
