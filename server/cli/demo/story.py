"""The steps of `chaski demo`: one screening from the workbook to the desk and back, against a running server.

A step yields one line for each passed check, and raises StepFailedError for a failed one. A line that begins with a
space is only shown. A step's docstring is its title in the output. A step must not patch or bypass the server.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import segno

from screening_forms.checks.run import check_form
from screening_forms.workbook.resources import CATALOGUE
from server.cli.authors.forms import compile_checked, read_package
from server.cli.demo.server_process import ServerProcess
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit
from sync.desk.client import DeskClient, VerifiedScreening
from sync.documents import bundle, enrolment, receipt, trust
from sync.documents.signed import Document
from sync.envelope.route import AUTHOR_FIELDS
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.staff_session import StaffSession
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.wire.encoding import unb64u

FORM = "pe_laboral_adulto"
ANSWERS = CATALOGUE / FORM / "answers"
REGION_CODE = "17"
ACKNOWLEDGED = "a_salvo"  # The inspector's own confirmation. It is not an answer and is not sent.
SAMPLE_QUESTIONS = ("deuda", "documento", "salir")


class StepFailedError(Exception):
    """A check of the story failed. The message says which one."""


@dataclass(frozen=True)
class Interviewee:
    """One of the five people of the story, with the expected outcome, tier and queue (None: no referral)."""

    file: str
    about: str
    outcome: str
    tier: str
    queue: str | None


INTERVIEWEES = (
    Interviewee("1_huepetuhe_quz", "adult, in Quechua, Huepetuhe", "positive", "T1", "17-protection"),
    Interviewee("2_ananea_es", "adult, in Spanish, Ananea", "labour_rights", "T3", "21-labour"),
    Interviewee("3_putina_ayr", "adult, in Aymara, Putina, refuses answers", "review", "T4", "21-review"),
    Interviewee("4_inambari_minor", "16 years old, companion in a bar, Inambari", "positive", "child", "17-child"),
    Interviewee("5_declines", "adult, positive, declines referral", "positive", "T1", None),
)


@dataclass
class Demo:
    """State of the story: folder, running server, clock (milliseconds since 1970), results of earlier steps."""

    folder: Path
    server: ServerProcess
    now: Callable[[], int]
    pin: str = ""
    jtis: dict[str, str] = field(default_factory=dict)
    referrals: dict[str, str] = field(default_factory=dict)
    known: frozenset[bytes] = frozenset()  # Canary words that also occur in the public form.

    @property
    def tablet(self) -> Path:
        return self.folder / "tablet"

    def passphrase(self, person: str) -> str:
        return (self.folder / "people" / person / "passphrase.txt").read_text(encoding="utf-8").strip()

    def staff(self, login: str) -> StaffSession:
        return StaffSession.sign_in(self.server.people_url, login, self.passphrase(login), pin=self.pin)

    def desk(self, login: str) -> DeskClient:
        return DeskClient.sign_in(self.server.people_url, login, self.passphrase(login), pin=self.pin)

    def office_key(self, login: str, office: str) -> SigningKey:
        return load_secret(self.folder / "people" / login / f"{office}.key", SigningKey, self.passphrase(login))


def check(words: str, holds: bool) -> str:
    """Return `words` if `holds`; otherwise raise StepFailedError."""
    if not holds:
        raise StepFailedError(words)
    return words


def check_refusal(words: str, code: str, act: Callable[[], object]) -> str:
    """Check that `act` raises SyncError with a code that starts with `code`."""
    try:
        act()
    except SyncError as error:
        return check(f"{words} ({error.code})", error.code.startswith(code))
    raise StepFailedError(f"{words}: it was not refused")


def publish_form(demo: Demo) -> Iterator[str]:
    """The workbook is checked, compiled, signed by author and reviewer, and published."""
    book = read_package(FORM).workbook
    found = [f"{problem.code} in row {problem.row}" for problem in check_form(book, AUTHOR_FIELDS)]
    yield check(f"{len(book.survey)} rows checked, problems: {', '.join(found) or 'none'}", not found)
    version = compile_checked(FORM, "training")
    draft = Document(version.to_bytes())
    yield check("compiled twice, the same bytes", compile_checked(FORM, "training").to_bytes() == draft.payload)
    by_author = draft.signed_by(demo.office_key("autora", "author"), bundle.TYP)
    signed = by_author.signed_by(demo.office_key("revisor", "reviewer"), bundle.TYP)
    stranger = by_author.signed_by(SigningKey.generate(), bundle.TYP)
    with demo.staff("publicacion") as publisher:
        yield check_refusal(
            "signed by the author and a stranger: refused",
            "signed.",
            lambda: publisher.post("/v1/publications", data=stranger.to_bytes()),
        )
        done = publisher.post("/v1/publications", data=signed.to_bytes())
    yield check(
        f"{FORM} {version.version} published on training, manifest {done['manifest']}", done["sha"] == draft.sha256
    )


def enrol_tablet(demo: Demo) -> Iterator[str]:
    """A tablet enrols with a one-time code and is certified by its six words; it pulls and verifies."""
    with demo.staff("publicacion") as administrator:
        invited = administrator.post("/v1/invitations", json={"label": "Huepetuhe 1", "region": REGION_CODE})
    code = segno.make(invited["invitation"], error="m")
    code.save(str(demo.folder / "invitation.png"), scale=8)
    code.terminal(compact=True)
    named = enrolment.Invitation.parse(invited["invitation"]).pin
    yield check("the invitation names the roots by the pin of the founding", named == demo.pin)
    with Tablet(demo.tablet) as tablet:
        words = tablet.enrol(invited["invitation"])
        yield check(f"the tablet pinned the roots and shows the words: {' '.join(words)}", len(words) == 6)
        yield check_refusal(
            "the code works only once", "enrolment.", lambda: _enrol_second_tablet(invited["invitation"])
        )
        approve_tablet(demo, words)
        pulled = tablet.pull()
        synced = tablet.sync()  # In the office: it brings the keys of all other desks.
    yield check("the registrar compared the words and certified the tablet", pulled.certified)
    yield check(
        f"verified on the tablet: trust {pulled.trust}, registry {pulled.registry}, manifest {pulled.manifest}, "
        + ", ".join(f"{form.form} {form.version}" for form in pulled.forms),
        [form.form for form in pulled.forms] == [FORM],
    )
    yield check("the first sync brought the keys of the desks of all regions", synced.requests == 2)


def _enrol_second_tablet(invitation: str) -> None:
    with tempfile.TemporaryDirectory() as folder, Tablet(Path(folder)) as tablet:
        tablet.enrol(invitation)


def approve_tablet(demo: Demo, words: tuple[str, ...]) -> None:
    with demo.staff("registro") as registrar:
        listed = next(entry for entry in registrar.list("/v1/devices") if entry["state"] == "pending")
        certificate = enrolment.sign_certificate(
            VerifyKey.from_raw(unb64u(listed["key"])),
            words,
            demo.office_key("registro", "registrar"),
            region=listed["region"],
            label=listed["label"],
            number=1,
            issued=demo.now(),
        )
        registrar.post(f"/v1/devices/{listed['dev']}/certificate", data=certificate.to_bytes())


def read_answers(person: Interviewee) -> dict[str, Any]:
    """Read the answer file of one person."""
    found: dict[str, Any] = json.loads((ANSWERS / f"{person.file}.json").read_text(encoding="utf-8"))
    return found


def take_screenings(demo: Demo) -> Iterator[str]:
    """The server is stopped; the tablet completes five screenings."""
    demo.server.stop()
    with Tablet(demo.tablet) as tablet:
        for person in INTERVIEWEES:
            done = tablet.screen(FORM, read_answers(person), taken=date.fromtimestamp(demo.now() / 1000))
            demo.jtis[person.file] = done.jti
            found = done.result.outcome, done.result.tier, done.seq
            yield check(
                f"{person.about}: sealed as number {done.seq}", found == (person.outcome, person.tier, len(demo.jtis))
            )
        yield check_refusal("a sync without a network is refused", "transport.", tablet.sync)
        yield check("all five are still waiting", tablet.status().waiting == len(INTERVIEWEES))
    demo.known = frozenset(_find_leaks(demo))


def sync_tablet(demo: Demo) -> Iterator[str]:
    """The server runs again; one request delivers all screenings."""
    demo.server.start()
    with Tablet(demo.tablet) as tablet:
        report = tablet.sync()
        traffic = report.traffic
        yield check(
            f"{report.sent} screenings in {traffic.requests} request, {traffic.up:,} B up, {traffic.down:,} B down",
            (report.sent, traffic.requests) == (len(INTERVIEWEES), 1),
        )
        receipted = {receipt.jti: receipt.outcome for receipt in report.receipts}
        yield check("five receipts, signed by the server", receipted == dict.fromkeys(demo.jtis.values(), "stored"))
        yield check("the outbox is empty", tablet.status().waiting == 0)
        yield check(
            "an envelope changed on the way is named, not stored",
            _send_forged_envelope(demo, tablet) == _FORGED_OUTCOME,
        )
        again = tablet.sync()
        yield check(f"nothing new costs {again.traffic.up + again.traffic.down:,} B", again.sent == 0)


_FORGED_OUTCOME = ("rejected", "envelope.bad_signature")


def _send_forged_envelope(demo: Demo, tablet: Tablet) -> tuple[str, str]:
    """Send an envelope with one changed letter in a signed request; return the receipt's outcome and code."""
    *fields, signature = tablet.outbox.envelopes.list_stored()[0].raw.split(b".")
    changed = b".".join([*fields, (b"B" if signature[:1] == b"A" else b"A") + signature[1:]])
    request = messages.Request(tablet.outbox.sync_state.next_batch(demo.now()).number, demo.now(), envelopes=(changed,))
    device = load_secret(demo.tablet / "device.key", SigningKey)
    message = messages.write_request(request, device)
    headers = {"Content-Type": messages.CONTENT_TYPE, messages.SIGNATURE_HEADER: message.signature}
    reply = tablet.transport.send("POST", messages.PATH, message.body, headers)
    in_force = trust.read(Document.parse(tablet.transport.get("/v1/trust")))
    answer = messages.Message(reply.body, reply.headers[messages.SIGNATURE_HEADER.lower()])
    response = messages.read_response(
        answer, in_force.servers, dev=device.kid, n=request.n, envelopes=request.envelopes
    )
    if response.receipts is None:
        raise StepFailedError("the server sent no receipt for a forged envelope")
    item = receipt.accept(response.receipts, in_force, dev=device.kid, n=request.n).items[0]
    return item.outcome, item.code


