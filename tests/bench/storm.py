"""What `make bench` measures when a network comes back: two thousand tablets that all speak in the same moment.

Each has screenings sealed ahead and one request for them. Who is refused or cut off tries again, as a tablet does.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

from bench import ingest, load
from bench.figure import Figure
from bench.forms import SampleInterviews
from bench.load import Sender
from bench.server import BenchSite, stored
from server.cli.terminal import now_ms
from server.database.sqlite import SqliteDatabase
from server.store import devices
from sync.keys.key_pairs import SigningKey

TABLETS, EACH = 2000, 10
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
BAR = 40
# A tablet's patience with a line that does not answer, and the pause before it tries again, in seconds.
PATIENCE, PAUSE = 60.0, (0.5, 2.0)


def storm(site: BenchSite, samples: SampleInterviews, quick: bool) -> Iterator[Figure]:
    """Seconds from the moment in which all tablets speak to each one's answer, as a histogram; nothing may be lost."""
    secrets = [SigningKey.generate().secret for _ in range(12 if quick else TABLETS)]
    _let_in(site, secrets)
    shared = ingest.prepare_load(site, samples)
    senders = [Sender(secret, shared) for secret in secrets]
    folder, phases = site.folder / "storm", {"storm": (EACH, 1)}
    folder.mkdir()
    spawn = get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as sealing:
        list(sealing.map(Sender.write_ahead, senders, [folder] * len(senders), [phases] * len(senders), chunksize=50))
    before = stored(site)
    with ProcessPoolExecutor(1, mp_context=spawn) as elsewhere:
        seconds, tries = elsewhere.submit(speak, site.server.tablets_port, folder).result()
    lost = len(senders) * EACH - (stored(site) - before)
    about = f"{len(senders):,} tablets at once, {EACH} screenings each"
    percentiles = quantiles(seconds, n=100, method="inclusive")
    yield Figure("storm.lost", f"{about}: lost", lost, "", 0)
    yield Figure("storm.rate", "    intake", len(senders) * EACH / max(seconds), "envelopes/s")
    yield Figure("storm.p50", "    a tablet's answer, median", percentiles[49], "s")
    yield Figure("storm.p99", "    a tablet's answer, 99 of 100", percentiles[98], "s")
    yield Figure("storm.tries", "    connections a tablet made", tries / len(senders), "")
    yield from _histogram(seconds)


def _let_in(site: BenchSite, secrets: Sequence[bytes]) -> None:
    """Certify tablets without their ceremony: what is measured is the storm, not two thousand enrolments."""
    db, at = SqliteDatabase(site.server.folders[0] / "chaski.db"), now_ms()
    with db.write() as w:
        for secret in secrets:
            key = SigningKey(secret).public
            devices.add_device(w, dev=key.kid, key=key.raw, label="storm", region="17", at=at)
            devices.certify(w, key.kid, certificate=b"{}", label="storm", region="17", at=at)
    db.close()


def speak(port: int, folder: Path) -> tuple[list[float], int]:
    """Let every tablet whose request lies in the folder speak at once; return each one's seconds, and all tries."""
    frames = [load.frame(next(load.requests(file))) for file in sorted(folder.iterdir())]
    return asyncio.run(_speak(port, frames))


async def _speak(port: int, frames: Sequence[bytes]) -> tuple[list[float], int]:
    begun = time.perf_counter()
    told = await asyncio.gather(*(_tell(port, frame, begun) for frame in frames))
    return [seconds for seconds, _ in told], sum(tries for _, tries in told)


async def _tell(port: int, frame: bytes, begun: float) -> tuple[float, int]:
    for tries in range(1, 1000):
        try:
            await asyncio.wait_for(_ask(port, frame), PATIENCE)
            return time.perf_counter() - begun, tries
        except (OSError, EOFError, TimeoutError):
            await asyncio.sleep(random.uniform(*PAUSE))
    raise RuntimeError("a tablet was never served")


async def _ask(port: int, frame: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(frame)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        if " 200 " not in f"{head[0]} ":
            raise ConnectionError(head[0])
        length = next(int(line.partition(":")[2]) for line in head if line.startswith("content-length:"))
        await reader.readexactly(length)
    finally:
        writer.close()


def _histogram(seconds: Sequence[float]) -> Iterator[Figure]:
    counts = [sum(low <= each < high for each in seconds) for low, high in pairwise(STEPS)]
    for (low, high), count in zip(pairwise(STEPS), counts, strict=True):
        if count:
            bar = "█" * round(BAR * count / max(counts))
            yield Figure(
                f"storm.{high:g}s", f"    answered within {low:g} to {high:g} s", count, "tablets", limit_is=bar
            )
