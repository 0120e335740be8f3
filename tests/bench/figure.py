"""What a measurement of `make bench` is: a number with its unit, its target and a limit measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the bench. `target` is the most that the value may be; without one the value is only printed.

    `limit` is what cannot be beaten here, or what others need for the same, in the same unit and from the same run;
    `limit_is` says what it is. `value` is None where the machine lacks what it takes to measure, as `limit_is` tells.
    """

    name: str
    about: str
    value: float | None
    unit: str
    target: float | None = None
    limit: float | None = None
    limit_is: str = ""

    @property
    def ratio(self) -> float | None:
        """Value by limit."""
        return self.value / self.limit if self.value is not None and self.limit else None

    @property
    def used(self) -> float | None:
        """Value by target; None where there is no target, or the target is nothing at all."""
        return self.value / self.target if self.value is not None and self.target else None

    @property
    def missed(self) -> bool:
        """Whether there is a target and the value is above it."""
        return self.target is not None and (self.value is None or self.value > self.target)

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `printed` for a figure without a target."""
        return "printed" if self.target is None else "missed" if self.missed else "met"

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**vars(self), "ratio": self.ratio, "verdict": self.verdict}


Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or `time.process_time` for what takes long enough to be interrupted."""


def median_ms(
    act: Callable[[Any], object], inputs: Iterable[Any], times: int, clock: Clock = time.perf_counter
) -> float:
    """Do `act` to the inputs in turn, `times` times after one that does not count; return the median milliseconds."""
    turns = cycle(inputs)
    act(next(turns))
    taken = []
    for _ in range(times):
        given = next(turns)
        start = clock()
        act(given)
        taken.append((clock() - start) * 1000)
    return median(taken)
