"""Form versions whose download was cut, resumed, damaged, or met a full disk (SPEC 5.7, 12.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random

import pytest

from server.store import versions
from support.changed_answers import asks_for_forms, wanted_in
from support.clients import FORM, Office, PassingAnswer
from sync.documents import bundle
from sync.documents.signed import Document
from sync.errors import SyncError
from sync.exchange import codings
from sync.exchange.bundle_stream import Piece
from sync.exchange.transport import Transport
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.tablet.document_store import DocumentStore
from sync.tablet.form_download import FormDownload
from sync.tablet.partial_stream import PartialStream

CUT = r"transport\.broken"


def publish_long(office: Office, form_id: str, *, length: int = 60_000, version: str = "1") -> str:
    """Publish a form version that no coding makes shorter than about half of `length`."""
    noise = Random(form_id).randbytes(length // 2).hex()
    return office.publish(version, form_id=form_id, xform=f"{Office.version(version).xform}<!--{noise}-->")


def in_use(tablet: Tablet) -> dict[str, str]:
    return {each.form: each.sha for each in tablet.status().forms}


def cut_after(office: Office, most: int | None) -> None:
    """Let `most` bytes of each stream pass, then cut."""
    office.line.most = lambda path: most if asks_for_forms(path) else None


def is_resumed(passing: PassingAnswer) -> bool:
    return asks_for_forms(passing.path) and passing.status == 206


def sync_until_cut(office: Office, tablet: Tablet, length: int) -> PartialStream:
    """Let a sync break off after so many bytes of a stream; return what the tablet keeps of it."""
    cut_after(office, length)
    with pytest.raises(SyncError, match=CUT):
        tablet.sync()
    cut_after(office, None)
    part = PartialStream.load(tablet.outbox.documents)
    assert part is not None
    return part


@pytest.fixture
def cut_short(office: Office, tablet: Tablet) -> Tablet:
    """A tablet that has the first 20 kB of a long version."""
    publish_long(office, "largo")
    assert sync_until_cut(office, tablet, 20_000).length == 20_000
    return tablet


def requests_for_forms(office: Office) -> int:
    return sum(asks_for_forms(path.removeprefix("GET ")) for path in office.line.asked)


# A resume that is answered with the whole stream


@pytest.fixture
def half_there(office: Office, tablet: Tablet) -> Tablet:
    """A tablet that has the first of two new versions, and a part of the second."""
    for name in ("uno", "dos"):
        publish_long(office, name)
    part = sync_until_cut(office, tablet, 50_000)
    assert (len(part.waiting), len(part.wanted)) == (1, 2)
    return tablet


def test_a_version_signed_again_after_the_cut_comes_with_the_stream_from_its_start(
    office: Office, half_there: Tablet
) -> None:
    part = PartialStream.load(half_there.outbox.documents)
    assert part is not None
    with office.field.services.db.write() as w:
        body = versions.find_bytes_in_use(w, next(iter(part.waiting)))
        assert body is not None
        again = Document.parse(body).signed_by(SigningKey.generate(), bundle.TYP).to_bytes()
        w.execute("UPDATE versions SET body = ? WHERE sha = ?", [again, next(iter(part.waiting))])
    report = half_there.sync()
    assert (report.refused, {*in_use(half_there)}) == ((), {FORM, "uno", "dos"})


def test_a_line_that_takes_part_answers_for_whole_ones_costs_nothing_else(office: Office, half_there: Tablet) -> None:
    part = PartialStream.load(half_there.outbox.documents)
    assert part is not None
    PartialStream(part.wanted, '"of-another-machine"', part.reader).save(half_there.outbox.documents)
    report = half_there.sync()
    assert (report.refused, {*in_use(half_there)}) == ((), {FORM, "uno", "dos"})
    assert half_there.outbox.documents.get(PartialStream.NAME) is None


# A resume that the server does not answer, or answers with something else


@pytest.mark.parametrize("status", [429, 502, 503, 507])
def test_a_server_without_time_costs_nothing_of_what_came(office: Office, cut_short: Tablet, status: int) -> None:
    def refuse(passing: PassingAnswer) -> None:
        if is_resumed(passing):
            passing.status = status
            passing.headers["Content-Type"] = "application/problem+json"
            passing.put(json.dumps({"code": "server.busy"}).encode())

    office.line.answer = refuse
    with pytest.raises(SyncError, match=r"server\.busy"):
        cut_short.sync()
    statuses: list[int] = []
    office.line.answer = lambda passing: statuses.append(passing.status) if asks_for_forms(passing.path) else None
    cut_short.sync()
    assert statuses == [206]
    assert "largo" in in_use(cut_short)


@pytest.mark.parametrize("status", [302, 400, 403, 416, 500])
def test_a_refused_resume_begins_anew_in_the_same_sync(office: Office, cut_short: Tablet, status: int) -> None:
    def refuse(passing: PassingAnswer) -> None:
        if is_resumed(passing):
            passing.status = status

    office.line.answer = refuse
    assert cut_short.sync().refused == ()
    assert "largo" in in_use(cut_short)


@pytest.mark.parametrize("told", ["bytes 19999-30000/30001", "bytes */30001", "", "bytes 00000020001-"])
def test_another_part_than_the_one_asked_for_begins_anew(office: Office, cut_short: Tablet, told: str) -> None:
    def change(passing: PassingAnswer) -> None:
        if is_resumed(passing):
            passing.headers["Content-Range"] = told

    office.line.answer = change
    assert cut_short.sync().refused == ()
    assert "largo" in in_use(cut_short)


# A damaged part


LINE_FAULTS = [(rb'"length":[0-9]', b'"length":9'), (rb'"coding":"zstd",', b"")]


@pytest.mark.parametrize(("right", "wrong"), LINE_FAULTS)
def test_a_false_bit_before_the_cut_costs_one_fresh_download(
    office: Office, tablet: Tablet, right: bytes, wrong: bytes
) -> None:
    sha = publish_long(office, "largo")

    def falsify(passing: PassingAnswer) -> None:
        if asks_for_forms(passing.path):
            passing.put(re.sub(right, wrong, passing.body, count=1))

    office.line.answer = falsify
    cut_after(office, 20_000)
    with pytest.raises(SyncError, match=CUT):
        tablet.sync()
    office.line.answer = lambda passing: None
    cut_after(office, None)
    before = requests_for_forms(office)
    report = tablet.sync()
    assert (report.refused, in_use(tablet)["largo"]) == ((), sha)
    assert requests_for_forms(office) - before <= 3


def damaged(part: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Give a part with each single byte of its head flipped, some of its piece, and the part cut at some places."""
    random, head = Random(seed), part.index(b"\n") + 1
    line = part.index(b"\n", head) + 1
    for place in [*range(line), *(random.randrange(line, len(part)) for _ in range(20))]:
        flipped = part[place] ^ (1 << random.randrange(8))
        yield f"byte {place}", part[:place] + bytes([flipped]) + part[place + 1 :]
    for place in [head, line, *(random.randrange(len(part)) for _ in range(20))]:
        yield f"cut at {place}", part[:place]


