"""Intake as a function of any bytes: a certified tablet that says and sends whatever it likes to a real database."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from fuzz.protocol_readers import HELD, around, signed
from server.config import Config
from server.database.connection import Database
from server.database.sqlite import SqliteDatabase
from server.flows.desks import routing
from server.flows.desks.routing import Rulebook
from server.flows.intake import courier, sync_request
from server.flows.intake import envelopes as envelope_intake
from server.flows.operations import founding
from server.flows.operations.founding import NewKeyring, NewServer
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import devices
from sync.documents import courier_receipt, receipt, registry
from sync.documents.registry import Keyring
from sync.documents.signed import Document
from sync.exchange import courier_messages, messages
from sync.keys.key_pairs import RouteKey
from vector_makers.fixed_inputs import DEVICE, KEYRING, NOW, REGISTRAR, ROUTE_KEY, SERVER, TRUST

KEYS = ServerKeys(SERVER, {ROUTE_KEY.kid: ROUTE_KEY})
ROUTES: dict[str, RouteKey] = dict(KEYS.routes)
MOST = 8


class _UndoError(Exception):
    """Takes a case's transaction back, so that each finds the same database."""


@cache
def database() -> Database:
    """A founded server's database with one certified tablet; it goes away with the process."""
    folder = Path(mkdtemp(prefix="chaski-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    db = SqliteDatabase(folder / "chaski.db", create=True)
    payload = registry.make(
        number=1, issued=NOW, keyrings=[Keyring.of("national", 1, KEYRING.public)], desks=[], revoked=[]
    )
    founding.set_up_desks(
        NewServer(Config(data=folder), KEYS, db),
        trust=TRUST,
        registry=Document(payload).signed_by(REGISTRAR, registry.TYP),
        people=[],
        keyrings=[NewKeyring("national", 1, KEYRING.public, [])],
        now=NOW,
    )
    with db.write() as w:
        devices.add_device(w, dev=DEVICE.kid, key=DEVICE.public.raw, label="fuzz", region="17", at=NOW)
        devices.certify(w, DEVICE.kid, certificate=b"", label="fuzz", region="17", at=NOW)
    return db


@cache
def rulebook() -> Rulebook:
    """The rules that routing ships with."""
    return Rulebook(routing.read_rules(), {"immediate": 1, "prompt": 24, "routine": 72})


def batch(data: bytes) -> None:
    """Up to eight envelopes, one a line: a header to be signed where a line begins with a brace, else raw bytes."""
    db = database()
    sent = [around(line) if line.startswith(b"{") else line for line in data.split(b"\n")[:MOST]]
    arrivals = [
        envelope_intake.inspect_envelope(raw, lambda dev: sync_request.get_device_key(db, dev), ROUTES) for raw in sent
    ]
    try:
        with db.write() as w:
            sender = devices.get_device(w, DEVICE.kid)
            assert sender is not None
            first = envelope_intake.store_all(w, arrivals, sender=sender, rulebook=rulebook(), now=NOW)
            again = envelope_intake.store_all(w, arrivals, sender=sender, rulebook=rulebook(), now=NOW)
            assert len(first) == len(again) == len(sent)
            for once, twice in zip(first, again, strict=True):
                assert once.id == twice.id
                assert twice == once if once.outcome == "rejected" else twice.outcome == "duplicate"
            chains = {
                (a.envelope.header.dev, a.envelope.header.chain): [a.envelope.header.seq]
                for a, item in zip(arrivals, first, strict=True)
                if a.envelope and item.outcome != "rejected"
            }
            envelope_intake.advance_chains(w, chains, now=NOW)
            raise _UndoError
    except _UndoError:
        pass


def conversation(data: bytes) -> None:
    """A whole request: any JSON that the tablet signed, answered by the server, the answer read by the tablet."""
    message = signed(data, DEVICE, messages.REQUEST_TYP)
    with database().write() as w:
        w.execute("update devices set last_n = 0, last_request = ''")
    try:
        answer, items = sync_request.answer_request(database(), message, keys=KEYS, rulebook=rulebook(), now=NOW)
    except Problem as refused:
        if refused.code not in sync_request.NUMBER_REFUSED:
            raise
        return
    asked = messages.read_request(message, DEVICE.public)
    n, servers = asked.n, HELD.servers
    read = messages.read_response(answer, servers, dev=DEVICE.kid, n=n, envelopes=asked.envelopes)
    if items:
        assert read.receipts is not None
        assert receipt.accept(read.receipts, HELD, dev=DEVICE.kid, n=n).items[: len(items)] == tuple(items)


def courier_batch(data: bytes) -> None:
    """What a stranger brings: lines as in `batch`. The same again is a duplicate, and a rejection stays one."""
    raws = [around(line) if line.startswith(b"{") else line for line in data.split(b"\n")[:MOST]]
    body = courier_messages.write_request([raw for raw in raws if raw.isascii()])
    answers = []
    for _ in range(2):
        answer, items = courier.answer_courier(database(), body, keys=KEYS, rulebook=rulebook(), now=NOW)
        done = {item.id for signed in answer.receipts for item in courier_receipt.read(signed, HELD).items}
        assert done | {each.id for each in answer.rejected} == {item.id for item in items}
        answers.append((done, answer.rejected, items))
    (done, rejected, _), (again, rejected_again, items) = answers
    assert (again, rejected_again) == (done, rejected)
    assert {item.outcome for item in items} <= {"duplicate", "rejected"}


READERS: dict[str, Callable[[bytes], None]] = {
    "batch": batch,
    "conversation": conversation,
    "courier_batch": courier_batch,
}
