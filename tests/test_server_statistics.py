"""Tests of the published statistics: all tables of all periods together give no person away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import FOUNDED
from server.app import staff_api
from server.backup import backup_key
from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.operations import restore, statistics
from server.flows.operations.suppression import COMPLETE_FACTS, hiding_order
from server.store import statistics as store
from server.store.statistics import UNSTATED, VALUES, ScreeningFacts, month_after, month_of
from support.backups import back_up_field, lose_database
from support.intake import ROUTE, Field
from support.table_adversary import list_possible_counts
from sync.durations import DAY
from sync.envelope.route import Route
from test_server_staff_api import Client, code

LATER = FOUNDED + 40 * DAY
MONTH = 31 * DAY
Person = Mapping[str, str | None]
Listed = list[dict[str, Any]]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(SqliteDatabase(tmp_path / "chaski.db", create=True)) as opened:
        yield opened


def count(db: Database, people: list[Person], *, at: int = FOUNDED, mode: str = "field") -> None:
    with db.write() as w:
        taken = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")
        store.count_screenings(w, [ScreeningFacts(mode, person, taken) for person in people], at=at)


def listed(db: Database, *, mode: str = "field", now: int = LATER) -> Listed:
    """Return the published tables, as the staff API writes them."""
    found = statistics.list_tables(db, mode=mode, now=now)
    return [{"period": t.period, "table": t.fact, "total": t.total, "counts": dict(t.figures)} for t in found]


def table(tables: Listed, fact: str) -> dict[str, str]:
    [found] = [each["counts"] for each in tables if each["table"] == fact]
    return dict(found)


def rows(tables: Listed) -> list[tuple[str, str, str]]:
    return [(each["period"], each["table"], value) for each in tables for value in each["counts"]]


# No hidden cell is narrower than 0 to 10, whatever people there are.


def assert_safe(tables: Listed) -> None:
    """Add and subtract all tables of all periods: no hidden cell is narrower than 0 to 10."""
    bounds = list_possible_counts(tables)
    for each in tables:
        for value, figure in each["counts"].items():
            cell = (each["period"], each["table"], value)
            if figure == "< 11":
                assert (bounds.least[cell], bounds.most[cell]) == (0, 10), cell
            elif figure != "hidden":
                assert int(figure) >= 11, cell
            elif value != UNSTATED or each["table"] not in COMPLETE_FACTS:
                assert bounds.width(cell) >= 10, cell


ADULT: Person = {
    "outcome": "negative",
    "region": "17",
    "sex": "male",
    "age_band": "30_59",
    "sector": "gold_mining",
    "lang": "es",
}
YOUNG: Person = {**ADULT, "age_band": "18_29"}
VISIT: Person = {**ADULT, "outcome": "review", "sex": None, "age_band": None, "lang": None}
DECLINED: Person = {**ADULT, "outcome": "not_scored", "sex": None, "sector": None, "lang": None}
CHILD: Person = {**ADULT, "outcome": "positive", "age_band": "14_17", "sector": None}
CHILD_BANDS = ("under_14", "14_17", "in_doubt")


def anyone(**known: str | None) -> st.SearchStrategy[Person]:
    """Draw a person as the five forms record one: a child, an adult, an adult who declined, or a visit to a place."""
    facts: dict[str, st.SearchStrategy[str | None]] = {
        fact: st.sampled_from([None if value == UNSTATED else value for value in values])
        for fact, values in VALUES.items()
    }
    facts |= {fact: facts[fact].filter(bool) for fact in ("outcome", "region")}
    facts |= {fact: st.just(value) for fact, value in known.items()}
    return st.fixed_dictionaries(facts).map(_as_the_forms_have_it)


def _as_the_forms_have_it(drawn: Person) -> Person:
    person = dict(drawn)
    if person["age_band"] is None:
        person |= {"sex": None, "lang": None, "outcome": person["outcome"].replace("not_scored", "review")}
    elif person["age_band"] in CHILD_BANDS:
        person |= {"sector": None, "outcome": "positive" if person["outcome"] == "positive" else "review"}
    elif person["outcome"] == "not_scored":
        person |= {"sex": None, "sector": None, "lang": None}
    return person


@st.composite
def months(draw: st.DrawFn) -> list[list[Person]]:
    """Draw one to four months of groups of equal people, with sizes at the borders that matter."""
    sizes = st.sampled_from([0, 1, 2, 9, 10, 11, 12, 21, 22, 33, 76, 77, 200])
    kinds = [anyone(), anyone(region="17"), st.sampled_from([ADULT, VISIT, DECLINED, CHILD]), anyone(age_band=None)]
    groups = st.lists(st.tuples(st.one_of(kinds), sizes), max_size=8)
    drawn = draw(st.lists(groups, min_size=1, max_size=4))
    return [[person for person, size in month for _ in range(size)] for month in drawn]


@settings(max_examples=150)
@given(months())
def test_all_tables_of_all_periods_together_narrow_no_hidden_count(tmp_path_factory: Any, drawn: Any) -> None:
    with closing(SqliteDatabase(tmp_path_factory.mktemp("months") / "chaski.db", create=True)) as db:
        for number, people in enumerate(drawn):
            count(db, people, at=FOUNDED + number * MONTH)
            listed(db, now=FOUNDED + number * MONTH)  # A job looks again and again; periods close one by one.
        tables = listed(db, now=FOUNDED + len(drawn) * MONTH + 20 * DAY)
    assert_safe(tables)
    periods = {each["period"] for each in tables}
    assert len(tables) == len(periods) * len(VALUES)
    for fact, values in VALUES.items():
        assert all(list(each["counts"]) == list(values) for each in tables if each["table"] == fact)
    shown = sum(each["total"] for each in tables if each["table"] == "sex")
    assert sum(map(len, drawn)) - shown < 286, "at most one small remainder waits"


@pytest.mark.parametrize(
    "people",
    [
        [ADULT] * 199 + [{**ADULT, "region": "21"}],
        [ADULT] * 500,
        [VISIT] * 99 + [ADULT],
        [VISIT] * 50 + [DECLINED] * 2 + [{**ADULT, "outcome": "positive"}] * 40 + [ADULT] * 30,
        [DECLINED] * 20 + [{**CHILD, "age_band": "under_14"}] + [ADULT] * 70,
        [VISIT] * 30 + [CHILD] * 30 + [DECLINED] * 30 + [ADULT] * 60,
        [ADULT] * 90 + [{**ADULT, "sex": "female"}] * 10,
        [ADULT] * 90 + [{**ADULT, "sex": "female"}] * 11,
        [ADULT] * 66 + [{**ADULT, "sector": None}] * 11 + [{**ADULT, "lang": None}] * 3,
        [{**ADULT, "region": f"{number % 25 + 1:02d}"} for number in range(286)],
    ],
    ids=[
        "one elsewhere",
        "all alike",
        "one answer",
        "visits",
        "one child",
        "mixed",
        "ten women",
        "eleven women",
        "unstated",
        "all regions",
    ],
)
def test_nasty_months_narrow_no_hidden_count(db: Database, people: list[Person]) -> None:
    count(db, people)
    tables = listed(db)
    assert len(tables) == len(VALUES)
    assert_safe(tables)


def test_the_adversary_finds_a_count_that_a_total_gives_back() -> None:
    tables = [
        {"period": "p", "table": "sex", "total": 100, "counts": {"female": "90", "male": "< 11"}},
        {"period": "p", "table": "lang", "total": 100, "counts": {"es": "hidden", "quz": "88", "ayr": "< 11"}},
    ]
    bounds = list_possible_counts(tables)
    assert (bounds.least["p", "sex", "male"], bounds.width(("p", "sex", "male"))) == (10, 0)
    assert bounds.most["p", "lang", "ayr"] == 1


def test_the_adversary_subtracts_one_fact_from_another() -> None:
    few = {"positive": "hidden", "negative": "hidden", "not_scored": "< 11", "unstated": "hidden"}
    tables = [
        {"period": "p", "table": "outcome", "total": 122, "counts": few},
        {"period": "p", "table": "age_band", "total": 122, "counts": {"30_59": "72", "unstated": "hidden"}},
        {"period": "p", "table": "sex", "total": 122, "counts": {"male": "70", "unstated": "hidden"}},
    ]
    bounds = list_possible_counts(tables)
    assert bounds.most["p", "outcome", "not_scored"] == 2
    solved = dict.fromkeys(VALUES["region"], "hidden")
    bounds = list_possible_counts([{"period": "p", "table": "region", "total": 77, "counts": solved}])
    assert bounds.most["p", "region", UNSTATED] == 0


def test_a_table_without_cover_waits_for_the_next_month(db: Database) -> None:
    for number, regions in enumerate((7, 1)):
        for region in range(1, regions + 1):
            count(db, [{**ADULT, "region": f"{region:02d}"}] * 11, at=FOUNDED + number * MONTH)
    assert listed(db) == [], "eleven in each of seven regions would be known from the total of 77"
    tables = listed(db, now=FOUNDED + 3 * MONTH)
    assert {(each["period"], each["total"]) for each in tables} == {("2026-11/2026-12", 88)}
    assert {"< 11"} < set(table(tables, "region").values())
    assert_safe(tables)


@pytest.mark.parametrize("number", [7, 8, 20, 25])
def test_no_total_is_published_with_a_region_table_that_it_solves(db: Database, number: int) -> None:
    count(db, [{**ADULT, "region": f"{region:02d}"} for region in range(1, number + 1) for _ in range(11)])
    assert listed(db) == []


def test_a_months_only_woman_and_any_other_person_leave_the_same_rows(db: Database, tmp_path: Path) -> None:
    lone = [{**ADULT, fact: value} for fact, values in VALUES.items() for value in values]
    found = []
    for number, person in enumerate(lone):
        with closing(SqliteDatabase(tmp_path / f"{number}.db", create=True)) as other:
            count(other, [*[ADULT] * 120, person])
            found.append(rows(listed(other)))
    assert all(each == found[0] for each in found)
    assert len(found[0]) == sum(map(len, VALUES.values()))


@given(data=st.data())
@settings(max_examples=30)
def test_one_persons_values_never_change_which_rows_exist(tmp_path_factory: Any, data: st.DataObject) -> None:
    others = data.draw(st.lists(anyone(), min_size=1, max_size=20)) * data.draw(st.sampled_from([1, 4, 11]))
    folder, found = tmp_path_factory.mktemp("swapped"), []
    for name in ("one", "other"):
        with closing(SqliteDatabase(folder / f"{name}.db", create=True)) as db:
            count(db, [*others, data.draw(anyone())])
            found.append(rows(listed(db)))
    assert found[0] == found[1]


# What is in a table.


def test_a_table_has_every_region_and_every_code_that_a_route_can_carry(db: Database) -> None:
    count(db, [ADULT] * 100)
    tables = listed(db)
    assert list(table(tables, "region")) == [*(f"{number:02d}" for number in range(1, 26)), UNSTATED]
    assert {"gold_mining", "other", UNSTATED} <= table(tables, "sector").keys()
    assert [each["table"] for each in tables] == ["outcome", "region", "sex", "age_band", "sector", "lang"]


def test_women_ten_or_none_look_alike_and_eleven_are_shown(db: Database) -> None:
    women = {**ADULT, "sex": "female"}
    for number, many in enumerate((0, 10, 11)):
        count(db, [ADULT] * 60 + [YOUNG] * 40 + [women] * many, at=FOUNDED + number * MONTH)
    shown = [each["counts"] for each in listed(db, now=FOUNDED + 4 * MONTH) if each["table"] == "sex"]
    assert [each["female"] for each in shown] == ["< 11", "< 11", "11"]
    assert [each["male"] for each in shown] == ["hidden"] * 3


def test_a_place_or_code_outside_the_list_counts_as_unstated(db: Database) -> None:
    count(db, [{**ADULT, "region": "99", "sector": "unheard_of"}] * 30 + [ADULT] * 70)
    tables = listed(db)
    assert (table(tables, "region")[UNSTATED], table(tables, "sector")[UNSTATED]) == ("hidden", "hidden")
    assert (table(tables, "region")["17"], table(tables, "sector")["gold_mining"]) == ("70", "70")


def test_training_is_never_mixed_with_the_field(db: Database) -> None:
    count(db, [ADULT] * 50 + [YOUNG] * 30)
    count(db, [{**ADULT, "sex": "female"}] * 50 + [{**YOUNG, "sex": "female"}] * 40, mode="training")
    assert (table(listed(db), "sex")["female"], listed(db)[0]["total"]) == ("< 11", 80)
    training = listed(db, mode="training")
    assert (table(training, "sex")["male"], training[0]["total"]) == ("< 11", 90)
    assert {each["total"] for each in training} == {90}


# Periods.


def test_a_month_is_published_a_day_after_its_end(db: Database) -> None:
    count(db, [ADULT] * 100)
    ends = next(day for day in range(60) if month_of(FOUNDED + day * DAY) > month_of(FOUNDED))
    assert listed(db, now=FOUNDED + ends * DAY) == [], "a batch may still be under way"
    assert listed(db, now=FOUNDED + (ends + 1) * DAY)[0]["period"] == "2026-11"


def test_small_months_are_merged_and_the_merged_period_never_changes(db: Database) -> None:
    for number, many in enumerate((30, 46, 1, 200, 5)):
        count(db, [ADULT] * many, at=FOUNDED + number * MONTH)
    assert listed(db, now=FOUNDED + 2 * MONTH) == [], "76 are too few"
    first = listed(db, now=FOUNDED + 3 * MONTH)
    assert {(each["period"], each["total"]) for each in first} == {("2026-11/2027-01", 77)}
    count(db, [{**ADULT, "sex": "female"}] * 40, at=FOUNDED)  # The clock was set back.
    second = listed(db, now=FOUNDED + 9 * MONTH)
    assert second[: len(first)] == first
    assert {(each["period"], each["total"]) for each in second[len(first) :]} == {("2027-02", 240)}


def test_an_empty_first_month_is_not_told_from_a_small_one(world_db: Database) -> None:
    count(world_db, [ADULT] * 100, at=FOUNDED + 2 * MONTH)
    assert listed(world_db, now=FOUNDED + 4 * MONTH)[0]["period"] == "2026-11/2027-01"


def test_exact_counts_are_deleted_when_their_period_is_published(db: Database) -> None:
    count(db, [*[ADULT] * 100, {**ADULT, "sex": "other"}])
    count(db, [ADULT], at=FOUNDED + MONTH)
    listed(db)
    left = {(item["month"], item["count"]) for item in db.read().rows("select * from statistics_cells")}
    assert left == {("2026-12", 1)}
    with pytest.raises(Exception, match="never changed"), db.write() as w:
        w.execute("update statistics_figures set figure = '12'")
    with pytest.raises(Exception, match="never removed"), db.write() as w:
        w.execute("delete from statistics_periods")
    with pytest.raises(Exception, match="CHECK"), db.write() as w:
        w.execute("insert into statistics_figures values ('field', '2026-11', 'sex', 'x', '10')")


def test_months_follow_each_other_over_the_turn_of_the_year() -> None:
    assert [month_after("2026-11", step) for step in (1, 2, 14, -11)] == ["2026-12", "2027-01", "2028-01", "2025-12"]


def test_a_restore_closes_months_that_the_lost_server_may_have_published(db: Database) -> None:
    count(db, [ADULT] * 100)
    count(db, [ADULT] * 90, at=FOUNDED + MONTH)
    with db.write() as w:
        statistics.settle_after_restore(w, copied=FOUNDED + MONTH, now=FOUNDED + 2 * MONTH)
    assert {each["period"] for each in listed(db, now=FOUNDED + 2 * MONTH)} == {"2026-11"}, "as the lost server did"
    count(db, [ADULT] * 80, at=FOUNDED + 2 * MONTH)
    periods = {each["period"]: each["total"] for each in listed(db, now=FOUNDED + 4 * MONTH)}
    assert periods == {"2026-11": 100, "2027-01": 80}, "December as copied differs from December as published"


def test_a_restore_within_the_month_loses_no_count(db: Database) -> None:
    count(db, [ADULT] * 50)
    with db.write() as w:
        statistics.settle_after_restore(w, copied=FOUNDED, now=FOUNDED + DAY)
    count(db, [ADULT] * 50, at=FOUNDED + 2 * DAY)
    assert {(each["period"], each["total"]) for each in listed(db)} == {("2026-11", 100)}


def test_a_restored_server_publishes_no_month_a_second_time(field: Field, identity: Path, backup_folder: Path) -> None:
    screenings(field, 90, sex="female")
    file = back_up_field(field, identity, backup_folder)
    screenings(field, 5, sex="male")
    assert listed(field.services.db)[0]["total"] == 95, "published, then lost"
    field.services.db.close()
    lose_database(field.world.data)
    unlocked = backup_key.load_key(identity, str)
    restore.restore_backup(field.world.config, file, unlocked, now=LATER, progress=lambda step: None)
    with closing(SqliteDatabase(field.world.config.database)) as db:
        count(db, [ADULT] * 80, at=LATER)
        assert {(each["period"], each["total"]) for each in listed(db, now=LATER + MONTH)} == {("2026-12", 80)}


@pytest.fixture
def restored(field: Field, identity: Path, backup_folder: Path) -> Iterator[tuple[Field, list[bytes]]]:
    """A server that published 96 screenings in November, was lost, and is restored in December without them."""
    tablet = field.tablet()
    file = back_up_field(field, identity, backup_folder)
    sent = [field.envelope(tablet, replace(ROUTE, sex=("female", "male")[each % 2])) for each in range(96)]
    field.push(tablet, *sent)
    assert listed(field.services.db)[0]["total"] == 96, "published, then lost"
    field.services.db.close()
    lose_database(field.world.data)
    unlocked = backup_key.load_key(identity, str)
    restore.restore_backup(field.world.config, file, unlocked, now=LATER, progress=lambda step: None)
    with closing(SqliteDatabase(field.world.config.database)) as db:
        field.services, field.now = replace(field.services, db=db), LATER + DAY
        field.push(tablet, *sent)  # SPEC 11.3 rule 4
        yield field, sent


def test_people_whom_the_lost_server_published_are_not_published_again(restored: tuple[Field, list[bytes]]) -> None:
    field, sent = restored
    stored = field.services.db.read().row("select count(*) as many from envelopes")
    assert stored == {"many": len(sent)}, "they are stored and routed as ever"
    for taken in (None, "2026-11-30", "2026-12-02", "2027-03-01"):
        screenings(field, 30, sex="female", taken=taken)
    tables = listed(field.services.db, now=LATER + 2 * MONTH)
    assert tables == [], "a day that a wrong clock may have written, or none, does not tell that a person is new"
    screenings(field, 80, sex="male", taken="2026-12-28")
    tables = listed(field.services.db, now=LATER + 2 * MONTH)
    assert {(each["period"], each["total"]) for each in tables} == {("2026-12", 80)}


def test_a_quarantined_screening_of_a_lost_month_is_not_counted_at_its_release(
    restored: tuple[Field, list[bytes]],
) -> None:
    field, _ = restored
    with field.services.db.write() as w:
        released = store.screening_facts(replace(ROUTE, taken="2026-11-20"))
        store.count_screenings(w, released * 100, at=LATER + 5 * DAY)
    assert field.services.db.read().rows("select * from statistics_cells") == []


def test_a_second_restore_never_counts_earlier_screenings_than_the_first(db: Database) -> None:
    with db.write() as w:
        store.count_only_from(w, LATER)
        store.count_only_from(w, FOUNDED)
    count(db, [ADULT] * 100, at=LATER - DAY)
    assert db.read().rows("select * from statistics_cells") == []


def test_an_older_releases_backup_counts_no_screening_taken_before_its_restore(db: Database) -> None:
    with db.write() as w:  # As the upgrade closes the month of the backup.
        store.put_period(w, store.Period("field", "2026-11", "2026-11", None), {}, at=FOUNDED)
        statistics.settle_after_restore(w, copied=FOUNDED, now=FOUNDED + 5 * DAY)
    count(db, [ADULT] * 100, at=FOUNDED + 4 * DAY)
    assert listed(db, now=FOUNDED + 4 * MONTH) == []
    count(db, [ADULT] * 80, at=FOUNDED + 8 * DAY)
    periods = {(each["period"], each["total"]) for each in listed(db, now=FOUNDED + 4 * MONTH)}
    assert periods == {("2026-12", 80)}


def test_a_restore_within_the_month_counts_what_tablets_send_again(db: Database) -> None:
    count(db, [ADULT] * 10)
    with db.write() as w:
        statistics.settle_after_restore(w, copied=FOUNDED, now=FOUNDED + DAY)
    count(db, [ADULT] * 90)
    assert listed(db)[0]["total"] == 100, "the lost server had not published this month"


# Through the server.


def screenings(field: Field, many: int, **changes: Any) -> None:
    tablet = field.tablet()
    raws = [field.envelope(tablet, replace(ROUTE, **changes)) for _ in range(many)]
    assert {item.outcome for item in field.push(tablet, *raws)} == {"stored"}


def staff(field: Field, login: str, now: int = LATER) -> Client:
    """Sign in at a time; the server's clock shows it."""
    services = replace(field.services, now=lambda: now)
    return Client(staff_api(services).test_client(), field.world, login)