def test_whatever_is_damaged_in_a_part_on_disk_the_version_comes(office: Office, cut_short: Tablet) -> None:
    part = cut_short.outbox.documents.get(PartialStream.NAME)
    held = PartialStream.load(cut_short.outbox.documents)
    assert part is not None
    assert held is not None
    [sha] = held.waiting
    store, failed = cut_short.outbox.documents, []
    transport = Transport(office.line.url)
    for what, body in damaged(part, seed=7):
        store.update({PartialStream.NAME: body})
        download, before = FormDownload(store, transport, lambda sha, body: None, {}), transport.traffic.requests
        download.fetch([sha])
        if [*download.taken] != [sha] or download.refused or transport.traffic.requests - before > 3:
            failed.append((what, download.refused))
        assert store.get(PartialStream.NAME) is None
    transport.close()
    assert not failed


@pytest.mark.parametrize("place", [-100, -600])
def test_a_part_whose_signatures_are_damaged_refuses_no_version(office: Office, cut_short: Tablet, place: int) -> None:
    part = PartialStream.load(cut_short.outbox.documents)
    assert part is not None
    [sha] = part.waiting
    body = versions.find_bytes_in_use(office.field.services.db.read(), sha)
    assert body is not None
    stream = bytearray(Piece(sha, "", body).to_bytes())
    stream[place] ^= 1
    part.reader.rest[:] = stream[:20_000]
    part.save(cut_short.outbox.documents)
    statuses: list[int] = []

    def answer(passing: PassingAnswer) -> None:
        if is_resumed(passing):
            passing.put(bytes(stream[20_000:]))
        if asks_for_forms(passing.path):
            statuses.append(passing.status)

    office.line.answer = answer
    assert cut_short.sync().refused == ()
    assert (statuses, in_use(cut_short)["largo"]) == ([206, 200], sha)