def check_queues(demo: Demo) -> Iterator[str]:
    """Each screening is in its queue, and in no other."""
    with demo.staff("nacional") as national:
        waiting = {
            queue["id"]: national.list(f"/v1/queues/{queue['id']}?mode=training")
            for queue in national.list("/v1/queues?mode=training")
        }
    found = {
        referral["jti"]: (referral["route"]["outcome"], referral["route"]["tier"], queue)
        for queue, referrals in waiting.items()
        for referral in referrals
    }
    demo.referrals = {referral["jti"]: referral["id"] for referrals in waiting.values() for referral in referrals}
    for person in INTERVIEWEES:
        expected = (person.outcome, person.tier, person.queue) if person.queue else None
        words = f"{person.about}: {person.outcome}, {person.tier} -> {person.queue or 'counted, in no queue'}"
        yield check(words, found.get(demo.jtis[person.file]) == expected)
    placed = sum(len(referrals) for referrals in waiting.values())
    yield check("no other referral is in any queue", placed == len(INTERVIEWEES) - 1)


def work_referral(demo: Demo) -> Iterator[str]:
    """The coordinator opens the first screening with her own key, accepts and closes it; another desk cannot."""
    first = INTERVIEWEES[0]
    referral = demo.referrals[demo.jtis[first.file]]
    with demo.desk("ninez-17") as other:
        yield check_refusal(
            "another desk group cannot open it", "referral.other_desk", lambda: other.open_screening(referral)
        )
    with demo.desk("proteccion-17") as desk:
        opened = desk.open_screening(referral)
        yield from _check_screening(opened, read_answers(first))
        states = [
            desk.claim(referral)["state"],
            desk.accept(referral)["state"],
            desk.close(referral, "attended")["state"],
        ]
        yield check("claimed, accepted, closed", states == ["claimed", "accepted", "closed"])


