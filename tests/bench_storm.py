"""The storm of `make bench`: after weeks without a network, every tablet comes back in the same moment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import bench_load
from bench_figure import Figure
from bench_load import Moulds, Sender
from bench_server import Site, stored

from server.cli.terminal import now_ms
from server.db import Db
from server.store import devices
from sync.keys import SigningKey

SCREENINGS = 10
LINES = 256  # Open at once, of 400 that a door takes; who finds no line waits for one.
TRIES = 20
EDGES = (1, 2, 5, 10, 20, 40)


@dataclass(frozen=True)
class Storm:
    """What became of it: for each tablet the seconds until it was served, and how often one had to try again."""

    seconds: list[float]
    again: int


def storm(site: Site, elsewhere: ProcessPoolExecutor, moulds: Moulds, tablets: int) -> Iterator[Figure]:
    """How long so many tablets wait that all come at once, each with ten screenings; none may be lost."""
    secrets = [SigningKey.generate() for _ in range(tablets)]
    _certify(site, secrets)
    senders = [Sender(key.secret, moulds) for key in secrets]
    shared = [[site.folder] * tablets, [{"storm": (SCREENINGS, 1)}] * tablets]
    list(elsewhere.map(Sender.ahead, senders, *shared, chunksize=50))
    before = stored(site)
    files = [bench_load.file_of(site.folder, "storm", key.kid) for key in secrets]
    waited = elsewhere.submit(_break_loose, site.server.tablets_port, files).result()
    lost = tablets * SCREENINGS - (stored(site) - before)
    about = f"storm of {tablets:,} tablets, {SCREENINGS} each"
    yield Figure("storm.rate", about, tablets * SCREENINGS / max(waited.seconds), "envelopes/s")
    yield Figure("storm.lost", "    screenings lost", lost, "", 0)
    yield Figure("storm.again", "    tablets that had to try again", waited.again, "")
    for low, high in zip((0, *EDGES), (*EDGES, float("inf")), strict=True):
        served = sum(low <= seconds < high for seconds in waited.seconds)
        about = f"    served after {low} to {high} s" if high in EDGES else f"    served after {low} s and more"
        yield Figure(f"storm.from_{low}s", about, served, "tablets")


def _certify(site: Site, keys: Sequence[SigningKey]) -> None:
    # Straight into the tables: two thousand registrars are not what is measured.
    db = Db(site.server.folders[0] / "chaski.db")
    with db.write() as w:
        for key in keys:
            devices.add(w, dev=key.kid, key=key.public.raw, label="", region="17", at=now_ms())
            devices.certify(w, key.kid, certificate=b"", label="", region="17", at=now_ms())
    db.close()


def _break_loose(port: int, files: Sequence[Path]) -> Storm:
    start = time.perf_counter()

    def serve(file: Path) -> tuple[float, int]:
        for again in range(TRIES):
            try:
                bench_load.send(port, file)
            except OSError:
                time.sleep(0.1 * (again + 1))
            else:
                return time.perf_counter() - start, again
        return time.perf_counter() - start, TRIES

    with ThreadPoolExecutor(LINES) as lines:
        served = list(lines.map(serve, files))
    return Storm([seconds for seconds, _ in served], sum(again > 0 for _, again in served))
