"""The story of one screening, told against a live server and checked at every step; `chaski demo` tells it.

Each step yields one line per promise that it has just checked; one that does not hold ends the story with NotSoError.
Lines that begin with a blank only show something.
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

from screening_forms.checks import run as checks
from screening_forms.workbook.resources import CATALOGUE
from server.cli.authors.forms import compiled, read_package
from server.cli.demo.server_process import ServerProcess
from server.database.sqlite import SqliteDatabase
from server.flows.operations import audit
from sync.desk.client import Desk, OpenedScreening
from sync.documents import bundle, enrolment, receipt, trust
from sync.documents.signed import Document
from sync.envelope import route
from sync.errors import SyncError
from sync.exchange import messages as exchange
from sync.exchange.staff_session import Staff
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey, VerifyKey
from sync.tablet.client import Tablet
from sync.wire.encoding import unb64u

FORM = "pe_laboral_adulto"
ANSWERS = CATALOGUE / FORM / "answers"
REGION = "17"
ACKNOWLEDGED = "a_salvo"  # the interviewer's own confirmation, which is not an answer and is not sent
SAMPLE = ("deuda", "documento", "salir")


class NotSoError(Exception):
    """A promise of the story that did not hold."""


@dataclass(frozen=True)
class Person:
    """One of the five people of the story: who they are, what is found, and in which queue it belongs."""

    file: str
    about: str
    outcome: str
    tier: str
    queue: str | None


PEOPLE = (
    Person("1_huepetuhe_quz", "adult, in Quechua, Huepetuhe", "positive", "T1", "17-protection"),
    Person("2_ananea_es", "adult, in Spanish, Ananea", "labour_rights", "T3", "21-labour"),
    Person("3_putina_ayr", "adult, in Aymara, Putina, refuses answers", "review", "T4", "21-review"),
    Person("4_inambari_minor", "16 years old, companion in a bar, Inambari", "positive", "child", "17-child"),
    Person("5_declines", "adult, positive, declines referral", "positive", "T1", None),
)


@dataclass
class Stage:
    """Where the story plays: folders, the running server, and what earlier steps leave to later ones."""

    folder: Path
    server: ServerProcess
    now: Callable[[], int]
    pin: str = ""
    jtis: dict[str, str] = field(default_factory=dict)
    referrals: dict[str, str] = field(default_factory=dict)
    known: frozenset[bytes] = frozenset()  # words that the form itself, which is public, has in common with answers

    @property
    def tablet(self) -> Path:
        return self.folder / "tablet"

    def passphrase(self, person: str) -> str:
        return (self.folder / "people" / person / "passphrase.txt").read_text(encoding="utf-8").strip()

    def staff(self, login: str) -> Staff:
        return Staff.sign_in(self.server.people_url, login, self.passphrase(login))

    def desk(self, login: str) -> Desk:
        return Desk.sign_in(self.server.people_url, login, self.passphrase(login), pin=self.pin)

    def office_key(self, login: str, office: str) -> SigningKey:
        return load_secret(self.folder / "people" / login / f"{office}.key", SigningKey, self.passphrase(login))


def promise(words: str, holds: bool) -> str:
    """Return the line of a promise that holds; raise NotSoError for one that does not."""
    if not holds:
        raise NotSoError(words)
    return words


def refused(words: str, code: str, act: Callable[[], object]) -> str:
    """Promise that `act` is refused with a problem code that starts with `code`."""
    try:
        act()
    except SyncError as error:
        return promise(f"{words} ({error.code})", error.code.startswith(code))
    raise NotSoError(f"{words}: it was not refused")


def publish(stage: Stage) -> Iterator[str]:
    """The workbook is checked, compiled, signed by author and reviewer, published."""
    book = read_package(FORM).workbook
    found = [f"{problem.code} in row {problem.row}" for problem in checks.check(book, route.AUTHOR_FIELDS)]
    yield promise(f"{len(book.survey)} rows checked, to put right: {', '.join(found) or 'nothing'}", not found)
    version = compiled(FORM, "training")
    draft = Document(version.to_bytes())
    yield promise("compiled twice, the same bytes", compiled(FORM, "training").to_bytes() == draft.payload)
    by_author = draft.signed_by(stage.office_key("autora", "author"), bundle.TYP)
    signed = by_author.signed_by(stage.office_key("revisor", "reviewer"), bundle.TYP)
    stranger = by_author.signed_by(SigningKey.generate(), bundle.TYP)
    with stage.staff("publicacion") as publisher:
        yield refused(
            "signed by the author and a stranger: refused",
            "signed.",
            lambda: publisher.post("/v1/publications", data=stranger.to_bytes()),
        )
        done = publisher.post("/v1/publications", data=signed.to_bytes())
    yield promise(
        f"{FORM} {version.version} published on training, manifest {done['manifest']}", done["sha"] == draft.sha256
    )


def enrol(stage: Stage) -> Iterator[str]:
    """A tablet enrols with a one-time code, its six words are compared, it pulls and verifies."""
    with stage.staff("publicacion") as administrator:
        invited = administrator.post("/v1/invitations", json={"label": "Huepetuhe 1", "region": REGION})
    code = segno.make(invited["invitation"], error="m")
    code.save(str(stage.folder / "invitation.png"), scale=8)
    code.terminal(compact=True)
    stage.pin = enrolment.Invitation.parse(invited["invitation"]).pin
    with Tablet(stage.tablet) as tablet:
        words = tablet.enrol(invited["invitation"])
        yield promise(f"the tablet pinned the roots and says: {' '.join(words)}", len(words) == 6)
        yield refused("the code works once", "enrolment.", lambda: _enrol_another(invited["invitation"]))
        _approve(stage, words)
        pulled = tablet.pull()
    yield promise("the registrar heard the same words and certified it", pulled.certified)
    yield promise(
        f"verified on board: trust {pulled.trust}, registry {pulled.registry}, manifest {pulled.manifest}, "
        + ", ".join(f"{form.form} {form.version}" for form in pulled.forms),
        [form.form for form in pulled.forms] == [FORM],
    )


def _enrol_another(invitation: str) -> None:
    with tempfile.TemporaryDirectory() as folder, Tablet(Path(folder)) as tablet:
        tablet.enrol(invitation)


def _approve(stage: Stage, words: tuple[str, ...]) -> None:
    with stage.staff("registro") as registrar:
        listed = next(entry for entry in registrar.get("/v1/devices") if entry["state"] == "pending")
        certificate = enrolment.certify(
            VerifyKey.from_raw(unb64u(listed["key"])),
            words,
            stage.office_key("registro", "registrar"),
            region=listed["region"],
            label=listed["label"],
            number=1,
            issued=stage.now(),
        )
        registrar.post(f"/v1/devices/{listed['dev']}/certificate", data=certificate.to_bytes())


def answers(person: Person) -> dict[str, Any]:
    """The answer file of one person."""
    found: dict[str, Any] = json.loads((ANSWERS / f"{person.file}.json").read_text(encoding="utf-8"))
    return found


def screen(stage: Stage) -> Iterator[str]:
    """The server is stopped; the tablet completes five screenings."""
    stage.server.stop()
    with Tablet(stage.tablet) as tablet:
        for person in PEOPLE:
            done = tablet.screen(FORM, answers(person), taken=date.fromtimestamp(stage.now() / 1000))
            stage.jtis[person.file] = done.jti
            found = done.result.outcome, done.result.tier, done.seq
            yield promise(
                f"{person.about}: sealed as number {done.seq}", found == (person.outcome, person.tier, len(stage.jtis))
            )
        yield refused("no network: the sync says so", "transport.", tablet.sync)
        yield promise("and all five still wait", tablet.status().waiting == len(PEOPLE))
    stage.known = frozenset(_leaks(stage))


def sync(stage: Stage) -> Iterator[str]:
    """The server is back; one request brings everything in."""
    stage.server.start()
    with Tablet(stage.tablet) as tablet:
        report = tablet.sync()
        traffic = report.traffic
        yield promise(
            f"{report.sent} screenings in {traffic.requests} request, {traffic.up:,} B up, {traffic.down:,} B down",
            (report.sent, traffic.requests) == (len(PEOPLE), 1),
        )
        receipted = {receipt.jti: receipt.outcome for receipt in report.receipts}
        yield promise("five receipts, signed by the server", receipted == dict.fromkeys(stage.jtis.values(), "stored"))
        yield promise("the outbox is empty", tablet.status().waiting == 0)
        yield promise("an envelope changed on the way is named, not stored", _forged(stage, tablet) == _FORGED)
        again = tablet.sync()
        yield promise(f"nothing new costs {again.traffic.up + again.traffic.down:,} B", again.sent == 0)


_FORGED = ("rejected", "envelope.bad_signature")


def _forged(stage: Stage, tablet: Tablet) -> tuple[str, str]:
    """Send an envelope with one letter changed, in a request that the tablet itself signed; tell what came back."""
    *fields, signature = tablet.outbox.kept()[0].raw.split(b".")
    changed = b".".join([*fields, (b"B" if signature[:1] == b"A" else b"A") + signature[1:]])
    request = exchange.Request(tablet.outbox.next_batch(stage.now()).number, stage.now(), envelopes=(changed,))
    device = load_secret(stage.tablet / "device.key", SigningKey)
    message = exchange.write_request(request, device)
    headers = {"Content-Type": exchange.CONTENT_TYPE, exchange.SIGNATURE_HEADER: message.signature}
    reply = tablet.transport.send("POST", exchange.PATH, message.body, headers)
    in_force = trust.read(Document.parse(tablet.transport.get("/v1/trust")))
    answer = exchange.Message(reply.body, reply.headers[exchange.SIGNATURE_HEADER.lower()])
    response = exchange.read_response(answer, in_force.servers, dev=device.kid, n=request.n)
    if response.receipts is None:
        raise NotSoError("the server said nothing of a forged envelope")
    item = receipt.accept(response.receipts, in_force, dev=device.kid, n=request.n).items[0]
    return item.outcome, item.code


def place(stage: Stage) -> Iterator[str]:
    """Each screening is where it belongs, and nowhere else."""
    with stage.staff("nacional") as national:
        waiting = {
            queue["id"]: national.get(f"/v1/queues/{queue['id']}?mode=training")
            for queue in national.get("/v1/queues?mode=training")
        }
    found = {
        referral["jti"]: (referral["route"]["outcome"], referral["route"]["tier"], queue)
        for queue, referrals in waiting.items()
        for referral in referrals
    }
    stage.referrals = {referral["jti"]: referral["id"] for referrals in waiting.values() for referral in referrals}
    for person in PEOPLE:
        expected = (person.outcome, person.tier, person.queue) if person.queue else None
        words = f"{person.about}: {person.outcome}, {person.tier} -> {person.queue or 'counted, in no queue'}"
        yield promise(words, found.get(stage.jtis[person.file]) == expected)
    placed = sum(len(referrals) for referrals in waiting.values())
    yield promise("and there is nothing else in any queue", placed == len(PEOPLE) - 1)


def work(stage: Stage) -> Iterator[str]:
    """The coordinator opens the first with her own key, accepts it, closes it; another desk cannot."""
    first = PEOPLE[0]
    referral = stage.referrals[stage.jtis[first.file]]
    with stage.desk("ninez-17") as other:
        yield refused("another desk group cannot open it", "referral.other_desk", lambda: other.open(referral))
    with stage.desk("proteccion-17") as desk:
        opened = desk.open(referral)
        yield from _read(opened, answers(first))
        states = [
            desk.claim(referral)["state"],
            desk.accept(referral)["state"],
            desk.close(referral, "attended")["state"],
        ]
        yield promise("claimed, accepted, closed", states == ["claimed", "accepted", "closed"])


def _read(opened: OpenedScreening, given: Mapping[str, Any]) -> Iterator[str]:
    """What she sees: each answer with its question in both languages, what fired, the outcome and its reason."""
    shown = {answer.question: answer for answer in opened.answers}
    asked = [question for question in given if question != ACKNOWLEDGED]
    yield promise(f"{len(asked)} answers, each with its question", all(question in shown for question in asked))
    both = all(answer.text_es and answer.text != answer.text_es for answer in opened.answers)
    yield promise("in Spanish and in Quechua (unreviewed drafts), such as", both and opened.lang == "quz")
    for question in SAMPLE:
        answer = shown[question]
        yield f"   {answer.text_es} / {answer.text} -> {answer.answer_es}"
    for dimension, fired in opened.fired.items():
        yield f"   {dimension}: {', '.join(f'{each.code} {each.label_es} [{each.strength}]' for each in fired)}"
    positive = opened.outcome == "positive" and opened.tier == "T1"
    yield promise(f"outcome {opened.outcome}, {opened.tier}, computed again and equal", positive and opened.agrees)
    yield from (f"   {sentence}" for sentence in opened.assessment.why[:2])


def told(stage: Stage) -> Iterator[str]:
    """The tablet's next sync shows what became of it."""
    with Tablet(stage.tablet) as tablet:
        events = [(event.jti, event.status) for event in tablet.sync().events]
    first = stage.jtis[PEOPLE[0].file]
    yield promise("the inspector learns: accepted, then closed", events == [(first, "accepted"), (first, "closed")])


