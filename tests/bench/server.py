"""A real `chaski serve` for `make bench`, a demo with tablets of its own, and what one tablet's sync costs."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bench.figure import Figure
from bench.forms import TAKEN, SampleInterviews
from server.ceremony import founding
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.demo.story import FORM
from server.cli.terminal import now_ms
from server.flows.trust import documents
from sync.documents import bundle, enrolment
from sync.documents.signed import Document
from sync.envelope.verify import parse_envelope
from sync.exchange.staff_session import StaffSession
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.tablet.trusted_documents import TrustedDocuments, load_documents
from sync.wire.encoding import unb64u

PUSHED = 10
SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class BenchSite:
    """The running server, the memory it took before any work, and certified tablets; the first one has the form."""

    folder: Path
    server: ServerProcess
    idle: float | None
    pin: str
    tablets: tuple[Path, ...]

    def key(self, tablet: Path) -> SigningKey:
        """A tablet's own key."""
        return load_secret(tablet / "device.key", SigningKey)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self.server.running is not None
        return self.server.running.pid

    def documents(self) -> TrustedDocuments:
        """The documents in force, as the first tablet holds them."""
        with Tablet(self.tablets[0]) as tablet:
            held = load_documents(tablet.outbox, dev=tablet.status().dev)
        assert held is not None
        return held


@contextmanager
def serving(folder: Path, samples: SampleInterviews, tablets: int) -> Iterator[BenchSite]:
    """Found a demo in `folder`, serve it on loopback, publish the questionnaire, certify tablets."""
    made = founding.create_demo_server(folder / "server", folder / "people", now=now_ms(), progress=lambda _: None)
    pin = documents.trust_in_force(made.db.read()).pin
    made.db.close()
    server = ServerProcess(folder, *free_ports(2))
    server.start()
    try:
        site = BenchSite(folder, server, None, pin, tuple(folder / f"tablet-{number}" for number in range(tablets)))
        site = replace(site, idle=memory(site.pid))
        _publish(site, samples)
        _certify(site)
        with Tablet(site.tablets[0]) as first:
            first.pull()
            first.sync()
        yield site
    finally:
        server.kill()