def _check_screening(opened: VerifiedScreening, given: Mapping[str, Any]) -> Iterator[str]:
    """Check what the desk shows: questions in both languages, answers, fired indicators, outcome and reasons."""
    shown = {answer.question: answer for answer in opened.answers}
    asked = [question for question in given if question != ACKNOWLEDGED]
    yield check(f"{len(asked)} answers, each with its question", all(question in shown for question in asked))
    both = all(answer.text_es and answer.text != answer.text_es for answer in opened.answers)
    yield check("in Spanish and in Quechua (unreviewed drafts), for example", both and opened.lang == "quz")
    for question in SAMPLE_QUESTIONS:
        answer = shown[question]
        yield f"   {answer.text_es} / {answer.text} -> {answer.answer_es}"
    for dimension, fired in opened.fired.items():
        yield f"   {dimension}: {', '.join(f'{each.code} {each.label_es} [{each.strength}]' for each in fired)}"
    positive = opened.outcome == "positive" and opened.tier == "T1"
    yield check(f"outcome {opened.outcome}, {opened.tier}, recomputed with the same result", positive and opened.agrees)
    yield from (f"   {sentence}" for sentence in opened.assessment.why[:2])


def receive_status(demo: Demo) -> Iterator[str]:
    """The tablet's next sync shows the status of the referral."""
    with Tablet(demo.tablet) as tablet:
        events = [(event.jti, event.status) for event in tablet.sync().events]
    first = demo.jtis[INTERVIEWEES[0].file]
    yield check("the inspector sees: accepted, then closed", events == [(first, "accepted"), (first, "closed")])


