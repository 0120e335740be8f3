"""Counts of screenings, one dimension at a time, so that routes can be erased and reports remain.

Intake counts inside its own transaction. Cells never cross two dimensions: a cross of age, sex and place would tell of
one person, and would outlive the erasing of her route (DOMAIN 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.db import Connection, rows

DIMENSIONS = ("outcome", "tier", "region", "sex", "age_band", "sector", "lang")


@dataclass(frozen=True)
class Cell:
    """How many screenings of a month had this value."""

    month: str
    dimension: str
    value: str
    count: int


def count(connection: Connection, *, mode: str, month: str, facts: Mapping[str, str]) -> None:
    """Add one screening to the month ("2026-11") in every dimension that `facts` names."""
    for dimension in DIMENSIONS:
        if value := facts.get(dimension):
            connection.execute(
                "insert into statistics_cells (mode, month, dimension, value, count) values (?, ?, ?, ?, 1)"
                " on conflict (mode, month, dimension, value) do update set count = count + 1",
                (mode, month, dimension, value),
            )


def cells(connection: Connection, *, mode: str) -> list[Cell]:
    """Return every cell of the mode, by month, dimension and value."""
    found = rows(
        connection,
        "select month, dimension, value, count from statistics_cells where mode = ? order by month, dimension, value",
        (mode,),
    )
    return [Cell(**each) for each in found]
