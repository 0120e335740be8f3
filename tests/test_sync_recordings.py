"""Tests of a form's recordings: fetched by hash in pieces, verified, and never an obstacle for a screening."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from screening_forms.compiled_form import split_mark
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.texts.audio import recording_name
from screening_forms.workbook.package import pack_package, parse_package
from screening_forms.workbook.resources import CATALOGUE, Resources
from server.app import clock
from server.flows.forms import rollouts
from server.flows.forms.rollouts import Ring
from server.store import media, versions
from server.store.media import Recording as StoredRecording
from support.clients import FORM, Office, PassingAnswer, answers, compiled
from support.recordings import opus
from sync.documents import bundle
from sync.envelope.route import AUTHOR_FIELDS
from sync.errors import SyncError
from sync.exchange.transport import RefusedError, Transport
from sync.tablet.client import Tablet
from sync.tablet.recordings import PIECE_BYTES, RESERVED_BYTES
from test_sync_device_orders import give
from test_sync_tablet import flip, meddle

TAKEN = date(2026, 11, 20)
SHORT, LONG, OTHER = (Random(seed).randbytes(size) for seed, size in ((1, 900), (2, 3 * PIECE_BYTES + 17), (3, 40)))


def name(sound: bytes) -> str:
    return hashlib.sha256(sound).hexdigest()


def heard(*sounds: bytes) -> dict[str, Any]:
    """The `audio` member of a form version for these recordings, each for its own text, in Quechua."""
    said = [{"sha256": name(sound), "type": "audio/ogg", "size": len(sound), "milliseconds": 1800} for sound in sounds]
    return {"quz": {f"{FORM}/p{number}/label": each for number, each in enumerate(said)}}


def publish(office: Office, version: str, *sounds: bytes) -> None:
    """Publish a version with these recordings, which the server has."""
    services = office.field.services
    with services.db.write() as w:
        for sound in sounds:
            media.put_recording(w, StoredRecording(name(sound), "audio/ogg", sound))
    form = office.version(version)
    document = office.sign(replace(form, audio=heard(*sounds)))
    rollouts.publish_bundle(services.db, services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=clock())


def on_disk(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "tablet" / "recordings"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def asked(office: Office) -> list[str]:
    return [each.rpartition("/")[2] for each in office.line.asked if "/v1/media/" in each]


def ranges(office: Office) -> list[str]:
    """Record each piece that passes, as its range in the whole file."""
    seen: list[str] = []

    def note(passing: PassingAnswer) -> None:
        if passing.path.startswith("/v1/media/"):
            seen.append(passing.headers["Content-Range"])

    office.line.answer = note
    return seen


def test_recordings_come_after_the_form_and_are_kept_under_their_hash(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", SHORT, LONG)
    pieces = ranges(office)
    report = tablet.sync()
    assert report.recordings_missing == 0
    assert on_disk(tmp_path) == {name(SHORT): SHORT, name(LONG): LONG}
    assert office.line.asked[-5].startswith("GET /v1/media/")
    assert sorted(pieces) == sorted(
        [
            f"bytes 0-899/{len(SHORT)}",
            *(f"bytes {at * PIECE_BYTES}-{at * PIECE_BYTES + PIECE_BYTES - 1}/{len(LONG)}" for at in range(3)),
            f"bytes {3 * PIECE_BYTES}-{3 * PIECE_BYTES + 16}/{len(LONG)}",
        ]
    )
    office.line.asked.clear()
    assert tablet.sync().requests == 1
    [short] = bundle.recordings({"audio": heard(SHORT)})
    assert tablet.recordings.body(short) == SHORT


def test_a_recording_that_an_author_publishes_reaches_the_tablet(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    sound, danger = opus(), load_engine(compiled().xform).nodes["peligro"]
    spoken = recording_name("peligro", split_mark(danger.label["quz"])[0])
    source = CATALOGUE / FORM / "form.md"
    brought = parse_package(source.read_bytes())
    brought = replace(brought, included=Resources(recordings={f"quz/{spoken}": sound}))
    form = compile_form(
        brought.workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=brought.resources
    )
    services, document = office.field.services, office.sign(replace(form, version="2"))
    with services.db.write() as w:
        described = rollouts.describe_bundle(document, pack_package(brought))
        versions.add_version(w, described, state="approved", author="autora", at=clock())
    rollouts.publish_bundle(services.db, services.keys, document.to_bytes(), ring=Ring(), actor="tests", now=clock())
    assert tablet.sync().recordings_missing == 0
    assert on_disk(tmp_path) == {name(sound): sound}
    xform = tablet.form(document.sha256)[0].xform
    assert f"jr://audio/{name(sound)}.ogg" in xform


def test_a_dead_connection_costs_one_piece_and_the_download_continues(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", LONG)

    def third_piece_never_comes(passing: PassingAnswer) -> None:
        if passing.headers.get("Content-Range", "").startswith(f"bytes {2 * PIECE_BYTES}-"):
            office.line.cut = frozenset({passing.path})

    office.line.answer = third_piece_never_comes
    assert tablet.sync().recordings_missing == 1
    assert on_disk(tmp_path) == {f"{name(LONG)}.part": LONG[: 2 * PIECE_BYTES]}
    tablet.screen(FORM, answers(), TAKEN)
    office.line.cut = frozenset()
    pieces = ranges(office)
    assert (tablet.status().recordings_missing, tablet.sync().recordings_missing) == (1, 0)
    assert [piece.split("-")[0] for piece in pieces] == [f"bytes {2 * PIECE_BYTES}", f"bytes {3 * PIECE_BYTES}"]
    assert on_disk(tmp_path) == {name(LONG): LONG}


def test_a_recording_with_a_wrong_hash_is_deleted_and_fetched_again(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", SHORT, OTHER)
    office.line.answer = meddle(f"/v1/media/{name(SHORT)}", flip)
    assert tablet.sync().recordings_missing == 1
    assert on_disk(tmp_path) == {name(OTHER): OTHER}
    office.line.answer = lambda passing: None
    assert tablet.pull().recordings_missing == 0


def test_a_server_without_a_recording_or_without_ranges_stops_nothing(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", SHORT, LONG)

    def whole_or_nothing(passing: PassingAnswer) -> None:
        if passing.path.endswith(name(SHORT)):
            passing.status, passing.headers["Content-Type"] = 404, "application/problem+json"
            passing.put(b'{"code":"media.unknown"}')
        elif passing.path.startswith("/v1/media/"):
            passing.status = 200
            passing.headers.pop("Content-Range")
            passing.put(LONG)

    office.line.answer = whole_or_nothing
    screened = tablet.screen(FORM, answers(), TAKEN)
    report = tablet.sync()
    assert ([each.jti for each in report.receipts], report.recordings_missing) == ([screened.jti], 1)
    assert on_disk(tmp_path) == {name(LONG): LONG}


def test_a_server_that_gives_each_piece_from_the_start_keeps_no_sync_from_ending(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", LONG)

    def the_first_byte_for_ever(passing: PassingAnswer) -> None:
        if passing.path.startswith("/v1/media/"):
            passing.headers["Content-Range"] = f"bytes 0-0/{len(LONG)}"
            passing.put(LONG[:1])

    office.line.answer = the_first_byte_for_ever
    screened = tablet.screen(FORM, answers(), TAKEN)
    report = tablet.sync()
    assert ([each.jti for each in report.receipts], report.recordings_missing) == ([screened.jti], 1)
    assert len(asked(office)) == 8
    office.line.answer = lambda passing: None
    assert tablet.sync().recordings_missing == 0
    assert on_disk(tmp_path) == {name(LONG): LONG}


def test_a_bundle_names_no_more_recordings_than_a_tablet_can_fetch() -> None:
    def named(count: int) -> dict[str, Any]:
        one = {"size": 1, "type": "audio/ogg", "milliseconds": 1}
        return {"audio": {"quz": {f"q{number}": {**one, "sha256": f"{number:064x}"} for number in range(count)}}}

    assert len(bundle.recordings(named(bundle.MAX_RECORDINGS))) == bundle.MAX_RECORDINGS
    with pytest.raises(SyncError, match=r"document\.malformed"):
        bundle.recordings(named(bundle.MAX_RECORDINGS + 1))


def test_recordings_that_no_version_on_board_names_are_forgotten(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    publish(office, "2", SHORT, OTHER)
    tablet.sync()
    (tmp_path / "tablet" / "recordings" / f"{name(LONG)}.part").write_bytes(b"begun")
    publish(office, "3", OTHER)
    tablet.sync()
    assert on_disk(tmp_path) == {name(OTHER): OTHER}


def test_a_wipe_destroys_the_recordings(office: Office, tablet: Tablet, tmp_path: Path) -> None:
    publish(office, "2", SHORT)
    tablet.sync()
    give(office, tablet, "wipe")
    tablet.sync()
    assert on_disk(tmp_path) == {}
    assert tablet.status().recordings_missing == 0


def test_little_disk_space_is_reserved_for_screenings(
    office: Office, tablet: Tablet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(office, "2", SHORT)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=RESERVED_BYTES + len(SHORT) - 1))
    assert tablet.sync().recordings_missing == 1
    assert on_disk(tmp_path) == {}
    tablet.screen(FORM, answers(), TAKEN)
    assert tablet.sync().waiting == 0


@contextmanager
def line_to(office: Office) -> Iterator[Transport]:
    transport = Transport(office.line.url)
    try:
        yield transport
    finally:
        transport.close()


def test_the_tablet_api_returns_a_recording_whole_or_the_requested_range(office: Office) -> None:
    publish(office, "2", SHORT)
    path = f"/v1/media/{name(SHORT)}"
    with line_to(office) as line:
        whole = line.send("GET", path)
        assert (whole.body, whole.headers["content-type"], whole.headers["accept-ranges"]) == (
            SHORT,
            "audio/ogg",
            "bytes",
        )
        assert "immutable" in whole.headers["cache-control"]
        piece = line.send("GET", path, headers={"Range": "bytes=100-299"})
        assert (piece.body, piece.headers["content-range"]) == (SHORT[100:300], "bytes 100-299/900")
        for asked_for in ("bytes=900-", "bytes=0-1,5-6", "bytes=9-2"):
            with pytest.raises(RefusedError, match=r"http\.range_not_satisfiable") as refused:
                line.send("GET", path, headers={"Range": asked_for})
            assert refused.value.status == 416
        with pytest.raises(RefusedError, match=r"media\.unknown"):
            line.send("GET", f"/v1/media/{'0' * 64}")
