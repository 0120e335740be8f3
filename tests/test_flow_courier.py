"""Follows a camp without a network: three tablets, a colleague with a stick, a delivery in town, receipts back.

It uses a real server on loopback, real files and the commands that people type.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conftest import World
from server.flows.operations import rollback_guard
from support.backups import run_chaski, run_for_json
from support.clients import FORM, InterceptingProxy, Office, answers
from support.intake import Field, open_field, run_servers
from support.intake import Tablet as FieldTablet
from sync.errors import SyncError
from sync.exchange.courier_bundle import (
    CarriedEnvelope,
    Unread,
    collect_files,
    create_courier_file,
    open_file,
    read_receipts,
)
from sync.exchange.courier_delivery import Delivery, deliver_file
from sync.exchange.transport import Transport
from sync.tablet.client import Tablet

DAY_OF_INTERVIEW = date(2026, 11, 20)


def test_three_tablets_one_courier_and_every_screening_arrives_once(office: Office, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    jtis: list[str] = []
    folders = [tmp_path / f"tablet{number}" for number in range(3)]
    for number, folder in enumerate(folders):
        office.tablet(folder.name).close()
        # In the camp there is no network: the interviews are held, sealed, and copied to the courier's stick.
        with Tablet(folder) as tablet:
            jtis += [tablet.screen(FORM, answers(), taken=DAY_OF_INTERVIEW).jti for _ in range(number + 1)]
        given = run_for_json("device", "hand-over", stick, "--tablet", folder)
        assert given["envelopes"] == number + 1
        status = run_chaski("device", "status", "--tablet", folder)
        assert f"lleva copias de {number + 1} entrevistas" in status.stdout
    camp = stick / "camp.courier"
    collected = run_chaski("courier", "collect", camp, *stick.glob("chaski-*"))
    assert "6 entrevistas selladas" in collected.stdout

    # Nothing on the stick can be read, and nothing but envelopes is in it.
    on_stick = b"".join(file.read_bytes() for file in stick.iterdir())
    assert not [word for word in (b"pe_laboral", b"positive", b"17-protection", b"Huepetuhe") if word in on_stick]

    # In town, one command delivers them, without an account. Repeating it sends nothing again.
    delivered = run_for_json("courier", "deliver", camp, "--server", office.line.url)
    assert (delivered["total"], delivered["receipted"], delivered["complete"]) == (6, 6, True)
    assert sorted(office.stored()) == sorted(jtis)
    heard: list[bytes] = []
    office.line.heard = heard.append
    again = run_for_json("courier", "deliver", camp, "--server", office.line.url)
    assert (again["before"], again["receipted"]) == (6, 0)
    assert not [body for body in heard if len(body) > 100], "only the generation was asked for"

    # Days later the receipts come back to two of the tablets. The third syncs by itself before it sees them.
    for number, folder in enumerate(folders[:2]):
        taken = run_for_json("device", "take-receipts", delivered["receipts"], "--tablet", folder)
        assert (taken["settled"], taken["waiting"], taken["refused"]) == (number + 1, 0, [])
        status = run_chaski("device", "status", "--tablet", folder).stdout
        assert f"0 waiting, {number + 1} receipted" in status
        assert "lleva copias" not in status
    for folder, outcomes in zip(folders, ([], [], ["duplicate"] * 3), strict=True):
        with Tablet(folder) as tablet:
            report = tablet.sync()
            assert [receipt.outcome for receipt in report.receipts] == outcomes
            assert report.waiting == 0
    assert run_for_json("device", "take-receipts", delivered["receipts"], "--tablet", folders[2])["settled"] == 0
    assert sorted(office.stored()) == sorted(jtis), "nothing is doubled"
    assert office.field.rows("select count(*) from work_items where closed is null") == [(0,)]


# A delivery that meets trouble


@pytest.fixture
def line(world: World) -> Iterator[tuple[Field, InterceptingProxy]]:
    """A server on loopback and a proxy in front of it."""
    field = open_field(world)
    with run_servers(field) as (port, _):
        proxy = InterceptingProxy(port)
        thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield field, proxy
        finally:
            proxy.server.shutdown()
            thread.join()
            proxy.server.server_close()


def camp_file(field: Field, path: Path, *tablets: FieldTablet, count: int = 5) -> list[bytes]:
    """Write a courier file with envelopes of the tablets."""
    raws = [field.envelope(tablet) for tablet in tablets for _ in range(count)]
    create_courier_file(path, (CarriedEnvelope(field.trust.pin, raw).to_line() for raw in raws))
    return raws


def deliver(proxy: InterceptingProxy, file: Path, out: Path) -> Delivery:
    transport = Transport(proxy.url)
    try:
        return deliver_file(file, out, transport, lambda done, total: None)
    finally:
        transport.close()


def receipted(path: Path) -> list[str]:
    with open_file(path) as file:
        return [item["id"] for document in read_receipts(file, Unread()) for item in document.content["items"]]


def count_stored(field: Field) -> int:
    found: int = field.rows("select count(*) from envelopes")[0][0]
    return found


def test_a_delivery_that_was_cut_off_goes_on_after_what_has_its_receipt(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), field.tablet())
    sent: list[int] = []

    def cut_the_third(body: bytes) -> None:
        if b'"envelopes":["' in body:
            sent.append(body.count(b"."))
            proxy.cut = frozenset(["/v1/courier"]) if len(sent) == 3 else frozenset()

    proxy.heard = cut_the_third
    with pytest.raises(SyncError, match=r"transport\.broken"):
        deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert len(receipted(tmp_path / "back")) == 3, "one, then two"
    assert count_stored(field) == 7, "the answer for four was lost"
    proxy.cut = frozenset()
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.before, done.receipted, done.is_complete) == (3, 7, True)
    assert sorted(set(receipted(tmp_path / "back"))) == sorted(receipted(tmp_path / "back"))
    assert count_stored(field) == 10


def test_a_power_cut_in_the_file_of_receipts_costs_a_repeated_envelope_at_most(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet())
    deliver(proxy, tmp_path / "camp", tmp_path / "back")
    whole = (tmp_path / "back").read_bytes()
    (tmp_path / "back").write_bytes(whole[:-30])
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert done.before + done.receipted == 5
    assert done.receipted == 2, "the last piece"
    assert len(set(receipted(tmp_path / "back"))) == 5
    assert count_stored(field) == 5


def test_after_a_restore_the_file_is_sent_again_whatever_receipts_are_there(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet())
    deliver(proxy, tmp_path / "camp", tmp_path / "back")
    with field.services.db.write() as w:
        rollback_guard.start_generation(w, field.services.keys, copied=field.now, now=field.now)
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.before, done.receipted) == (0, 5)


def lose_everything(field: Field) -> None:
    """Restore the server from a copy without any screening."""
    with field.services.db.write() as w:
        for table in ("referrals", "routes", "work_items", "deferred_items", "status_events", "chain_gaps", "chains"):
            w.execute(f"delete from {table}")  # noqa: S608 (a constant)
        w.execute("delete from envelopes")
        rollback_guard.start_generation(w, field.services.keys, copied=field.now, now=field.now)


@pytest.mark.parametrize("piece", [2, 3])
def test_a_restore_during_a_delivery_lets_it_begin_anew(line: Any, tmp_path: Path, piece: int) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), count=7)
    sent: list[bytes] = []

    def lose_before_one_piece(body: bytes) -> None:
        if b'"envelopes":["' in body:
            sent.append(body)
            if len(sent) == piece:
                lose_everything(field)

    proxy.heard = lose_before_one_piece
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.before + done.receipted, done.is_complete, count_stored(field)) == (7, True, 7)


def test_a_server_that_is_restored_again_and_again_completes_no_delivery(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), count=7)
    proxy.heard = lambda body: lose_everything(field) if b'"envelopes":["' in body else None
    with pytest.raises(SyncError, match=r"receipt\.other_generation"):
        deliver(proxy, tmp_path / "camp", tmp_path / "back")
    proxy.heard = lambda body: None
    assert deliver(proxy, tmp_path / "camp", tmp_path / "back").is_complete
    assert count_stored(field) == 7


def test_a_file_of_receipts_is_no_complete_delivery(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet())
    deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert not deliver(proxy, tmp_path / "back", tmp_path / "new").is_complete


def test_envelopes_of_another_server_are_told_and_not_sent(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    (raw,) = camp_file(field, tmp_path / "own", field.tablet(), count=1)
    foreign = CarriedEnvelope("ab" * 32, b"another.server")
    create_courier_file(tmp_path / "mixed", [foreign.to_line(), (tmp_path / "own").read_bytes()])
    heard: list[bytes] = []
    proxy.heard = heard.append
    done = deliver(proxy, tmp_path / "mixed", tmp_path / "back")
    assert (done.total, done.receipted, done.foreign, done.is_complete) == (2, 1, 1, False)
    assert any(raw in body for body in heard)
    assert not any(b"another.server" in body for body in heard)
    create_courier_file(tmp_path / "foreign", [foreign.to_line()])
    with pytest.raises(SyncError, match=r"courier\.other_server"):
        deliver(proxy, tmp_path / "foreign", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("around", [False, True])
def test_invented_pins_keep_no_screening_from_its_server(line: Any, tmp_path: Path, around: bool) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "own", field.tablet())
    own = int(field.trust.pin, 16)
    pins = [f"{own + number if around else abs(number):064x}" for number in range(-100, 101) if number]
    invented = [CarriedEnvelope(pin, b"%d" % number).to_line() for number, pin in enumerate(pins)]
    create_courier_file(tmp_path / "camp", [*invented, (tmp_path / "own").read_bytes()])
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.total, done.receipted, done.foreign) == (205, 5, 200)
    assert len(proxy.asked) < 10, "one look at the server's trusts is enough for all pins"


@pytest.mark.parametrize("joined", ["collected", "by hand"])
def test_a_pin_that_nobody_signed_hides_no_screening(line: Any, tmp_path: Path, joined: str) -> None:
    field, proxy = line
    raws = camp_file(field, tmp_path / "own", field.tablet())
    create_courier_file(tmp_path / "copied", (CarriedEnvelope("f" * 64, raw).to_line() for raw in raws))
    files = [tmp_path / "copied", tmp_path / "own"]
    if joined == "collected":
        assert collect_files(tmp_path / "camp", files).envelopes == 5
    else:
        (tmp_path / "camp").write_bytes(b"".join(file.read_bytes() for file in files))
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.total, done.receipted, done.foreign, done.is_complete) == (5, 5, 0, True)
    assert count_stored(field) == 5
    again = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (again.before, again.receipted, again.is_complete) == (5, 0, True)


def test_a_server_that_forges_receipts_or_loses_them_ends_the_delivery(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), count=2)

    def forge(change: Any) -> None:
        if change.path == "/v1/courier":
            change.put(change.body.replace(b"stored", b"held").replace(b"duplicate", b"held"))

    proxy.answer = forge
    with pytest.raises(SyncError, match=r"signed\.bad_signature"):
        deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert not (tmp_path / "back").exists(), "a forged receipt is not carried to a tablet"


def test_receipts_go_into_a_file_of_receipts_only(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), count=1)
    (tmp_path / "notes").write_text("a report")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    for taken in ("notes", "camp", "link", "folder"):
        with pytest.raises(SyncError, match=r"courier\.file_exists"):
            deliver(proxy, tmp_path / "camp", tmp_path / taken)
    assert (tmp_path / "notes").read_text() == "a report"
    assert count_stored(field) == 0


def test_a_piece_that_the_server_judges_in_part_is_sent_on(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    tablet, unknown = field.tablet(), FieldTablet(field.tablet().key)
    unknown = replace(unknown, key=type(unknown.key).generate())
    invented = [field.envelope(unknown) for _ in range(300)]
    good = [field.envelope(tablet) for _ in range(5)]
    carried = [CarriedEnvelope(field.trust.pin, raw) for raw in (*invented, *good)]
    create_courier_file(tmp_path / "camp", [each.to_line() for each in carried])
    sent: list[int] = []
    proxy.heard = lambda body: sent.append(body.count(b'","') + 1 if b'"envelopes":["' in body else 0)
    done = deliver(proxy, tmp_path / "camp", tmp_path / "back")
    assert (done.receipted, done.unanswered, len(done.rejected)) == (5, 0, 300)
    assert sum(sent) < 2 * 305, "what the server did not look at travels again, and little of it"
    assert {each.code for each in done.rejected} == {"envelope.unknown_device"}


# What people see


def test_people_read_in_spanish_what_is_missing_and_what_to_do(line: Any, tmp_path: Path) -> None:
    field, proxy = line
    camp_file(field, tmp_path / "camp", field.tablet(), count=1)
    with (tmp_path / "camp").open("ab") as file:
        file.write(b"\x1b]0;owned\x07 rotten\n" + CarriedEnvelope("ab" * 32, b"another.server").to_line())
    shown = run_chaski("courier", "deliver", tmp_path / "camp", "--server", proxy.url)
    assert shown.exit_code == 1
    text = " ".join(shown.stdout.split())
    assert "1 entrevistas entregadas ahora, 0 antes, de 2" in text
    assert "1 son de tabletas de otro servidor y no se enviaron." in text
    assert "1 líneas dañadas (2)" in text
    assert "todavía falta algo" in text
    assert "\x1b" not in shown.stdout + shown.stderr
    assert (
        json.loads(run_chaski("courier", "deliver", tmp_path / "camp", "--server", proxy.url, "--json").stdout)[
            "before"
        ]
        == 1
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("courier", "deliver", "photo", "--server", "http://127.0.0.1:9"), "courier.malformed", "no es un archivo"),
        (("courier", "deliver", "good", "--server", "http://127.0.0.1:9"), "transport.unreachable", "no hay conexión"),
        (("courier", "deliver", "good", "--server", "ftp://x"), "transport.bad_address", "esa dirección"),
        (("courier", "collect", "photo", "good"), "courier.file_exists", "ese archivo ya existe"),
        (("courier", "collect", "new", "missing"), "", "falta una carpeta o un archivo"),
        (("device", "hand-over", "new", "--tablet", "nothing"), "tablet.not_enrolled", "no está inscrita"),
        (("device", "take-receipts", "good", "--tablet", "nothing"), "tablet.not_enrolled", "no está inscrita"),
    ],
)
def test_a_courier_command_that_cannot_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo").write_bytes(b"\xff\xd8\xff")
    Path("good").write_bytes(CarriedEnvelope("ab" * 32, b"one").to_line())
    refused = run_chaski(*words)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert code in refused.stderr
    assert said in refused.stderr
    assert not Path("new").exists()
