"""The load of `make bench`: tablets that seal ahead into files, and a process of its own that replays those bytes.

Every envelope has its own name, route, place in the chain and signature; the sealed interview behind them is one of a
few that were sealed in full, since the server cannot look into it anyway.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.forms import SampleInterviews
from server.cli.terminal import now_ms
from sync.documents import registry
from sync.documents.signed import sign_bare
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route, seal_route
from sync.envelope.verify import SIGNATURE_TYP, ChainPosition, Header, envelope_id
from sync.exchange import messages
from sync.exchange.messages import Message, Request
from sync.keys.key_pairs import RoutePublicKey, SealPublicKey, SigningKey
from sync.tablet.trusted_documents import TrustedDocuments
from sync.wire.encoding import b64u


@dataclass(frozen=True)
class SealedInterview:
    """One interview sealed in full: its keyring and route, and fields 2 to 6 of its envelope (SPEC 6.1)."""

    kid: str
    route: Route
    sealed: bytes


@dataclass(frozen=True)
class SharedLoad:
    """What all tablets of a load share: the interviews, the route key, and what each says of itself in a request."""

    interviews: Sequence[SealedInterview]
    route_key: bytes
    request_members: Mapping[str, int | str]


@dataclass
class Sender:
    """A tablet that seals ahead: its secret, its place in its chain, its last request number."""

    secret: bytes
    shared: SharedLoad
    chain: str = field(default_factory=seal.new_chain_id)
    seq: int = 0
    prev: str = ""
    n: int = 0

    def write_ahead(self, folder: Path, phases: Mapping[str, tuple[int, int]]) -> None:
        """Write the requests of each phase, in this order: so many envelopes each, so many requests."""
        key, route_key = SigningKey(self.secret), RoutePublicKey.from_raw(self.shared.route_key)
        for phase, (each, count) in phases.items():
            with request_file(folder, phase, key.kid).open("wb") as file:
                for _ in range(count):
                    raws = tuple(self._envelope(key, route_key) for _ in range(each))
                    self.n += 1
                    request = Request(self.n, now_ms(), envelopes=raws, **self.shared.request_members)  # type: ignore[arg-type]
                    pickle.dump(messages.write_request(request, key), file)

    def _envelope(self, key: SigningKey, route_key: RoutePublicKey) -> bytes:
        self.seq += 1
        interview, jti = self.shared.interviews[self.seq % len(self.shared.interviews)], seal.new_screening_id()
        sealed_route = seal_route(interview.route, route_key, jti)
        header = Header(interview.kid, jti, key.kid, self.chain, self.seq, self.seq, self.prev, sealed_route)
        signed = b64u(header.to_bytes()).encode() + b"." + interview.sealed
        raw = signed + b"." + sign_bare(signed, key, SIGNATURE_TYP).encode()
        self.prev = envelope_id(raw)
        return raw


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did: its seconds on the wall, each request's milliseconds, CPU seconds of the load generator."""

    wall: float
    taken: list[float]
    cpu: float

    @property
    def core_percent(self) -> float:
        """How much of one core the load generator took, in percent."""
        return 100 * self.cpu / self.wall


def seal_interviews(
    samples: SampleInterviews, documents: TrustedDocuments, keys: Mapping[str, SealPublicKey], generation: str
) -> SharedLoad:
    """Seal each of the story's interviews once, to the keyring that the reference tablet would choose."""
    made, route_key = [], documents.manifest.route_key(now_ms())
    for filled in samples.filled:
        kind = registry.sealed_to(filled.values["queue_kinds"].split())
        keyring = documents.registry.keyring_for(filled.values.get(samples.form.route["province"], ""), kind).id
        raw = seal.seal_envelope(
            Content(samples.scorer.write_instance(filled), Context(samples.sha)),
            to=keys[keyring],
            route=samples.route(filled),
            route_key=route_key,
            device=SigningKey.generate(),
            jti=seal.new_screening_id(),
            position=ChainPosition(chain=seal.new_chain_id(), seq=1, kseq=1, prev=""),
            bucket=samples.form.bucket,
        )
        made.append(SealedInterview(keys[keyring].kid, samples.route(filled), b".".join(raw.split(b".")[1:6])))
    held = {name: getattr(documents, name).number for name in ("trust", "registry", "manifest")}
    return SharedLoad(made, route_key.raw, {**held, "generation": generation})


def request_file(folder: Path, phase: str, dev: str) -> Path:
    """Where a tablet's requests of a phase lie."""
    return folder / f"{phase}-{dev}.load"


def requests(file: Path) -> Iterator[Message]:
    """The requests in a file."""
    with file.open("rb") as opened:
        while opened.tell() < os.fstat(opened.fileno()).st_size:
            yield pickle.load(opened)


def replay(port: int, files: Sequence[Path]) -> ReplayResult:
    """Send every tablet's requests in order, all tablets at once, each over one connection."""
    with ThreadPoolExecutor(len(files)) as tablets:
        cpu, start = time.process_time(), time.perf_counter()
        taken = [each for sent in tablets.map(_send, [port] * len(files), files) for each in sent]
        return ReplayResult(time.perf_counter() - start, taken, time.process_time() - cpu)


def _send(port: int, file: Path) -> list[float]:
    """Send one tablet's requests over one connection; return the milliseconds of each."""
    taken = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for message in requests(file):
            start = time.perf_counter()
            line.sendall(frame(message))
            _await_answer(line)
            taken.append((time.perf_counter() - start) * 1000)
    return taken


def frame(message: Message) -> bytes:
    """A request as it goes over the line."""
    head = (
        f"POST {messages.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {messages.CONTENT_TYPE}\r\n"
        f"Content-Length: {len(message.body)}\r\n{messages.SIGNATURE_HEADER}: {message.signature}\r\n\r\n"
    )
    return head.encode() + message.body


def _await_answer(line: socket.socket) -> None:
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(line)
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(int(text.partition(":")[2]) for text in lines if text.startswith("content-length:"))
    while len(body) < length:
        body += _more(line)
    if " 200 " not in lines[0]:
        raise RuntimeError(f"{lines[0]}: {body[:500]!r}")


def _more(line: socket.socket) -> bytes:
    got = line.recv(65536)
    if not got:
        raise RuntimeError("the server closed the line")
    return got
