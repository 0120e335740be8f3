"""A real `chaski serve` for `make bench`: a demo with tablets of its own, and what the process takes of the machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bench.forms import SampleInterviews
from screening_forms.compiled_form import CompiledForm
from server.ceremony import founding
from server.cli.demo.server_process import ServerProcess, free_ports
from server.cli.terminal import now_ms
from server.flows.trust import documents
from sync.documents import bundle, enrolment
from sync.documents.signed import Document
from sync.exchange.staff_session import StaffSession
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.tablet.trusted_documents import TrustedDocuments, load_documents
from sync.wire.encoding import unb64u


@dataclass(frozen=True)
class BenchSite:
    """The running server, the memory it took before any work, and certified tablets; the first one has the form."""

    folder: Path
    server: ServerProcess
    idle: float | None
    pin: str
    tablets: tuple[Path, ...]

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
def serving(folder: Path, samples: SampleInterviews) -> Iterator[BenchSite]:
    """Found a demo in `folder`, serve it on loopback, publish the questionnaire, certify a tablet."""
    made = founding.create_demo_server(folder / "server", folder / "people", now=now_ms(), progress=lambda _: None)
    pin = documents.trust_in_force(made.db.read()).pin
    made.db.close()
    server = ServerProcess(folder, *free_ports(2))
    server.start()
    try:
        site = BenchSite(folder, server, None, pin, (folder / "tablet",))
        site = replace(site, idle=memory(site.pid))
        publish(site, samples.form)
        with Tablet(site.tablets[0]) as first:
            first.enrol(invite(site, ["tablet"])[0])
            certify_all(site)
            first.pull()
            first.sync()
        yield site
    finally:
        server.kill()


def memory(pid: int, which: str = "VmRSS") -> float | None:
    """The resident memory of a process in MiB, pages of shared libraries among it; None where there is no /proc.

    `VmHWM` is the most that it was since the start or since `forget_peak`.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(which)) / 1024


def forget_peak(pid: int) -> None:
    """Let `VmHWM` begin anew with the present memory."""
    if Path(f"/proc/{pid}/clear_refs").exists():
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


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


def read_generation(site: BenchSite) -> str:
    """The generation of the server's database, as its answers name it."""
    connection = sqlite3.connect(f"file:{site.server.folders[0] / 'chaski.db'}?mode=ro", uri=True)
    generation: str = connection.execute("select value from meta where name = 'generation'").fetchone()[0]
    connection.close()
    return generation


def _passphrase(site: BenchSite, login: str) -> str:
    return (site.folder / "people" / login / "passphrase.txt").read_text(encoding="utf-8").strip()


def sign_in(site: BenchSite, login: str) -> StaffSession:
    return StaffSession.sign_in(site.server.people_url, login, _passphrase(site, login), pin=site.pin)


def _office(site: BenchSite, login: str, role: str) -> SigningKey:
    return load_secret(site.folder / "people" / login / f"{role}.key", SigningKey, _passphrase(site, login))


def publish(site: BenchSite, form: CompiledForm) -> str:
    """Sign a form version as author and reviewer, publish it for every tablet, and return its SHA-256."""
    document = Document(form.to_bytes()).signed_by(_office(site, "autora", "author"), bundle.TYP)
    document = document.signed_by(_office(site, "revisor", "reviewer"), bundle.TYP)
    with sign_in(site, "publicacion") as publisher:
        publisher.post("/v1/publications", data=document.to_bytes())
    return document.sha256


def invite(site: BenchSite, labels: Sequence[str]) -> list[str]:
    """Make an invitation for each tablet."""
    with sign_in(site, "publicacion") as publisher:
        made = [publisher.post("/v1/invitations", json={"label": label, "region": "17"}) for label in labels]
    return [each["invitation"] for each in made]


def certify_all(site: BenchSite) -> None:
    """Certify every tablet that waits for it."""
    registrar = _office(site, "registro", "registrar")
    with sign_in(site, "registro") as office:
        for number, listed in enumerate(office.list("/v1/devices"), 1):
            if listed["state"] != "pending":
                continue
            key = VerifyKey.from_raw(unb64u(listed["key"]))
            said = {"region": listed["region"], "label": listed["label"], "number": number}
            signed = enrolment.sign_certificate(key, key.words(), registrar, **said, issued=now_ms())
            office.post(f"/v1/devices/{listed['dev']}/certificate", data=signed.to_bytes())
