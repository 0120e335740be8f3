"""Form versions that travel along with a sync response (SPEC 11.3 rule 12) fail no request and hold up no writer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from conftest import FOUNDED
from server.api import coded_bytes, tablets
from server.app import tablet_api
from server.database.sqlite import SqliteDatabase
from server.flows.desks.routing import Rulebook
from server.flows.forms import delivery, rollouts
from server.flows.forms.delivery import DeltaFinder
from server.flows.forms.rollouts import Ring
from server.flows.intake import sync_group, sync_request
from support.intake import FORM, Field, Tablet
from sync.documents import bundle
from sync.documents.signed import Document
from sync.exchange import messages
from sync.exchange.messages import SIGNATURE_HEADER, Message
from sync.keys.key_pairs import SigningKey
from sync.wire.json_object import TEXT

FORM_ID = FORM["form_id"]
Answer = Callable[[Field, Message, DeltaFinder], Message]


def sign(field: Field, version: str, noise: str = "") -> Document:
    world = field.world
    keys = world.office("autora", "author"), world.office("revisor", "reviewer")
    return Document.of({**FORM, "version": version, "noise": noise}, bundle.TYP, *keys)


def publish(field: Field, document: Document) -> str:
    db, keys = field.services.db, field.services.keys
    rollouts.publish_bundle(db, keys, document.to_bytes(), ring=Ring(), actor="tests", now=FOUNDED + 1)
    return document.sha256


def alone(field: Field, message: Message, find: DeltaFinder) -> Message:
    services = field.services
    rulebook = Rulebook(services.rules, services.config.deadline_hours)
    return sync_request.answer_request(
        services.db, message, keys=services.keys, rulebook=rulebook, now=field.now, find_delta=find
    )[0]


def in_group(field: Field, message: Message, find: DeltaFinder) -> Message:
    [answer] = group(field, [message], find)
    return answer


def group(field: Field, asked: list[Message], find: DeltaFinder) -> list[Message]:
    services = field.services
    rulebook = Rulebook(services.rules, services.config.deadline_hours)
    answers = sync_group.answer_group(
        services.db, asked, keys=services.keys, rulebook=rulebook, now=field.now, find_delta=find
    )
    return [answer.message for answer in answers if answer is not None]


def forms_in(answer: Message) -> str:
    return messages.unpack_body(answer.body, "a response").text("forms", TEXT, "")


def asks(field: Field, tablet: Tablet, held: str) -> Message:
    return field.message(tablet, field.envelope(tablet), inventory={FORM_ID: held})


@pytest.mark.parametrize("answer", [alone, in_group])
def test_no_version_is_looked_for_while_the_writer_is_held(field: Field, answer: Answer) -> None:
    tablet, held = field.tablet(), field.form_sha
    publish(field, sign(field, "2"))

    def find(body: bytes, dictionary: bytes) -> bytes:
        with field.services.db.write():
            return b"a delta"

    assert forms_in(answer(field, asks(field, tablet, held), find))


# Faults


NOISE = {version: Random(version).randbytes(30_000).hex() for version in ("2", "3")}


def break_block(database: Path, noise: str) -> None:
    """Overwrite a page in the middle of a form version, in a closed database."""
    with closing(sqlite3.connect(database)) as c:
        c.execute("pragma wal_checkpoint(truncate)")
        (size,) = c.execute("pragma page_size").fetchone()
    content, at = bytearray(database.read_bytes()), -1
    while (at := content.find(noise[30_000:30_060].encode(), at + 1)) >= 0:
        content[at // size * size : (at // size + 1) * size] = b"\xff" * size
    database.write_bytes(content)


@pytest.mark.parametrize("answer", [alone, in_group])
@pytest.mark.parametrize("damaged", ["2", "3"])
def test_a_damaged_form_costs_no_screening(field: Field, answer: Answer, damaged: str) -> None:
    tablet, (held, named) = field.tablet(), [publish(field, sign(field, each, NOISE[each])) for each in ("2", "3")]
    database = field.world.config.database
    field.services.db.close()
    break_block(database, NOISE[damaged])
    field.services = replace(field.services, db=SqliteDatabase(database))
    answered = answer(field, asks(field, tablet, held), lambda body, dictionary: b"a delta")
    assert not forms_in(answered)
    assert field.rows("select count(*) from envelopes") == [(1,)]
    sha = held if damaged == "2" else named
    download = tablet_api(field.services).test_client().get(f"/v1/forms/{FORM_ID}/{sha}")
    assert (download.status_code, download.json["code"]) == (503, "storage.damaged"), "who needs it is told"


class NoThread(threading.Thread):
    """What a process gets that may have no more threads."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def no_memory(body: bytes, dictionary: bytes) -> bytes:
    raise MemoryError


