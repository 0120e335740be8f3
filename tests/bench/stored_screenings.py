"""Fills a database with screenings through the stores: a million in minutes, for the bench, and few for tests.

Every row is one that intake would have stored: identities, hashes, chains, routes, referrals, audit. To be fast, all
envelopes of a keyring share one sealed interview and one signature, and tablets share the names of their screenings.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.database.connection import Connection, Database
from server.flows.desks import referrals, routing
from server.flows.trust import documents as trust_documents
from server.store import audit, chains, devices, envelopes, statistics, statuses, worklist
from server.store import referrals as referral_store
from server.store.audit import AuditEvent
from server.store.devices import TabletReport
from sync.documents.enrolment import sign_certificate
from sync.documents.signed import sign_bare
from sync.durations import DAY, HOUR
from sync.envelope import seal
from sync.envelope.content import Content
from sync.envelope.route import Route, seal_route
from sync.envelope.verify import SIGNATURE_TYP, ChainPosition, Envelope, Header, envelope_id
from sync.keys.key_pairs import SealPublicKey, SigningKey
from sync.wire.encoding import b64u

Progress = Callable[[str], None]
DAYS = 400
"""The screenings came evenly during so many days before `now`."""
DESK_DAYS = 10
"""A desk closes nine referrals of ten, each so many days after the screening came."""
_BATCH, _BATCHES_A_COMMIT = 200, 20
_VARIANTS = 8
_HOURS = {"immediate": 24, "prompt": 72, "routine": 240, "none": 720}
_ROUTES = (
    ("17-protection", Route(outcome="positive", tier="T1", urgency="prompt", queue_kinds=("protection",))),
    ("17-protection", Route(outcome="positive", tier="T2", urgency="routine", queue_kinds=("labour", "protection"))),
    ("17-protection", Route(outcome="negative", tier="none", urgency="none", queue_kinds=())),
)


@dataclass
class StoredTablet:
    """A tablet of the built database: its key, its chain, the last envelope in it."""

    key: SigningKey
    chain: str = field(default_factory=seal.new_chain_id)
    seq: int = 0
    prev: str = ""
    stored_bytes: int = 0


@dataclass(frozen=True)
class _Sample:
    """What the envelopes of one round share: their jti, route, and fields 2 to 7."""

    jti: str
    kid: str
    keyring: str
    route: Route
    sealed_route: str
    tail: bytes


@dataclass
class _Filling:
    """What a fill needs besides the connection."""

    rules: Sequence[routing.RoutingRule]
    chance: random.Random
    person: str
    envelopes: int
    now: int

    def received(self, number: int) -> int:
        """Return when the envelopes of a batch came: all of one batch at the same time (ms)."""
        first = number - number % _BATCH
        return self.now - DAYS * DAY + first * DAYS * DAY // self.envelopes


def build(
    db: Database, envelopes: int, tablets: int, *, now: int, progress: Progress = lambda step: None
) -> list[StoredTablet]:
    """Store `envelopes` screenings of `tablets` new tablets, with all that follows from them; return the tablets.

    Nine of ten referrals are closed. One screening of 150 waits for a person's decision, or has one.
    """
    chance = random.Random(12)
    (person,) = db.read().execute("select id from people order by login limit 1").fetchone()
    filling = _Filling(routing.read_rules(), chance, person, envelopes, now)
    made = _add_tablets(db, tablets, filling)
    rounds = -(-envelopes // tablets)
    sealed = _seal_tails(db.read())
    number = 0
    for round_ in range(rounds):
        samples = [_make_sample(db.read(), sealed, round_ * _VARIANTS + each) for each in range(_VARIANTS)]
        due = made[: min(tablets, envelopes - number)]
        for start in range(0, len(due), _BATCH * _BATCHES_A_COMMIT):
            part = due[start : start + _BATCH * _BATCHES_A_COMMIT]
            with db.write() as w:
                for first in range(0, len(part), _BATCH):
                    number = _store_batch(w, filling, number, part[first : first + _BATCH], samples)
        progress(f"{number:,} of {envelopes:,} screenings")
    for start in range(0, tablets, 100):
        with db.write() as w:
            for tablet in made[start : start + 100]:
                chains.advance_chain(w, tablet.key.kid, tablet.chain)
                devices.count_stored(w, [(tablet.key.kid, tablet.stored_bytes, 0)])
    return made


def _add_tablets(db: Database, count: int, filling: _Filling) -> list[StoredTablet]:
    made, registrar = [StoredTablet(SigningKey.generate()) for _ in range(count)], SigningKey.generate()
    for start in range(0, count, 200):
        with db.write() as w:
            for number, tablet in enumerate(made[start : start + 200], start):
                _add_tablet(w, tablet, number, registrar, filling.now)
    return made


def _add_tablet(w: Connection, tablet: StoredTablet, number: int, registrar: SigningKey, now: int) -> None:
    key, dev, at = tablet.key.public, tablet.key.kid, now - DAYS * DAY + number
    said = {"label": f"T-{number}", "region": ("17", "21", "08")[number % 3]}
    certificate = sign_certificate(key, key.words(), registrar, **said, number=1, issued=at).to_bytes()  # type: ignore[arg-type]
    devices.add_device(w, dev=dev, key=key.raw, **said, at=at)
    devices.certify(w, dev, certificate=certificate, **said, at=at)
    audit.append(w, at=at, action="device.enrolled", actor=dev, subject=dev)
    audit.append(w, at=at, action="device.certified", actor=audit.SERVER, subject=dev)
    seen = now - (30 * DAY if number % 50 == 7 else HOUR)  # One of fifty is silent.
    said_last = TabletReport(dev, seen, offset=0, n=1, request="", trust=1, registry=1, manifest=1)
    devices.record_requests(w, [said_last])
    devices.replace_inventory(w, dev, {f"form_{each}": f"{each}" * 64 for each in range(3)}, at=seen)
    for day in range(3 if number % 10 == 0 else 0):
        statistics.count_rejection(w, dev=dev, code="envelope.bad_signature", at=now - day * DAY)


def _seal_tails(c: Connection) -> Mapping[str, tuple[str, bytes]]:
    """Seal one interview to each keyring. Returns its key's id, and fields 2 to 7 of its envelope."""
    route_key = trust_documents.manifest_in_force(c).route_keys[0].key
    found = {}
    for keyring, public in c.execute("select keyring, public from keyring_keys order by epoch").fetchall():
        key = SealPublicKey.from_raw(public)
        raw = seal.seal_envelope(
            Content(b"<data/>", None),
            to=key,
            route=Route(),
            route_key=route_key,
            device=SigningKey.generate(),
            jti=seal.new_screening_id(),
            position=ChainPosition(chain=seal.new_chain_id(), seq=1, kseq=1, prev=""),
            bucket=1024,
        )
        found[str(keyring)] = key.kid, raw.partition(b".")[2]
    return found


