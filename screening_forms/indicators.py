"""Indicator sets: named, versioned tables of indicators, and the rule that turns their tallies into dimensions.

The compiler and the scoring call this; it never reads a form or an answer file. An indicator's strength belongs to
(profile, dimension, indicator): confiscation of documents is medium at recruitment and strong at destination.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from screening_forms.errors import FormError
from screening_forms.tables import Kind

PROFILES = ("adult_labour", "child_labour", "adult_sexual", "child_sexual")
DIMENSIONS = ("D1", "D2", "D3", "D4", "D5", "D6")
BRIGHT_LINES = "X"  # bright lines for children stand beside the dimensions: they have no strength and no tally
TIERS = {"strong": "S", "medium": "M", "weak": "W"}
STRENGTHS = frozenset("SMW-")

# The 11 forced-labour indicators (ILO, 2012), so that one answer feeds both languages of reporting.
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

TABLE = Kind(
    "indicator_set",
    "el conjunto de indicadores",
    "indicator set",
    ("code", "dimension", "label_es", "label_en", *PROFILES, "forced_labour", "source", "provenance"),
)
CODE = re.compile(r"(D[1-6]|X)\.\d\d")


@dataclass(frozen=True)
class Indicator:
    """One row: `strengths` maps each profile to S, M, W or - (not in that profile's list)."""

    code: str
    dimension: str
    label_es: str
    label_en: str
    strengths: Mapping[str, str]
    forced_labour: tuple[str, ...]
    source: str
    provenance: str


@dataclass(frozen=True)
class Tally:
    """How many indicators of each strength were found in one dimension."""

    strong: int = 0
    medium: int = 0
    weak: int = 0

    @property
    def positive(self) -> bool:
        """The dimension rule on this tally."""
        return dimension_positive(self.strong, self.medium, self.weak)


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
class IndicatorSet:
    """All indicators of one named set, by code, in the order of its table."""

    name: str
    indicators: Mapping[str, Indicator]

    def strength(self, code: str, profile: str) -> str:
        """S, M, W or - ; raises KeyError on a code or a profile that the set does not have."""
        return self.indicators[code].strengths[profile]

    def members(self, profile: str, dimension: str, tier: str) -> tuple[str, ...]:
        """The codes of one cell; `tier` is strong, medium or weak. Empty where the dimension has no such tier."""
        wanted = (dimension, TIERS[tier])
        return tuple(c for c, i in self.indicators.items() if (i.dimension, i.strengths[profile]) == wanted)

    def strong(self, profile: str) -> tuple[str, ...]:
        """Every strong code of a profile: what a policy calls `any_strong`."""
        return tuple(c for c, i in self.indicators.items() if i.strengths[profile] == "S")

    def used(self, profile: str) -> tuple[str, ...]:
        """The codes that can count in a profile: its list, and the bright lines."""
        return tuple(
            c for c, i in self.indicators.items() if i.dimension == BRIGHT_LINES or i.strengths[profile] != "-"
        )

    def as_dict(self) -> dict[str, Any]:
        """The set as JSON values, for the bundle."""
        return {
            "name": self.name,
            "indicators": [{**asdict(i), "forced_labour": list(i.forced_labour)} for i in self.indicators.values()],
        }


def from_dict(content: Mapping[str, Any]) -> IndicatorSet:
    """The set that `as_dict` wrote."""
    rows = [Indicator(**{**row, "forced_labour": tuple(row["forced_labour"])}) for row in content["indicators"]]
    return IndicatorSet(content["name"], {row.code: row for row in rows})


def dimension_positive(strong: int, medium: int, weak: int) -> bool:
    """Two strong; one strong and another; three medium; two medium and one weak (ILO/EC 2009, WCMS_105023)."""
    return strong >= 2 or (strong >= 1 and medium + weak >= 1) or medium >= 3 or (medium >= 2 and weak >= 1)


def tallies(found: Iterable[str], indicator_set: IndicatorSet, profile: str) -> dict[str, Tally]:
    """Count the codes found, per dimension; a code that the profile's list does not have counts nowhere."""
    seen = frozenset(found)
    return {
        dimension: Tally(
            **{tier: len(seen.intersection(indicator_set.members(profile, dimension, tier))) for tier in TIERS}
        )
        for dimension in DIMENSIONS
    }


def bounds(
    fired: Iterable[str], unknown: Iterable[str], indicator_set: IndicatorSet, profile: str
) -> dict[str, Bounds]:
    """Count per dimension without and with the codes that are not known."""
    certain = frozenset(fired)
    low = tallies(certain, indicator_set, profile)
    high = tallies(certain.union(unknown), indicator_set, profile)
    return {dimension: Bounds(low[dimension], high[dimension]) for dimension in DIMENSIONS}


def parse(name: str, text: str) -> IndicatorSet:
    """Read a set from the text of its CSV table; raises FormError with every problem at once."""
    rows = TABLE.rows(name, text)
    problems = [TABLE.problem(what, name, n, *place) for n, cells in rows for what, *place in _row_problems(cells)]
    codes = [cells["code"] for _, cells in rows]
    for at, (number, cells) in enumerate(rows):
        if (code := cells["code"]) in codes[:at]:
            es, en = f"el código «{code}» está repetido", f"the code '{code}' appears twice"
            problems.append(TABLE.problem("duplicate_code", name, number, "code", es, en))
    if problems:
        raise FormError(problems)
    return IndicatorSet(name, {cells["code"]: _indicator(cells) for _, cells in rows})


def _indicator(cells: Mapping[str, str]) -> Indicator:
    return Indicator(
        code=cells["code"],
        dimension=cells["dimension"],
        label_es=cells["label_es"],
        label_en=cells["label_en"],
        strengths={profile: cells[profile] for profile in PROFILES},
        forced_labour=tuple(cells["forced_labour"].split()),
        source=cells["source"],
        provenance=cells["provenance"],
    )


def _row_problems(cells: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is wrong with one row: kind of problem, column, Spanish and English advice."""
    code, dimension = cells["code"], cells["dimension"]
    if not CODE.fullmatch(code):
        yield "bad_code", "code", f"«{code}» no es un código como D1.01 o X.01", f"'{code}' is no code such as D1.01"
    elif code.split(".")[0] != dimension:
        es, en = f"«{code}» no es de la dimensión «{dimension}»", f"'{code}' is not of dimension '{dimension}'"
        yield "bad_dimension", "dimension", es, en
    for profile in PROFILES:
        if cells[profile] not in STRENGTHS or (dimension == BRIGHT_LINES and cells[profile] != "-"):
            es = f"la fuerza es S, M, W o - (X: solo -), no «{cells[profile]}»"
            yield "bad_strength", profile, es, f"a strength is S, M, W or - (X: only -), not '{cells[profile]}'"
    for mapped in cells["forced_labour"].split() or [""]:
        if mapped not in FORCED_LABOUR:
            es = f"«{mapped}» no es uno de los 11 indicadores de la OIT"
            yield "bad_forced_labour", "forced_labour", es, f"'{mapped}' is not one of the ILO's 11 indicators"
    for column in ("label_es", "label_en", "source", "provenance"):
        if not cells[column]:
            yield "empty", column, f"falta el valor de «{column}»", f"'{column}' is empty"