def canaries(given: Mapping[str, Any]) -> Iterator[bytes]:
    """What would be found in a file if these answers had been written there in any usual way."""
    for question, value in given.items():
        for text in {str(value), *map(str, value), " ".join(value)} if isinstance(value, list) else {str(value)}:
            yield f"<{question}>{text}<".encode()
            for quote in ("", "'", '"'):
                yield from (f"{quote}{question}{quote}{mark}{quote}{text}{quote}".encode() for mark in ("=", ":", ": "))
            if " " in text:
                yield text.encode()


def _leaks(stage: Stage) -> dict[bytes, Path]:
    """The canaries that are found in files of the server, each with one of the files."""
    words = {word for person in PEOPLE for word in canaries(answers(person))}
    contents = {
        file: file.read_bytes() for folder in stage.server.folders for file in folder.rglob("*") if file.is_file()
    }
    found = {word: file for file, content in contents.items() for word in words if word in content}
    # The debts of the story are five digits long; a hash or a time that happens to hold them has more beside them.
    for person in PEOPLE:
        for number in (str(value) for value in answers(person).values() if isinstance(value, int) and value > 9999):
            alone = re.compile(rb"(?<![0-9A-Za-z])" + number.encode() + rb"(?![0-9A-Za-z])")
            found |= {number.encode(): file for file, content in contents.items() if alone.search(content)}
    return found


