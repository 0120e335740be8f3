"""Tests of the tables of one period together: what the forms force between two facts gives no hidden count back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from itertools import product
from random import Random

import pytest

from screening_forms.engine.evaluator import load_engine
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from server.flows.operations.joint_tables import TIES, protect_tables
from server.flows.operations.suppression import COMPLETE_FACTS, Figures, Mark, suppress_table
from server.store.statistics import UNSTATED, VALUES
from support.exhaustion import assert_counts_stay_open, every_table
from support.forms import compiled
from sync.tablet.screening_route import build_route

FORMS = ("pe_laboral_adulto", "pe_sexual_adulto", "pe_trabajo_forzoso", "pe_nna", "pe_sitio")
Person = Mapping[str, str | None]

ADULT: Person = {
    "outcome": "positive",
    "region": "17",
    "sex": "male",
    "age_band": "30_59",
    "sector": "gold_mining",
    "lang": "es",
}
FREE: Person = {**ADULT, "outcome": "negative"}
VISIT: Person = {**ADULT, "outcome": "review", "sex": None, "age_band": None, "lang": None}
DECLINED: Person = {**ADULT, "outcome": "not_scored", "sex": None, "sector": None, "lang": None}
CHILD: Person = {**ADULT, "age_band": "14_17", "sector": None}


def protected(*groups: tuple[Person, int]) -> dict[str, Figures]:
    """Return the figures of a period with groups of equal people."""
    counts = {fact: dict.fromkeys(values, 0) for fact, values in VALUES.items()}
    for person, many in groups:
        for fact in VALUES:
            counts[fact][person[fact] or UNSTATED] += many
    figures = protect_tables(counts)
    assert figures is not None
    return figures


def is_withheld(table: Figures) -> bool:
    return set(table.values()) == {Mark.HIDDEN}


# The ties are those of the forms.


def kinds_in_interviews(form_id: str) -> Iterator[Person]:
    """Yield the facts of synthetic interviews, with some optional questions of the route left blank."""
    form, draws = compiled(form_id, "training"), Random(7)
    engine = load_engine(form.xform)
    for answers in InterviewGenerator(engine).generate(200, seed=1):
        blank = {form.route[fact] for fact in ("sex", "sector", "lang") if fact in form.route and draws.random() < 0.4}
        given = {name: answer for name, answer in answers.items() if name not in blank}
        filled = engine.run(engine.drop_invalid(given).answers)
        if not filled.missing:
            route = build_route(form, "0" * 64, filled, date(2026, 11, 1))
            yield {**vars(route), "region": (route.province or "")[:2] or None}


def kind_of(person: Person) -> tuple[tuple[bool, ...], ...]:
    """Return, for each fact, in which ties the person's value is."""
    return tuple(tuple((person[fact] or UNSTATED) in tie.get(fact, ()) for tie in TIES) for fact in VALUES)


def test_the_forms_force_exactly_the_ties_that_the_server_knows() -> None:
    found = [person for form in FORMS for person in kinds_in_interviews(form)]
    for person in found:
        tied = [sum((person[fact] or UNSTATED) in values for fact, values in tie.items()) for tie in TIES]
        assert max(tied) <= 1, person
        assert person["outcome"] is not None, "a reader knows that each screening has an outcome"
        assert person["region"] is not None, "a reader knows that each screening has a place"
    allowed = set()
    for values in product(*(VALUES[fact] for fact in VALUES if fact != "region")):
        person = dict(zip((fact for fact in VALUES if fact != "region"), values, strict=True)) | {"region": "17"}
        if all(sum(person[fact] in values for fact, values in tie.items()) <= 1 for tie in TIES):
            allowed.add(kind_of(person) if person["outcome"] != UNSTATED else kind_of({**person, "outcome": "review"}))
    assert Counter(map(kind_of, found)).keys() == allowed, "each kind of person that no tie excludes does occur"


# Exhaustion: each possible month of a small size.

SMALL_VALUES = {
    "outcome": ("negative", "review", "not_scored"),
    "age_band": ("14_17", "30_59", UNSTATED),
    "sex": ("female", "male", UNSTATED),
    "sector": ("gold_mining", "other", UNSTATED),
}


def obeys_the_forms(month: Mapping[str, Mapping[str, int]]) -> bool:
    """Say in words of people, not of `TIES`, whether there can be such a month."""
    children, visits = month["age_band"]["14_17"], month["age_band"][UNSTATED]
    declined = month["outcome"]["not_scored"]
    return (
        children <= month["outcome"]["review"]
        and declined <= month["age_band"]["30_59"]
        and ("sector" not in month or children + declined <= month["sector"][UNSTATED])
        and ("sex" not in month or visits + declined <= month["sex"][UNSTATED])
    )


