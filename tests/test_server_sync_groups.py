"""Sync requests that are answered together: the same answers and the same database as when each is answered alone."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from conftest import FOUNDED, World
from server.api import sync_thread
from server.app import open_services
from server.flows.desks import referrals
from server.flows.desks.routing import Rulebook
from server.flows.intake import sync_group, sync_request
from server.flows.intake.storage_budget import StorageBudget
from server.flows.operations import audit
from server.flows.trust import enrolment
from server.problems import Problem
from support.databases import edit_by_hand, writing_connection
from support.hostile_server import post_message, send_bytes
from support.intake import ROUTE, Field, Tablet, run_servers
from support.waiting import PATIENCE
from sync.documents import receipt
from sync.durations import MINUTE
from sync.envelope.route import codes
from sync.envelope.verify import envelope_id, parse_envelope
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import PATH, AuditRow, Message
from sync.keys.key_pairs import RouteKey, SigningKey

REQUESTS = 5_000
TABLETS = 40
# Some tablets use it up on the way.
BUDGET = StorageBudget(tablet=300_000)


@dataclass
class Sent:
    """A tablet and what it has sent."""

    tablet: Tablet
    raws: list[bytes] = field(default_factory=list)
    last: Message | None = None


class Traffic:
    """Random requests of many tablets: ordinary ones, and one of each kind that a server may meet."""

    def __init__(self, field: Field, seed: int) -> None:
        self.field, self.draws = field, random.Random(seed)
        self.senders = [Sent(field.tablet()) for _ in range(TABLETS)]
        self.senders += [Sent(field.tablet(certified=False)), Sent(Tablet(SigningKey.generate()))]
        self.generation = field.rows("select value from meta where name = 'generation'")[0][0]

    def revoke(self, count: int) -> None:
        """Revoke some tablets."""
        with self.field.services.db.write() as w:
            kids = {sent.tablet.key.kid for sent in self.senders[:count]}
            enrolment.revoke_devices(w, kids, actor="tests", now=FOUNDED)

    def draw_group(self) -> list[Message]:
        """Return requests that arrive together; some of them from one tablet."""
        return [self.draw_request(self.draws.choice(self.senders)) for _ in range(self.draws.randint(1, 24))]

    def draw_request(self, sent: Sent) -> Message:
        """Return a random request of a tablet."""
        kind = self.draws.choices(("usual", "again", "number", "broken"), (90, 4, 4, 2))[0]
        if kind == "again" and sent.last is not None:
            return sent.last
        made = self.field.message(sent.tablet, *self.draw_envelopes(sent), **self.draw_members(sent))
        if kind == "number":
            sent.tablet.n += self.draws.choice((-3, 2**21))
            made = self.field.message(sent.tablet)
            sent.tablet.n = max(sent.tablet.n % 2**20, 1)
        if kind == "broken":
            return Message(made.body[:-1], made.signature)
        sent.last = made
        return made

    def draw_envelopes(self, sent: Sent) -> list[bytes]:
        """Return the envelopes of one request."""
        count = self.draws.choices((0, 1, 2, 5), (30, 50, 15, 5))[0]
        return [self.draw_envelope(sent) for _ in range(count)]

    def draw_envelope(self, sent: Sent) -> bytes:
        """Return a new envelope of the tablet, one that it or another tablet has sent, or a broken one."""
        kind = self.draws.choices(
            ("new", "gap", "again", "fork", "conflict", "unreadable", "held", "other's", "unsigned", "garbage"),
            (84, 3, 3, 2, 2, 2, 1, 1, 1, 1),
        )[0]
        tablet, earlier = sent.tablet, parse_envelope(self.draws.choice(sent.raws)).header if sent.raws else None
        tablet.seq += self.draws.randint(1, 3) if kind == "gap" and sent.raws else 0
        other = self.draws.choice(self.senders)
        if kind == "again" and sent.raws:
            return self.draws.choice(sent.raws)
        if kind == "other's" and other.raws:
            return self.draws.choice(other.raws)
        if kind == "garbage":
            return b"x" * self.draws.randint(0, 9)
        route = replace(
            ROUTE,
            mode=self.draws.choice(("field", "training")),
            urgency=self.draws.choice(sorted(codes("urgency"))),
            sha="0" * 64 if kind == "held" else None,
        )
        said: dict[str, Any] = {"to": self.draws.choice(("17-protection", "national"))}
        if earlier is not None and kind == "fork":
            said["at"] = (earlier.seq, earlier.prev)
        if earlier is not None and kind == "conflict":
            said["jti"] = earlier.jti
        if kind == "unreadable":
            said["route_key"] = RouteKey.generate().public
        raw = self.field.envelope(tablet, route, **said)
        sent.raws.append(raw)
        return raw[:-4] + b"AAAA" if kind == "unsigned" else raw

    def draw_members(self, sent: Sent) -> dict[str, Any]:
        """Return what else a request says."""
        draws, members = self.draws, dict[str, Any]()
        for name, value in {
            "trust": 1,
            "registry": 1,
            "manifest": draws.choice((0, 1, 2**40)),
            "orders": 1,
            "generation": draws.choice((self.generation, "A" * 11)),
            "cursor": draws.choice((1, 10**6)),
            "pending": tuple(envelope_id(raw) for raw in sent.raws[-2:]),
            "inventory": {"prueba": self.field.form_sha},
            "refused": {self.field.form_sha: "bundle.unusable"},
            "ended": {sent.tablet.chain: draws.randint(1, sent.tablet.seq + 2)},
            "receipted": {sent.tablet.chain: draws.randint(1, sent.tablet.seq + 2)},
            "told": AuditRow(draws.randint(1, 40), "A" * 22),
        }.items():
            often = {"pending": 0.2}.get(name, 0.01)
            if draws.random() < (0.7 if name in ("trust", "registry", "generation") else often):
                members[name] = value
        return members


@pytest.fixture
def token_of_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the ids of referrals from the request instead of at random, so that two databases can be compared."""
    apply, drawn = sync_request.apply_call, ["", 0]

    def begin(w: Any, call: Any, *others: Any) -> Any:
        drawn[:] = [call.digest, 0]
        return apply(w, call, *others)

    def draw(size: int) -> str:
        drawn[1] = int(drawn[1]) + 1
        return hashlib.sha256(f"{drawn}".encode()).hexdigest()[: 2 * size]

    monkeypatch.setattr(sync_request, "apply_call", begin)
    monkeypatch.setattr(referrals.secrets, "token_hex", draw)