def _make_sample(c: Connection, sealed: Mapping[str, tuple[str, bytes]], number: int) -> _Sample:
    keyring, facts = _ROUTES[number % len(_ROUTES)]
    jti, kid = seal.new_screening_id(), sealed[keyring][0]
    shown = {"province": "1702" if number % 4 else "2101", "mode": "training" if number % 40 == 11 else "field"}
    route = Route(**{**vars(facts), **shown, "form": "pe_laboral_adulto", "sex": "female", "lang": "es"})
    sealed_route = seal_route(route, trust_documents.manifest_in_force(c).route_keys[0].key, jti)
    return _Sample(jti, kid, keyring, route, sealed_route, sealed[keyring][1])


def _store_batch(
    w: Connection, filling: _Filling, number: int, tablets: Sequence[StoredTablet], samples: Sequence[_Sample]
) -> int:
    """Store the next envelope of each tablet; return the number of the one after them."""
    at, events, facts = filling.received(number), list[AuditEvent](), []
    for place, tablet in enumerate(tablets):
        sample = samples[(number + place) % len(samples)]
        events += _store_one(w, filling, tablet, sample, number + place, at)
        facts += statistics.screening_facts(sample.route)
    audit.append_all(w, events, at=at)
    statistics.count_screenings(w, facts, at=at)
    return number + len(tablets)


def _store_one(
    w: Connection, filling: _Filling, tablet: StoredTablet, sample: _Sample, number: int, at: int
) -> list[AuditEvent]:
    held, dev = number % 150 == 5, tablet.key.kid
    envelope = _write_envelope(tablet, sample)
    arrival = envelopes.put_envelope(w, envelope, outcome="held" if held else "stored", at=at)
    envelopes.put_route(w, envelope.id, sample.route, at=at)
    events = [AuditEvent("envelope.held" if held else "envelope.stored", dev, envelope.id)]
    if held:
        _add_item(w, filling, envelope, number, at)
    decided = routing.choose_queues(sample.route, filling.rules, keyring=sample.keyring, received=at, hours=_HOURS)
    closes = number % 10 > 0 and at < filling.now - DESK_DAYS * DAY
    for decision in decided:
        opened = referrals.open_referral(w, envelope.id, decision, arrival=arrival, received=at, now=at)
        events += opened
        if closes:
            events += _close(w, filling, opened[0].subject, envelope, at + DESK_DAYS * DAY)
    return events


def _write_envelope(tablet: StoredTablet, sample: _Sample) -> Envelope:
    tablet.seq += 1
    header = Header(
        sample.kid, sample.jti, tablet.key.kid, tablet.chain, tablet.seq, 1, tablet.prev, sample.sealed_route
    )
    protected = b64u(header.to_bytes())
    raw = protected.encode() + b"." + sample.tail
    tablet.prev = envelope_id(raw)
    tablet.stored_bytes += len(raw)
    return Envelope(raw, tablet.prev, header, protected, b"", b"", b"", b"", b"", "")


def seal_next(c: Connection, tablet: StoredTablet) -> bytes:
    """Return the tablet's next envelope with a signature of its own, for intake to judge; it is not stored."""
    sample = _make_sample(c, _seal_tails(c), 0)
    tablet.seq += 1
    header = Header(
        sample.kid, sample.jti, tablet.key.kid, tablet.chain, tablet.seq, 1, tablet.prev, sample.sealed_route
    )
    signed = b64u(header.to_bytes()).encode() + b"." + sample.tail.rpartition(b".")[0]
    raw = signed + b"." + sign_bare(signed, tablet.key, SIGNATURE_TYP).encode()
    tablet.prev = envelope_id(raw)
    return raw


def _close(w: Connection, filling: _Filling, id_: str, envelope: Envelope, at: int) -> list[AuditEvent]:
    referral_store.set_state(w, id_, state="closed", holder=filling.person, lease=None, result="attended", at=at)
    statuses.add_event(w, dev=envelope.header.dev, envelope=envelope.id, status="closed", at=at)
    return [AuditEvent("referral.closed", filling.person, id_)]


def _add_item(w: Connection, filling: _Filling, envelope: Envelope, number: int, at: int) -> None:
    header = envelope.header
    worklist.add_item(w, kind="held", dev=header.dev, chain=header.chain, envelope=envelope.id, at=at)
    if number % 750 != 5 and at < filling.now - DESK_DAYS * DAY:
        (last,) = w.execute("select max(id) from work_items").fetchone()
        decision = "keep_apart" if number % 300 == 5 else "release"
        worklist.record_decision(w, last, decision=decision, by=filling.person, at=at + DAY)
