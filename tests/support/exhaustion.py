"""Every table of a small size, and what a reader who tried them all can say of each count.

The tests of the statistics group the tables by what would be published. Tables that look the same are one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from server.flows.operations.suppression import Figures, Mark


def every_table(values: tuple[str, ...], total: int) -> Iterator[dict[str, int]]:
    """Yield every table with these rows and this total."""
    first, *rest = values
    if not rest:
        yield {first: total}
        return
    for count in range(total + 1):
        for others in every_table(tuple(rest), total - count):
            yield {first: count, **others}


def assert_counts_stay_open(
    figures: Figures, possible: Mapping[str, set[int]], *, smallest: int, known: tuple[str, ...] = ()
) -> None:
    """Check the possible counts of each row: a small one can be 0 to 10, a hidden one has eleven values in a row.

    `known` rows are no secret: "unstated" where each screening states the fact.
    """
    for value, figure in figures.items():
        counts = possible[value]
        if figure is Mark.BELOW:
            assert counts == set(range(smallest)), (figures, value)
        elif figure is Mark.HIDDEN:
            runs = (set(range(start, start + smallest)) for start in counts)
            assert value in known or any(run <= counts for run in runs), (figures, value, sorted(counts))
        else:
            assert counts == {figure}
