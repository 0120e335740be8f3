"""`make bench`: how fast and how small Chaski is on this machine, beside limits measured in the same run.

Exit code 1 when a target is missed. `--json` prints data; `--quick` measures everything, but too briefly to be quoted;
`--only NAME...` measures the named parts alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import agreement, chart, forms, growth, ingest, line, peers, server, storm, sync_sizes, upkeep
from bench.figure import Figure
from bench.forms import SampleInterviews
from bench.ingest import Intake
from bench.server import BenchSite
from support import node
from support.engine_agreement import compile_java
from support.forms import CATALOGUE_FORMS

QUICK_FORMS = ("pe_nna",)  # The smallest: the others are measured alike.


class Bench:
    """What the parts of a run share. Each thing is made when the first part asks for it."""

    def __init__(self, quick: bool, opened: ExitStack, say: Callable[[str], None], scale: int) -> None:
        self.quick, self.say, self.scale = quick, say, scale
        self.forms = QUICK_FORMS if quick else CATALOGUE_FORMS
        self._opened = opened

    def _new_folder(self) -> Path:
        return Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="chaski-bench-")))

    @cached_property
    def samples(self) -> SampleInterviews:
        """The questionnaire, filled with the story's answers."""
        return forms.prepare()

    @cached_property
    def site(self) -> BenchSite:
        """A running server, the questionnaire published, one tablet certified."""
        return self._opened.enter_context(server.serving(self._new_folder(), self.samples))

    @cached_property
    def intake(self) -> Intake:
        """Tablets that load this server."""
        made = Intake(self.site, self.samples, self.quick)
        self._opened.callback(made.elsewhere.shutdown)
        return made

    def grow(self) -> Iterator[Figure]:
        """A server with so many screenings, if a scale is given."""
        return growth.growth(self._new_folder(), self.scale, self.say) if self.scale else iter(())

    def agree(self) -> Iterator[Figure]:
        """The forms in three engines."""
        counts = (2, 1) if self.quick else agreement.COUNTS
        return agreement.agreement(compile_java(self._new_folder()), node.with_modules(), self.forms, counts)


PARTS: dict[str, tuple[str, Callable[[Bench], Iterator[Figure]]]] = {
    "sync": ("what a tablet's sync takes", lambda bench: sync_sizes.sync_sizes(bench.site, bench.samples)),
    "line": ("a satellite line, in real time", lambda bench: line.satellite(bench.site, bench.samples, bench.quick)),
    "single": ("single envelopes", lambda bench: ingest.single(bench.intake)),
    "quiet": ("nothing new", lambda bench: ingest.quiet(bench.intake)),
    "batch": ("batches", lambda bench: ingest.batch(bench.intake)),
    "beside": ("single envelopes beside a large batch", lambda bench: ingest.beside(bench.intake)),
    "bulk": ("filling the database", lambda bench: ingest.bulk(bench.intake)),
    "storm": ("letting every tablet speak at once", lambda bench: storm.storm(bench.intake)),
    "growth": ("a large database", Bench.grow),
    "upkeep": ("reading a long queue, checking the database", lambda bench: upkeep.upkeep(bench.site, bench.quick)),
    "sealing": ("sealing, verifying, opening", lambda bench: iter(forms.sealing(bench.samples, bench.quick))),
    "compiling": ("compiling and checking", lambda bench: forms.compiling(bench.forms, bench.quick)),
    "impact": ("what a new version changes", lambda bench: iter([forms.impacts(bench.samples, bench.quick)])),
    "words": ("how long an interview is", lambda bench: forms.interview_lengths(bench.forms)),
    "agreement": ("the same interviews in the engines of ODK Collect and ODK Web Forms", Bench.agree),
}
"""What is measured, in this order: its name for `--only`, what is being done, and its figures."""
GROUPS = {
    "ingest": ("single", "quiet", "batch", "beside", "bulk"),
    "forms": ("compiling", "impact", "words", "agreement"),
}
"""Names for several parts."""


