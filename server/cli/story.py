"""The story of one screening, told against a live server and checked at every step. `chaski demo` and `make run` tell it.

Each step yields one line per promise it has just checked; a promise that does not hold ends the story with `NotSo`. The
order of `STEPS` is the order of the story.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import segno

from screening_forms.translations import CATALOGUE
from server.cli.forms import Source
from server.cli.process import ServerProcess
from sync import bundle, enrolment, exchange
from sync.desk import Desk
from sync.errors import SyncError
from sync.keys import SigningKey, VerifyKey, load_secret, unb64u
from sync.signed import Document
from sync.staff import Staff
from sync.tablet import Tablet
from sync.transport import RefusedError

FORM = "pe_laboral_adulto"
ANSWERS = CATALOGUE / FORM / "answers"
REGION = "17"


class NotSo(Exception):
    """A promise of the story that did not hold."""


@dataclass(frozen=True)
class Person:
    """One of the five people of the story: who they are, where their screening belongs, and at which desk it is seen."""

    file: str
    about: str
    outcome: str
    queue: str | None
    login: str | None


PEOPLE = (
    Person("1_huepetuhe_quz", "adult, in Quechua, Huepetuhe", "positive T1", "17-protection", "proteccion-17"),
    Person("2_ananea_es", "adult, in Spanish, Ananea", "exploitation only", "21-labour", "trabajo-21"),
    Person("3_putina_ayr", "adult, in Aymara, Putina, refuses answers", "undecided", "21-review", "proteccion-21"),
    Person("4_inambari_minor", "16 years old, companion in a bar, Inambari", "child", "17-child", "ninez-17"),
    Person("5_declines", "adult, positive, declines referral", "counted only", None, None),
)


@dataclass
class Stage:
    """Where the story plays: folders, the running server, and what earlier steps leave to later ones."""

    folder: Path
    server: ServerProcess
    now: Callable[[], int]
    pin: str = ""
    jtis: dict[str, str] = field(default_factory=dict)
    referrals: dict[str, int] = field(default_factory=dict)

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
    """Return the line of a promise that holds; raise NotSo for one that does not."""
    if not holds:
        raise NotSo(words)
    return words


def refused(words: str, code: str, act: Callable[[], object]) -> str:
    """Promise that `act` is refused with a problem code that starts with `code`."""
    try:
        act()
    except SyncError as error:
        return promise(f"{words} ({error.code})", error.code.startswith(code))
    raise NotSo(f"{words}: it was not refused")


def publish(stage: Stage) -> Iterator[str]:
    """The workbook is checked, compiled, signed by author and reviewer, published."""
    source = Source.read(FORM)
    yield promise(f"{len(source.workbook.survey)} rows of the workbook checked, nothing to put right", not source.problems())
    compiled = source.compile("training")
    draft = Document(compiled.to_bytes())
    yield promise("compiled twice, the same bytes", source.compile("training").to_bytes() == draft.payload)
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
    yield promise(f"{FORM} {compiled.version} published on training, manifest {done['manifest']}", done["sha"] == draft.sha256)


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
        yield refused(
            "the code works once", "enrolment.", lambda: Tablet(stage.folder / "thief").enrol(invited["invitation"])
        )
        _approve(stage, words)
        pulled = tablet.pull()
    yield promise("the registrar heard the same words and certified it", pulled.certified)
    yield promise(
        f"verified on board: trust {pulled.trust}, registry {pulled.registry}, manifest {pulled.manifest}, "
        + ", ".join(f"{form.form} {form.version}" for form in pulled.forms),
        [form.form for form in pulled.forms] == [FORM],
    )


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
            yield promise(f"{person.about}: sealed as number {done.seq}", done.seq == len(stage.jtis))
        yield refused("no network: the sync says so", "transport.", tablet.sync)
        yield promise("and all five still wait", tablet.status().waiting == len(PEOPLE))


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
        again = tablet.sync()
        yield promise(f"nothing new costs {again.traffic.up + again.traffic.down:,} B", again.sent == 0)


def place(stage: Stage) -> Iterator[str]:
    """Each screening is where it belongs, and nowhere else."""
    with stage.staff("nacional") as national:
        waiting = {
            queue["id"]: national.get(f"/v1/queues/{queue['id']}?mode=training")
            for queue in national.get("/v1/queues?mode=training")
        }
    found = {referral["jti"]: queue for queue, referrals in waiting.items() for referral in referrals}
    stage.referrals = {referral["jti"]: referral["id"] for referrals in waiting.values() for referral in referrals}
    for person in PEOPLE:
        queue = found.get(stage.jtis[person.file])
        yield promise(f"{person.about}: {person.outcome} -> {person.queue or 'counted, in no queue'}", queue == person.queue)
    placed = sum(len(referrals) for referrals in waiting.values())
    yield promise("and there is nothing else in any queue", placed == len(PEOPLE) - 1)


def work(stage: Stage) -> Iterator[str]:
    """The coordinator opens the first with her own key, accepts it, closes it; another desk cannot."""
    first = PEOPLE[0]
    referral = stage.referrals[stage.jtis[first.file]]
    with stage.desk("ninez-17") as other:
        yield refused("another desk group cannot open it", "", lambda: other.open(referral))
    with stage.desk("proteccion-17") as desk:
        opened = desk.open(referral)
        given = answers(first)
        yield promise(f"{len(opened.answers)} answers, each with its question", set(given) <= {a.question for a in opened.answers})
        yield promise("in Spanish and in Quechua", all(a.text_es and a.text for a in opened.answers) and opened.lang == "quz")
        fired = opened.assessment.fired
        yield promise(f"{len(fired)} indicators fired: {' '.join(fired)}", len(fired) > 0)
        yield promise(f"outcome {opened.outcome}, tier {opened.tier}, recomputed and equal", opened.agrees and opened.tier == "T1")
        yield opened.assessment.why[1]
        states = [desk.claim(referral)["state"], desk.accept(referral)["state"], desk.close(referral, "attended")["state"]]
        yield promise("claimed, accepted, closed", states == ["claimed", "accepted", "closed"])


def told(stage: Stage) -> Iterator[str]:
    """The tablet's next sync shows what became of it."""
    with Tablet(stage.tablet) as tablet:
        events = [(event.jti, event.status) for event in tablet.sync().events]
    first = stage.jtis[PEOPLE[0].file]
    yield promise("the inspector learns: accepted, then closed", events == [(first, "accepted"), (first, "closed")])


