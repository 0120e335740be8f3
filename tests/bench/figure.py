"""What a measurement of `make bench` is: a number with its unit, its target and a limit measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Any

LIMIT_ROUNDS = 3
"""How often a limit is measured. The best counts: what disturbs one round makes no limit lower than it is."""


@dataclass(frozen=True)
class Figure:
    """One line of the bench. `target` is the most that the value may be, `least` the least; without both it is printed.

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
    least: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value by limit."""
        return self.value / self.limit if self.value is not None and self.limit else None

    @property
    def is_judged(self) -> bool:
        """Whether there is a target."""
        return self.target is not None or self.least is not None

    @property
    def used(self) -> float | None:
        """The part of the target that is used up: 1 is just met. None without a target, or with one of nothing."""
        if self.least is not None:
            return self.least / self.value if self.value else None
        return self.value / self.target if self.value is not None and self.target else None

    @property
    def missed(self) -> bool:
        """Whether there is a target and the value is not within it."""
        if self.value is None:
            return self.is_judged
        above = self.target is not None and self.value > self.target
        return above or (self.least is not None and self.value < self.least)

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `printed` for a figure without a target."""
        return "printed" if not self.is_judged else "missed" if self.missed else "met"

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


def limit_ms(
    act: Callable[[Any], object], inputs: Iterable[Any], times: int, clock: Clock = time.perf_counter
) -> float:
    """Return the milliseconds of a limit: the best of three medians."""
    given = list(inputs)
    return min(median_ms(act, given, times, clock) for _ in range(LIMIT_ROUNDS))


def least_seconds(act: Callable[[], object], clock: Clock = time.process_time) -> float:
    """Return the seconds of a limit that is measured as a whole: the best of three."""
    return min(_rounds(act, clock))


def _rounds(act: Callable[[], object], clock: Clock) -> Iterator[float]:
    for _ in range(LIMIT_ROUNDS):
        start = clock()
        act()
        yield clock() - start