@pytest.mark.parametrize("answer", [alone, in_group])
@pytest.mark.parametrize("find", [coded_bytes.find_delta, no_memory], ids=["no thread", "no memory"])
def test_a_delta_that_cannot_be_made_costs_no_screening(
    field: Field, monkeypatch: pytest.MonkeyPatch, answer: Answer, find: DeltaFinder
) -> None:
    tablet, held = field.tablet(), field.form_sha
    publish(field, sign(field, "2"))
    monkeypatch.setattr(coded_bytes, "CODED", coded_bytes.CodedBytes(most=2**20))
    monkeypatch.setattr(coded_bytes.threading, "Thread", NoThread)
    assert not forms_in(answer(field, asks(field, tablet, held), find))
    assert field.rows("select count(*) from envelopes") == [(1,)]


def test_the_tablet_api_answers_whatever_happens_to_a_version(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    tablet, held = field.tablet(), field.form_sha
    publish(field, sign(field, "2"))
    monkeypatch.setattr(tablets, "find_delta", no_memory)
    message = asks(field, tablet, held)
    answer = (
        tablet_api(field.services)
        .test_client()
        .post("/v1/sync", data=message.body, headers={SIGNATURE_HEADER: message.signature})
    )
    assert answer.status_code == 200


# What a version costs


class Counted:
    """Finds a delta at the `at`th look, and writes down for which bytes."""

    def __init__(self, at: int = 1) -> None:
        self.at, self.bodies = at, list[bytes]()

    def __call__(self, body: bytes, dictionary: bytes) -> bytes | None:
        self.bodies.append(body)
        return b"a delta" if len(self.bodies) >= self.at else None


def test_a_version_that_was_found_is_not_read_again(field: Field) -> None:
    made, held, find = [field.tablet() for _ in range(4)], field.form_sha, Counted()
    publish(field, sign(field, "2"))
    first = group(field, [asks(field, each, held) for each in made[:2]], find)
    then = group(field, [asks(field, each, held) for each in made[2:]], find)
    assert all(forms_in(answer) for answer in (*first, *then))
    assert len(find.bodies) == 1


def test_a_version_that_is_not_at_hand_is_looked_for_once_in_a_group(field: Field) -> None:
    made, held, find = [field.tablet() for _ in range(4)], field.form_sha, Counted(at=2)
    publish(field, sign(field, "2"))
    first = group(field, [asks(field, each, held) for each in made[:2]], find)
    then = group(field, [asks(field, each, held) for each in made[2:]], find)
    assert [bool(forms_in(answer)) for answer in (*first, *then)] == [False, False, True, True]
    assert len(find.bodies) == 2


def test_a_version_that_was_signed_anew_travels_as_it_is_signed_now(field: Field) -> None:
    made, held, find = [field.tablet() for _ in range(2)], field.form_sha, Counted()
    document = sign(field, "2")
    publish(field, document)
    assert forms_in(in_group(field, asks(field, made[0], held), find))
    again = document.signed_by(SigningKey.generate(), bundle.TYP)
    publish(field, again)
    assert forms_in(in_group(field, asks(field, made[1], held), find))
    assert find.bodies == [document.to_bytes(), again.to_bytes()]


@pytest.mark.parametrize(("size", "most"), [(100, 40), (1_000, 5), (5_000, 1)])
def test_no_more_versions_are_read_than_a_response_has_room_for(size: int, most: int) -> None:
    pairs: list[str] = []

    def read(pair: str) -> bytes:
        pairs.append(pair)
        return b"x" * size

    names = [f"f{number}" for number in range(100)]
    assert delivery.write_deltas(dict.fromkeys(names, "a" * 64), dict.fromkeys(names, "b" * 64), read) == b""
    assert len(pairs) <= most


def test_unknown_and_unchanged_versions_do_not_travel(field: Field) -> None:
    sha, find = field.form_sha, Counted()
    for held in ({}, {FORM_ID: sha}, {FORM_ID: "0" * 64}):
        tablet = field.tablet()
        message = field.message(tablet, inventory=held)
        assert not forms_in(in_group(field, message, find))
    assert not find.bodies