def twin(field: Field, world: World) -> Field:
    """Open a copy of a field's server, as it is now."""
    copied = World(world.data.with_name("twin"), world.people)
    with field.services.db.write():
        shutil.copytree(world.data, copied.data)
    return replace(field, world=copied, services=open_services(copied.config, lambda: FOUNDED))


def answer_alone(field: Field, message: Message) -> tuple[Any, ...]:
    """Answer a request alone. Returns the answer's bytes and its items, or the problem."""
    rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
    try:
        answer, items = sync_request.answer_request(
            field.services.db, message, keys=field.services.keys, rulebook=rulebook, now=field.now, budget=BUDGET
        )
    except Problem as problem:
        return (problem.code, problem.detail, problem.members)
    except SyncError as error:
        return (error.code, error.detail)
    return (answer, tuple(items))


def answer_together(field: Field, group: list[Message]) -> list[tuple[Any, ...] | None]:
    """Answer requests together; None for those that are left."""
    rulebook = Rulebook(field.services.rules, field.services.config.deadline_hours)
    answers = sync_group.answer_group(
        field.services.db, group, keys=field.services.keys, rulebook=rulebook, now=field.now, budget=BUDGET
    )
    return [(answer.message, tuple(answer.items)) if answer else None for answer in answers]


def receipted(field: Field, tablet: Tablet, answer: tuple[Any, ...]) -> list[str]:
    """Return the ids in the verified receipts of an answer."""
    response = messages.read_response(answer[0], field.trust.servers, dev=tablet.key.kid, n=tablet.n)
    assert response.receipts is not None
    return [item.id for item in receipt.accept(response.receipts, field.trust, dev=tablet.key.kid, n=tablet.n).items]


def dump(field: Field) -> dict[str, list[tuple[Any, ...]]]:
    """Return each table's rows."""
    tables = [name for (name,) in field.rows("select name from sqlite_master where type = 'table'")]
    return {name: sorted(field.rows(f"select * from {name}"), key=repr) for name in tables}  # noqa: S608 (our tables)