# Answers that a request cannot have


@pytest.mark.parametrize("dictionary", [b"", b"another"])
def test_a_delta_that_nobody_asked_for_refuses_one_version(office: Office, tablet: Tablet, dictionary: bytes) -> None:
    office.publish("2")
    frame = codings.encode(b"x" * 500, codings.DCZ, dictionary=dictionary)

    def change(passing: PassingAnswer) -> None:
        if asks_for_forms(passing.path):
            passing.put(b"".join(Piece(each.sha, codings.DCZ, frame).to_bytes() for each in wanted_in(passing.path)))

    office.line.answer = change
    report = tablet.sync()
    assert [each.code for each in report.refused] == ["transport.bad_coding"]
    assert "manifest" in report.updated


@pytest.mark.parametrize("code", ["server.failed", "storage.damaged", "transport.broken", "outbox.full"])
def test_a_version_that_the_server_cannot_send_holds_up_no_other(office: Office, tablet: Tablet, code: str) -> None:
    sick, other = office.publish("2"), office.publish("1", form_id="otro")

    def change(passing: PassingAnswer) -> None:
        if asks_for_forms(passing.path):
            body = versions.find_bytes_in_use(office.field.services.db.read(), other)
            assert body is not None
            pieces = {sick: Piece(sick, code=code), other: Piece(other, "", body)}
            passing.put(b"".join(pieces[each.sha].to_bytes() for each in wanted_in(passing.path)))

    office.line.answer = change
    report = tablet.sync()
    assert [(each.sha, each.code) for each in report.refused] == [(sick, code)]
    assert in_use(tablet)["otro"] == other


# The tablet's disk


@pytest.mark.parametrize("pages", [3, 6])
def test_a_full_disk_is_told_and_the_former_version_stays_in_use(office: Office, tablet: Tablet, pages: int) -> None:
    before = in_use(tablet)
    second = publish_long(office, FORM, version="2")
    disk = tablet.outbox.connection
    [(now,)] = disk.execute("PRAGMA page_count").fetchall()
    disk.execute(f"PRAGMA max_page_count = {now + pages}")
    for _ in range(2):
        with pytest.raises(SyncError, match=r"outbox\.full"):
            tablet.sync()
        assert in_use(tablet) == before
    disk.execute("PRAGMA max_page_count = 1000000")
    assert tablet.sync().refused == ()
    assert in_use(tablet) == {FORM: second}


@pytest.mark.parametrize("published", [False, True])
def test_a_version_in_use_that_is_not_on_board_is_fetched_again(
    office: Office, tablet: Tablet, published: bool
) -> None:
    [sha] = in_use(tablet).values()
    other = office.publish("1", form_id="otro") if published else ""
    tablet.outbox.documents.update({}, [f"bundle/{sha}"])
    assert in_use(tablet) == {}
    tablet.sync()
    assert in_use(tablet) == ({FORM: sha, "otro": other} if published else {FORM: sha})


@pytest.mark.parametrize("length", [600_000, 2_000_000])
def test_a_long_download_writes_a_few_times_its_own_length(
    office: Office, tablet: Tablet, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_long(office, "largo", length=length)
    written, update = list[int](), DocumentStore.update

    def counted(self: DocumentStore, documents: dict[str, bytes], *rest: object) -> None:
        written.append(len(documents.get(PartialStream.NAME, b"")))
        update(self, documents, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(DocumentStore, "update", counted)
    tablet.sync()
    assert "largo" in in_use(tablet)
    assert length / 4 < sum(written) < length * 2.5, "about half of its letters travel"
