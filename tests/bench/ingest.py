"""What `make bench` measures of intake: 100,000 sealed screenings from eight tablets into a real server, over HTTP.

The load is sealed and signed beforehand and replayed from a process of its own, one connection and one thread a tablet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

from bench import load, raw_limits
from bench.figure import Figure
from bench.forms import SampleInterviews
from bench.load import ReplayResult, Sender, SharedLoad
from bench.server import BenchSite, cpu_seconds, stored
from server.database.sqlite import SqliteDatabase
from server.store import meta
from sync.tablet.outbox import Outbox

BATCH = 20
# Requests of each tablet: one envelope each, twenty each, and twenty each until 100,000 envelopes are there.
PHASES = {"single": (1, 300), "batch": (BATCH, 40), "bulk": (BATCH, 570)}
QUICK = {"single": (1, 5), "batch": (BATCH, 2), "bulk": (BATCH, 1)}


@dataclass(frozen=True)
class LoadResult:
    """What a load was and did: envelopes stored, the load generator's word, CPU seconds of the server."""

    arrived: int
    replayed: ReplayResult
    cpu: float | None

    @property
    def rate(self) -> float:
        """Envelopes a second."""
        return self.arrived / self.replayed.wall


def ingest(site: BenchSite, samples: SampleInterviews, quick: bool) -> Iterator[Figure]:
    """Envelopes a second, latency and CPU of the server and of the load generator, beside bare SQLite's limits."""
    phases = QUICK if quick else PHASES
    shared = prepare_load(site, samples)
    senders = [Sender(site.key(tablet).secret, shared) for tablet in site.tablets[1:]]
    with ProcessPoolExecutor(1 if quick else os.cpu_count(), mp_context=get_context("spawn")) as elsewhere:
        list(elsewhere.map(Sender.write_ahead, senders, [site.folder] * len(senders), [phases] * len(senders)))
        yield from _single(site, elsewhere, phases)
        yield from _batch(site, elsewhere, phases)
        bulk = _drive(site, elsewhere, "bulk", phases)
    yield Figure("ingest.bulk.rate", f"intake, until {stored(site):,} are stored", bulk.rate, "envelopes/s")


def _single(site: BenchSite, elsewhere: ProcessPoolExecutor, phases: dict[str, tuple[int, int]]) -> Iterator[Figure]:
    times = max(20, phases["single"][1] * 2)
    limit = raw_limits.commits(site.folder / "before.db", _size(site), times)
    driven = _drive(site, elsewhere, "single", phases)
    limit = max(limit, raw_limits.commits(site.folder / "after.db", _size(site), times))
    yield from _figures(
        "single", "intake, one envelope a request", driven, limit, "bare SQLite, one row a commit", 5, 50
    )


def _batch(site: BenchSite, elsewhere: ProcessPoolExecutor, phases: dict[str, tuple[int, int]]) -> Iterator[Figure]:
    data = site.server.folders[0]
    copies = [
        raw_limits.snapshot(data / "chaski.db", site.folder / f"{name}.db") for name in ("noted", "first", "second")
    ]
    loads = [list(load.requests(file)) for file in _files(site, "batch")]
    noted = raw_limits.statements(data, copies[0], chain.from_iterable(zip(*loads, strict=True)))
    seconds = raw_limits.replay(copies[1], noted)
    driven = _drive(site, elsewhere, "batch", phases)
    seconds = min(seconds, raw_limits.replay(copies[2], noted))
    about = f"intake, {BATCH} envelopes a request"
    limit_is = f"bare SQLite, the same {raw_limits.executions(noted) / driven.arrived:.1f} statements"
    yield from _figures("batch", about, driven, driven.arrived / seconds, limit_is, 1 / 0.15, None)


def _figures(
    name: str, about: str, driven: LoadResult, limit: float, limit_is: str, times: float, p99: float | None
) -> Iterator[Figure]:
    percentiles = quantiles(driven.replayed.taken, n=100, method="inclusive")
    cpu = None if driven.cpu is None else driven.cpu / driven.arrived * 1000
    yield Figure(f"ingest.{name}.rate", about, driven.rate, "envelopes/s", None, limit, limit_is)
    yield Figure(f"ingest.{name}.times", "    times behind bare SQLite", limit / driven.rate, "x", times)
    yield Figure(f"ingest.{name}.p50", "    a request, median", percentiles[49], "ms")
    yield Figure(f"ingest.{name}.p99", "    a request, 99 of 100", percentiles[98], "ms", p99)
    yield Figure(f"ingest.{name}.cpu", "    server's CPU an envelope", cpu, "ms", 0.7 if name == "batch" else None)
    yield Figure(f"ingest.{name}.load", "    load generator, of one core", driven.replayed.core_percent, "%")


def prepare_load(site: BenchSite, samples: SampleInterviews) -> SharedLoad:
    """What the tablets of a load share: interviews sealed for this server, and what they say of themselves."""
    documents = site.documents()
    with Outbox(site.tablets[0] / "outbox.db") as held:
        names = documents.registry.keyrings.values()
        keys = {each.id: each.public(held.documents.get(f"key/{each.key_sha256}") or b"") for each in names}
    db = SqliteDatabase(raw_limits.snapshot(site.server.folders[0] / "chaski.db", site.folder / "generation.db"))
    generation = meta.get_generation(db.read())
    db.close()
    return load.seal_interviews(samples, documents, keys, generation)


def _files(site: BenchSite, phase: str) -> list[Path]:
    return [load.request_file(site.folder, phase, site.key(tablet).kid) for tablet in site.tablets[1:]]


def _size(site: BenchSite) -> int:
    return len(next(load.requests(_files(site, "single")[0])).body)


def _drive(
    site: BenchSite, elsewhere: ProcessPoolExecutor, phase: str, phases: dict[str, tuple[int, int]]
) -> LoadResult:
    elsewhere.submit(os.getpid).result()
    each, count = phases[phase]
    held, before = stored(site), cpu_seconds(site.pid)
    replayed = elsewhere.submit(load.replay, site.server.tablets_port, _files(site, phase)).result()
    after, arrived = cpu_seconds(site.pid), stored(site) - held
    if arrived != each * count * len(site.tablets[1:]):
        raise RuntimeError(f"only {arrived} envelopes of {each * count * len(site.tablets[1:])} were stored")
    return LoadResult(arrived, replayed, None if before is None or after is None else after - before)
