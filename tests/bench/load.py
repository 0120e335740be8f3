"""The load of `make bench`: tablets that seal ahead into files, and a process of its own that replays those bytes.

Every envelope is sealed afresh, as a tablet does it, with its own keys, route, place in the chain and signature. So a
request of the load is as long and as hard to compress as a real one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from bench.forms import SampleInterviews
from bench.load_generator import Client, LoadGenerator
from bench.server import BenchSite, read_generation
from server.cli.terminal import now_ms
from server.database.sqlite import SqliteDatabase
from server.store import audit, devices
from sync.documents import receipt, registry
from sync.documents.trust import Trust
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition, envelope_id
from sync.exchange import messages
from sync.exchange.messages import AuditRow, Message, Request
from sync.exchange.transport import Transport
from sync.keys.key_pairs import RoutePublicKey, SealPublicKey, SigningKey, key_id
from sync.tablet.outbox import Outbox
from sync.tablet.trusted_documents import TrustedDocuments
from sync.wire.encoding import canonical

LENGTH_BYTES = 4  # In front of each request in a file.
REGION = "17"
SEALED_ELSEWHERE = 1000
"""From so many envelopes on, processes of their own seal them."""


@dataclass(frozen=True)
class Interview:
    """One filled interview: what is sealed of it, its route, and the public key of the keyring that it is sealed to."""

    content: Content
    route: Route
    keyring: bytes
    bucket: int


@dataclass(frozen=True)
class SharedLoad:
    """What all tablets of a load share: the interviews, the route key, and what each says of itself in a request."""

    interviews: Sequence[Interview]
    route_key: bytes
    said: Request


@dataclass(frozen=True)
class _Keys:
    """The keys that a tablet seals and signs with. They cannot be sent to another process; their bytes can."""

    device: SigningKey
    keyrings: Mapping[bytes, SealPublicKey]
    route: RoutePublicKey


@dataclass
class Sender:
    """A tablet that seals ahead: its secret, its place in its chain, its last request, what the server told it."""

    secret: bytes
    shared: SharedLoad
    chain: str = field(default_factory=seal.new_chain_id)
    seq: int = 0
    prev: str = ""
    n: int = 0
    cursor: int = 0
    told: AuditRow = messages.NO_AUDIT_ROW
    receipted: int = 0

    @property
    def dev(self) -> str:
        """The tablet's name."""
        return SigningKey(self.secret).kid

    def write_ahead(self, file: Path, each: int, count: int) -> Sender:
        """Write so many requests of so many envelopes each; return the sender as it is after them."""
        keys = self._load_keys()
        with file.open("wb") as opened:
            for _ in range(count):
                raws = tuple(self._seal_next(keys) for _ in range(each))
                sent = frame(self._write_request(keys.device, raws))
                opened.write(len(sent).to_bytes(LENGTH_BYTES) + sent)
        return self

    def greet(self, port: int, trust: Trust) -> Sender:
        """Sync once, as a tablet that just sent an envelope: what the server tells it goes into its later requests."""
        keys = self._load_keys()
        sent = (self._seal_next(keys),)
        message = self._write_request(keys.device, sent)
        line = Transport(f"http://127.0.0.1:{port}")
        headers = {"Content-Type": messages.CONTENT_TYPE, messages.SIGNATURE_HEADER: message.signature}
        reply = line.send("POST", messages.PATH, message.body, headers)
        line.close()
        answered = Message(reply.body, reply.headers[messages.SIGNATURE_HEADER.lower()])
        response = messages.read_response(answered, trust.servers, dev=self.dev, n=self.n, envelopes=sent)
        assert response.receipts is not None
        receipts = receipt.accept(response.receipts, trust, dev=self.dev, n=self.n)
        if [item.outcome for item in receipts.items] != ["stored"]:
            raise RuntimeError(f"the first envelope of a tablet was answered with {receipts.items}")
        self.cursor, self.receipted = response.cursor, self.seq
        self.told = AuditRow(receipts.number, receipt.shorten_head(receipts.head))
        return self

    def _write_request(self, key: SigningKey, envelopes: tuple[bytes, ...]) -> Message:
        self.n += 1
        said = replace(self.shared.said, n=self.n, at=now_ms(), envelopes=envelopes, cursor=self.cursor, told=self.told)
        if self.receipted:  # The inventory is sent once.
            said = replace(said, inventory={}, receipted={self.chain: self.receipted})
        return messages.write_request(said, key)

    def _load_keys(self) -> _Keys:
        keyrings = {raw: SealPublicKey.from_raw(raw) for raw in {each.keyring for each in self.shared.interviews}}
        return _Keys(SigningKey(self.secret), keyrings, RoutePublicKey.from_raw(self.shared.route_key))

    def _seal_next(self, keys: _Keys) -> bytes:
        self.seq += 1
        interview = self.shared.interviews[self.seq % len(self.shared.interviews)]
        raw = seal.seal_envelope(
            interview.content,
            to=keys.keyrings[interview.keyring],
            route=interview.route,
            route_key=keys.route,
            device=keys.device,
            jti=seal.new_screening_id(),
            position=ChainPosition(chain=self.chain, seq=self.seq, kseq=self.seq, prev=self.prev),
            bucket=interview.bucket,
        )
        self.prev = envelope_id(raw)
        return raw


