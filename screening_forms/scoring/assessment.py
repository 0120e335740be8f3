"""The second opinion: from indicator values straight to an outcome, a referral, and the reasons.

`forms assess` and the desk call this. It shares the tables with the XForm's own calculates, but none of their text; a
result means "refer for assessment", never "is a victim".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import FilledForm
from screening_forms.errors import AnswerError
from screening_forms.rules.dimensions import ANY_OF, FACTS, Bounds
from screening_forms.rules.indicators import IndicatorSet, count_bounds, indicator_set_from_dict
from screening_forms.rules.policy import TIERS, Policy, policy_from_dict
from screening_forms.scoring.calculates import indicator_node
from screening_forms.scoring.reasons import Decision, Findings, reason_sentences


@dataclass(frozen=True)
class Assessment:
    """What a screening suggests, and why; `fired` and `unknown` are indicator codes in the set's order."""

    outcome: str
    tier: str
    urgency: str
    queue_kinds: tuple[str, ...]
    guidance: str
    dimensions: Mapping[str, Bounds]
    fired: tuple[str, ...]
    unknown: tuple[str, ...]
    why: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `forms assess --json` prints it."""
        return {
            "outcome": self.outcome,
            "tier": self.tier,
            "urgency": self.urgency,
            "queue_kinds": list(self.queue_kinds),
            "dimensions": {name: bounds.as_dict() for name, bounds in self.dimensions.items()},
            "why": list(self.why),
        }


NOT_SCORED = Assessment(
    outcome="not_scored",
    tier="none",
    urgency="none",
    queue_kinds=(),
    guidance="",
    dimensions={},
    fired=(),
    unknown=(),
    why=("No hubo permiso para la entrevista, ni peligro ni una persona menor de edad: no se calculó nada.",),
)


def assess_indicators(
    indicators: Mapping[str, int | None],
    *,
    profile: str,
    policy: Policy,
    indicator_set: IndicatorSet,
    minor: int = 0,
    danger: int = 0,
    consent: int = 1,
    place: int = 0,
    consent_policy: str = "person_decides",
) -> Assessment:
    """Assess indicator values (1, 0 or None; a code left out is None, not known) under a policy.

    Raises AnswerError that names a profile or every code that the set does not have, and every value that is not 1, 0
    or None.
    """
    facts = {"minor": minor, "danger": danger, "consent": consent, "place": place}
    _check_values(indicators, facts, profile, indicator_set)
    values = {code: indicators.get(code) for code in indicator_set.used(profile)}
    fired = tuple(code for code, value in values.items() if value == 1)
    unknown = tuple(code for code, value in values.items() if value is None)
    known = {name: bool(value) for name, value in facts.items()}
    dimensions = count_bounds(fired, unknown, indicator_set, profile)
    found = Findings(indicator_set, profile, known, fired, unknown, dimensions)
    decision = _decide(found, policy, duty=consent_policy == "duty_to_report")
    return Assessment(
        outcome=decision.decided.outcome,
        tier=decision.decided.tier,
        urgency=decision.referral.urgency,
        queue_kinds=decision.referral.queue_kinds,
        guidance=decision.referral.guidance,
        dimensions=dimensions,
        fired=fired,
        unknown=unknown,
        why=tuple(reason_sentences(found, decision)),
    )


def explain_screening(compiled: CompiledForm, filled: FilledForm) -> Assessment:
    """Assess a filled form anew from its indicators, with the set and the policy that its version carries.

    This is what a desk shows, and holds against the outcome that the tablet recorded. An indicator that no row of the
    form reaches counts as not found. Without consent to the interview there is nothing to explain: "not_scored".
    """
    if "outcome" not in filled.relevant:
        return NOT_SCORED
    indicator_set = indicator_set_from_dict(compiled.indicator_set)
    found = {code: filled.values.get(indicator_node(code), "0") for code in indicator_set.indicators}
    return assess_indicators(
        {code: int(value) if value else None for code, value in found.items()},
        profile=compiled.profile,
        policy=policy_from_dict(compiled.policy),
        indicator_set=indicator_set,
        consent_policy=compiled.consent_policy,
        **{fact: int(filled.values[f"f_{fact}"]) for fact in FACTS},
    )


_TIER_NAMES = {"danger": "tier_danger", "child": "tier_child"}


def _decide(found: Findings, policy: Policy, *, duty: bool) -> Decision:
    """Try the rows: the same outcome at both bounds, or a positive at min, stands; anything else stays undecided."""
    # What the policy names and the set does not have is never found, as in the XForm.
    absent = dict.fromkeys((*policy.names("outcome"), *policy.names("referral")), False)
    certain = {**absent, **_truth_values(found, found.fired, "low")}
    low = policy.first("outcome", certain)
    high = policy.first("outcome", {**absent, **_truth_values(found, (*found.fired, *found.unknown), "high")})
    decided = low if low.outcome in ("positive", high.outcome) else policy.first("undecided", found.facts)
    tiers = {_TIER_NAMES.get(tier, tier): tier == decided.tier for tier in TIERS}
    referral = policy.first("referral", {**certain, **tiers, "duty_to_report": duty})
    return Decision(policy, low, high, decided, referral)


def _truth_values(found: Findings, codes: tuple[str, ...], bound: str) -> dict[str, bool]:
    """The truth values of a policy's names when just these codes are there."""
    return {
        **{code: code in codes for code in found.indicator_set.indicators},
        **{dimension: getattr(bounds, bound).positive for dimension, bounds in found.dimensions.items()},
        **{name: any(c in codes for c in found.indicator_set.family(letter)) for name, letter in ANY_OF.items()},
        "any_strong": any(code in codes for code in found.indicator_set.strong(found.profile)),
        **found.facts,
    }


def _check_values(
    indicators: Mapping[str, int | None], facts: Mapping[str, int], profile: str, indicator_set: IndicatorSet
) -> None:
    if profile not in indicator_set.profiles:
        listed = ", ".join(indicator_set.profiles)
        raise AnswerError(profile, f"no es un perfil del conjunto {indicator_set.name}; hay: {listed}")
    strange = [code for code in indicators if code not in indicator_set.indicators]
    if strange:
        raise AnswerError(", ".join(strange), f"no está en el conjunto de indicadores {indicator_set.name}")
    wrong = [code for code, value in indicators.items() if value is not None and not _is_bit(value)]
    if wrong:
        raise AnswerError(", ".join(wrong), "el valor debe ser 1, 0 o null")
    wrong = [name for name, value in facts.items() if not _is_bit(value)]
    if wrong:
        raise AnswerError(", ".join(wrong), "el valor debe ser 1 o 0: un hecho nunca queda sin saber")


def _is_bit(value: object) -> bool:
    return type(value) is int and value in (0, 1)