def outcomes(answers: list[tuple[Any, ...]]) -> set[str]:
    """Return the outcomes of all envelopes, and the codes of all problems."""
    codes_ = {answer[0] for answer in answers if isinstance(answer[0], str)}
    return codes_ | {item.outcome for answer in answers if isinstance(answer[0], Message) for item in answer[1]}


@pytest.mark.usefixtures("token_of_each_request")
def test_requests_answered_together_leave_what_requests_answered_alone_leave(field: Field, world: World) -> None:
    traffic = Traffic(field, seed=12)
    traffic.revoke(3)
    other = twin(field, world)
    for each in (field, other):  # The disk does not matter here, and each request alone would wait for it.
        writing_connection(each.services.db).execute("pragma synchronous=off")  # type: ignore[arg-type]
    counted, seen = Counter[str](), {"together": set[str](), "alone": set[str]()}
    while counted.total() < REQUESTS:
        group = traffic.draw_group()
        answers = answer_together(field, group)
        together = [answer for answer in answers if answer is not None]
        left = [message for message, answer in zip(group, answers, strict=True) if answer is None]
        alone = [answer_alone(field, message) for message in left]
        taken = [message for message, answer in zip(group, answers, strict=True) if answer is not None]
        assert [*together, *alone] == [answer_alone(other, message) for message in (*taken, *left)]
        counted.update(together=len(together), alone=len(alone))
        seen["together"] |= outcomes(together)
        seen["alone"] |= outcomes(alone)
        field.now = other.now = field.now + MINUTE
    assert dump(field) == dump(other)
    other.services.db.close()
    assert counted["together"] > REQUESTS / 2
    assert seen["together"] >= {"stored", "duplicate", "held", "fork", "conflict", "quarantined"}
    assert seen["alone"] >= {"rejected", "storage.quota", "sync.number_used", "sync.number_skipped", "device.unknown"}
    assert seen["alone"] >= {"device.not_certified", "exchange.bad_signature"}


