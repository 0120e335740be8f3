"""Form versions as deltas in one stream, cut, damaged, rolled back (SPEC 5.7, 12.2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from server.app import clock
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.store import versions
from support.changed_answers import asks_for_forms, wanted_in
from support.clients import FORM, Office, PassingAnswer, compiled
from sync.documents import bundle
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange import codings
from sync.exchange.bundle_stream import Piece, StreamReader, Wanted
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.tablet.partial_stream import PartialStream

Change = Callable[[PassingAnswer], None]


def publish_with_changes(office: Office, *, sentences: int = 5, version: str = "2") -> str:
    """Publish a version of which so many sentences have other words."""
    form, xform = Office.version(version), Office.version(version).xform
    texts = sorted(set(re.findall(r"<value>([^<&]{60,})</value>", xform)))
    for text in texts[:: len(texts) // sentences][:sentences]:
        xform = xform.replace(text, f"{text[:25]} por la quebrada {text[30:]}")
    document = office.sign(replace(form, xform=xform))
    services = office.field.services
    rollouts.publish_bundle(services.db, services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=clock())
    return document.sha256


def streams(office: Office, change: Change = lambda passing: None) -> list[bytes]:
    """Record the body of each stream that comes from now on, after `change`."""
    bodies: list[bytes] = []

    def answer(passing: PassingAnswer) -> None:
        if asks_for_forms(passing.path):
            change(passing)
            bodies.append(passing.body)

    office.line.answer = answer
    return bodies


def pieces_of(passing: PassingAnswer) -> Iterator[Piece]:
    yield from StreamReader.of({each.sha for each in wanted_in(passing.path)}).feed(passing.body)


def in_use(tablet: Tablet) -> dict[str, str]:
    return {each.form: each.sha for each in tablet.status().forms}


def test_a_form_update_with_five_changed_sentences_takes_under_600_bytes(office: Office, tablet: Tablet) -> None:
    second = publish_with_changes(office)
    bodies = streams(office)
    report = tablet.sync()
    assert (report.requests, in_use(tablet)) == (2, {FORM: second})
    [body] = bodies
    assert len(body) < 600, len(body)


def test_all_new_versions_come_in_one_request_one_form_written_with_another(office: Office, tablet: Tablet) -> None:
    shas = {FORM: publish_with_changes(office), **{name: office.publish("1", form_id=name) for name in ("uno", "dos")}}
    bodies = streams(office)
    assert tablet.sync().requests == 2
    assert in_use(tablet) == shas
    assert len(bodies[0]) < 2_000


def test_a_version_with_renewed_signatures_is_no_dictionary(office: Office, tablet: Tablet) -> None:
    [first] = in_use(tablet).values()
    with office.field.services.db.write() as w:
        body = versions.find_bytes_in_use(w, first)
        assert body is not None
        again = Document.parse(body).signed_by(SigningKey.generate(), bundle.TYP).to_bytes()
        w.execute("UPDATE versions SET body = ? WHERE sha = ?", [again, first])
    second = publish_with_changes(office)
    bodies = streams(office)
    assert tablet.sync().requests == 2
    assert in_use(tablet) == {FORM: second}
    assert b'"coding":"zstd"' in bodies[0]


# Faults


def wrong_dictionary(passing: PassingAnswer) -> None:
    passing.put(b"".join(replace(each, body=_with_other_hash(each.body)).to_bytes() for each in pieces_of(passing)))


def _with_other_hash(coded: bytes) -> bytes:
    return (
        coded[:8] + hashlib.sha256(b"another").digest() + coded[40:] if coded.startswith(codings.DCZ_MAGIC) else coded
    )


def other_result(passing: PassingAnswer) -> None:
    """A well-formed delta of which another document comes."""
    changed = []
    for each, wanted in zip(pieces_of(passing), wanted_in(passing.path), strict=True):
        if each.coding != codings.DCZ:
            changed.append(each)
            continue
        frame = codings.encode(b'{"a":1}\nx..y', codings.DCZ, level=3, dictionary=DICTIONARIES[wanted.dictionary])
        changed.append(replace(each, body=frame))
    passing.put(b"".join(each.to_bytes() for each in changed))


def bomb(passing: PassingAnswer) -> None:
    """A delta that would become 100 MiB."""
    frame = codings.encode(bytes(100 * 1024 * 1024), codings.ZSTD, level=3)
    changed = [
        replace(each, body=each.body[:40] + frame) if each.coding == codings.DCZ else each
        for each in pieces_of(passing)
    ]
    passing.put(b"".join(each.to_bytes() for each in changed))


def other_signature(passing: PassingAnswer) -> None:
    """A delta of which the right content comes, with a signature that is not."""
    changed = []
    for each, wanted in zip(pieces_of(passing), wanted_in(passing.path), strict=True):
        if each.coding == codings.DCZ:
            dictionary = DICTIONARIES[wanted.dictionary]
            body = codings.decode(each.body, codings.DCZ, most=2**22, dictionary=dictionary)
            place = len(body.rstrip()) - 10
            body = body[:place] + (b"B" if body[place : place + 1] == b"A" else b"A") + body[place + 1 :]
            assert Document.parse(body).sha256 == each.sha
            each = replace(each, body=codings.encode(body, codings.DCZ, level=3, dictionary=dictionary))
        changed.append(each)
    passing.put(b"".join(each.to_bytes() for each in changed))


DICTIONARIES: dict[str, bytes] = {}


@pytest.mark.parametrize("fault", [wrong_dictionary, other_result, other_signature, bomb])
def test_a_damaged_delta_refuses_nothing_the_whole_version_comes(office: Office, tablet: Tablet, fault: Change) -> None:
    [first] = in_use(tablet).values()
    on_board = tablet.outbox.documents.get(f"bundle/{first}")
    assert on_board is not None
    DICTIONARIES[hashlib.sha256(on_board).hexdigest()] = on_board
    second = publish_with_changes(office)
    bodies = streams(office, fault)
    report = tablet.sync()
    assert (report.requests, report.refused, in_use(tablet)) == (3, (), {FORM: second})
    assert b'"coding":"zstd"' in bodies[1]


def test_a_version_that_fails_whole_too_is_refused_and_the_former_stays(office: Office, tablet: Tablet) -> None:
    before = in_use(tablet)
    publish_with_changes(office)

    def garble(passing: PassingAnswer) -> None:
        passing.put(b"".join(replace(each, body=b"x" * 50).to_bytes() for each in pieces_of(passing)))

    streams(office, garble)
    report = tablet.sync()
    assert (report.requests, [each.code for each in report.refused]) == (3, ["transport.bad_coding"])
    assert in_use(tablet) == before


@pytest.mark.parametrize("body", [b"no line\n", b"", b"x" * 300, b'{"length":9,"sha":"' + b"0" * 43 + b'"}\nx'])
def test_a_false_stream_refuses_each_version_and_holds_up_no_document(
    office: Office, tablet: Tablet, body: bytes
) -> None:
    office.publish("2")
    office.publish("1", form_id="otro")
    streams(office, lambda passing: passing.put(body))
    report = tablet.sync()
    assert [each.code for each in report.refused] == ["transport.bad_stream"] * 2
    assert "manifest" in report.updated
    office.line.answer = lambda passing: None
    assert tablet.pull().refused == ()


def test_a_content_coding_over_the_stream_is_refused(office: Office, tablet: Tablet) -> None:
    office.publish("2")

    def coded(passing: PassingAnswer) -> None:
        passing.headers["Content-Encoding"] = "br"

    streams(office, coded)
    assert [each.code for each in tablet.sync().refused] == ["transport.bad_coding"]


def test_one_false_line_costs_one_version_and_not_the_others(office: Office, tablet: Tablet) -> None:
    other, sick = office.publish("1", form_id="otro"), office.publish("2")

    def garble(passing: PassingAnswer) -> None:
        name = Wanted(sick).to_text().encode()
        if asks_for_forms(passing.path):
            passing.put(passing.body.replace(b'"sha":"' + name, b'"sha":"' + b"0" * 43))

    streams(office, garble)
    report = tablet.sync()
    assert [(each.sha, each.code) for each in report.refused] == [(sick, "transport.bad_stream")]
    assert in_use(tablet)["otro"] == other


# Cuts


@pytest.fixture
def three(office: Office, tmp_path: Path) -> Iterator[Tablet]:
    """A tablet that has not pulled, for which there are three forms."""
    for name in ("uno", "dos"):
        office.publish("1", form_id=name)
    with Tablet(tmp_path / "tres") as tablet:
        tablet.enrol(office.invite())
        office.certify(tablet)
        yield tablet


def cut_after(office: Office, most: int) -> None:
    """Let `most` bytes of each stream pass, then cut."""
    office.line.most = lambda path: most if asks_for_forms(path) else None


@contextmanager
def suppress_cut() -> Iterator[None]:
    """Go on after a cut, and after nothing else."""
    try:
        yield
    except SyncError as cut:
        if cut.code != "transport.broken":
            raise


@pytest.mark.parametrize("most", [1, 90, 700, 4_000, 9_000])
def test_a_stream_cut_again_and_again_goes_on_where_it_ended(office: Office, three: Tablet, most: int) -> None:
    cut_after(office, most)
    for _ in range(20):
        with suppress_cut():
            three.pull()
    office.line.most = lambda path: None
    three.pull()
    assert {*in_use(three)} == {FORM, "uno", "dos"}
    bodies = [path for path in office.line.asked if asks_for_forms(path.removeprefix("GET "))]
    assert len({*bodies}) <= 2, "the same address is asked again"
    assert three.outbox.documents.get(PartialStream.NAME) is None


def test_a_version_published_meanwhile_makes_the_stream_begin_anew(office: Office, three: Tablet) -> None:
    cut_after(office, 4_000)
    with pytest.raises(SyncError, match=r"transport\.broken"):
        three.pull()
    assert PartialStream.load(three.outbox.documents) is not None
    newer = publish_with_changes(office)
    office.line.most = lambda path: None
    three.pull()
    assert in_use(three)[FORM] == newer


# The former version


def test_a_way_back_costs_no_download_and_the_next_version_is_a_delta(office: Office, tablet: Tablet) -> None:
    [first] = in_use(tablet).values()
    second = publish_with_changes(office)
    tablet.sync()
    bodies = streams(office)
    office.publish("1")
    report = tablet.sync()
    assert (report.requests, in_use(tablet)) == (1, {FORM: first})
    third = publish_with_changes(office, sentences=6, version="3")
    tablet.sync()
    assert in_use(tablet) == {FORM: third}
    assert len(bodies) == 1
    assert second not in {name.removeprefix("bundle/") for name in tablet.outbox.documents.list_names()}


def test_a_wipe_deletes_the_former_version_too(office: Office, tablet: Tablet) -> None:
    publish_with_changes(office)
    tablet.sync()
    assert tablet.outbox.documents.former_versions()
    tablet.outbox.orders.begin_wipe(1)
    tablet.outbox.orders.wipe(complete=True)
    assert not [name for name in tablet.outbox.documents.list_names() if name.startswith(("bundle/", "former"))]


def test_the_questionnaire_of_the_tests_is_not_the_starter_dictionary() -> None:
    assert compiled().to_bytes() != codings.starter_dictionary()
