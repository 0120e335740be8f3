"""Writes the reasons for a screening's outcome as plain Spanish sentences.

The person who decides on a referral reads them with the outcome. A sentence must never say that a person is a victim,
and every rule must name its source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from screening_forms.expressions.condition_words import SPANISH, describe_policy_condition
from screening_forms.rules.dimensions import (
    BRIGHT_LINES,
    INDICATOR_CODE,
    OBSERVED,
    PROFIT,
    STRONG_IN,
    UNCOUNTED,
    UNPAID,
    Bounds,
)
from screening_forms.rules.indicators import Indicator, IndicatorSet
from screening_forms.rules.policy import Policy, PolicyRow

DIMENSION_WORDS = {
    "D1": "Captación con engaño",
    "D2": "Captación con coacción",
    "D3": "Captación con abuso de vulnerabilidad",
    "D4": "Condiciones de explotación",
    "D5": "Coacción en el lugar de trabajo",
    "D6": "Abuso de vulnerabilidad en el lugar de trabajo",
    "F1": "Captación sin libertad",
    "F2": "Trabajo y vida bajo presión",
    "F3": "Imposibilidad de dejar el trabajo",
}
FAMILY_WORDS = {
    BRIGHT_LINES: "Señales que bastan por sí solas si es menor de edad",
    PROFIT: "Otra persona manda o gana con esto",
    OBSERVED: "Lo que se vio en el lugar",
    UNPAID: "Trabajo sin ningún pago",
}
STRENGTH_WORDS = {"S": "fuerte", "M": "media", "W": "débil"}
SIGN_WORDS = {"involuntariness": "sin quererlo", "penalty": "castigo o amenaza"}
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
    "minor": "Hay niñas, niños o adolescentes, o la edad está en duda.",
    "place": "El lugar es un bar, un hospedaje, una mina o un campamento.",
}
RULE_WORDS = {
    "always": "en los demás casos",
    "any_O": "alguna señal vista en el lugar",
    "any_P": "otra persona manda o gana con esto",
    "any_strong": "alguna señal fuerte",
    **{name: f"alguna señal fuerte de {DIMENSION_WORDS[dimension].lower()}" for name, dimension in STRONG_IN.items()},
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
class Findings:
    """The findings of a screening: fired and unknown codes, the facts, and each dimension at both bounds."""

    indicator_set: IndicatorSet
    profile: str
    facts: Mapping[str, bool]
    fired: tuple[str, ...]
    unknown: tuple[str, ...]
    dimensions: Mapping[str, Bounds]


@dataclass(frozen=True)
class Decision:
    """The policy rows of a decision: at the lower bound, at the upper one, the row that decides, and the referral's."""

    policy: Policy
    low: PolicyRow
    high: PolicyRow
    decided: PolicyRow
    referral: PolicyRow


def reason_sentences(found: Findings, decision: Decision) -> Iterator[str]:
    """Yield the reasons in order: suggestion and rule, facts, families, dimensions, referral, closing sentence."""
    decided, referral = decision.decided, decision.referral
    yield f"Sugerencia: {OUTCOME_WORDS[decided.outcome]} (nivel {decided.tier}, política {decision.policy.name})."
    yield f"Regla: {_rule_words(found, decided)}. {_source_words(decided)}"
    if decided.step == "undecided":
        yield (
            f"Con lo respondido se sugeriría {OUTCOME_WORDS[decision.low.outcome]}; "
            f"si lo no respondido fuera «sí», {OUTCOME_WORDS[decision.high.outcome]}. Por eso queda abierto."
        )
    yield from (words for fact, words in FACT_WORDS.items() if found.facts[fact])
    for family in UNCOUNTED:
        yield from _family_sentences(found, family, is_open=decided.step == "undecided")
    for dimension, bounds in found.dimensions.items():
        yield from _dimension_sentences(found, dimension, bounds)
    desks = " y ".join(QUEUE_WORDS[kind] for kind in referral.queue_kinds)
    where = f"Va a {desks}, {URGENCY_WORDS[referral.urgency]}." if desks else "No se deriva: solo se cuenta."
    yield f"{where} {_source_words(referral)}"
    yield LAST_WORD


def _family_sentences(found: Findings, family: str, *, is_open: bool) -> Iterator[str]:
    words = FAMILY_WORDS[family]
    if fired := _codes_of(family, found.fired):
        yield f"{words}: {_name_codes(found, fired)}."
    elif is_open and (unknown := _codes_of(family, found.unknown)):
        yield f"{words}, queda abierto. No se sabe: {_name_codes(found, unknown)}."


def _dimension_sentences(found: Findings, dimension: str, bounds: Bounds) -> Iterator[str]:
    words = DIMENSION_WORDS[dimension]
    if fired := _codes_of(dimension, found.fired):
        yield f"{words}: {_name_codes(found, fired)}.{'' if bounds.low.positive else ' No basta por sí solo.'}"
    if bounds.high.positive and not bounds.low.positive:
        unknown = _name_codes(found, _codes_of(dimension, found.unknown), strength=False)
        yield f"{words}, queda abierto. No se sabe: {unknown}."


def _codes_of(dimension: str, codes: tuple[str, ...]) -> list[str]:
    return [code for code in codes if code.startswith(f"{dimension}.")]


def _name_codes(found: Findings, codes: list[str], *, strength: bool = True) -> str:
    def name(code: str) -> str:
        indicator = found.indicator_set.indicators[code]
        words = _strength_words(indicator, found.profile)
        return f"{code} {indicator.label_es}" + (f" ({words})" if words and strength else "")

    return "; ".join(name(code) for code in codes)


def _strength_words(indicator: Indicator, profile: str) -> str:
    """Return an indicator's strength and, if it has one, its sign in Spanish."""
    words = STRENGTH_WORDS.get(indicator.strengths.get(profile, ""), ""), SIGN_WORDS.get(indicator.sign, "")
    return ", ".join(filter(None, words))


def _rule_words(found: Findings, row: PolicyRow) -> str:
    """Return a row's `when` in Spanish."""

    def words(name: str) -> str:
        indicator = found.indicator_set.indicators.get(name)
        known = RULE_WORDS.get(name) or DIMENSION_WORDS.get(name) or (indicator.label_es if indicator else name)
        return known.lower()

    if row.condition.op == "or":
        signs = [part.name for part in row.condition.parts if INDICATOR_CODE.fullmatch(part.name)]
        if seen := [words(name) for name in signs if name in found.fired]:
            return f"al menos una de {len(signs)} señales: {'; '.join(seen)}"
    return describe_policy_condition(row.condition, SPANISH, words)


def _source_words(row: PolicyRow) -> str:
    return f"Fuente: {row.source} [{PROVENANCE_WORDS.get(row.provenance, row.provenance)}]."
