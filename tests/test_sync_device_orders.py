"""Tests of a registrar's orders: signed for one tablet, carried out once, safe against a kill at any moment.

No order may destroy a screening without a receipt.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import FOUNDED, World
from server.app import clock
from server.cli.main import main
from server.flows.trust import device_orders
from server.problems import Problem
from server.store import devices, orders
from support.clients import FORM, STORY, Office, answers
from support.databases import list_about
from support.intake import open_field
from support.programs import PROGRAMS
from sync.documents import device_order
from sync.documents.signed import Document
from sync.envelope import seal
from sync.errors import SyncError
from sync.keys.key_pairs import SigningKey
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_database import transaction
from sync.tablet.status import WIPING, warnings
from test_sync_tablet import resigned

DEV = "A" * 22
TAKEN = date(2026, 11, 20)
DRAFT = b"an interview that is not finished"


def screen(tablet: Tablet) -> str:
    return tablet.screen(FORM, answers(STORY[0]), TAKEN).jti


def make(office: Office, tablet: Tablet, kind: str, number: int = 1) -> Document:
    return device_order.make(office.registrar, dev=tablet.status().dev, number=number, issued=clock(), order=kind)


def give(office: Office, tablet: Tablet, kind: str, number: int = 1) -> None:
    """Send an order to the server."""
    body, dev = make(office, tablet, kind, number).to_bytes(), tablet.status().dev
    device_orders.accept_order(office.field.services.db, body, office.field.trust, dev, actor="registro", now=clock())


def deeds(office: Office, dev: str) -> list[str]:
    found = [each.action for each in list_about(office.field.services.db.read(), dev)]
    return [action for action in found if action in ("device.revoked", "order.given", "order.carried_out")]


def draft(folder: Path) -> Path:
    file = folder / "drafts" / "a.draft"
    file.parent.mkdir()
    file.write_bytes(DRAFT)
    return file


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


# The order document


def test_an_order_has_the_content_that_the_registrar_signed(world: World) -> None:
    field = open_field(world)
    registrar = world.office("registro", "registrar")
    document = device_order.make(registrar, dev=DEV, number=3, issued=FOUNDED, order="wipe")
    assert device_order.accept(document, field.trust, DEV) == device_order.DeviceOrder(DEV, 3, FOUNDED, "wipe")
    said = {"dev": DEV, "number": 1, "issued": FOUNDED, "order": "revoke"}
    for signer, wrong, code in (
        (SigningKey.generate(), {}, "signed.too_few"),
        (registrar, {"dev": "B" * 22}, "order.wrong_device"),
        (registrar, {"order": "sing"}, "document.malformed"),
        (registrar, {"number": 0}, "document.malformed"),
    ):
        with pytest.raises(SyncError) as refused:
            device_order.accept(device_order.make(signer, **{**said, **wrong}), field.trust, DEV)  # type: ignore[arg-type]
        assert refused.value.code == code
    field.services.db.close()


def test_an_order_sent_twice_is_stored_once_and_none_for_an_unknown_tablet(
    world: World,
) -> None:
    field = open_field(world)
    registrar, known, pending = world.office("registro", "registrar"), field.tablet(), field.tablet(certified=False)

    def give(dev: str, number: int, order: str = "wipe") -> str:
        body = device_order.make(registrar, dev=dev, number=number, issued=FOUNDED, order=order).to_bytes()  # type: ignore[arg-type]
        try:
            device_orders.accept_order(field.services.db, body, field.trust, dev, actor="registro", now=FOUNDED)
        except Problem as problem:
            return problem.code
        return "taken"

    assert give(DEV, 1) == "device.not_found"
    assert give(pending.key.kid, 1) == "device.not_certified"
    assert [give(known.key.kid, number) for number in (2, 2, 1)] == ["taken", "taken", "order.number_used"]
    assert give(known.key.kid, 2, "revoke") == "order.number_used", "another order"
    assert field.rows("select number, kind from orders") == [(2, "wipe")]
    field.ask(known, field.message(known, orders=7))
    assert [give(known.key.kid, number) for number in (7, 8)] == ["order.number_used", "taken"], "after a restore"
    field.ask(known, field.message(known, orders=2**53 - 1))
    assert give(known.key.kid, 9) == "taken", "a thief who names the highest number there is can still be stopped"
    field.services.db.close()


def test_an_order_of_a_former_registrar_is_not_sent_to_the_tablet(world: World) -> None:
    field = open_field(world)
    tablet, former = field.tablet(), SigningKey.generate()
    body = device_order.make(former, dev=tablet.key.kid, number=1, issued=FOUNDED, order="wipe").to_bytes()
    with field.services.db.write() as w:
        orders.add_order(w, dev=tablet.key.kid, number=1, kind="wipe", body=body, at=FOUNDED, by="tests")
    assert field.ask(tablet, field.message(tablet)).orders == ()
    field.services.db.close()


# On the tablet


def test_a_revoked_tablet_says_why_it_takes_no_screening_and_delivers_what_it_holds(
    office: Office, tablet: Tablet
) -> None:
    dev, waiting, begun = tablet.status().dev, screen(tablet), tablet.version(FORM)
    give(office, tablet, "revoke")
    device = devices.get_device(office.field.services.db.read(), dev)
    assert device is not None
    assert device.state == "revoked", "from the moment the order is taken in"
    report = tablet.sync()
    assert [(each.jti, each.outcome) for each in report.receipts] == [(waiting, "quarantined")]
    assert report.revoked
    assert tablet.status().revoked
    with pytest.raises(SyncError, match=r"tablet\.revoked: esta tableta fue retirada"):
        screen(tablet)
    assert deeds(office, dev) == ["order.given", "device.revoked"]
    completed = tablet.complete(begun, answers(STORY[0]), TAKEN, seal.new_screening_id()).jti
    assert [each.jti for each in tablet.sync().receipts] == [completed], (
        "an interview that was begun before is not lost"
    )
    tablet.sync()
    assert deeds(office, dev) == ["order.given", "device.revoked", "order.carried_out"]


def test_a_wipe_destroys_all_but_waiting_envelopes_and_these_arrive(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    first = screen(tablet)
    tablet.sync()
    office.line.cut = frozenset({"/v1/sync"})
    second = screen(tablet)
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    office.line.cut = frozenset()
    waiting = [screen(tablet), screen(tablet)]
    file = draft(tmp_path / "tablet")
    held = tablet.outbox.envelopes.list_stored()
    traces = [
        DRAFT,
        *(kept.raw[-400:-100] for kept in held[:2]),
        tablet.outbox.documents.get(f"key/{_key(tablet)}")[:300],
    ]  # type: ignore[index]
    assert all(trace in everything(tmp_path / "tablet") for trace in traces)
    give(office, tablet, "wipe")
    report = tablet.sync()
    assert report.waiting == 0
    assert report.wiped
    assert office.stored() == [first, second, *waiting]
    assert not any(trace in everything(tmp_path / "tablet") for trace in traces)
    assert not file.exists()
    status = tablet.status()
    assert (status.forms, status.events, status.wiped, status.revoked) == ((), (), True, False)
    assert tablet.outbox.envelopes.list_stored() == (), "all was delivered first"


def _key(tablet: Tablet) -> str:
    return next(name[4:] for name in sorted(tablet.outbox.documents.list_names()) if name.startswith("key/"))


def test_a_wiped_tablet_takes_no_form_until_somebody_pulls_and_then_works_again(office: Office, tablet: Tablet) -> None:
    dev = tablet.status().dev
    tablet.sync()
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    office.publish("2")
    tablet.sync()
    assert not [name for name in tablet.outbox.documents.list_names() if name.startswith(("bundle/", "key/"))]
    assert devices.list_inventories(office.field.services.db.read()).get(dev, {}) == {}
    assert deeds(office, dev) == ["order.given", "order.carried_out"]
    with pytest.raises(SyncError, match=r"tablet\.wiped: esta tableta fue borrada"):
        screen(tablet)
    assert [form.version for form in tablet.pull().forms] == ["2"]
    jti = screen(tablet)
    assert [(each.jti, each.outcome) for each in tablet.sync().receipts] == [(jti, "stored")]
    assert not tablet.status().wiped, "an order is carried out once"


def test_orders_come_in_rising_order_and_each_once(office: Office, tablet: Tablet, tmp_path: Path) -> None:
    give(office, tablet, "wipe", 3)
    give(office, tablet, "revoke", 5)
    report = tablet.sync()
    assert (report.wiped, report.revoked, tablet.outbox.orders.tablet_state().orders) == (True, True, 5)
    file = draft(tmp_path / "tablet")
    older, server = make(office, tablet, "wipe", 4), office.field.services.keys.signing
    office.line.answer = resigned(office, server, lambda answer: replace(answer, orders=(older,)))
    tablet.sync()
    assert file.exists(), "an older order is not carried out again"


def test_a_wipe_that_cannot_remove_a_file_is_reported_retried_and_blocks_nothing(
    office: Office, tablet: Tablet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, dev = tmp_path / "tablet", tablet.status().dev
    office.line.cut = frozenset({"/v1/sync"})
    waiting = [screen(tablet)]
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    office.line.cut = frozenset()
    waiting += [screen(tablet) for _ in range(5)]
    stuck, other = draft(folder), folder / "drafts" / "b.draft"
    other.write_bytes(DRAFT)
    give(office, tablet, "wipe")
    give(office, tablet, "revoke", 2)
    unlink = Path.unlink
    with monkeypatch.context() as held:
        held.setattr(Path, "unlink", lambda path: _held_fast() if path == stuck else unlink(path))
        report = tablet.sync()
        assert (report.waiting, report.wiping, report.wiped, report.revoked) == (0, True, False, True)
        assert office.stored() == waiting
        assert stuck.exists()
        assert not other.exists(), "one file that stays keeps no other"
        assert not [name for name in tablet.outbox.documents.list_names() if name.startswith(("bundle/", "key/"))]
        tablet.close()
        with Tablet(folder) as again:
            assert again.status().wiping
            assert WIPING[1:] in " ".join(warnings(again.status()))
            with pytest.raises(SyncError, match=r"tablet\.wiped: se ordenó borrar"):
                again.pull()
            assert again.sync().wiping
        said = CliRunner().invoke(main, ["device", "status", "--tablet", str(folder)])
        assert (said.exit_code, said.stderr) == (0, "")
        assert "el borrado no está completo" in " ".join(said.stdout.split())
        assert deeds(office, dev)[-1] == "device.revoked", "no number is told before the wipe is complete"
    with Tablet(folder) as again:
        assert not stuck.exists()
        status = again.status()
        assert (status.wiping, status.wiped, again.outbox.orders.tablet_state().orders) == (False, True, 2)
        again.sync()
        assert deeds(office, dev)[-1] == "order.carried_out"


def _held_fast() -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_after_a_wipe_no_old_state_of_a_draft_on_the_disk_can_be_read(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    """The copies of the draft stand for old flash pages. The test reads the log before and after it is overwritten."""
    folder, full, logs = tmp_path / "tablet", list[bytes](), list[bytes]()

    def watch(statement: str) -> None:
        if "RESTART" in statement:
            full.append((folder / "outbox.db-wal").read_bytes())
        if "TRUNCATE" in statement:
            logs.append((folder / "outbox.db-wal").read_bytes())

    tablet.outbox.connection.set_trace_callback(watch)
    made = Draft(seal.new_screening_id(), "a" * 64, clock(), clock(), "es", {"answers": {}})
    residues = []
    for said in ("x", "y"):
        tablet.drafts.save(replace(made, content={"answers": {"q": said}}))
        residues.append((folder / "drafts" / f"{made.id}.draft").read_bytes())
    key = tablet.outbox.draft_key()
    assert key in everything(folder)
    screen(tablet)
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    assert len(logs) == 3, "when the key was drawn, when it was destroyed, and after the last envelope"
    assert all(logs)
    assert key in full[0], "else this test would prove nothing"
    assert not any(key in log for log in logs)
    for before, after in zip(full, logs, strict=True):
        assert len(after) >= len(before), "all of the log was written over"
        pages = (slice(at, at + 4096) for at in range(56, len(before), 4120))  # 32 bytes of header, 24 before each page
        assert not [page for page in pages if any(before[page]) and before[page] == after[page]]
    assert key not in everything(folder)
    for residue in residues:
        (folder / "drafts" / f"{made.id}.draft").write_bytes(residue)
        with pytest.raises(SyncError, match=r"draft\.unopenable"):
            tablet.drafts.load(made.id)


@pytest.mark.parametrize("reopened", [False, True])
def test_a_wipe_beside_a_reader_stays_outstanding_until_the_reader_has_gone(
    office: Office, tablet: Tablet, tmp_path: Path, *, reopened: bool
) -> None:
    folder, dev, logs = tmp_path / "tablet", tablet.status().dev, list[bytes]()
    log, key = folder / "outbox.db-wal", tablet.outbox.draft_key()
    rewrite_key(tablet.outbox, key)
    tablet.outbox.connection.execute("PRAGMA busy_timeout = 50")
    give(office, tablet, "wipe")
    with closing(sqlite3.connect(folder / "outbox.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM event").fetchall()
        report = tablet.sync()
        assert (report.wiping, report.wiped) == (True, False)
        tablet.sync()
        assert tablet.outbox.orders.tablet_state().orders == 0
        assert key in log.read_bytes(), "the reader still needs it"
        assert deeds(office, dev) == ["order.given"]
    tablet.outbox.connection.set_trace_callback(
        lambda statement: logs.append(log.read_bytes()) if "TRUNCATE" in statement else None
    )
    if reopened:
        tablet.close()
    with Tablet(folder) if reopened else nullcontext(tablet) as again:
        again.sync()
        state = again.outbox.orders.tablet_state()
        assert (state.orders, state.wiping, state.wiped) == (1, 0, True)
        again.sync()
    assert deeds(office, dev) == ["order.given", "order.carried_out"]
    assert logs
    assert not any(key in each for each in logs), "the log was overwritten before SQLite truncated or deleted it"
    assert key not in everything(folder)


def rewrite_key(store: Outbox, key: bytes) -> None:
    """Write the drafts' key into the write-ahead log again."""
    with transaction(store.connection):
        store.connection.execute("UPDATE draft_key SET key = zeroblob(32)")
        store.connection.execute("INSERT INTO draft_key VALUES (?)", (key,))


