"""A demo server with the real questionnaire, for the tests of the reference clients, and a proxy in front of it.

`InterceptingProxy` stands between tablet and server like a hostile network. It can cut the connection and change
responses.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from screening_forms.compiled_form import CompiledForm
from screening_forms.workbook.resources import CATALOGUE
from server.app import clock, open_services
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.flows.trust import documents as trust_documents
from server.flows.trust import enrolment
from support import forms
from support.intake import Field, run_servers
from support.waiting import PATIENCE
from sync.desk.client import DeskClient
from sync.documents import bundle
from sync.documents.enrolment import Invitation, sign_certificate
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import Route
from sync.envelope.verify import ChainPosition
from sync.exchange import codings
from sync.exchange.transport import MAX_BODY_BYTES
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import RoutePublicKey, SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.tablet.keyring_keys import fetch_other_keys
from sync.tablet.trusted_documents import load_documents

FORM = "pe_laboral_adulto"
STORY = ("1_huepetuhe_quz", "2_ananea_es", "3_putina_ayr", "4_inambari_minor", "5_declines")


def answers(name: str = STORY[0]) -> dict[str, Any]:
    """One of the catalogue's answer files."""
    found: dict[str, Any] = json.loads((CATALOGUE / FORM / "answers" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def compiled() -> CompiledForm:
    """The catalogue's questionnaire, compiled for training."""
    return forms.compiled(FORM)


@dataclass
class PassingAnswer:
    """A response on its way through the proxy: status, headers and body, each of which a test may replace. `request`
    is the body that it answers."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes
    request: bytes

    @property
    def plain(self) -> bytes:
        """The body without HTTP's content coding."""
        return codings.decode(self.body, self.headers.get("Content-Encoding", ""), most=MAX_BODY_BYTES)

    def put(self, body: bytes) -> None:
        """Replace the body."""
        self.headers.pop("Content-Encoding", None)
        self.body = body


class InterceptingProxy:
    """Forwards everything to a server.

    `heads` and `heard` get each request's headers and body; `answer` may change a response. For paths in `cut` the
    response is never sent; of a path for which `most` gives a number, so many bytes of the body are sent.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.answer: Callable[[PassingAnswer], None] = lambda change: None
        self.heard: Callable[[bytes], None] = lambda body: None
        self.heads: Callable[[bytes], None] = lambda head: None
        self.cut: frozenset[str] = frozenset()
        self.most: Callable[[str], int | None] = lambda path: None
        self.asked: list[str] = []
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without this, each response's body waits 40 ms for an acknowledgement of its head.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                line.pass_on(self)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address that the tablet uses."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        """Forward a request to the real server, let `answer` change the response, and return it or cut off."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.asked.append(f"{handler.command} {handler.path}")
        self.heard(body)
        self.heads(str(handler.headers).encode())
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        server.request(handler.command, handler.path, body or None, dict(handler.headers))
        got = server.getresponse()
        kept = {name.title(): value for name, value in got.getheaders()}
        for name in ("Content-Length", "Connection", "Date"):
            kept.pop(name, None)
        change = PassingAnswer(handler.command, handler.path, got.status, kept, got.read(), body)
        server.close()
        self.answer(change)
        if handler.path in self.cut:
            handler.close_connection = True
            return
        handler.send_response_only(change.status)
        for name, value in {**change.headers, "Content-Length": str(len(change.body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        most = self.most(handler.path)
        handler.wfile.write(change.body[:most])
        if most is not None and most < len(change.body):
            handler.close_connection = True


@dataclass
class Office:
    """The running demo server with both APIs, the proxy in front of the tablet API, and the signers' keys."""

    field: Field
    line: InterceptingProxy
    people_url: str
    folder: Path

    @property
    def pin(self) -> str:
        """The pin of the root keys."""
        return self.field.trust.pin

    def invite(self) -> str:
        """Make an invitation to the proxy's address."""
        db = self.field.services.db
        registry = trust_documents.registry_in_force(db.read())
        code = enrolment.create_invitation(
            db, registry, label="Huepetuhe 1", region="17", actor="tests", now=self.field.services.now(), minutes=60
        ).code
        return Invitation(self.line.url, code, self.pin).to_text()

    def certify(self, tablet: Tablet) -> None:
        """Certify the tablet with the registrar's key."""
        dev, words = tablet.status().dev, tablet.status().words
        key = self.field.services.db.read().execute("SELECT key FROM devices WHERE dev = ?", [dev]).fetchone()[0]
        certificate = sign_certificate(
            VerifyKey.from_raw(key), words, self.registrar, region="17", label="Huepetuhe 1", number=1, issued=clock()
        )
        enrolment.certify_device(
            self.field.services.db, certificate.to_bytes(), self.field.trust, actor="tests", now=clock()
        )

    @property
    def registrar(self) -> Any:
        """The registrar's key."""
        return self.field.world.office("registro", "registrar")

    def sign(self, form: CompiledForm) -> Document:
        """Sign a form version with the author's and the reviewer's key."""
        author, reviewer = (
            self.field.world.office("autora", "author"),
            self.field.world.office("revisor", "reviewer"),
        )
        return Document(form.to_bytes()).signed_by(author, bundle.TYP).signed_by(reviewer, bundle.TYP)

    def publish(self, version: str = "1", **changes: Any) -> str:
        """Publish a version of the questionnaire; return its SHA-256."""
        document = self.sign(replace(compiled(), version=version, **changes) if changes else self.version(version))
        services = self.field.services
        rollouts.publish_bundle(
            services.db, services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=clock()
        )
        return document.sha256

    @staticmethod
    def version(version: str) -> CompiledForm:
        """The questionnaire under another version name."""
        form = compiled()
        xform = form.xform.replace(f'version="{form.version}"', f'version="{version}"')
        return replace(form, version=version, xform=xform)

    def tablet(self, name: str = "tablet") -> Tablet:
        """Enrol a new tablet, certify it and let it pull. It has every desk's key, as after its first sync."""
        tablet = Tablet(self.folder / name)
        tablet.enrol(self.invite())
        self.certify(tablet)
        assert tablet.pull().certified
        documents = load_documents(tablet.outbox, dev=tablet.status().dev)
        assert documents is not None
        fetch_other_keys(documents.keyrings, tablet.outbox.documents, tablet.transport)
        return tablet

    def desk(self, login: str) -> DeskClient:
        """Sign a coordinator in at her desk."""
        return DeskClient.sign_in(self.people_url, login, self.field.world.passphrase(login), pin=self.pin)

    def stored(self) -> list[str]:
        """The screening ids (jti) in the server's database, in order of arrival."""
        return [row[0] for row in self.field.rows("SELECT jti FROM envelopes ORDER BY rowid")]


def send_sealed(
    office: Office,
    tablet: Tablet,
    instance: bytes,
    *,
    context: Context | None,
    route: Route,
    keyring: str,
    route_key: RoutePublicKey | None = None,
) -> str:
    """Seal any instance, context and route with the tablet's key, and sync; return the screening's id."""
    desk, jti = office.field.keyring(keyring), seal.new_screening_id()
    device = load_secret(office.folder / "tablet" / "device.key", SigningKey)

    def sealed(position: ChainPosition) -> bytes:
        return seal.seal_envelope(
            Content(instance, context),
            to=desk,
            route=route,
            route_key=route_key or office.field.route_key(),
            device=device,
            jti=jti,
            position=position,
            bucket=1024,
        )

    tablet.outbox.envelopes.append(desk.kid, jti, sealed)
    assert tablet.sync().waiting == 0
    return jti


@contextmanager
def open_office(world: World, folder: Path, people_url: tuple[str, ...] = ()) -> Iterator[Office]:
    """Serve a copy of the demo world on loopback. `people_url`: where people dial, if not on loopback."""
    field = Field(world, open_services(replace(world.config, people_url=people_url)), "")
    with run_servers(field) as (tablets, people):
        line = InterceptingProxy(tablets)
        office = Office(field, line, f"http://127.0.0.1:{people}", folder)
        field.form_sha = office.publish()
        thread = threading.Thread(target=line.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield office
        finally:
            line.server.shutdown()
            thread.join()
            line.server.server_close()


@pytest.fixture
def office(world: World, tmp_path: Path) -> Iterator[Office]:
    """The demo server with both APIs."""
    with open_office(world, tmp_path) as opened:
        yield opened


@pytest.fixture
def tablet(office: Office) -> Iterator[Tablet]:
    """A tablet of the office: enrolled, certified, with its forms."""
    with office.tablet() as made:
        yield made
