"""What one tablet's sync costs in `make bench`: requests and bytes, with the heads of HTTP and without TLS."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bench.figure import Figure
from bench.forms import TAKEN, SampleInterviews
from bench.server import BenchSite, certify_all, invite, publish
from screening_forms.compiled_form import CompiledForm
from server.cli.demo.story import FORM
from sync.envelope.verify import parse_envelope
from sync.exchange import messages
from sync.exchange.transport import Reply, Traffic, Transport
from sync.tablet.client import Tablet
from sync.wire.encoding import unb64u

PUSHED = 10
SIGNATURE_BYTES = 64
CORRECTIONS = (
    ("Vaya siempre con otra persona.", "Vaya siempre con otra persona de su equipo."),
    ("Ofrezca agua o descanso primero.", "Ofrezca primero agua, y un momento de descanso."),
    ("Deje tiempo para preguntar.", "Deje tiempo para que la persona pregunte."),
    ("Acuerde día y lugar de palabra.", "Acuerden de palabra el día y el lugar."),
    ("Solo puede estar un intérprete independiente.", "Puede estar un intérprete, si es independiente."),
)
"""Five sentences of the questionnaire, and what an author writes instead in the next version."""


class CountingTransport(Transport):
    """A tablet's transport that notes the address and the size of the body of each answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.bodies: list[tuple[str, int]] = []

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Make one request, and note its answer."""
        reply = super().send(method, path, body, headers)
        self.bodies.append((path, len(reply.body)))
        return reply

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[Reply, Iterator[bytes]]]:
        """Fetch a stream, and note its size when it ends."""
        sizes = list[int]()

        def noting(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                sizes.append(len(piece))
                yield piece

        with super().stream(path, headers) as (head, pieces):
            yield head, noting(pieces)
        self.bodies.append((path, sum(sizes)))


@contextmanager
def counting(site: BenchSite) -> Iterator[tuple[Tablet, CountingTransport]]:
    """Open the first tablet with a transport that counts."""
    with Tablet(site.tablets[0]) as tablet:
        tablet.transport = counted = CountingTransport(site.server.tablets_url)
        yield tablet, counted


def sync_sizes(site: BenchSite, samples: SampleInterviews) -> Iterator[Figure]:
    """First contact, nothing new, a push of ten, and a version with five changed sentences."""
    yield from _first_contact(site)
    yield from _nothing_new(site)
    yield from _pushing(site, samples)
    yield _download(site, samples)
    yield from _form_update(site, samples)


def _first_contact(site: BenchSite) -> Iterator[Figure]:
    """The first pull of a tablet that was enrolled and certified; enrolment is not in it."""
    with Tablet(site.folder / "first") as tablet:
        tablet.enrol(invite(site, ["first"])[0])
        certify_all(site)
        before = tablet.transport.traffic
        tablet.pull()
        traffic = tablet.transport.traffic - before
    yield Figure("first.requests", "first pull, one form", traffic.requests, "requests")
    yield Figure("first.bytes", "    up and down", traffic.up + traffic.down, "B")


def _nothing_new(site: BenchSite) -> Iterator[Figure]:
    """A sync with nothing to send and nothing to learn.

    The limit is the least that this server can be asked: GET /healthz on the same open connection.
    """
    with Tablet(site.tablets[0]) as tablet:
        tablet.sync()
        before = tablet.transport.traffic
        tablet.transport.get("/healthz")
        least = tablet.transport.traffic - before
        traffic = tablet.sync().traffic
    limit = least.up + least.down
    yield from _traffic("nothing_new", "sync with nothing new", traffic, 756, limit, "GET /healthz, no signature")


def _pushing(site: BenchSite, samples: SampleInterviews) -> Iterator[Figure]:
    """A push of ten screenings of the story's people.

    The limit is what cannot be compressed: the envelopes' cryptographic parts, in binary.
    """
    with Tablet(site.tablets[0]) as tablet:
        screen(tablet, samples, PUSHED)
        raws = [stored.raw for stored in tablet.outbox.envelopes.list_stored()][-PUSHED:]
        report = tablet.sync()
    if [receipt.outcome for receipt in report.receipts] != ["stored"] * PUSHED:
        raise RuntimeError(f"the push was answered with {report.receipts}")
    about, limit = f"push {PUSHED} screenings", sum(map(_incompressible, raws))
    yield from _traffic("push", about, report.traffic, 28_000, limit, "their incompressible bytes")


def screen(tablet: Tablet, samples: SampleInterviews, count: int) -> None:
    """Let a tablet make screenings of the story's people."""
    for number in range(count):
        tablet.screen(FORM, samples.given[number % len(samples.given)], TAKEN)