def test_a_wipe_of_a_long_log_overwrites_all_of_it_and_does_not_enlarge_the_database(tmp_path: Path) -> None:
    path, full, logs = tmp_path / "outbox.db", list[bytes](), list[bytes]()
    log = path.with_name("outbox.db-wal")
    with Outbox(path) as store:
        key = store.draft_key()
        for _ in range(40):
            rewrite_key(store, key)
            store.connection.execute("INSERT OR REPLACE INTO held VALUES ('bundle/a', ?)", (os.urandom(40_000),))
        store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        before = path.stat().st_size
        cache = store.connection.execute("PRAGMA cache_size").fetchone()

        def watch(statement: str) -> None:
            if "RESTART" in statement:
                full.append(log.read_bytes())
            if "TRUNCATE" in statement:
                logs.append(log.read_bytes())

        store.connection.set_trace_callback(watch)
        store.orders.begin_wipe(1)
        store.orders.wipe(complete=True)
        store.connection.set_trace_callback(None)
        assert store.orders.tablet_state().wiped
        assert store.connection.execute("PRAGMA cache_size").fetchone() == cache
        assert path.stat().st_size <= before
    assert key in full[0], "else this test would prove nothing"
    assert len(full[0]) > 1_000_000
    assert len(full[0]) < len(logs[0]) < len(full[0]) + 100_000
    pages = (slice(at, at + 4096) for at in range(56, len(full[0]), 4120))
    assert not [page for page in pages if any(full[0][page]) and full[0][page] == logs[0][page]]
    assert key not in logs[0] + everything(tmp_path)
    assert path.stat().st_size <= before


