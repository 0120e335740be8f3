"""Indicator sets: named, versioned tables of indicators, and the count of indicators for each dimension.

The compiler and the scoring use them. A strength belongs to profile, dimension and indicator together: confiscation of
documents is medium at recruitment and strong at destination. It must not read a form or an answer file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from screening_forms.errors import FormError
from screening_forms.rules.csv_table import TableFormat
from screening_forms.rules.dimensions import (
    INDICATOR_CODE,
    RULES,
    SIGNS,
    STRENGTHS,
    UNCOUNTED,
    Bounds,
    Tally,
    in_rule_order,
)

PROFILES = ("adult_labour", "child_labour", "adult_sexual", "child_sexual", "adult_forced_labour", "site")

# The 11 forced-labour indicators (ILO, 2012). One answer thus serves reports on trafficking and on forced labour.
FORCED_LABOUR = {
    "abuse_of_vulnerability": "Abuso de la vulnerabilidad",
    "deception": "Engaño",
    "restriction_of_movement": "Restricción de movimiento",
    "isolation": "Aislamiento",
    "physical_sexual_violence": "Violencia física y sexual",
    "intimidation_threats": "Intimidación y amenazas",
    "document_retention": "Retención de documentos de identidad",
    "wage_withholding": "Retención de salarios",
    "debt_bondage": "Servidumbre por deudas",
    "abusive_conditions": "Condiciones de trabajo y de vida abusivas",
    "excessive_overtime": "Horas extraordinarias excesivas",
}

INDICATOR_SET_TABLE = TableFormat(
    "indicator_set",
    "el conjunto de indicadores",
    "indicator set",
    ("code", "dimension", "label_es", "label_en", "forced_labour", "source", "provenance"),
    optional=(*PROFILES, "sign", "same_meaning"),
)


@dataclass(frozen=True)
class Indicator:
    """One row of a set. `strengths` maps each profile to S, M, W or - (not in that profile's list).

    `sign` is `involuntariness` or `penalty` for an indicator of the ILO's 2012 list, and empty for others.
    """

    code: str
    dimension: str
    label_es: str
    label_en: str
    strengths: Mapping[str, str]
    forced_labour: tuple[str, ...]
    source: str
    provenance: str
    sign: str = ""


@dataclass(frozen=True)
class IndicatorSet:
    """The indicators of one named set, by code, in the order of its table."""

    name: str
    indicators: Mapping[str, Indicator]

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles with a column in the table."""
        return tuple(next(iter(self.indicators.values())).strengths) if self.indicators else ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the set's indicators, in the order of the rules."""
        return in_rule_order(indicator.dimension for indicator in self.indicators.values())

    def strength(self, code: str, profile: str) -> str:
        """Return S, M, W or - ; raises KeyError on a code or a profile outside the set."""
        return self.indicators[code].strengths[profile]

    def members(self, profile: str, dimension: str, kind: str) -> tuple[str, ...]:
        """Return the codes of a profile, a dimension and a kind: a strength (strong, medium, weak) or a sign."""
        return tuple(code for code, i in self.indicators.items() if i.dimension == dimension and _is(i, profile, kind))

    def strong(self, profile: str) -> tuple[str, ...]:
        """Return the strong codes of a profile; a policy names them `any_strong`."""
        return tuple(code for code, i in self.indicators.items() if _is(i, profile, "strong"))

    def family(self, letter: str) -> tuple[str, ...]:
        """Return the codes of a family without tally; a policy names family P `any_P`."""
        return tuple(code for code, i in self.indicators.items() if i.dimension == letter)

    def used(self, profile: str) -> tuple[str, ...]:
        """Return the codes that can count in a profile: its list, and the families without tally."""
        return tuple(
            c for c, i in self.indicators.items() if i.dimension in UNCOUNTED or i.strengths.get(profile, "-") != "-"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the set as JSON values, for the bundle. An empty sign is left out."""
        rows = [{**asdict(i), "forced_labour": list(i.forced_labour)} for i in self.indicators.values()]
        return {
            "name": self.name,
            "indicators": [{k: v for k, v in row.items() if k != "sign" or v} for row in rows],
        }


def _is(indicator: Indicator, profile: str, kind: str) -> bool:
    strength = indicator.strengths.get(profile, "-")
    return strength == STRENGTHS[kind] if kind in STRENGTHS else strength != "-" and indicator.sign == kind


def indicator_set_from_dict(content: Mapping[str, Any]) -> IndicatorSet:
    """Read the set that `as_dict` wrote."""
    rows = [Indicator(**{**row, "forced_labour": tuple(row["forced_labour"])}) for row in content["indicators"]]
    return IndicatorSet(content["name"], {row.code: row for row in rows})


def count_tallies(found: Iterable[str], indicator_set: IndicatorSet, profile: str) -> dict[str, Tally]:
    """Count the codes found, for each dimension of the set. A code outside the profile's list does not count."""
    seen = frozenset(found)
    return {
        dimension: Tally(
            RULES[dimension],
            {
                kind: len(seen.intersection(indicator_set.members(profile, dimension, kind)))
                for kind in RULES[dimension].kinds
            },
        )
        for dimension in indicator_set.dimensions
    }


def count_bounds(
    fired: Iterable[str], unknown: Iterable[str], indicator_set: IndicatorSet, profile: str
) -> dict[str, Bounds]:
    """Count for each dimension twice: with the fired codes alone, and with the unknown codes too."""
    certain = frozenset(fired)
    low = count_tallies(certain, indicator_set, profile)
    high = count_tallies(certain.union(unknown), indicator_set, profile)
    return {dimension: Bounds(low[dimension], high[dimension]) for dimension in low}


def parse_indicator_set(name: str, text: str) -> IndicatorSet:
    """Read a set from the text of its CSV table; raises FormError with every problem at once."""
    rows = INDICATOR_SET_TABLE.read_rows(name, text)
    if rows and not any(profile in rows[0][1] for profile in PROFILES):
        listed = ", ".join(PROFILES)
        es, en = f"falta una columna de perfil: {listed}", f"the table needs a column of a profile: {listed}"
        raise FormError([INDICATOR_SET_TABLE.problem("no_profile", name, 1, "", es, en)])
    problems = [
        INDICATOR_SET_TABLE.problem(what, name, n, *place) for n, cells in rows for what, *place in _row_problems(cells)
    ]
    codes = [cells["code"] for _, cells in rows]
    for at, (number, cells) in enumerate(rows):
        if (code := cells["code"]) in codes[:at]:
            es, en = f"el código «{code}» está repetido", f"the code '{code}' appears twice"
            problems.append(INDICATOR_SET_TABLE.problem("duplicate_code", name, number, "code", es, en))
    if problems:
        raise FormError(problems)
    return IndicatorSet(name, {cells["code"]: _indicator(cells) for _, cells in rows})


def _indicator(cells: Mapping[str, str]) -> Indicator:
    return Indicator(
        code=cells["code"],
        dimension=cells["dimension"],
        label_es=cells["label_es"],
        label_en=cells["label_en"],
        strengths={profile: cells[profile] for profile in PROFILES if profile in cells},
        forced_labour=tuple(cells["forced_labour"].split()),
        source=cells["source"],
        provenance=cells["provenance"],
        sign=cells.get("sign", ""),
    )


def _row_problems(cells: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each problem of one row: its kind, the column, Spanish and English advice."""
    code, dimension = cells["code"], cells["dimension"]
    if not INDICATOR_CODE.fullmatch(code):
        yield "bad_code", "code", f"«{code}» no es un código como D1.01 o X.01", f"'{code}' is not a code such as D1.01"
    elif code.split(".")[0] != dimension:
        es, en = f"«{code}» no es de la dimensión «{dimension}»", f"'{code}' is not of dimension '{dimension}'"
        yield "bad_dimension", "dimension", es, en
    uncounted = dimension in UNCOUNTED
    for profile in PROFILES:
        strength = cells.get(profile, "-")
        if strength not in ("-", *(() if uncounted else STRENGTHS.values())):
            es = f"la fuerza es S, M, W o - ({', '.join(UNCOUNTED)}: solo -), no «{strength}»"
            en = f"a strength is S, M, W or - ({', '.join(UNCOUNTED)}: only -), not '{strength}'"
            yield "bad_strength", profile, es, en
    yield from _sign_problems(dimension, cells.get("sign", ""))
    for mapped in cells["forced_labour"].split() or ([] if uncounted else [""]):
        if mapped not in FORCED_LABOUR:
            es = f"«{mapped}» no es uno de los 11 indicadores de la OIT"
            yield "bad_forced_labour", "forced_labour", es, f"'{mapped}' is not one of the ILO's 11 indicators"
    for column in ("label_es", "label_en", "source", "provenance"):
        if not cells[column]:
            yield "empty", column, f"falta el valor de «{column}»", f"'{column}' is empty"


def _sign_problems(dimension: str, sign: str) -> Iterator[tuple[str, str, str, str]]:
    allowed = SIGNS if dimension in RULES and set(SIGNS) & set(RULES[dimension].kinds) else ("",)
    if sign not in allowed:
        listed = " / ".join(allowed) or "-"
        es = f"en «{dimension}» la columna «sign» lleva {listed}, no «{sign}»"
        yield "bad_sign", "sign", es, f"in '{dimension}' the column 'sign' holds {listed}, not '{sign}'"
