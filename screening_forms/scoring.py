"""The second opinion: from indicator values straight to an outcome, a referral, and the reasons in plain Spanish.

`forms assess` and the desk call this. It shares the tables with the XForm's own calculates, but none of their text; a
result means "refer for assessment", never "is a victim", and no sentence here may say otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from screening_forms import indicators as sets
from screening_forms import policy as policies
from screening_forms.calculates import FACTS, node
from screening_forms.compile import CompiledForm
from screening_forms.engine import Filled
from screening_forms.errors import AnswerError
from screening_forms.indicators import DIMENSIONS, TIERS, IndicatorSet, Tally, tallies
from screening_forms.policy import Policy, PolicyRow

DIMENSION_WORDS = {
    "D1": "Captación con engaño",
    "D2": "Captación con coacción",
    "D3": "Captación con abuso de vulnerabilidad",
    "D4": "Condiciones de explotación",
    "D5": "Coacción en el lugar de trabajo",
    "D6": "Abuso de vulnerabilidad en el lugar de trabajo",
}
STRENGTH_WORDS = {"S": "fuerte", "M": "media", "W": "débil"}
OUTCOME_WORDS = {
    "positive": "derivar a una evaluación",
    "labour_rights": "atender como caso de derechos laborales",
    "review": "que una persona lo revise",
    "negative": "no derivar",
}
QUEUE_WORDS = {
    "child": "la mesa de niñas, niños y adolescentes",
    "protection": "la mesa de protección",
    "labour": "la inspección de trabajo",
    "review": "la mesa de revisión",
}
URGENCY_WORDS = {
    "immediate": "de inmediato",
    "prompt": "dentro de un día",
    "routine": "dentro de tres días",
    "none": "",
}
FACT_WORDS = {
    "danger": "Hay peligro inmediato: esto va antes que cualquier puntaje.",
    "minor": "La persona tiene menos de 18 años, o su edad está en duda.",
    "place": "La persona fue encontrada en un bar, un hospedaje, una mina o un campamento.",
}
RULE_WORDS = {
    "always": "en los demás casos",
    "any_strong": "alguna señal fuerte",
    "danger": "peligro inmediato",
    "minor": "menor de 18 años o edad en duda",
    "place": "encontrada en un bar, hospedaje, mina o campamento",
}
PROVENANCE_WORDS = {
    "checked": "verificado",
    "one source": "una sola fuente",
    "unverified": "sin verificar",
    "unverified by a lawyer": "sin verificar por un abogado",
}
LAST_WORD = "Es una sugerencia para quien decide: no afirma que la persona sea víctima."


@dataclass(frozen=True)
class Bounds:
    """One dimension's tallies when every unknown is a no (`low`) and when every unknown is a yes (`high`)."""

    low: Tally
    high: Tally

    def as_dict(self) -> dict[str, bool | int]:
        """As `forms assess` prints it."""
        counts = {
            f"{tier}_{name}": getattr(tally, tier)
            for name, tally in (("min", self.low), ("max", self.high))
            for tier in TIERS
        }
        return {"min": self.low.positive, "max": self.high.positive, **counts}


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


@dataclass(frozen=True)
class _Screening:
    """The input, checked: a value for every code that counts in the profile, and the facts."""

    values: Mapping[str, int | None]
    facts: Mapping[str, bool]
    profile: str
    indicator_set: IndicatorSet

    def having(self, *values: int | None) -> tuple[str, ...]:
        return tuple(code for code, value in self.values.items() if value in values)

    def names(self, found: tuple[str, ...]) -> dict[str, bool]:
        """The truth values of a policy's names if just these codes were found."""
        seen = frozenset(found)
        dimensions = tallies(seen, self.indicator_set, self.profile)
        return {
            **{code: code in seen for code in self.indicator_set.indicators},
            **{dimension: tally.positive for dimension, tally in dimensions.items()},
            "any_strong": not seen.isdisjoint(self.indicator_set.strong(self.profile)),
            **self.facts,
        }


