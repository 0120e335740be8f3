"""What `make bench` measures of intake: sealed screenings from several tablets into a real server, over HTTP.

The load is sealed and signed beforehand and sent from a process of its own, one connection and one thread a tablet.
"""

from __future__ import annotations

import http.client
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

from bench_figure import Figure
from bench_forms import Material
from bench_server import Site

from server.cli.terminal import now_ms
from server.db import Db
from sync import envelope, exchange, registry, seal
from sync.board import Board
from sync.exchange import Message, Request
from sync.keys import SealPublic, SigningKey
from sync.outbox import Outbox

BATCH = 20


@dataclass
class Sender:
    """A tablet that seals ahead: its key, its place in its chain and its last request number."""

    key: SigningKey
    material: Material
    board: Board
    keys: dict[str, SealPublic]
    name: str = field(default_factory=seal.new_chain)
    seq: int = 0
    prev: str = ""
    n: int = 0

    def envelope(self) -> bytes:
        """Seal the next of the story's interviews, to the keyring that the reference tablet would choose."""
        filled = self.material.filled[self.seq % len(self.material.filled)]
        self.seq += 1
        kind = registry.sealed_to(filled.values["queue_kinds"].split())
        district = filled.values.get(self.material.form.route["province"], "")
        raw = seal.seal(
            self.material.scorer.instance(filled),
            to=self.keys[self.board.registry.keyring_for(district, kind).id],
            route=self.material.route(filled),
            route_key=self.board.manifest.route_key(now_ms()),
            device=self.key,
            jti=seal.new_jti(),
            chain=self.name,
            seq=self.seq,
            kseq=self.seq,
            prev=self.prev,
            bucket=self.material.form.bucket,
        )
        self.prev = envelope.identity(raw)
        return raw

    def requests(self, count: int, size: int) -> Iterator[Message]:
        """Sign `count` requests of `size` new envelopes each."""
        have = {name: getattr(self.board, name).number for name in ("trust", "registry", "manifest")}
        for _ in range(count):
            self.n += 1
            envelopes = tuple(self.envelope() for _ in range(size))
            yield exchange.write_request(Request(self.n, now_ms(), envelopes=envelopes, **have), self.key)


@dataclass(frozen=True)
class Driven:
    """What a load did: its seconds on the wall, each request's milliseconds, CPU seconds of the server."""

    wall: float
    taken: list[float]
    cpu: float | None


def ingest(site: Site, material: Material, quick: bool) -> list[Figure]:
    """Envelopes a second, latency and the server's CPU, one envelope a request and twenty; limits are bare commits."""
    senders = _senders(site, material)
    size = len(senders[0].envelope())
    senders[0].seq, senders[0].prev = 0, ""
    runs = {"single": (1, 5 if quick else 100), "batch": (BATCH, 2 if quick else 25)}
    times = {"single": 20 if quick else 400, "batch": 5 if quick else 60}
    found: list[Figure] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        for name, (each, count) in runs.items():
            loads = [list(sender.requests(count, each)) for sender in senders]
            bare = [commits(site.folder / f"before-{name}.db", size, each, times[name])]
            before = _stored(site)
            driven = _drive(site, elsewhere, loads)
            arrived = _stored(site) - before
            if arrived != each * count * len(senders):
                raise RuntimeError(f"only {arrived} envelopes of {each * count * len(senders)} were stored")
            bare.append(commits(site.folder / f"after-{name}.db", size, each, times[name]))
            found += _figures(name, each, driven, arrived, max(bare))
    return found


def _senders(site: Site, material: Material) -> list[Sender]:
    board = site.board()
    with Outbox(site.tablets[0] / "outbox.db") as held:
        names = board.registry.keyrings.values()
        keys = {each.id: each.public(held.held(f"key/{each.key_sha256}") or b"") for each in names}
    return [Sender(site.key(tablet), material, board, keys) for tablet in site.tablets[1:]]


def _drive(site: Site, elsewhere: ProcessPoolExecutor, loads: Sequence[Sequence[Message]]) -> Driven:
    elsewhere.submit(os.getpid).result()
    before = cpu_seconds(site.pid)
    wall, taken = elsewhere.submit(send_all, site.server.tablets_port, loads).result()
    after = cpu_seconds(site.pid)
    return Driven(wall, taken, None if before is None or after is None else after - before)


def send_all(port: int, loads: Sequence[Sequence[Message]]) -> tuple[float, list[float]]:
    """Send every tablet's requests in order, all tablets at once; return seconds in all, milliseconds of each."""
    with ThreadPoolExecutor(len(loads)) as tablets:
        start = time.perf_counter()
        taken = list(chain.from_iterable(tablets.map(send, [port] * len(loads), loads)))
        return time.perf_counter() - start, taken


def send(port: int, load: Sequence[Message]) -> list[float]:
    """Send one tablet's requests over one connection; return the milliseconds of each."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    for message in load:
        headers = {"Content-Type": exchange.CONTENT_TYPE, exchange.SIGNATURE_HEADER: message.signature}
        start = time.perf_counter()
        connection.request("POST", exchange.PATH, message.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        taken.append((time.perf_counter() - start) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:500]!r}")
    connection.close()
    return taken


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds, user and system, that a process has used; None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return sum(map(int, islice(stat.rpartition(")")[2].split(), 11, 13))) / os.sysconf("SC_CLK_TCK")


def _stored(site: Site) -> int:
    connection = sqlite3.connect(f"file:{site.server.folders[0] / 'chaski.db'}?mode=ro", uri=True)
    count: int = connection.execute("select count(*) from envelopes where outcome = 'stored'").fetchone()[0]
    connection.close()
    return count


def commits(file: Path, size: int, rows: int, times: int) -> float:
    """Rows of `size` bytes a second into bare SQLite with the server's pragmas, `rows` to a durable commit.

    The fastest tenth tells: a limit is what the disk can do, not what it does while others use it.
    """
    db = Db(file)
    with db.write() as w:
        w.execute("create table bare (id integer primary key, body blob)")
    bodies = [secrets.token_bytes(size) for _ in range(rows)]
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        with db.write() as w:
            for body in bodies:
                w.execute("insert into bare (body) values (?)", [body])
        taken.append(time.perf_counter() - start)
    db.close()
    return rows / quantiles(taken, n=10, method="inclusive")[0]


def _figures(name: str, each: int, driven: Driven, arrived: int, limit: float) -> list[Figure]:
    about = "intake, one envelope a request" if each == 1 else f"intake, {each} envelopes a request"
    percentiles = quantiles(driven.taken, n=100, method="inclusive")
    cpu = None if driven.cpu is None else driven.cpu / arrived * 1000
    bare = f"bare SQLite, {each} row{'s' if each > 1 else ''} a commit"
    return [
        Figure(f"ingest.{name}.rate", about, arrived / driven.wall, "envelopes/s", None, limit, bare),
        Figure(f"ingest.{name}.p50", "    a request, median", percentiles[49], "ms"),
        Figure(f"ingest.{name}.p99", "    a request, 99 of 100", percentiles[98], "ms"),
        Figure(f"ingest.{name}.cpu", "    server's CPU an envelope", cpu, "ms"),
    ]