def _traffic(name: str, about: str, traffic: Traffic, most: int, limit: int, limit_is: str) -> Iterator[Figure]:
    yield Figure(f"{name}.requests", about, traffic.requests, "requests", 1)
    both = traffic.up + traffic.down
    yield Figure(f"{name}.bytes", f"{about}, up and down", both, "B", most, limit, limit_is)
    yield Figure(f"{name}.up", "    of which up", traffic.up, "B")
    yield Figure(f"{name}.down", "    of which down", traffic.down, "B")


def _incompressible(raw: bytes) -> int:
    sealed = parse_envelope(raw)
    parts = (sealed.ek, sealed.encrypted_key, sealed.iv, sealed.ciphertext, sealed.tag)
    return sum(map(len, parts)) + len(unb64u(sealed.header.route.partition(".")[2])) + SIGNATURE_BYTES


def _download(site: BenchSite, samples: SampleInterviews) -> Figure:
    """Bytes of the body with which a tablet gets the form version, gzip'd; the limit is its XForm alone, gzip'd."""
    with Tablet(site.tablets[0]) as tablet:
        path = f"/v1/forms/{FORM}/{samples.sha}"
        body = tablet.transport.send("GET", path, headers={"Accept-Encoding": "gzip"}).body
    limit = len(gzip.compress(samples.form.xform.encode()))
    return Figure("download", "signed form version, gzip'd", len(body), "B", None, limit, "its XForm alone, gzip'd")


def _form_update(site: BenchSite, samples: SampleInterviews) -> Iterator[Figure]:
    """What an ordinary sync takes after a version with five changed sentences was published.

    The body is all that the first tablet fetches beside the answer of the sync itself, which tells of the version. To
    the tablets after it, the version comes with that answer.
    """
    with counting(site) as (tablet, transport), Tablet(site.folder / "after") as after:
        after.enrol(invite(site, ["after"])[0])
        certify_all(site)
        after.pull()
        after.sync()
        tablet.sync()
        sha = publish(site, corrected(samples.form, "corrected"))
        transport.bodies.clear()
        traffic, traffic_after = tablet.sync().traffic, after.sync().traffic
        if {tablet.version(FORM), after.version(FORM)} != {sha}:
            raise RuntimeError("a tablet did not take the new version")
    if len(transport.bodies) != traffic.requests:
        raise RuntimeError("the tablet fetched something past the transport that counts")
    fetched = sum(size for path, size in transport.bodies if path != messages.PATH)
    about = f"version with {len(CORRECTIONS)} changed sentences"
    yield Figure("update.body", f"{about}, body", fetched, "B", 600)
    yield Figure("update.bytes", "    the whole sync, up and down", traffic.up + traffic.down, "B")
    yield Figure("update.requests", "    its requests", traffic.requests, "requests")
    whole = traffic_after.up + traffic_after.down
    yield Figure("update.after.bytes", "    of the tablets after the first, up and down", whole, "B")
    yield Figure("update.after.requests", "    their requests", traffic_after.requests, "requests", 1)


def renamed(form: CompiledForm, version: str) -> CompiledForm:
    """The questionnaire under another version's name."""
    xform = form.xform.replace(f'version="{form.version}"', f'version="{version}"')
    return replace(form, version=version, xform=xform)


def corrected(form: CompiledForm, version: str) -> CompiledForm:
    """The questionnaire as its next version: five sentences are written anew, and the version's name."""
    form = renamed(form, version)
    xform = form.xform
    for old, new in CORRECTIONS:
        if old not in xform:
            raise RuntimeError(f"the questionnaire no longer says: {old}")
        xform = xform.replace(old, new, 1)
    return replace(form, xform=xform)
