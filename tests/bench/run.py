"""`make bench`: how fast and how small Chaski is on this machine, beside limits measured in the same run.

Exit code 1 when a target is missed. `--json` prints data; `--quick` measures everything, but too briefly to be quoted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import agreement, chart, forms, growth, ingest, server, storm, upkeep
from bench.figure import Figure
from support import node
from support.engine_agreement import compile_java
from support.forms import CATALOGUE_FORMS

TABLETS = 9  # One that syncs, eight that push.
QUICK_FORMS = ("pe_nna",)  # The smallest: the others are measured alike.


def measure(quick: bool, scale: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Measure everything; `say` hears what is being done. With a scale, also a server with so many screenings."""
    names = QUICK_FORMS if quick else CATALOGUE_FORMS
    say("compiling the questionnaire, filling it with the story's answers")
    samples = forms.prepare()
    with tempfile.TemporaryDirectory(prefix="chaski-bench-") as folder:
        say("founding a server, publishing the questionnaire, certifying tablets")
        with server.serving(Path(folder), samples, 3 if quick else TABLETS) as site:
            say("syncing and pushing")
            yield from server.nothing_new(site)
            yield from server.pushing(site, samples)
            yield server.download(site, samples)
            say("sealing a load, and pushing it from another process")
            yield from ingest.ingest(site, samples, quick)
            yield server.resident(site, quick)
            say("reading a long queue, checking the database")
            yield from upkeep.upkeep(site, quick)
            say("letting every tablet speak at once")
            yield from storm.storm(site, samples, quick)
    say("sealing, verifying, opening")
    yield from forms.sealing(samples, quick)
    say("compiling and checking")
    yield from forms.compiling(names, quick)
    say("telling what a new version changes")
    yield forms.impacts(samples, quick)
    yield from forms.interview_lengths(names)
    with tempfile.TemporaryDirectory(prefix="chaski-bench-") as folder:
        java = compile_java(Path(folder))
        say("filling the same interviews here and in the engines of ODK Collect and of ODK Web Forms")
        counts = (2, 1) if quick else agreement.COUNTS
        yield from agreement.agreement(java, node.with_modules(), names, counts)
        if scale:
            yield from growth.growth(Path(folder), scale, say)


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
            f"<= {_number(figure.target, figure.unit)}" if figure.target is not None else "",
            _number(figure.limit, figure.unit) if figure.limit is not None else "",
            f"{figure.ratio:.3g}" if figure.ratio is not None else "",
            figure.limit_is,
            f"[{colours[figure.verdict]}]{figure.verdict}[/]",
        )
    return shown


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.3g} {unit}"


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
    options.add_argument("--chart", metavar="FILE", type=Path, help="draw the targets and figures as SVG")
    options.add_argument("--quick", action="store_true", help="a few rounds of everything; not to be quoted")
    options.add_argument("--scale", metavar="N", type=int, default=0, help="also measure a server with N screenings")
    chosen = options.parse_args()
    begun, load = time.monotonic(), os.getloadavg()[0]

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:3.0f} s  {words} ...", file=sys.stderr, flush=True)

    figures = list(measure(chosen.quick, chosen.scale, say))
    say("done")
    if chosen.json:
        data = {
            "quick": chosen.quick,
            "machine": machine(),
            "load_before": load,
            "figures": [figure.as_dict() for figure in figures],
        }
        print(json.dumps(data, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
        console.print(table(figures))
        console.print(f"\n{machine()}; load before: {load:.1f}. The busier, the less the times are worth.")
    if chosen.chart:
        chart.draw(figures, machine(), chosen.chart)
    return 1 if any(figure.missed for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
