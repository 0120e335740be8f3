"""A certified tablet and a published form in the demo world, for the tests of intake, routing and the tablet API.

It seals and signs with the real protocol. The tests choose counters and chains freely, as the reference tablet would
not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pytest
from flask import Flask

from conftest import FOUNDED, World
from server.api.flask_app import Services
from server.app import Server, open_services, staff_api
from server.flows.desks.routing import Rulebook
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.intake import sync_request
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from server.store import documents, referrals
from server.store.referrals import Referral
from sync.documents import bundle, receipt, trust
from sync.documents.enrolment import CERTIFICATE_TYP, Certificate, write_enrolment_request
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition, envelope_id
from sync.exchange import messages
from sync.exchange.messages import Message, Request, Response
from sync.keys.key_pairs import RoutePublicKey, SealPublicKey, SigningKey
from vector_makers.fixed_inputs import PROVINCE_ROUTE

FORM = {"form_id": "prueba", "version": "1", "channel": "training"}
ROUTE = replace(PROVINCE_ROUTE, form="prueba", sha=None, sex="female", mode="field", taken="2026-11-20")


@dataclass
class Tablet:
    """A tablet's key, its position in its chain, and its last request number."""

    key: SigningKey
    chain: str = field(default_factory=seal.new_chain_id)
    seq: int = 0
    prev: str = ""
    n: int = 0


@dataclass
class Field:
    """A server with one form version in use, and tablets that send to it."""

    world: World
    services: Services
    form_sha: str
    now: int = FOUNDED
    port: int = 0

    @cached_property
    def people(self) -> Flask:
        """The staff API of this server; each person has her own client."""
        return staff_api(self.services)

    def tablet(self, *, certified: bool = True) -> Tablet:
        """Enrol a new tablet."""
        made, db = Tablet(SigningKey.generate()), self.services.db
        registry = trust_documents.registry_in_force(db.read())
        invited = enrolment.create_invitation(
            db, registry, label="Tableta", region="17", actor="tests", now=self.now, minutes=60
        )
        enrolment.enrol_device(db, write_enrolment_request(invited.code, made.key).to_bytes(), now=self.now)
        if certified:
            enrolment.certify_device(db, self.certificate(made), self.trust, actor="tests", now=self.now)
        return made

    def certificate(self, tablet: Tablet, number: int = 1, region: str = "17") -> bytes:
        """Sign a tablet's certificate with the registrar's key."""
        said = Certificate(tablet.key.kid, tablet.key.public, region, "Tableta", number)
        registrar = self.world.office("registro", "registrar")
        return Document(said.to_payload(self.now)).signed_by(registrar, CERTIFICATE_TYP).to_bytes()

    @property
    def trust(self) -> trust.Trust:
        """The trust in force."""
        stored = documents.get_newest(self.services.db.read(), "trust")
        assert stored is not None
        return trust.read(Document.parse(stored.body))

    def keyring(self, name: str) -> SealPublicKey:
        """A keyring's public key."""
        found = self.services.db.read().execute("select public from keyring_keys where keyring = ?", [name]).fetchone()
        return SealPublicKey.from_raw(found[0])

    def route_key(self) -> RoutePublicKey:
        """The server's public route key."""
        return next(iter(self.services.keys.routes.values())).public

    def envelope(
        self,
        tablet: Tablet,
        route: Route = ROUTE,
        *,
        to: str = "17-protection",
        at: tuple[int, str] | None = None,
        jti: str | None = None,
        route_key: RoutePublicKey | None = None,
        bucket: int = 1024,
    ) -> bytes:
        """Seal the tablet's next screening; `at` sets another position in the chain (seq, prev)."""
        tablet.seq += 1
        seq, prev = at or (tablet.seq, tablet.prev)
        raw = seal.seal_envelope(
            Content(b"<data/>", Context(self.form_sha)),
            to=self.keyring(to),
            route=route if route.sha else replace(route, sha=self.form_sha),
            route_key=route_key or self.route_key(),
            device=tablet.key,
            jti=jti or seal.new_screening_id(),
            position=ChainPosition(chain=tablet.chain, seq=seq, kseq=1, prev=prev),
            bucket=bucket,
        )
        tablet.prev = envelope_id(raw)
        return raw

    def message(self, tablet: Tablet, *envelopes: bytes, **said: Any) -> Message:
        """Write and sign the tablet's next request."""
        tablet.n += 1
        return messages.write_request(
            Request(**{"n": tablet.n, "at": self.now, "envelopes": envelopes, **said}), tablet.key
        )

    def answer(self, message: Message) -> Message:
        """Send a request in this process; return the response as bytes."""
        rulebook = Rulebook(self.services.rules, self.services.config.deadline_hours)
        return sync_request.answer_request(
            self.services.db, message, keys=self.services.keys, rulebook=rulebook, now=self.now
        )[0]

    def ask(self, tablet: Tablet, message: Message) -> Response:
        """Send a request in this process and verify the server's signature."""
        answer = self.answer(message)
        envelopes = messages.read_request(message, tablet.key.public).envelopes
        return messages.read_response(answer, self.trust.servers, dev=tablet.key.kid, n=tablet.n, envelopes=envelopes)

    def push(self, tablet: Tablet, *envelopes: bytes) -> list[ReceiptItem]:
        """Send envelopes; return the verified receipts."""
        response = self.ask(tablet, self.message(tablet, *envelopes))
        assert response.receipts is not None
        return list(receipt.accept(response.receipts, self.trust, dev=tablet.key.kid, n=tablet.n).items)

    def referrals(self, raw: bytes) -> list[Referral]:
        """The referrals of an envelope, by queue."""
        found = self.rows("select id from referrals where envelope = ? order by queue", envelope_id(raw))
        opened = (referrals.get_referral(self.services.db.read(), id_) for (id_,) in found)
        return [referral for referral in opened if referral is not None]

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Query the database."""
        return self.services.db.read().execute(sql, parameters).fetchall()


def open_field(world: World) -> Field:
    """Open the demo world's server and publish one form version, signed by its author and reviewer."""
    opened = Field(world, open_services(world.config, lambda: FOUNDED), "")
    document = Document.of(FORM, bundle.TYP, world.office("autora", "author"), world.office("revisor", "reviewer"))
    rollouts.publish_bundle(
        opened.services.db, opened.services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=FOUNDED
    )
    opened.form_sha = document.sha256
    return opened


@pytest.fixture(name="field")
def field_of_the_world(world: World) -> Iterator[Field]:
    """A server with one form version in use, in this process."""
    opened = open_field(world)
    yield opened
    opened.services.db.close()


@contextmanager
def run_servers(opened: Field) -> Iterator[tuple[int, int]]:
    """Serve both APIs on loopback; yield their ports."""
    services = replace(opened.services, config=replace(opened.services.config, tablets_port=0, people_port=0))
    server = Server(services)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.tablet_listener.port, server.staff_listener.port
    finally:
        server.stop()
        thread.join()