def test_a_false_order_is_not_carried_out_and_delays_no_screening(
    office: Office, tablet: Tablet, tmp_path: Path
) -> None:
    file, dev = draft(tmp_path / "tablet"), tablet.status().dev
    false = device_order.make(SigningKey.generate(), dev=dev, number=1, issued=clock(), order="wipe")
    other = device_order.make(office.registrar, dev=DEV, number=1, issued=clock(), order="wipe")
    server = office.field.services.keys.signing
    for document, code in ((false, r"signed\.too_few"), (other, r"order\.wrong_device")):
        office.line.answer = resigned(office, server, lambda answer, made=document: replace(answer, orders=(made,)))
        jti = screen(tablet)
        with pytest.raises(SyncError, match=code):
            tablet.sync()
        assert jti in office.stored()
        assert tablet.status().waiting == 0
    assert file.exists()
    assert tablet.status().forms


# Power cuts


@pytest.mark.parametrize("receipted", [False, True])
def test_a_kill_in_any_step_of_a_wipe_leaves_it_resumable_and_costs_no_screening(
    office: Office, tablet: Tablet, tmp_path: Path, *, receipted: bool
) -> None:
    """The process is killed at every statement and every file. Then the tablet opens again and delivers everything.

    A receipted envelope is destroyed by the sync, and not by opening the tablet: the server may have lost it.
    """
    gone = tablet.outbox.documents.get(f"key/{_key(tablet)}")[:300]  # type: ignore[index]
    if receipted:
        screen(tablet)
        tablet.sync()
        gone = tablet.outbox.envelopes.list_stored()[0].raw[-400:-100]
    waiting = [screen(tablet) for _ in range(2)]
    draft(tmp_path / "tablet")
    (tmp_path / "order").write_bytes(make(office, tablet, "wipe").to_bytes())
    give(office, tablet, "wipe")
    tablet.close()
    said = subprocess.run(
        [
            sys.executable,
            str(PROGRAMS / "wipe_with_kills.py"),
            str(tmp_path / "tablet"),
            str(tmp_path / "order"),
            "100",
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    ).stdout
    steps = int(said)
    assert steps > 12, "the wipe was really cut in many places"
    finished = 0
    for place in range(1, steps + 1):
        folder = tmp_path / f"cut_{place}"
        with Outbox(folder / "outbox.db") as cut:
            assert {kept.jti for kept in cut.envelopes.list_stored()} >= set(waiting)
            assert cut.orders.tablet_state().orders == 0 or cut.orders.tablet_state().wiped, (
                "the number is recorded last"
            )
        with Tablet(folder) as again:
            wiped = again.outbox.orders.tablet_state().wiped
            finished += wiped
            emptied = not (folder / "drafts").exists() or not [*(folder / "drafts").iterdir()]
            assert wiped == (emptied and not receipted)
            assert wiped == (gone not in everything(folder))
        shutil.rmtree(folder) if place not in (1, steps // 2) else None
    assert (0 if receipted else 1) <= finished <= (0 if receipted else steps)
    for place in (1, steps // 2):
        with Tablet(tmp_path / f"cut_{place}") as again:
            report = again.sync()
            assert (report.waiting, report.wiped) == (0, True)
        assert gone not in everything(tmp_path / f"cut_{place}")
    assert set(waiting) <= set(office.stored())


# The command line


def run(office: Office, *words: Any) -> Any:
    folder = office.field.world.people / "registro"
    phrase = folder / "passphrase.txt"
    keys = ("--key", folder / "registrar.key", "--key-passphrase-file", phrase)
    who = ("--login", "registro", "--passphrase-file", phrase, "--server", office.people_url, "--pin", office.pin)
    return CliRunner().invoke(main, [str(word) for word in ("device", *words, *keys, *who, "--json")])


@pytest.mark.parametrize("dev", ["-8h" + "A" * 19, "--" + "A" * 20])
def test_an_id_that_begins_with_a_dash_is_no_option(office: Office, dev: str) -> None:
    for kind, rest in (("wipe", ()), ("revoke", ()), ("approve", ("--words", "a b c d e f"))):
        assert f"no tablet {dev} has enrolled" in run(office, kind, dev, *rest).stderr


def test_a_registrar_revokes_and_wipes_by_command_and_sees_what_is_outstanding(office: Office, tablet: Tablet) -> None:
    dev, words = tablet.status().dev, tablet.status().words
    mistaken = run(office, "wipe", dev, "--confirm", "Huepetuhe 2")
    assert (mistaken.exit_code, mistaken.stdout) == (2, "")
    assert "every screening that the server has not receipted" in mistaken.stderr
    wiped = run(office, "wipe", dev, "--confirm", " ".join(words))
    assert json.loads(wiped.stdout)["number"] == 1
    revoked = run(office, "revoke", dev, "--confirm", "huepetuhe 1")
    assert {name: json.loads(revoked.stdout)[name] for name in ("number", "registry")} == {"number": 2, "registry": 2}
    report = tablet.sync()
    assert (report.revoked, report.wiped, tablet.status().registry) == (True, True, 2)
    folder = office.field.world.people / "registro"
    who = (
        "--login",
        "registro",
        "--passphrase-file",
        folder / "passphrase.txt",
        "--server",
        office.people_url,
        "--pin",
        office.pin,
    )
    (listed,) = json.loads(CliRunner().invoke(main, [*map(str, ("device", "list", *who, "--json"))]).stdout)
    assert [(each["kind"], each["carried_out"]) for each in listed["orders"]] == [("wipe", None), ("revoke", None)]
    tablet.sync()
    listing = CliRunner().invoke(main, [*map(str, ("device", "list", *who))]).stdout
    assert listing.count("carried out") == 2
    tablet.close()
    said = CliRunner().invoke(main, ["device", "status", "--tablet", str(office.folder / "tablet")]).stdout
    assert "Esta tableta fue retirada" in said