def share(site: BenchSite, samples: SampleInterviews) -> SharedLoad:
    """What the tablets of a load share: the story's interviews, and what each says of itself."""
    documents = site.documents()
    with Outbox(site.tablets[0] / "outbox.db") as held:
        names = documents.registry.keyrings.values()
        keys = {each.id: each.public(held.documents.get(f"key/{each.key_sha256}") or b"") for each in names}
    inventory = messages.limit_inventory(documents.versions)
    said = Request(
        n=0,
        at=0,
        **{name: getattr(documents, name).number for name in ("trust", "registry", "manifest")},
        generation=read_generation(site),
        inventory=inventory,
        inventory_digest=key_id(canonical(inventory)),
    )
    interviews = [_interview(samples, documents, keys, number) for number in range(len(samples.filled))]
    return SharedLoad(interviews, documents.manifest.route_key(now_ms()).raw, said)


def _interview(
    samples: SampleInterviews, documents: TrustedDocuments, keys: Mapping[str, SealPublicKey], number: int
) -> Interview:
    """One of the story's interviews, sealed to the keyring that the reference tablet would choose."""
    filled = samples.filled[number]
    kind = registry.sealed_to(filled.values["queue_kinds"].split())
    keyring = documents.registry.keyring_for(filled.values.get(samples.form.route["province"], ""), kind).id
    content = Content(samples.scorer.write_instance(filled), Context(samples.sha))
    return Interview(content, samples.route(filled), keys[keyring].raw, samples.form.bucket)


def let_in(site: BenchSite, count: int, shared: SharedLoad) -> list[Sender]:
    """Certify so many tablets without their ceremony: what is measured is the load, not their enrolment."""
    made = [Sender(SigningKey.generate().secret, shared) for _ in range(count)]
    db, at = SqliteDatabase(site.server.folders[0] / "chaski.db"), now_ms()
    with db.write() as w:
        for sender in made:
            key = SigningKey(sender.secret).public
            devices.add_device(w, dev=key.kid, key=key.raw, label="load", region=REGION, at=at)
            devices.certify(w, key.kid, certificate=b"{}", label="load", region=REGION, at=at)
            audit.append(w, at=at, action="device.enrolled", actor=key.kid, subject=key.kid)
            audit.append(w, at=at, action="device.certified", actor="bench", subject=key.kid)
    db.close()
    return made


def write_all(senders: Sequence[Sender], folder: Path, each: int, count: int) -> tuple[list[Sender], list[Path]]:
    """Let every sender write its requests of one phase; return the senders after them, and the files."""
    folder.mkdir()
    files = [folder / f"{sender.dev}.load" for sender in senders]
    if each * count * len(senders) < SEALED_ELSEWHERE:
        return [sender.write_ahead(file, each, count) for sender, file in zip(senders, files, strict=True)], files
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as sealing:
        portion = max(1, len(senders) // 64)
        counts = [each] * len(senders), [count] * len(senders)
        return list(sealing.map(Sender.write_ahead, senders, files, *counts, chunksize=portion)), files


def requests(file: Path) -> list[memoryview]:
    """The requests in a file as they go over the line."""
    view, at, found = memoryview(file.read_bytes()), 0, []
    while at < len(view):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(view[at:start])
        found.append(view[start:at])
    return found


def frame(message: Message) -> bytes:
    """A request as it goes over the line."""
    head = (
        f"POST {messages.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {messages.CONTENT_TYPE}\r\n"
        f"Content-Length: {len(message.body)}\r\n{messages.SIGNATURE_HEADER}: {message.signature}\r\n\r\n"
    )
    return head.encode() + message.body


def read_message(sent: memoryview) -> Message:
    """A request as a message, for what is measured without HTTP."""
    head, _, body = bytes(sent).partition(b"\r\n\r\n")
    return Message(body, head.rpartition(b": ")[2].decode())


def read_in_turn(files: Sequence[Path]) -> Iterator[Message]:
    """The messages of tablets that send equally many: the first of each, then the second of each."""
    return map(read_message, chain.from_iterable(zip(*map(requests, files), strict=True)))


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did: its seconds on the wall, each tablet's milliseconds, CPU seconds of the load generator."""

    wall: float
    taken: list[list[float]]
    cpu: float
    tries: int = 0

    @property
    def all_taken(self) -> list[float]:
        """The milliseconds of every request."""
        return [each for taken in self.taken for each in taken]

    @property
    def core_percent(self) -> float:
        """How much of one core the load generator took, in percent."""
        return 100 * self.cpu / self.wall


def replay(port: int, files: Sequence[Path], pause: Sequence[float] = (), patience: float = 60.0) -> ReplayResult:
    """Send every tablet's requests in order, all tablets at once, each over one connection."""
    clients = [Client(requests(file)) for file in files]
    run = LoadGenerator(port, clients, pause=pause, patience=patience).run()
    return ReplayResult(
        run.wall, [client.taken for client in clients], run.cpu, sum(client.tries for client in clients)
    )
