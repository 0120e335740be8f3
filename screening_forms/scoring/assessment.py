"""Computes an outcome, a referral and the reasons from indicator values, independently of the form's calculates.

`forms assess` and the desk compare this second opinion with the tablet's result. It shares only the tables with the
form's calculates. A result must mean "refer for assessment", never "is a victim".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import FilledForm
from screening_forms.errors import AnswerError
from screening_forms.rules.dimensions import ANY_OF, DEFAULT_FACTS, FACTS, STRONG_IN, Bounds, Facts
from screening_forms.rules.indicators import IndicatorSet, count_bounds, indicator_set_from_dict
from screening_forms.rules.policy import TIERS, Policy, policy_from_dict
from screening_forms.scoring.calculates import indicator_node
from screening_forms.scoring.reasons import Decision, Findings, reason_sentences


@dataclass(frozen=True)
class Assessment:
    """The suggested outcome and referral with their reasons (`why`, in Spanish).

    `fired` and `unknown` are indicator codes in the set's order.
    """

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
        """Return the JSON object that `forms assess --json` prints."""
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

ANSWERS_DROPPED = replace(
    NOT_SCORED, why=("La persona no aceptó o no dijo que sí: sus respuestas no salieron de la tableta.",)
)
"""A desk's assessment of a screening that is only counted. Nothing is computed: its answers no longer exist."""


def assess_indicators(
    indicators: Mapping[str, int | None],
    facts: Facts = DEFAULT_FACTS,
    *,
    profile: str,
    policy: Policy,
    indicator_set: IndicatorSet,
    consent_policy: str = "person_decides",
) -> Assessment:
    """Assess indicator values under a policy. A value is 1, 0 or None (unknown); a missing code counts as None.

    Raises AnswerError for an unknown profile, for unknown codes, and for any value that is not 1, 0 or None.
    """
    _check_values(indicators, facts, profile, indicator_set)
    values = {code: indicators.get(code) for code in indicator_set.used(profile)}
    fired = tuple(code for code, value in values.items() if value == 1)
    unknown = tuple(code for code, value in values.items() if value is None)
    known = {name: bool(value) for name, value in asdict(facts).items()}
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
    """Assess a filled form again from its indicators, with the indicator set and the policy of its version.

    A desk shows the result and compares it with the outcome that the tablet recorded. An indicator that no row of the
    form reaches counts as 0. Without consent to the interview the outcome is "not_scored".
    """
    if "outcome" not in filled.relevant:
        return NOT_SCORED
    indicator_set = indicator_set_from_dict(compiled.indicator_set)
    found = {code: filled.values.get(indicator_node(code), "0") for code in indicator_set.indicators}
    return assess_indicators(
        {code: int(value) if value else None for code, value in found.items()},
        Facts(**{fact: int(filled.values[f"f_{fact}"]) for fact in FACTS}),
        profile=compiled.profile,
        policy=policy_from_dict(compiled.policy),
        indicator_set=indicator_set,
        consent_policy=compiled.consent_policy,
    )


_TIER_NAMES = {"danger": "tier_danger", "child": "tier_child"}


def _decide(found: Findings, policy: Policy, *, duty: bool) -> Decision:
    """Apply the policy at both bounds. The outcome stands if both bounds agree or the lower one is positive.

    In all other cases the policy's `undecided` rows decide.
    """
    # A name that the policy has and the set lacks is always false, as in the XForm.
    absent = dict.fromkeys((*policy.names("outcome"), *policy.names("referral")), False)
    certain = {**absent, **_truth_values(found, found.fired, "low")}
    low = policy.first("outcome", certain)
    high = policy.first("outcome", {**absent, **_truth_values(found, (*found.fired, *found.unknown), "high")})
    decided = low if low.outcome in ("positive", high.outcome) else policy.first("undecided", found.facts)
    tiers = {_TIER_NAMES.get(tier, tier): tier == decided.tier for tier in TIERS}
    results = {**tiers, "positive": decided.outcome == "positive"}
    referral = policy.first("referral", {**certain, **results, "duty_to_report": duty})
    return Decision(policy, low, high, decided, referral)


def _truth_values(found: Findings, codes: tuple[str, ...], bound: str) -> dict[str, bool]:
    """Return the truth value of each name in a policy if exactly these codes fired."""
    strong = [code for code in found.indicator_set.strong(found.profile) if code in codes]
    in_dimension = {found.indicator_set.indicators[code].dimension for code in strong}
    return {
        **{code: code in codes for code in found.indicator_set.indicators},
        **{dimension: getattr(bounds, bound).positive for dimension, bounds in found.dimensions.items()},
        **{name: any(c in codes for c in found.indicator_set.family(letter)) for name, letter in ANY_OF.items()},
        **{name: dimension in in_dimension for name, dimension in STRONG_IN.items()},
        "any_strong": bool(strong),
        **found.facts,
    }


def _check_values(
    indicators: Mapping[str, int | None], facts: Facts, profile: str, indicator_set: IndicatorSet
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
    wrong = [name for name, value in asdict(facts).items() if not _is_bit(value)]
    if wrong:
        raise AnswerError(", ".join(wrong), "el valor debe ser 1 o 0: un hecho nunca queda sin saber")


def _is_bit(value: object) -> bool:
    return type(value) is int and value in (0, 1)
