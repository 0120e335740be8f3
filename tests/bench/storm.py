"""What `make bench` measures when a network comes back: five thousand tablets that all speak in the same moment.

Each has screenings sealed ahead and one request for them. A tablet that is refused or cut off tries again, as a person
would, after a pause that grows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import quantiles

from bench import load
from bench.figure import Figure
from bench.ingest import Intake
from bench.server import BenchSite, cpu_seconds, forget_peak, memory, stored

TABLETS, EACH = 5000, 10
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
BAR = 40
# A tablet's patience with a line that does not answer, and the pauses before it tries again, in seconds: each between
# half and one and a half times as long.
PATIENCE, PAUSE = 60.0, (1.0, 2.0, 4.0)
REST_SECONDS = 15
"""How long after the last answer the memory is read: the server may return by then what it no longer uses."""


def storm(intake: Intake) -> Iterator[Figure]:
    """Seconds from the moment in which all tablets speak to each one's answer, as a histogram; nothing may be lost."""
    site, count = intake.site, 12 if intake.quick else TABLETS
    _, files = load.write_all(load.let_in(site, count, intake.shared), site.folder / "storm", EACH, 1)
    before, cpu = stored(site), cpu_seconds(site.pid)
    forget_peak(site.pid)
    port = site.server.tablets_port
    driven = intake.elsewhere.submit(load.replay, port, files, PAUSE, PATIENCE).result()
    after, peak = cpu_seconds(site.pid), memory(site.pid, "VmHWM")
    seconds = [taken / 1000 for taken in driven.all_taken]
    about, sent = f"{count:,} tablets at once, {EACH} screenings each", count * EACH
    percentiles = quantiles(seconds, n=100, method="inclusive")
    yield Figure("storm.lost", f"{about}: lost", sent - (stored(site) - before), "", 0)
    yield Figure("storm.last", "    the last answer", max(seconds), "s", 60)
    yield Figure("storm.rate", "    intake", sent / max(seconds), "envelopes/s")
    yield Figure("storm.p50", "    a tablet's answer, median", percentiles[49], "s")
    yield Figure("storm.p99", "    a tablet's answer, 99 of 100", percentiles[98], "s")
    yield Figure("storm.tries", "    connections a tablet made", driven.tries / count, "")
    used = None if cpu is None or after is None else (after - cpu) / sent * 1000
    yield Figure("storm.cpu", "    server's CPU an envelope", used, "ms")
    yield Figure("storm.load", "    load generator, of one core", driven.core_percent, "%")
    yield from _histogram(seconds)
    yield Figure(
        "storm.peak", "server's memory in the storm, at most (VmHWM)", peak, "MiB", 400, site.idle, "just started"
    )
    yield _memory_after(site, intake.quick)


def _memory_after(site: BenchSite, quick: bool) -> Figure:
    """MiB that the server, which is one process, keeps resident; the limit is what it took idle."""
    time.sleep(0 if quick else REST_SECONDS)
    about = f"server's memory after {stored(site):,} envelopes (VmRSS)"
    return Figure("memory", about, memory(site.pid), "MiB", 150, site.idle, "just started")


def _histogram(seconds: Sequence[float]) -> Iterator[Figure]:
    counts = [sum(low <= each < high for each in seconds) for low, high in pairwise(STEPS)]
    for (low, high), count in zip(pairwise(STEPS), counts, strict=True):
        if count:
            bar = "█" * round(BAR * count / max(counts))
            yield Figure(
                f"storm.{high:g}s", f"    answered within {low:g} to {high:g} s", count, "tablets", limit_is=bar
            )
