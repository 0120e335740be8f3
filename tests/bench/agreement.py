"""Forms in three engines: the same interviews, node by node, and how long ours and JavaRosa take.

`make bench` takes the figures of the catalogue's forms. `make agreement` runs this file alone, with the small forms of
the tests too, and says a line per form. No interview may differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, median_ms
from screening_forms.engine.evaluator import Engine, load_engine
from support import node
from support.engine_agreement import (
    Interview,
    Nodes,
    compile_java,
    differences,
    in_web_forms,
    interviews,
    listed,
    timed_in_java_rosa,
)
from support.forms import CATALOGUE_FORMS, SMALL_FORMS, compiled, walk

COUNTS = (500, 100)
"""Interviews in JavaRosa and in ODK Web Forms."""

TIMES = 20
"""How many times as long as ours JavaRosa's scoring takes, at least."""

_TIMED, _ROUNDS = 20, 10


@dataclass(frozen=True)
class Drawn:
    """A form, loaded and as a file for the others, and the interviews that it is filled with."""

    name: str
    engine: Engine
    xform: Path
    interviews: Sequence[Interview]


def agreement(
    java: Path | None, node: Path, names: Sequence[str], counts: tuple[int, int] = COUNTS
) -> Iterator[Figure]:
    """Count the interviews of each form in which another engine sees any node otherwise, and time JavaRosa and ours."""
    with tempfile.TemporaryDirectory(prefix="chaski-bench-") as folder:
        forms = [_draw(name, Path(folder), counts[0]) for name in names]
        for form in forms:
            yield from _java_rosa(form, java)
        # One process each, as JavaScript has: two forms at a time, the longest first.
        with ThreadPoolExecutor(2) as pool:
            first = sorted(forms, key=lambda form: -len(form.engine.nodes))
            filled = list(pool.map(lambda form: in_web_forms(node, form.xform, form.interviews[: counts[1]]), first))
        for form, theirs in zip(first, filled, strict=True):
            yield _differing(form, "web_forms", "ODK Web Forms", theirs)


def _draw(name: str, folder: Path, count: int) -> Drawn:
    xform = compiled(name).xform
    (folder / f"{name}.xml").write_text(xform, encoding="utf-8")
    scorer = load_engine(xform)
    return Drawn(name, scorer, folder / f"{name}.xml", interviews(scorer, f"bench {name}", count))


def _java_rosa(form: Drawn, java: Path | None) -> Iterator[Figure]:
    answered = [walk(form.engine, passes).answers for passes in form.interviews[:_TIMED]]
    ours = median_ms(form.engine.run, answered, 10 * _ROUNDS * len(answered))
    about = f"score one screening of {form.name}"
    if java is None:
        yield Figure(f"score.{form.name}", about, ours, "ms", limit_is="no JDK")
        return
    theirs, took = timed_in_java_rosa(java, form.xform, form.interviews, rounds=_ROUNDS, timed=_TIMED)
    yield _differing(form, "javarosa", "JavaRosa", theirs)
    least, walked = took["recompute"] / TIMES, took["fill"]
    yield Figure(f"score.{form.name}", about, ours, "ms", least, took["recompute"], "JavaRosa, answers all there")
    yield Figure(f"score_walk.{form.name}", about, ours, "ms", None, walked, "JavaRosa, question by question")


def _differing(form: Drawn, name: str, other: str, theirs: Sequence[Nodes]) -> Figure:
    about = f"{form.name}: of {len(theirs):,} interviews, those that {other} sees otherwise"
    pairs = zip(form.interviews, theirs, strict=False)
    back = name == "web_forms"
    differing = sum(bool(differences(form.engine, passes, nodes, choices_return=back)) for passes, nodes in pairs)
    compared = f"{sum(name[0] != '#' for nodes in theirs for name in nodes):,} nodes compared"
    if late := sum(bool(listed(nodes, "#stale")) for nodes in theirs):
        compared += f"; in {late:,}, {other} computes nodes late (docs/decisions.md)"
    return Figure(f"agreement.{form.name}.{name}", about, differing, "", 0, None, compared)


def _said(figures: Iterable[Figure]) -> Iterator[bool]:
    for figure in figures:
        taken = f" ({figure.value:.3g} ms, {figure.limit_is}: {figure.limit:.3g} ms)" if figure.limit else ""
        found = taken or f": {figure.value:g}, {figure.limit_is}"
        print(f"{figure.about}{found}", flush=True)
        yield figure.missed and figure.name.startswith("agreement.")


def main() -> int:
    """Fill every form in three engines; 1 if an interview differs anywhere."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", default=(*SMALL_FORMS, *CATALOGUE_FORMS), metavar="FORM")
    options.add_argument("counts", nargs="*", type=int, default=COUNTS, metavar="N", help="in JavaRosa, in web-forms")
    chosen = options.parse_args()
    counts = chosen.counts
    with tempfile.TemporaryDirectory(prefix="chaski-java-") as folder:
        java = compile_java(Path(folder))
        figures = agreement(java, node.with_modules(), chosen.only, (counts[0], counts[-1]))
        return 1 if any(list(_said(figures))) else 0


if __name__ == "__main__":
    sys.exit(main())
