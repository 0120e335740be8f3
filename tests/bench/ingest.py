"""What `make bench` measures of intake: sealed screenings from many tablets into a real server, over HTTP.

The load is sealed and signed beforehand and replayed from a process of its own, which only sends and reads bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles

from bench import load, raw_limits
from bench.figure import LIMIT_ROUNDS, Figure
from bench.forms import SampleInterviews
from bench.load import ReplayResult, Sender, SharedLoad
from bench.server import BenchSite, cpu_seconds, stored
from bench.sync_sizes import screen
from sync.tablet.client import Tablet

FEW, MANY, BATCH, LARGE, BESIDE = 8, 32, 20, 500, 100
SAME_RATE = 0.95
"""The part of the rate at 8 clients that the rate at 32 must reach: rounds of one load differ by some 5 % here."""
SAME_BYTES = 3
"""By how many percent an envelope of the load may differ from one of the reference tablet."""
BARE_BATCH = 0.15
"""The part of the rate of bare SQLite that batches must reach."""


@dataclass(frozen=True)
class LoadResult:
    """What a load was and did: requests and envelopes, the load generator's word, CPU seconds of the server."""

    requests: int
    arrived: int
    replayed: ReplayResult
    cpu: float | None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.replayed.wall


@dataclass
class Intake:
    """A server under load: its tablets, which go on where they ended, and the process that replays their requests."""

    site: BenchSite
    samples: SampleInterviews
    quick: bool
    elsewhere: ProcessPoolExecutor = field(
        default_factory=lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    )
    phases: int = 0

    @cached_property
    def shared(self) -> SharedLoad:
        """What all tablets have in common."""
        return load.share(self.site, self.samples)

    @cached_property
    def senders(self) -> list[Sender]:
        """Tablets that the server knows well: each has sent an envelope and heard the answer."""
        trust, port = self.site.documents().trust, self.site.server.tablets_port
        return [sender.greet(port, trust) for sender in load.let_in(self.site, MANY, self.shared)]

    def prepare(self, clients: int, each: int, count: int) -> list[Path]:
        """Let so many tablets write so many requests of so many envelopes each; return the files."""
        self.phases += 1
        folder = self.site.folder / f"load-{self.phases}"
        self.senders[:clients], files = load.write_all(self.senders[:clients], folder, each, count)
        return files

    def replay(self, files: Sequence[Path], arriving: int) -> LoadResult:
        """Replay files in the order in which they were prepared; raise unless so many envelopes are stored."""
        sent = sum(len(load.requests(file)) for file in files)
        self.elsewhere.submit(os.getpid).result()
        held, before = stored(self.site), cpu_seconds(self.site.pid)
        replayed = self.elsewhere.submit(load.replay, self.site.server.tablets_port, files).result()
        after, arrived = cpu_seconds(self.site.pid), stored(self.site) - held
        if arrived != arriving:
            raise RuntimeError(f"only {arrived} envelopes of {arriving} were stored")
        used = None if before is None or after is None else after - before
        return LoadResult(sent, arrived, replayed, used)


def join(results: Sequence[LoadResult]) -> LoadResult:
    """Several rounds as one."""
    replayed = ReplayResult(
        sum(each.replayed.wall for each in results),
        [taken for each in results for taken in each.replayed.taken],
        sum(each.replayed.cpu for each in results),
    )
    used = [each.cpu for each in results if each.cpu is not None]
    counts = sum(each.requests for each in results), sum(each.arrived for each in results)
    return LoadResult(*counts, replayed, sum(used) if len(used) == len(results) else None)


def single(intake: Intake) -> Iterator[Figure]:
    """One envelope a request, from 8 tablets and from 32 in turn, and bare commits between the rounds."""
    few, many, limits, bare = [], [], [], []
    counts = (5, 2) if intake.quick else (200, 50)
    rounds = [(intake.prepare(FEW, 1, counts[0]), intake.prepare(MANY, 1, counts[1])) for _ in range(LIMIT_ROUNDS)]
    size = len(load.requests(rounds[0][0][0])[0])
    for number, (of_few, of_many) in enumerate(rounds):
        bare.append(raw_limits.cryptography(size, FEW * counts[0]))
        limits.append(raw_limits.commits(intake.site.folder / f"bare-{number}.db", size, FEW * counts[0]))
        few.append(intake.replay(of_few, FEW * counts[0]))
        many.append(intake.replay(of_many, MANY * counts[1]))
    about, limit = f"intake, one envelope a request, {FEW} tablets", max(limits)
    driven = join(few)
    limit_is = "bare SQLite, one row a commit"
    yield Figure("ingest.single.rate", about, driven.rate, "envelopes/s", None, limit, limit_is)
    yield Figure("ingest.single.part", "    of bare SQLite", driven.rate / limit, "", least=0.22)
    yield from _figures("single", driven, "an envelope", 1.0, 25, limit=min(bare))
    others = join(many)
    yield Figure("ingest.many.rate", f"intake, one envelope a request, {MANY} tablets", others.rate, "envelopes/s")
    part = median(each.rate for each in many) / median(each.rate for each in few)
    yield Figure(
        "ingest.many.part", f"    of the rate with {FEW}, medians of {LIMIT_ROUNDS}", part, "", least=SAME_RATE
    )
    yield from _figures("many", others, "an envelope", None, None)