def test_requests_that_break_are_left_and_the_others_are_answered(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    tablets = [field.tablet() for _ in range(9)]
    group = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    apply, broken = sync_request.apply_call, {tablet.key.kid for tablet in tablets[1::2]}

    def break_some(w: Any, call: Any, *others: Any) -> Any:
        applied = apply(w, call, *others)
        if call.dev in broken:
            raise sqlite3.DatabaseError("a damaged page")
        return applied

    monkeypatch.setattr(sync_request, "apply_call", break_some)
    answers = answer_together(field, group)
    assert [answer is None for answer in answers] == [False, True] * 4 + [False]
    assert field.rows("select count(*) from envelopes") == [(5,)]
    assert audit.verify_chain(field.services.db).faults == ()


@pytest.mark.parametrize(("asked", "together"), [(1, True), (20, True), (21, False)])
def test_few_envelopes_about_to_be_erased_are_looked_at_in_a_group(field: Field, asked: int, together: bool) -> None:
    tablet, other = field.tablet(), field.tablet()
    stored = [field.envelope(tablet) for _ in range(asked)]
    field.push(tablet, *stored)
    pending = tuple(map(envelope_id, stored))
    answers = answer_together(field, [field.message(tablet, pending=pending), field.message(other)])
    assert [answer is not None for answer in answers] == [together, True]
    if answers[0] is not None:
        assert receipted(field, tablet, answers[0]) == list(pending)


def test_a_damaged_envelope_about_to_be_erased_gets_no_receipt_in_a_group(field: Field) -> None:
    tablet = field.tablet()
    good, bad = field.envelope(tablet), field.envelope(tablet)
    field.push(tablet, good, bad)
    edit_by_hand(field.world.config.database, "update envelopes set body = zeroblob(size) where seq = 2")
    (answer,) = answer_together(field, [field.message(tablet, pending=(envelope_id(bad), envelope_id(good)))])
    assert answer is not None
    assert receipted(field, tablet, answer) == [envelope_id(good)]
    assert field.rows("select envelope from damaged_envelopes") == [(envelope_id(bad),)]


class FailingStatement:
    """A connection that fails once at a statement, after `spared` good ones, as on a disk with a fault."""

    def __init__(self, connection: sqlite3.Connection, statement: str, spared: int) -> None:
        self.connection, self.statement, self.spared = connection, statement, spared

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Execute a statement, or fail."""
        if sql == self.statement:
            self.spared -= 1
            if self.spared == -1:
                raise sqlite3.OperationalError("disk I/O error")
        return self.connection.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


@pytest.mark.parametrize(("statement", "spared"), [("release part", 1), ("rollback to part", 0), ("savepoint part", 1)])
def test_a_request_that_cannot_be_taken_back_alone_takes_the_group_back(
    field: Field, monkeypatch: pytest.MonkeyPatch, statement: str, spared: int
) -> None:
    tablets = [field.tablet() for _ in range(4)]
    group = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    apply = sync_request.apply_call

    def break_one(w: Any, call: Any, *others: Any) -> Any:
        applied = apply(w, call, *others)
        if statement == "rollback to part" and call.dev == tablets[1].key.kid:
            raise KeyError("a fault of the program")
        return applied

    monkeypatch.setattr(sync_request, "apply_call", break_one)
    writer = writing_connection(field.services.db)
    sound = writer.conn
    writer.conn = FailingStatement(sound, statement, spared)  # type: ignore[assignment]
    assert answer_together(field, group) == [None] * 4
    writer.conn = sound
    assert field.rows("select count(*) from envelopes") == [(0,)]
    assert field.rows("select count(*) from audit where action = 'envelope.stored'") == [(0,)]
    assert audit.verify_chain(field.services.db).faults == ()


class Poison(BaseException):
    """What a library may raise that is no Exception."""


def send(port: int, message: Message) -> bytes:
    answer = post_message(port, message)
    assert answer.status == 200, answer.body
    return answer.body


class HungCommit:
    """A connection whose commits wait, as on a disk that hangs, until `release`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.begun, self.released = connection, threading.Event(), threading.Event()

    def commit(self) -> None:
        """Wait, and commit."""
        self.begun.set()
        assert self.released.wait(PATIENCE)
        self.connection.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def test_a_commit_that_hangs_delays_answers_and_the_server_still_answers_others(field: Field) -> None:
    tablets = [field.tablet() for _ in range(6)]
    sent = [field.message(tablet, field.envelope(tablet)) for tablet in tablets]
    with run_servers(field) as (port, _), ThreadPoolExecutor(6) as clients:
        writer = writing_connection(field.services.db)
        hung = HungCommit(writer.conn)
        writer.conn = hung  # type: ignore[assignment]
        answers = [clients.submit(send, port, message) for message in sent]
        assert hung.begun.wait(PATIENCE)
        assert send_bytes(port, b"GET /v1/trust HTTP/1.1\r\n\r\n").status == 200
        assert not any(answer.done() for answer in answers)
        hung.released.set()
        assert all(answer.result(PATIENCE) for answer in answers)
        assert field.rows("select count(*) from envelopes") == [(6,)]


def test_the_log_counts_the_time_that_a_request_waited_for_others(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    sent = [field.message(tablet, field.envelope(tablet)) for tablet in (field.tablet(), field.tablet())]
    broken = Message(sent[1].body[:-1], sent[1].signature)
    with run_servers(field) as (port, _), ThreadPoolExecutor(2) as clients, caplog.at_level("INFO", "chaski"):
        writer = writing_connection(field.services.db)
        hung = HungCommit(writer.conn)
        writer.conn = hung  # type: ignore[assignment]
        stored = clients.submit(send, port, sent[0])
        assert hung.begun.wait(PATIENCE)
        refused = clients.submit(post_message, port, broken)
        time.sleep(1)
        hung.released.set()
        assert stored.result(PATIENCE)
        assert refused.result(PATIENCE).status == 403
    logged = [record.__dict__["fields"] for record in caplog.records if record.msg == "request"]
    assert min(line["ms"] for line in logged if line["route"] == PATH) > 200


@pytest.mark.parametrize("fault", [RuntimeError, Poison])
def test_a_fault_of_the_group_itself_leaves_each_request_to_be_answered_alone(
    field: Field, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise fault("a fault of the program")

    monkeypatch.setattr(sync_group, "answer_group", fail)
    tablet = field.tablet()
    with run_servers(field) as (port, _):
        for _ in range(2):
            assert send(port, field.message(tablet, field.envelope(tablet)))
        assert field.rows("select count(*) from envelopes where outcome = 'stored'") == [(2,)]


def test_a_fault_of_the_log_keeps_no_tablet_from_its_answer(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(sync_thread, "record_answered", fail)
    tablet = field.tablet()
    with run_servers(field) as (port, _):
        for _ in range(3):
            assert send(port, field.message(tablet, field.envelope(tablet)))
