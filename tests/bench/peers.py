"""ODK Central's figures beside Chaski's, for the table and the chart of docs/benchmarks.md.

`peers.csv` has what was measured with both servers side by side in one hour on one machine, and when. Times and rates
differ by half from day to day, so they are taken from there for both. Bytes and requests do not, so Chaski's come from
the run, where it has measured them. Central sends a whole form, which a proxy compresses: its bytes are those of the
same XForm in the run, the limit of the figure in the column `central_limit_of`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure

_FILE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Comparison:
    """One measure of both servers. `is_of_this_run`: Chaski's value is of the run, and not of the day `measured`."""

    about: str
    unit: str
    more_is_better: bool
    central: float
    chaski: float
    measured: str
    is_of_this_run: bool

    @property
    def cost(self) -> float:
        """What Chaski takes as a part of what Central takes: 0.5 is half the bytes, or twice the rate."""
        return self.central / self.chaski if self.more_is_better else self.chaski / self.central


def beside(figures: Sequence[Figure]) -> list[Comparison]:
    """Every measure of `peers.csv`, with the bytes and requests of this run."""
    values = {figure.name: figure.value for figure in figures if figure.value}
    limits = {figure.name: figure.limit for figure in figures if figure.limit}
    with _FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Comparison(
            about=row["about"],
            unit=row["unit"],
            more_is_better=row["better"] == "more",
            central=limits.get(row["central_limit_of"]) or float(row["central"]),
            chaski=values.get(row["figure"]) or float(row["chaski"]),
            measured=row["measured"],
            is_of_this_run=row["figure"] in values,
        )
        for row in rows
    ]