def blind(stage: Stage) -> Iterator[str]:
    """Nothing that was answered can be read in any file of the server, its logs included."""
    leaks = {word.decode(): file.name for word, file in _leaks(stage).items() if word not in stage.known}
    yield promise(f"canary words from the answers found: {leaks or 'nowhere'}", not leaks)
    log = (stage.server.folders[1] / "server.log").read_text(encoding="utf-8")
    yield promise("and the logs are really there to be searched", exchange.PATH in log)


def accounted(stage: Stage) -> Iterator[str]:
    """Everything that was done is in the audit trail, and its chain holds."""
    with stage.staff("publicacion") as administrator:
        entries = administrator.get("/v1/audit")["entries"]
    wanted = {"form.published", "device.certified", "envelope.stored", "envelope.read", "referral.closed"}
    actions = {entry["action"] for entry in entries}
    yield promise(f"there are {', '.join(sorted(wanted))}", wanted <= actions)
    stored = {entry["subject"] for entry in entries if entry["action"] == "envelope.stored"}
    yield promise(f"{len(stored)} screenings stored, the one that is only counted too", len(stored) == len(PEOPLE))
    db = SqliteDatabase(stage.server.folders[0] / "chaski.db")
    verdict = audit.verify(db)
    db.close()
    yield promise(f"{verdict.rows} rows, each bound to the one before", verdict.broken_at is None)


Step = Callable[[Stage], Iterator[str]]
STEPS: tuple[Step, ...] = (publish, enrol, screen, sync, place, work, told, blind, accounted)
