"""Counts that may leave the desk. The people's door calls it; it only reads, and only cells of one dimension.

No number built on 1 to 10 people is shown, and none that could be worked out from the others (DOMAIN 4, CTDC practice).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from server.db import Db
from server.store import statistics

SMALLEST = 11


@dataclass(frozen=True)
class Table:
    """One month and dimension: value -> count, None where the count is held back; total None when it would tell."""

    month: str
    dimension: str
    counts: Mapping[str, int | None]
    total: int | None


def tables(db: Db, *, mode: str) -> list[Table]:
    """Return every table of the mode ("field" or "training"), by month and dimension."""
    found = groupby(statistics.cells(db.read(), mode=mode), key=lambda cell: (cell.month, cell.dimension))
    return [
        Table(month, dimension, *suppress({cell.value: cell.count for cell in cells}))
        for (month, dimension), cells in found
    ]


def suppress(counts: Mapping[str, int]) -> tuple[dict[str, int | None], int | None]:
    """Hold back small counts, then the next smallest until what is hidden is two cells and eleven people at least.

    With one cell hidden the total would give it back; two that add up to three people would tell nearly as much. A
    total below eleven is held back with all its cells.
    """
    hidden = {value for value, count in counts.items() if count < SMALLEST}
    shown = sorted(counts.keys() - hidden, key=lambda value: (counts[value], value))
    while hidden and shown and (len(hidden) < 2 or sum(counts[value] for value in hidden) < SMALLEST):
        hidden.add(shown.pop(0))
    total = sum(counts.values())
    return (
        {value: None if value in hidden else count for value, count in counts.items()},
        total if total >= SMALLEST else None,
    )