def canary_words(given: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the byte strings that would be in a file if these answers were written there in a usual format."""
    for question, value in given.items():
        for text in {str(value), *map(str, value), " ".join(value)} if isinstance(value, list) else {str(value)}:
            yield f"<{question}>{text}<".encode()
            for quote in ("", "'", '"'):
                yield from (f"{quote}{question}{quote}{mark}{quote}{text}{quote}".encode() for mark in ("=", ":", ": "))
            if " " in text:
                yield text.encode()


def _find_leaks(demo: Demo) -> dict[bytes, Path]:
    """Return the canary words in the server's files, each with one file that has it."""
    words = {word for person in INTERVIEWEES for word in canary_words(read_answers(person))}
    contents = {
        file: file.read_bytes() for folder in demo.server.folders for file in folder.rglob("*") if file.is_file()
    }
    found = {word: file for file, content in contents.items() for word in words if word in content}
    # The story's debts have five digits. Only a number without letters or digits beside it counts: hashes contain more.
    for person in INTERVIEWEES:
        for number in (
            str(value) for value in read_answers(person).values() if isinstance(value, int) and value > 9999
        ):
            alone = re.compile(rb"(?<![0-9A-Za-z])" + number.encode() + rb"(?![0-9A-Za-z])")
            found |= {number.encode(): file for file, content in contents.items() if alone.search(content)}
    return found


def search_server_files(demo: Demo) -> Iterator[str]:
    """No answer is readable in any file of the server, including its logs."""
    leaks = {word.decode(): file.name for word, file in _find_leaks(demo).items() if word not in demo.known}
    yield check(f"canary words from the answers found: {leaks or 'nowhere'}", not leaks)
    log = (demo.server.folders[1] / "server.log").read_text(encoding="utf-8")
    yield check("the searched log contains the sync requests", messages.PATH in log)


def check_audit_trail(demo: Demo) -> Iterator[str]:
    """The audit trail has every action, and its chain is valid."""
    with demo.staff("publicacion") as administrator:
        entries = administrator.get("/v1/audit")["entries"]
    wanted = {"form.published", "device.certified", "envelope.stored", "envelope.read", "referral.closed"}
    actions = {entry["action"] for entry in entries}
    yield check(f"it has {', '.join(sorted(wanted))}", wanted <= actions)
    stored = {entry["subject"] for entry in entries if entry["action"] == "envelope.stored"}
    yield check(
        f"{len(stored)} screenings stored, including the one without a referral", len(stored) == len(INTERVIEWEES)
    )
    db = SqliteDatabase(demo.server.folders[0] / "chaski.db")
    verdict = audit.verify_chain(db)
    db.close()
    yield check(f"{verdict.rows} rows, each with the hash of the row before", verdict.broken_at is None)


Step = Callable[[Demo], Iterator[str]]
STEPS: tuple[Step, ...] = (
    publish_form,
    enrol_tablet,
    take_screenings,
    sync_tablet,
    check_queues,
    work_referral,
    receive_status,
    search_server_files,
    check_audit_trail,
)
