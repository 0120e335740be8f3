"""Protects the tables of one period together: the forms tie facts to each other, so one table tells about another.

The flow `statistics` calls it before it publishes. It is pure. Before the tables of persons are published, the check
must find a possible month for each value that a hidden count has to be able to take. Each of these months obeys the
ties and has exactly the same published tables. docs/decisions.md, "Statistics", has the proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations, product

from server.flows.operations.suppression import (
    COMPLETE_FACTS,
    SMALLEST,
    Figures,
    Mark,
    hiding_order,
    suppress_table,
    withhold,
)
from server.store.statistics import UNSTATED, VALUES, Counts

CHILDREN = frozenset({"under_14", "14_17", "in_doubt"})
_UNSTATED = frozenset({UNSTATED})
_NOT_SCORED = frozenset({"not_scored"})
_STATED = {fact: frozenset(values) - _UNSTATED for fact, values in VALUES.items()}

Tie = Mapping[str, frozenset[str]]
TIES: tuple[Tie, ...] = (
    # A child is `positive` or `review` in every policy (DOMAIN 1).
    {"outcome": frozenset({"not_scored", "labour_rights", "negative"}), "age_band": CHILDREN},
    # The forms ask neither a child nor a person who was not interviewed for the sector.
    {"outcome": _NOT_SCORED, "age_band": CHILDREN, "sector": _STATED["sector"]},
    # A visit to a place has no age, sex or language. A person who was not interviewed has no sex and language.
    {"outcome": _NOT_SCORED, "age_band": _UNSTATED, "sex": _STATED["sex"]},
    {"outcome": _NOT_SCORED, "age_band": _UNSTATED, "lang": _STATED["lang"]},
    # Only an adult is `not_scored`.
    {"outcome": _NOT_SCORED, "age_band": CHILDREN | _UNSTATED},
)
"""What the forms force: no screening has two of these values of different facts. So their counts sum to the total at
most, and no other rule binds one table to another (a test compares this with interviews of the five forms)."""

_Loads = tuple[int, ...]
_Table = dict[str, int]


def protect_tables(counts: Counts, *, smallest: int = SMALLEST) -> dict[str, Figures] | None:
    """Return the figures of all tables of a period: fact -> value -> a number or a mark.

    None means: a table has no cover, so the period must not end here. The tables of persons are published all together
    or not at all. Otherwise a reader could learn from which one is missing.
    """
    figures: dict[str, Figures] = {}
    for fact, table in counts.items():
        suppressed = suppress_table(fact, table, smallest=smallest)
        if suppressed is None:
            return None
        figures[fact] = suppressed
    if not _are_open(figures, sum(counts["outcome"].values()), smallest):
        figures |= {fact: withhold(table) for fact, table in counts.items() if fact not in COMPLETE_FACTS}
    return figures


def _are_open(figures: Mapping[str, Figures], total: int, smallest: int) -> bool:
    """Return True if a table of persons shows a number, and the ties leave every hidden count open.

    It reads figures that would be published, and nothing else. So a publication tells nothing beyond its figures.
    """
    persons = [table for fact, table in figures.items() if fact not in COMPLETE_FACTS]
    if not any(isinstance(figure, int) for table in persons for figure in table.values()):
        # Any outcomes and regions can come with such tables. So withheld tables tell nothing about these two.
        return False
    possible = {
        fact: [(table, _count_loads(fact, table)) for table in _list_possible(fact, figures[fact], total, smallest)]
        for fact in figures
        if any(fact in tie for tie in TIES)
    }
    lightest = {fact: _keep_lightest(loads for _, loads in tables) for fact, tables in possible.items()}
    for fact, tables in possible.items():
        others = _sum_loads([loads for other, loads in lightest.items() if other != fact])
        fitting = [table for table, loads in tables if _fits(loads, others, total)]
        if not _leaves_open(fact, figures[fact], fitting, smallest):
            return False
    return True


def _leaves_open(fact: str, figures: Figures, tables: list[_Table], smallest: int) -> bool:
    """Return True if small counts can be 0 to 10, and each other hidden one has eleven values in a row."""
    for value, figure in figures.items():
        if isinstance(figure, int) or not _is_unknown(fact, value):
            continue
        found = {table[value] for table in tables}
        starts = [0] if figure is Mark.BELOW else found
        if not any(found.issuperset(range(start, start + smallest)) for start in starts):
            return False
    return True


# Possible tables.


def _list_possible(fact: str, figures: Figures, total: int, smallest: int) -> list[_Table]:
    """Return tables with this total that would be published with the same figures, for many values of each row."""
    hidden = [value for value, figure in figures.items() if not isinstance(figure, int)]
    least = {value: smallest if figures[value] is Mark.HIDDEN and value != UNSTATED else 0 for value in hidden}
    spare = total - sum(figure for figure in figures.values() if isinstance(figure, int)) - sum(least.values())
    most = {
        value: least[value] + (min(spare, smallest - 1) if figures[value] is Mark.BELOW else spare) for value in hidden
    }
    shown = {value: figure for value, figure in figures.items() if isinstance(figure, int)}
    found: dict[tuple[int, ...], _Table] = {}
    varied = [value for value in hidden if _is_unknown(fact, value)]
    for value, order in product(varied, _list_orders(fact, figures)):
        for count in _list_counts(least[value], most[value], smallest * len(hidden)):
            fixed = {**least, value: count}
            filled = _fill(fixed, most, [each for each in order if each != value], spare - count + least[value])
            table = {each: shown[each] if each in shown else filled[each] for each in figures}
            if sum(table.values()) == total:
                found[tuple(table.values())] = table
    return [table for table in found.values() if suppress_table(fact, table, smallest=smallest) == figures]


def _is_unknown(fact: str, value: str) -> bool:
    return value != UNSTATED or fact not in COMPLETE_FACTS


def _list_counts(least: int, most: int, length: int) -> Iterator[int]:
    yield from range(least, min(most + 1, least + length))
    yield from range(max(least + length, most + 1 - length), most + 1)


def _list_orders(fact: str, figures: Figures) -> list[list[str]]:
    """Return orders in which hidden rows take what is left, one for each order of the groups that ties tell apart."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    # Covering rows come first, and of them the one hidden last: the rule bounds the sum of all others.
    hidden_last = list(reversed(hiding_order(fact, figures)))
    rows = [value for mark in (Mark.HIDDEN, Mark.BELOW) for value in hidden_last if figures[value] is mark]
    for value in [*rows, UNSTATED]:
        groups.setdefault(tuple(value in tie.get(fact, ()) for tie in TIES), []).append(value)
    orders = [[value for group in order for value in group] for order in permutations(groups.values())]
    if fact in COMPLETE_FACTS:
        return [[*(value for value in order if value != UNSTATED), UNSTATED] for order in orders]
    return orders


