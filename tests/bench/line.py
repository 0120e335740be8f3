"""What `make bench` measures on an emulated satellite line: 32 kbit/s, 1.2 s round trip, every twentieth segment lost.

Each seed has a line and a tablet of its own. They run side by side in real time, because the time that tablet and
server compute cannot be scaled; they start one after the other, so that they do not compute at once. The targets are
for a connection that is open already. Setting one up is a figure of its own, without TLS.
tests/support/line_emulator.py says what is modelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.figure import Figure
from bench.forms import SampleInterviews
from bench.server import BenchSite, certify_all, invite, publish
from bench.sync_sizes import corrected, renamed, screen
from server.cli.demo.story import FORM
from support.line_emulator import SATELLITE, LineEmulator, emulate_line
from sync.documents.enrolment import Invitation
from sync.tablet.client import Tablet

SEEDS = tuple(range(1, 16))
STAGGER_SECONDS = 0.35
QUICK_SPEED = 20.0


@dataclass(frozen=True)
class Station:
    """A tablet at the end of a line of its own."""

    number: int
    folder: Path
    line: LineEmulator
    invitation: str

    def measure(self, act: Callable[[Tablet], object], before: Callable[[Tablet], object] | None = None) -> float:
        """Let the tablet do something on its line; return the seconds of the line's clock. `before` is not timed."""
        with Tablet(self.folder) as tablet:
            if before is not None:
                before(tablet)
            time.sleep(self.line.to_wall(self.number * STAGGER_SECONDS))
            start = self.line.now()
            act(tablet)
            return self.line.now() - start


def satellite(site: BenchSite, samples: SampleInterviews, quick: bool) -> Iterator[Figure]:
    """First contact, nothing new, pushes and a form update: seconds on the line, medians of the seeds."""
    seeds, speed = (SEEDS[:1], QUICK_SPEED) if quick else (SEEDS, 1.0)
    publish(site, renamed(samples.form, "line"))
    with ExitStack() as opened, ThreadPoolExecutor(len(seeds)) as pool:
        stations = _set_up(site, seeds, speed, opened)

        def take(act: Callable[[Tablet], object], before: Callable[[Tablet], object] | None = None) -> list[float]:
            return list(pool.map(lambda station: station.measure(act, before), stations))

        enrolled = list(pool.map(lambda one: one.measure(lambda tablet: tablet.enrol(one.invitation)), stations))
        certify_all(site)
        pulled = take(Tablet.pull)
        first = [enrol + pull for enrol, pull in zip(enrolled, pulled, strict=True)]
        yield _figure("first", "satellite line: enrol and first pull, one form", first, 15)
        quiet = take(Tablet.sync, before=Tablet.sync)
        yield _figure("quiet", "    nothing new", quiet, 2)
        for count, most in ((1, 3), (10, 9)):
            pushed = take(Tablet.sync, before=lambda tablet, count=count: screen(tablet, samples, count))  # type: ignore[misc]
            yield _figure(f"push_{count}", f"    push of {count}", pushed, most)
        sha = _publish_and_fetch_first(site, samples)
        yield _figure("update", "    version with five changed sentences", take(Tablet.sync), 3)
        _check_update(stations, sha)
        take(Tablet.sync)  # It tells the server which version is in use now.
        for station in stations:
            station.line.open_already = False
        fresh = take(Tablet.sync)
        yield _figure("fresh", "    nothing new, on a new connection", fresh, None)
        set_up = [station.line.set_ups[-1] for station in stations]
        yield _figure("set_up", "    of which its set-up, without TLS", set_up, None)


def _set_up(site: BenchSite, seeds: Sequence[int], speed: float, opened: ExitStack) -> list[Station]:
    made, port = [], site.server.tablets_port
    for number, (seed, text) in enumerate(zip(seeds, invite(site, [f"line {seed}" for seed in seeds]), strict=True)):
        line = opened.enter_context(emulate_line(port, SATELLITE, seed=seed, speed=speed, open_already=True))
        invitation = replace(Invitation.parse(text), url=line.url).to_text()
        made.append(Station(number, site.folder / f"line-{seed}", line, invitation))
    return made


def _publish_and_fetch_first(site: BenchSite, samples: SampleInterviews) -> str:
    """Publish a version with five changed sentences. For the first tablet the server makes the delta, here for one
    without the line; to the others it comes with the answer to their sync."""
    with Tablet(site.tablets[0]) as first:
        first.sync()
        sha = publish(site, corrected(samples.form, "line corrected"))
        first.sync()
    return sha


def _check_update(stations: Sequence[Station], sha: str) -> None:
    for station in stations:
        with Tablet(station.folder) as tablet:
            if tablet.version(FORM) != sha:
                raise RuntimeError("a tablet did not take the new version")


def _figure(name: str, about: str, seconds: Sequence[float], most: float | None) -> Figure:
    spread = f"{len(seconds)} seeds: {min(seconds):.1f} to {max(seconds):.1f} s"
    return Figure(f"line.{name}", about, median(seconds), "s", most, limit_is=spread)