def measure(quick: bool, only: Collection[str], say: Callable[[str], None], scale: int = 0) -> Iterator[Figure]:
    """Measure the named parts, or everything; `say` hears what is being done. With a scale, also a server with so many
    screenings."""
    chosen = {part for name in only for part in GROUPS.get(name, (name,))} or set(PARTS)
    if "upkeep" in chosen:
        chosen.add("bulk")  # Its queue.
    with ExitStack() as opened:
        bench = Bench(quick, opened, say, scale)
        for name, (about, figures) in PARTS.items():
            if name in chosen:
                say(f"{name}: {about}")
                yield from figures(bench)


def table(figures: list[Figure]) -> Table:
    """Lay the figures out for a person."""
    shown = Table("what", header_style="bold", box=None, pad_edge=False)
    for column in ("figure", "target", "limit", "ratio"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("limit is")
    shown.add_column("verdict")
    colours = {"met": "green", "missed": "bold red", "printed": "dim"}
    for figure in figures:
        shown.add_row(
            figure.about,
            _number(figure.value, figure.unit),
            _target(figure),
            _number(figure.limit, figure.unit) if figure.limit is not None else "",
            f"{figure.ratio:.3g}" if figure.ratio is not None else "",
            figure.limit_is,
            f"[{colours[figure.verdict]}]{figure.verdict}[/]",
        )
    return shown


def markdown(figures: list[Figure]) -> str:
    """Write the figures with a target as the table of docs/benchmarks.md."""
    rows = ["| what | figure | target | limit in the same run |", "|---|---|---|---|"]
    for title, figure in chart.titled(figures):
        if figure.is_judged:
            missed = ", **missed**" if figure.missed else ""
            limit = f"{_number(figure.limit, figure.unit)}: " if figure.limit is not None else ""
            value = f"{_number(figure.value, figure.unit)}{missed}"
            rows.append(f"| {title} | {value} | {_target(figure)} | {limit}{figure.limit_is} |")
    return "\n".join(rows)


def _target(figure: Figure) -> str:
    if figure.least is not None:
        return f">= {_number(figure.least, figure.unit)}"
    return f"<= {_number(figure.target, figure.unit)}" if figure.target is not None else ""


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    return (f"{value:,.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.3g} {unit}").strip()


def machine() -> str:
    """Name the machine and the day."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}"
    return f"{cores}, {platform.system()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"


def main() -> int:
    """Measure, print, and return 1 if a target was missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true", help="print data")
    options.add_argument("--markdown", action="store_true", help="print the table of docs/benchmarks.md")
    options.add_argument("--chart", metavar="FILE", type=Path, help="draw the targets and figures as SVG")
    options.add_argument("--peers", metavar="FILE", type=Path, help="draw peers' figures beside these as SVG")
    options.add_argument("--quick", action="store_true", help="a few rounds of everything; not to be quoted")
    names = [*PARTS, *GROUPS]
    options.add_argument("--only", metavar="NAME", nargs="+", choices=names, default=[], help=", ".join(names))
    options.add_argument("--scale", metavar="N", type=int, default=0, help="also measure a server with N screenings")
    chosen = options.parse_args()
    begun, load = time.monotonic(), os.getloadavg()[0]

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:3.0f} s  {words} ...", file=sys.stderr, flush=True)

    figures = list(measure(chosen.quick, chosen.only, say, chosen.scale))
    say("done")
    if chosen.json:
        data = {
            "quick": chosen.quick,
            "machine": machine(),
            "load_before": load,
            "figures": [figure.as_dict() for figure in figures],
        }
        print(json.dumps(data, indent=2))
    elif chosen.markdown:
        print(f"{machine()}\n\n{markdown(figures)}")
    else:
        console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
        console.print(table(figures))
        console.print(f"\n{machine()}; load before: {load:.1f}. The busier, the less the times are worth.")
    if chosen.chart:
        chart.draw(figures, machine(), chosen.chart)
    if chosen.peers:
        chart.draw_peers(peers.beside(figures), machine(), chosen.peers)
    return 1 if any(figure.missed for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