def quiet(intake: Intake) -> Iterator[Figure]:
    """Requests with nothing new, as a tablet makes them after it has heard the last receipts."""
    driven = intake.replay(intake.prepare(FEW, 0, 20 if intake.quick else 800), 0)
    yield Figure("ingest.quiet.rate", f"nothing new, {FEW} tablets", driven.rate, "requests/s", least=1800)
    yield from _figures("quiet", driven, "a request", 0.6, None)


def batch(intake: Intake) -> Iterator[Figure]:
    """Twenty envelopes a request, as long as real ones, beside the same statements in bare SQLite."""
    count = 2 if intake.quick else 40
    files = intake.prepare(FEW, BATCH, count)
    data, folder = intake.site.server.folders[0], intake.site.folder
    copy = raw_limits.snapshot(data / "chaski.db", folder / "noted.db")
    copies = iter([raw_limits.snapshot(copy, folder / f"replayed-{number}.db") for number in range(LIMIT_ROUNDS)])
    noted = raw_limits.statements(data, copy, load.read_in_turn(files))
    seconds = min(raw_limits.replay(next(copies), noted) for _ in range(LIMIT_ROUNDS))
    driven = intake.replay(files, FEW * BATCH * count)
    rate, limit = driven.arrived / driven.replayed.wall, driven.arrived / seconds
    limit_is = f"bare SQLite, the same {raw_limits.executions(noted) / driven.arrived:.1f} statements"
    about = f"intake, {BATCH} envelopes a request, {FEW} tablets"
    yield Figure("ingest.batch.rate", about, rate, "envelopes/s", None, limit, limit_is)
    yield Figure("ingest.batch.part", "    of bare SQLite", rate / limit, "", least=BARE_BATCH)
    yield from _figures("batch", driven, "an envelope", 0.5, None)
    yield from _bytes(intake, files)


def _bytes(intake: Intake, files: Sequence[Path]) -> Iterator[Figure]:
    """Bytes of an envelope on the line: of the load, and of the reference tablet with a request of the same size."""
    sent = [len(request) for file in files for request in load.requests(file)]
    travels = sum(sent) / len(sent) / BATCH
    with Tablet(intake.site.tablets[0]) as tablet:
        tablet.sync()
        screen(tablet, intake.samples, BATCH)
        traffic = tablet.sync().traffic
    real, limit_is = traffic.up / BATCH, "the reference tablet, a push of the same number"
    yield Figure("ingest.batch.bytes", "    an envelope of the load, on the line", travels, "B", None, real, limit_is)
    differs = abs(travels / real - 1) * 100
    yield Figure("ingest.batch.differs", "    its difference from a real one", differs, "%", SAME_BYTES)


def beside(intake: Intake) -> Iterator[Figure]:
    """The longest wait of a hundred tablets with one envelope each, who come in the moment after a batch of 500."""
    senders = load.let_in(intake.site, BESIDE + 1, intake.shared)
    waits, large, size = [], [], 50 if intake.quick else LARGE
    for number in range(1 if intake.quick else LIMIT_ROUNDS):
        folder = intake.site.folder / f"beside-{number}"
        folder.mkdir()
        senders[:1], first = load.write_all(senders[:1], folder / "large", size, 1)
        senders[1:], others = load.write_all(senders[1:], folder / "single", 1, 1)
        taken = intake.replay([*first, *others], size + BESIDE).replayed.taken
        large.append(taken[0][0])
        waits.append(max(one for each in taken[1:] for one in each))
    about = f"{BESIDE} single envelopes beside a batch of {size}: the longest wait"
    yield Figure("ingest.beside.wait", about, max(waits), "ms", 1000)
    yield Figure("ingest.beside.batch", f"    the batch of {size}", max(large), "ms")


def bulk(intake: Intake) -> Iterator[Figure]:
    """Batches until the database has tens of thousands of envelopes."""
    count = 1 if intake.quick else 250
    driven = intake.replay(intake.prepare(FEW, BATCH, count), FEW * BATCH * count)
    about = f"intake, until {stored(intake.site):,} are stored"
    yield Figure("ingest.bulk.rate", about, driven.arrived / driven.replayed.wall, "envelopes/s")


def _figures(
    name: str, driven: LoadResult, of_each: str, cpu: float | None, p99: float | None, *, limit: float | None = None
) -> Iterator[Figure]:
    percentiles = quantiles(driven.replayed.all_taken, n=100, method="inclusive")
    used = None if driven.cpu is None else driven.cpu / (driven.arrived or driven.requests) * 1000
    yield Figure(f"ingest.{name}.p50", "    a request, median", percentiles[49], "ms")
    yield Figure(f"ingest.{name}.p99", "    a request, 99 of 100", percentiles[98], "ms", p99)
    limit_is = "bare public-key cryptography of a request" if limit else ""
    yield Figure(f"ingest.{name}.cpu", f"    server's CPU {of_each}", used, "ms", cpu, limit, limit_is)
    yield Figure(f"ingest.{name}.load", "    load generator, of one core", driven.replayed.core_percent, "%")
