"""Tests of poor lines over many syncs: no slow minute, no large screening and no cut keeps the rest back for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from server.flows.trust import documents as trust_documents
from support.clients import FORM, STORY, Office, PassingAnswer, answers
from sync.documents import registry
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange import messages
from sync.keys.key_files import load_secret
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet, now_ms
from sync.tablet.line_capacity import bearable_bytes, measure_rate
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import Batch, SyncResult
from sync.tablet.sync_client import SyncContext, deliver
from sync.tablet.trusted_documents import load_documents

TAKEN = date(2026, 11, 20)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


# The rate of a line


@pytest.mark.parametrize("slow", [1, 40, 184, 250, 390, 1_000])
@pytest.mark.parametrize("envelope", [1_500, 3_000, 20_000])
def test_a_line_that_was_slow_once_is_measured_again_by_what_it_then_bears(slow: int, envelope: int) -> None:
    rate, requests = slow, 0
    while bearable_bytes(rate) and requests < 30:
        batch = max(1, bearable_bytes(rate) // envelope) * envelope
        rate, requests = measure_rate(rate, batch + 900, batch / 200_000), requests + 1
    assert requests <= 4, "a line of 200 kB a second has no limit soon"


def test_a_line_that_stays_slow_keeps_its_bounds() -> None:
    rate = 184
    for size in (3_900, 900, 3_900, 900, 3_900):
        rate = measure_rate(rate, size, size / 200)
    assert 180 <= rate <= 200


@dataclass
class Timer:
    """A timer on which each request takes so many seconds."""

    seconds: float
    now: float = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_after_one_slow_minute_many_screenings_travel_together_again(office: Office, tablet: Tablet) -> None:
    documents = load_documents(tablet.outbox, dev=tablet.status().dev)
    assert documents is not None
    key = load_secret(office.folder / "tablet" / "device.key", SigningKey)
    timer = Timer(180.0)
    context = SyncContext(documents, tablet.outbox, tablet.transport, key, now_ms, timer)
    for _ in range(12):
        tablet.screen(FORM, answers(STORY[0]), TAKEN)
    deliver(context)
    assert 0 < bearable_bytes(tablet.outbox.sync_state.load().rate) < 8_000
    timer.seconds = 0.1
    for _ in range(30):
        tablet.screen(FORM, answers(STORY[0]), TAKEN)
    before = tablet.transport.traffic
    assert deliver(context).sent == 30
    assert (tablet.transport.traffic - before).requests <= 3


# Screenings that a line cannot carry


@dataclass
class Line:
    """A line that breaks each request with more than `most` bytes of envelopes; what it carried, and each try."""

    most: int
    carried: list[str]
    tried: list[list[str]]

    def sync(self, outbox: Outbox) -> None:
        """Make requests until nothing is left or one breaks off."""
        while True:
            batch = outbox.sync_state.next_batch(0)
            if not self.carry(batch):
                return
            receipts = tuple((item.id, "stored") for item in batch.envelopes)
            outbox.sync_state.record_answer(batch, SyncResult("g1", 1, 1, receipts, (), 0))
            if not outbox.sync_state.has_more(0):
                return

    def carry(self, batch: Batch) -> bool:
        names = [item.jti for item in batch.envelopes]
        self.tried.append(names)
        if sum(len(item.raw) for item in batch.envelopes) > self.most:
            return False
        self.carried += names
        return True


def add(outbox: Outbox, jti: str, size: int, urgency: str) -> None:
    outbox.envelopes.append(
        "k", jti, lambda place: f"{place.chain}.{place.seq}".encode().ljust(size, b"x"), urgency=urgency
    )


@pytest.mark.parametrize(("large", "small"), [("immediate", "immediate"), ("immediate", "none"), ("none", "none")])
@pytest.mark.parametrize("size", [11_000, 90_000])
def test_a_screening_that_the_line_cannot_carry_lets_the_others_through(
    outbox: Outbox, large: str, small: str, size: int
) -> None:
    add(outbox, "large", size, large)
    for number in range(20):
        add(outbox, str(number), 700, small)
    line = Line(10_000, [], [])
    for _ in range(9):
        line.sync(outbox)
    assert sorted(line.carried) == sorted(map(str, range(20)))
    assert line.tried.count(["large"]) >= 5, "it is still tried"
    line.most = 100_000
    line.sync(outbox)
    line.sync(outbox)
    assert line.carried[-1] == "large"
    assert outbox.envelopes.count_by_state()["waiting"] == 0


def test_two_screenings_that_a_line_cannot_carry_do_not_starve_each_other(outbox: Outbox) -> None:
    add(outbox, "largest", 90_000, "immediate")
    add(outbox, "large", 60_000, "none")
    line = Line(10_000, [], [])
    for _ in range(12):
        line.sync(outbox)
    line.most = 70_000
    for _ in range(6):
        line.sync(outbox)
    assert line.carried == ["large"]


def test_new_screenings_do_not_starve_one_that_broke_off(outbox: Outbox) -> None:
    add(outbox, "large", 90_000, "immediate")
    line = Line(10_000, [], [])
    for number in range(100):
        add(outbox, str(number), 700, "routine")
        line.sync(outbox)
    last = max(place for place, names in enumerate(line.tried) if names == ["large"])
    assert len(line.tried) - last <= 64
    assert len(line.carried) >= 97


def test_the_most_urgent_is_tried_again_soon_on_a_line_that_breaks_everything(outbox: Outbox) -> None:
    for number in range(9):
        add(outbox, str(number), 700, "none")
    add(outbox, "urgent", 700, "immediate")
    line = Line(0, [], [])
    for _ in range(12):
        line.sync(outbox)
    alone = [names for names in line.tried if len(names) == 1]
    assert alone[:2] == [["urgent"]] * 2
    assert alone.count(["urgent"]) >= 4
    assert len({names[0] for names in alone}) >= 3


# Documents


def break_large(office: Office, most: int) -> None:
    """Let no request with more than so many bytes arrive."""
    pass_on = office.line.pass_on

    def pass_small(handler: BaseHTTPRequestHandler) -> None:
        if int(handler.headers.get("Content-Length") or 0) > most:
            handler.rfile.read(most)
            handler.close_connection = True
            handler.connection.close()
        else:
            pass_on(handler)

    office.line.pass_on = pass_small  # type: ignore[method-assign]


def test_a_screening_that_the_line_cannot_carry_keeps_no_documents_back(office: Office, tablet: Tablet) -> None:
    tablet.outbox.envelopes.append("k", "large", lambda place: random.Random(1).randbytes(90_000))
    break_large(office, 30_000)
    with pytest.raises(SyncError, match=r"transport\."):
        tablet.sync()
    sha = office.publish("2")
    with pytest.raises(SyncError, match=r"transport\."):
        tablet.sync()
    assert [form.sha for form in tablet.status().forms] == [sha]
    small = tablet.screen(FORM, answers(STORY[0]), TAKEN).jti
    for _ in range(3):
        with pytest.raises(SyncError, match=r"transport\."):
            tablet.sync()
    assert office.stored() == [small]


def test_documents_of_several_responses_arrive_on_a_line_that_is_cut_between_them(
    office: Office, tablet: Tablet
) -> None:
    sha, posts, sent = office.publish("2"), list[str](), list[str]()
    newest = trust_documents.registry_in_force(office.field.services.db.read())
    said = {"number": newest.number + 1, "keyrings": [*newest.keyrings.values()], "desks": newest.desks}
    signed = Document(registry.make(**said, revoked=[], issued=now_ms())).signed_by(office.registrar, registry.TYP)
    trust_documents.accept_registry(office.field.services.db, signed.to_bytes(), actor="tests", now=now_ms())

    def answer(passing: PassingAnswer) -> None:
        if passing.path == messages.PATH:
            posts.append(passing.path)
            office.line.cut = frozenset({messages.PATH} if len(posts) % 2 == 0 else ())
            if len(posts) % 2:
                response = messages.unpack_body(passing.body, "response")
                sent.extend(name for name in ("registry", "manifest") if response.has(name))

    office.line.answer = answer
    tablet.outbox.connection.execute("UPDATE place SET rate = 50")
    for _ in range(2):
        with suppress(SyncError):
            tablet.sync()
    assert tablet.status().registry == newest.number + 1
    assert [form.sha for form in tablet.status().forms] == [sha]
    assert sorted(sent) == ["manifest", "registry"]