def canaries(given: Mapping[str, Any]) -> Iterator[bytes]:
    """What would be found in a file if these answers had been written there in any usual way."""
    for question, value in given.items():
        for text in map(str, value if isinstance(value, list) else [value]):
            yield f"<{question}>{text}".encode()
            for quote in ("", "'", '"'):
                for mark in ("=", ":", ": "):
                    yield f"{quote}{question}{quote}{mark}{quote}{text}{quote}".encode()
            if text.isdigit() and len(text) > 4:
                yield text.encode()


def blind(stage: Stage) -> Iterator[str]:
    """Nothing that was answered can be read in any file of the server."""
    words = [word for person in PEOPLE for word in canaries(answers(person))]
    files = [file for folder in stage.server.folders for file in folder.rglob("*") if file.is_file()]
    content = {file: file.read_bytes() for file in files}
    leaks = [f"{word.decode()} in {file.name}" for file, data in content.items() for word in words if word in data]
    size = sum(map(len, content.values()))
    yield promise(f"{len(words)} canaries in {len(files)} files, {size:,} B: {leaks[:3] or 'nowhere'}", not leaks)


def accounted(stage: Stage) -> Iterator[str]:
    """Everything that was done is in the audit trail, and its chain holds."""
    with stage.staff("publicacion") as administrator:
        entries = administrator.get("/v1/audit")["entries"]
    actions = {entry["action"] for entry in entries}
    yield promise(f"{len(entries)} audit entries, from {min(actions)} to {max(actions)}", "envelope.read" in actions)


Step = Callable[[Stage], Iterator[str]]
STEPS: tuple[Step, ...] = (publish, enrol, screen, sync, place, work, told, blind, accounted)