def test_screenings_that_arrive_are_in_the_tables_of_the_administrator(field: Field) -> None:
    screenings(field, 50, sex="female")
    screenings(field, 30, sex="male", province="2101", lang="quz")
    tables: Any = staff(field, "publicacion").get("/v1/statistics").json
    assert {(each["period"], each["total"]) for each in tables} == {("2026-11", 80)}
    assert table(tables, "sex") == {
        "female": "50",
        "male": "hidden",
        **dict.fromkeys(("no_answer", "other"), "< 11"),
        UNSTATED: "hidden",
    }
    assert table(tables, "region")["21"] == "30"
    assert_safe(tables)
    stays: Any = staff(field, "publicacion", LATER + 90 * DAY).get("/v1/statistics").json
    assert stays == tables


@pytest.mark.parametrize("login", ["proteccion-17", "nacional", "autora", "revisor", "registro"])
def test_only_an_administrator_reads_statistics(field: Field, login: str) -> None:
    refused = staff(field, login)
    for mode in ("field", "training"):
        assert code(refused.get("/v1/statistics", mode=mode)) == (403, "role.missing")


def test_the_widest_route_is_counted_in_every_fact(db: Database) -> None:
    route = Route(outcome="positive", province="1701", sex="female", age_band="18_29", sector="other", lang="ayr")
    with db.write() as w:
        store.count_screenings(w, store.screening_facts(route), at=FOUNDED)
    found = {item["dimension"]: item["value"] for item in db.read().rows("select * from statistics_cells")}
    assert found.keys() == VALUES.keys()
    assert UNSTATED not in found.values()


@pytest.mark.parametrize("fact", ["sex", "age_band"])
def test_the_row_most_often_hidden_is_the_one_readers_need_least(fact: str) -> None:
    assert hiding_order(fact, dict.fromkeys(VALUES[fact]))[0] in ("male", "30_59")