def _fill(least: Mapping[str, int], most: Mapping[str, int], order: Iterable[str], spare: int) -> _Table:
    filled = dict(least)
    for value in order:
        more = min(spare, most[value] - least[value])
        filled[value] += more
        spare -= more
    return filled


# How much a table takes up in each tie.


def _count_loads(fact: str, table: _Table) -> _Loads:
    return tuple(sum(table.get(value, 0) for value in tie.get(fact, ())) for tie in TIES)


def _keep_lightest(loads: Iterable[_Loads]) -> list[_Loads]:
    """Return those of the loads that no other one undercuts in every tie."""
    kept: list[_Loads] = []
    for each in sorted(set(loads)):
        if not any(_at_most(other, each) for other in kept):
            kept.append(each)
    return kept


def _sum_loads(loads_of_each: list[list[_Loads]]) -> list[_Loads]:
    sums: list[_Loads] = [(0,) * len(TIES)]
    for loads in loads_of_each:
        pairs = product(sums, loads)
        sums = _keep_lightest(tuple(a + b for a, b in zip(one, other, strict=True)) for one, other in pairs)
    return sums


def _fits(loads: _Loads, others: list[_Loads], total: int) -> bool:
    return any(all(a + b <= total for a, b in zip(loads, other, strict=True)) for other in others)


def _at_most(one: _Loads, other: _Loads) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