def assess(
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

    Raises AnswerError that names every code the set does not have, and every value that is not 1, 0 or None.
    """
    facts = {"minor": minor, "danger": danger, "consent": consent, "place": place}
    _refuse(indicators, facts, profile, indicator_set)
    values = {code: indicators.get(code) for code in indicator_set.used(profile)}
    known = {name: bool(value) for name, value in facts.items()}
    screening = _Screening(values, known, profile, indicator_set)
    fired, unknown = screening.having(1), screening.having(None)
    low = policy.first("outcome", screening.names(fired))
    high = policy.first("outcome", screening.names((*fired, *unknown)))
    decided = low if low.outcome in ("positive", high.outcome) else policy.first("undecided", known)
    duty = consent_policy == "duty_to_report"
    referral = policy.first("referral", {**known, **_tiers(decided.tier), "duty_to_report": duty})
    bounds = _bounds(screening, fired, unknown)
    return Assessment(
        outcome=decided.outcome,
        tier=decided.tier,
        urgency=referral.urgency,
        queue_kinds=referral.queue_kinds,
        guidance=referral.guidance,
        dimensions=bounds,
        fired=fired,
        unknown=unknown,
        why=tuple(_why(screening, policy, (low, high, decided, referral), bounds)),
    )


def explain(compiled: CompiledForm, filled: Filled) -> Assessment:
    """Assess a filled form anew from its indicators, with the set and the policy that its version carries.

    This is what a desk shows, and holds against the outcome that the tablet recorded. An indicator that no row of the
    form reaches counts as not found. Without consent to the interview there is nothing to explain: "not_scored".
    """
    if "outcome" not in filled.relevant:
        return NOT_SCORED
    indicator_set = sets.from_dict(compiled.indicator_set)
    found = {code: filled.values.get(node(code), "0") for code in indicator_set.indicators}
    return assess(
        {code: int(value) if value else None for code, value in found.items()},
        profile=compiled.profile,
        policy=policies.from_dict(compiled.policy),
        indicator_set=indicator_set,
        consent_policy=compiled.consent_policy,
        **{fact: int(filled.values[f"f_{fact}"]) for fact in FACTS},
    )


def _tiers(tier: str) -> dict[str, bool]:
    names = {"danger": "tier_danger", "child": "tier_child"}
    return {names.get(t, t): t == tier for t in ("T1", "T2", "T3", "T4", "child", "danger")}


def _bounds(screening: _Screening, fired: tuple[str, ...], unknown: tuple[str, ...]) -> dict[str, Bounds]:
    low = tallies(fired, screening.indicator_set, screening.profile)
    high = tallies((*fired, *unknown), screening.indicator_set, screening.profile)
    return {dimension: Bounds(low[dimension], high[dimension]) for dimension in DIMENSIONS}


def _refuse(
    indicators: Mapping[str, int | None], facts: Mapping[str, int], profile: str, indicator_set: IndicatorSet
) -> None:
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


def _why(
    screening: _Screening, policy: Policy, rows: tuple[PolicyRow, ...], bounds: Mapping[str, Bounds]
) -> Iterator[str]:
    low, high, decided, referral = rows
    yield f"Sugerencia: {OUTCOME_WORDS[decided.outcome]} (nivel {decided.tier}, política {policy.name})."
    yield f"Regla: {_rule(screening, decided)}. {_source(decided)}"
    if decided.step == "undecided":
        yield (
            f"Con lo respondido se sugeriría {OUTCOME_WORDS[low.outcome]}; "
            f"si lo no respondido fuera «sí», {OUTCOME_WORDS[high.outcome]}. Por eso queda abierto."
        )
    yield from (words for fact, words in FACT_WORDS.items() if screening.facts[fact])
    bright = [code for code in screening.having(1) if code not in _tallied(screening)]
    if bright:
        yield f"Señales que bastan por sí solas si es menor de edad: {_named(screening, bright)}."
    for dimension in DIMENSIONS:
        yield from _why_dimension(screening, dimension, bounds[dimension])
    desks = " y ".join(QUEUE_WORDS[kind] for kind in referral.queue_kinds)
    when = f", {URGENCY_WORDS[referral.urgency]}" if URGENCY_WORDS[referral.urgency] else ""
    yield (f"Va a {desks}{when}." if desks else "No se abre ninguna derivación: solo se cuenta.") + (
        f" {_source(referral)}"
    )
    yield LAST_WORD


def _why_dimension(screening: _Screening, dimension: str, bounds: Bounds) -> Iterator[str]:
    fired = [code for code in screening.having(1) if code.startswith(dimension)]
    unknown = [code for code in screening.having(None) if code.startswith(dimension)]
    if fired:
        enough = "" if bounds.low.positive else " No basta por sí solo."
        yield f"{DIMENSION_WORDS[dimension]}: {_named(screening, fired)}.{enough}"
    if bounds.high.positive and not bounds.low.positive:
        yield f"{DIMENSION_WORDS[dimension]}, queda abierto. No se sabe: {_named(screening, unknown, strength=False)}."


def _tallied(screening: _Screening) -> frozenset[str]:
    return frozenset(code for code in screening.values if code.split(".")[0] in DIMENSIONS)


def _named(screening: _Screening, codes: list[str], *, strength: bool = True) -> str:
    def name(code: str) -> str:
        indicator = screening.indicator_set.indicators[code]
        word = STRENGTH_WORDS.get(indicator.strengths[screening.profile], "")
        return f"{code} {indicator.label_es}" + (f" ({word})" if word and strength else "")

    return "; ".join(name(code) for code in codes)


def _rule(screening: _Screening, row: PolicyRow) -> str:
    """A row's `when` in Spanish."""

    def words(name: str) -> str:
        known = RULE_WORDS.get(name) or DIMENSION_WORDS.get(name)
        return (known or screening.indicator_set.indicators[name].label_es).lower()

    return row.condition.write(words).replace(" and ", " y ").replace(" or ", " o ").removeprefix("(").removesuffix(")")


def _source(row: PolicyRow) -> str:
    return f"Fuente: {row.source} [{PROVENANCE_WORDS.get(row.provenance, row.provenance)}]."