def memory(pid: int) -> float | None:
    """The resident memory of a process in MiB; None where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds, user and system, that a process has used; None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return sum(map(int, islice(stat.rpartition(")")[2].split(), 11, 13))) / os.sysconf("SC_CLK_TCK")


def stored(site: BenchSite) -> int:
    """How many envelopes the server stored as good."""
    connection = sqlite3.connect(f"file:{site.server.folders[0] / 'chaski.db'}?mode=ro", uri=True)
    count: int = connection.execute("select count(*) from envelopes where outcome = 'stored'").fetchone()[0]
    connection.close()
    return count


def _passphrase(site: BenchSite, login: str) -> str:
    return (site.folder / "people" / login / "passphrase.txt").read_text(encoding="utf-8").strip()


def sign_in(site: BenchSite, login: str) -> StaffSession:
    return StaffSession.sign_in(site.server.people_url, login, _passphrase(site, login), pin=site.pin)


def _office(site: BenchSite, login: str, role: str) -> SigningKey:
    return load_secret(site.folder / "people" / login / f"{role}.key", SigningKey, _passphrase(site, login))


def _publish(site: BenchSite, samples: SampleInterviews) -> None:
    document = Document(samples.form.to_bytes()).signed_by(_office(site, "autora", "author"), bundle.TYP)
    document = document.signed_by(_office(site, "revisor", "reviewer"), bundle.TYP)
    with StaffSession.sign_in(
        site.server.people_url, "publicacion", _passphrase(site, "publicacion"), pin=site.pin
    ) as publisher:
        publisher.post("/v1/publications", data=document.to_bytes())
        for path in site.tablets:
            invited = publisher.post("/v1/invitations", json={"label": path.name, "region": "17"})
            with Tablet(path) as tablet:
                tablet.enrol(invited["invitation"])


def _certify(site: BenchSite) -> None:
    registrar = _office(site, "registro", "registrar")
    with StaffSession.sign_in(
        site.server.people_url, "registro", _passphrase(site, "registro"), pin=site.pin
    ) as office:
        for number, listed in enumerate(office.list("/v1/devices"), 1):
            key = VerifyKey.from_raw(unb64u(listed["key"]))
            said = {"region": listed["region"], "label": listed["label"], "number": number}
            signed = enrolment.sign_certificate(key, key.words(), registrar, **said, issued=now_ms())
            office.post(f"/v1/devices/{listed['dev']}/certificate", data=signed.to_bytes())


def nothing_new(site: BenchSite) -> list[Figure]:
    """Requests, and bytes of HTTP up and down with heads, of a sync with nothing to send and nothing to learn.

    The limit is the least that this server can be asked: GET /healthz on the same open connection.
    """
    with Tablet(site.tablets[0]) as tablet:
        tablet.sync()
        before = tablet.transport.traffic
        tablet.transport.get("/healthz")
        least = tablet.transport.traffic - before
        traffic = tablet.sync().traffic
    return [
        Figure("nothing_new.requests", "sync with nothing new", traffic.requests, "requests", 1),
        Figure(
            "nothing_new.bytes",
            "sync with nothing new, up and down",
            traffic.up + traffic.down,
            "B",
            1000,
            least.up + least.down,
            "GET /healthz, no signature",
        ),
        Figure("nothing_new.up", "    of which up", traffic.up, "B"),
        Figure("nothing_new.down", "    of which down", traffic.down, "B"),
    ]


def pushing(site: BenchSite, samples: SampleInterviews) -> list[Figure]:
    """Requests, and bytes of HTTP up and down with heads, of pushing ten screenings of the story's people.

    The limit is what cannot be compressed: the envelopes' cryptographic parts, in binary.
    """
    with Tablet(site.tablets[0]) as tablet:
        for number in range(PUSHED):
            tablet.screen(FORM, samples.given[number % len(samples.given)], TAKEN)
        raws = [stored.raw for stored in tablet.outbox.envelopes.list_stored()]
        report = tablet.sync()
    if [receipt.outcome for receipt in report.receipts] != ["stored"] * PUSHED:
        raise RuntimeError(f"the push was answered with {report.receipts}")
    traffic = report.traffic
    return [
        Figure("push.requests", f"push {PUSHED} screenings", traffic.requests, "requests", 1),
        Figure(
            "push.bytes",
            f"push {PUSHED} screenings, up and down",
            traffic.up + traffic.down,
            "B",
            32_000,
            sum(map(_incompressible, raws)),
            "their incompressible bytes",
        ),
        Figure("push.up", "    of which up", traffic.up, "B"),
        Figure("push.down", "    of which down", traffic.down, "B"),
    ]


def _incompressible(raw: bytes) -> int:
    sealed = parse_envelope(raw)
    parts = (sealed.ek, sealed.encrypted_key, sealed.iv, sealed.ciphertext, sealed.tag)
    return sum(map(len, parts)) + len(unb64u(sealed.header.route.partition(".")[2])) + SIGNATURE_BYTES


def download(site: BenchSite, samples: SampleInterviews) -> Figure:
    """Bytes of the body with which a tablet gets the form version, gzip'd; the limit is its XForm alone, gzip'd."""
    with Tablet(site.tablets[0]) as tablet:
        path = f"/v1/forms/{FORM}/{samples.sha}"
        body = tablet.transport.send("GET", path, headers={"Accept-Encoding": "gzip"}).body
    limit = len(gzip.compress(samples.form.xform.encode()))
    return Figure("download", "signed form version, gzip'd", len(body), "B", None, limit, "its XForm alone, gzip'd")


def resident(site: BenchSite, quick: bool) -> Figure:
    """MiB that the server, which is one process, keeps resident after the load; the limit is what it took idle."""
    about = "server's memory after the load" if quick else "server's memory after 100,000 envelopes"
    return Figure("memory", about, memory(site.pid), "MiB", 200, site.idle, "just started")