def list_months(facts: tuple[str, ...], total: int) -> Iterator[dict[str, dict[str, int]]]:
    tables = [every_table(SMALL_VALUES[fact], total) for fact in facts]
    months = (dict(zip(facts, chosen, strict=True)) for chosen in product(*map(list, tables)))
    return filter(obeys_the_forms, months)


@pytest.mark.parametrize("person_fact", ["sex", "sector"])
@pytest.mark.parametrize(("smallest", "total"), [(2, 7), (2, 8), (3, 10)])
def test_no_reader_of_all_tables_narrows_a_hidden_count(person_fact: str, smallest: int, total: int) -> None:
    seen: dict[str, dict[tuple[str, str], set[int]]] = defaultdict(lambda: defaultdict(set))
    releases: dict[str, dict[str, Figures]] = {}
    protect, suppress = lru_cache(None)(protect_rows), lru_cache(None)(suppress_rows)
    for month in list_months(("outcome", "age_band", person_fact), total):
        rows = tuple((fact, tuple(table.items())) for fact, table in month.items())
        # Months with the same single tables have the same publication: `protect_tables` reads figures alone.
        key = str([suppress(fact, table, smallest) for fact, table in rows])
        if key not in releases:
            releases[key] = protect(rows, smallest)
        for fact, table in month.items():
            for value, count in table.items():
                seen[str(releases[key])][fact, value].add(count)
    published = {str(figures): figures for figures in releases.values() if figures}
    assert len({is_withheld(figures["age_band"]) for figures in published.values()}) == 2, "some are, some are not"
    for name, figures in published.items():
        for fact, table in figures.items():
            possible = {value: seen[name][fact, value] for value in table}
            known = (UNSTATED,) if fact in COMPLETE_FACTS else ()
            assert_counts_stay_open(table, possible, smallest=smallest, known=known)


Rows = tuple[tuple[str, int], ...]


def suppress_rows(fact: str, rows: Rows, smallest: int) -> Figures | None:
    return suppress_table(fact, {UNSTATED: 0, **dict(rows)}, smallest=smallest)


def protect_rows(month: tuple[tuple[str, Rows], ...], smallest: int) -> dict[str, Figures]:
    """Return the publication of a month; empty if it waits for more months."""
    return protect_tables({fact: {UNSTATED: 0, **dict(rows)} for fact, rows in month}, smallest=smallest) or {}


# Months in which one table gave another one's small count back.


@pytest.mark.parametrize(
    "groups",
    [
        [(DECLINED, 20), (CHILD, 1), (ADULT, 40), (FREE, 30)],
        [(DECLINED, 20), ({**ADULT, "sector": None}, 60), ({**FREE, "sex": "female"}, 40)],
        [(CHILD, 45), ({**ADULT, "outcome": "review"}, 5), (FREE, 150)],
        [({**CHILD, "age_band": "under_14"}, 30), (DECLINED, 4), (ADULT, 50), (FREE, 50)],
    ],
    ids=["one child", "refused", "outcomes", "sector"],
)
def test_tables_of_persons_are_withheld_where_another_table_tells(groups: list[tuple[Person, int]]) -> None:
    figures = protected(*groups)
    assert {fact for fact, table in figures.items() if is_withheld(table)} == {"sex", "age_band", "sector", "lang"}
    assert not is_withheld(figures["outcome"])


def test_visits_that_leave_room_in_the_age_table_withhold_nothing() -> None:
    figures = protected((VISIT, 50), (DECLINED, 2), (ADULT, 40), (FREE, 30))
    assert figures["sex"]["male"] == 70
    assert {table[UNSTATED] for table in figures.values()} == {Mark.HIDDEN}, "52 and 50 left 2 at most"


def test_a_month_with_room_for_doubt_has_all_its_tables() -> None:
    quechua = {**ADULT, "lang": "quz", "outcome": "review", "sex": "female", "sector": "domestic"}
    odd = {**ADULT, "sex": "other", "sector": "kiln", "age_band": "60_plus", "outcome": "labour_rights"}
    mixed = [(odd, 6), ({**CHILD, "age_band": "under_14"}, 6), ({**ADULT, "sector": "fishing"}, 8), (CHILD, 14)]
    figures = protected((ADULT, 60), (FREE, 40), (quechua, 30), (VISIT, 20), (DECLINED, 12), *mixed)
    assert not any(map(is_withheld, figures.values()))
    assert (figures["age_band"]["14_17"], figures["sex"]["female"], figures["lang"]["quz"]) == (14, 30, 30)


def test_the_tables_of_persons_are_published_all_together_or_not_at_all() -> None:
    alike = protected((ADULT, 60), (FREE, 60))
    withheld = {fact: is_withheld(table) for fact, table in alike.items()}
    assert withheld == {fact: fact not in COMPLETE_FACTS for fact in VALUES}, "no row of a person shows a number"
    women = protected((ADULT, 60), ({**FREE, "sex": "female"}, 60))
    assert women["sex"]["female"] == 60
    assert women["lang"]["es"] is Mark.HIDDEN
