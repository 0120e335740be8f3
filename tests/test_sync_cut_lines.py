"""Tests of cut connections: the wire breaks at every kind of place in request and response.

The next sync must deliver everything exactly once.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from conftest import World
from server.app import open_services
from support.clients import FORM, STORY, Office, answers
from support.hostile_server import assert_intact
from support.intake import Field, run_servers
from support.line_emulator import LineEmulator, emulate_line
from sync.errors import SyncError
from sync.tablet.client import Tablet

WAYS = ("up", "down")
BLANK = b"\r\n\r\n"


def places(message: bytes) -> list[int]:
    """The byte counts after which to cut an HTTP message: one of each kind in its head and its body."""
    head, whole = message.index(BLANK) + len(BLANK), len(message)
    body = whole - head
    # The last cut leaves room for a message that is a few bytes shorter than this one.
    return [1, head // 3, head - 3, head - 1, head, head + 1, head + body // 2, whole - 48]


def test_a_cut_anywhere_in_request_or_response_loses_and_doubles_nothing(world: World, tmp_path: Path) -> None:
    field = Field(world, open_services(world.config), "")
    with run_servers(field) as (tablets, people), emulate_line(tablets) as wire:
        office = Office(field, wire, f"http://127.0.0.1:{people}", tmp_path)  # type: ignore[arg-type]
        office.publish()
        screened: list[str] = []
        with office.tablet() as tablet:
            for way in WAYS:
                for place in places(one_exchange(tablet, wire, screened)[way]):
                    cut_once(tablet, wire, way, place)
                    screened.append(tablet.outbox.envelopes.list_stored()[-1].jti)
                    settle(tablet, wire, screened[-1])
        assert wire.cuts == sum(len(places(b"x" * 99 + BLANK + b"x" * 99)) for _ in WAYS)
        assert office.stored() == screened
        assert field.rows("SELECT kind FROM work_items") == []
    assert_intact(world.config.database)


def test_a_batch_that_broke_off_goes_on_after_what_arrived(world: World, tmp_path: Path) -> None:
    field = Field(world, open_services(world.config), "")
    with run_servers(field) as (tablets, people), emulate_line(tablets) as wire:
        office = Office(field, wire, f"http://127.0.0.1:{people}", tmp_path)  # type: ignore[arg-type]
        office.publish()
        with office.tablet() as tablet:
            one_exchange(tablet, wire, [])
            for way, place, outcomes, requests in (
                ("down", 1, ["duplicate"] * 5, 1),
                ("up", 1_000, ["stored"] * 5, 3),
            ):
                reconnect(tablet)
                for _ in range(4):
                    tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20))
                cut_once(tablet, wire, way, place)
                wire.forget()
                reconnect(tablet)
                report = tablet.sync()
                assert [receipt.outcome for receipt in report.receipts] == outcomes
                assert (report.requests, report.waiting) == (requests, 0), "no request only asks"
        assert len(office.stored()) == 11
        assert field.rows("SELECT kind FROM work_items") == []


def one_exchange(tablet: Tablet, wire: LineEmulator, screened: list[str]) -> dict[str, bytes]:
    """Sync one screening over an uncut connection; return the bytes of each direction."""
    reconnect(tablet)
    wire.forget()
    screened.append(tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20)).jti)
    assert tablet.sync().waiting == 0
    return {way: bytes(wire.passed[way]) for way in WAYS}


def cut_once(tablet: Tablet, wire: LineEmulator, way: str, place: int) -> None:
    """Make one screening, and cut the connection during its sync."""
    reconnect(tablet)
    wire.cut_after(way, place)
    tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20))
    # A head that ends early can look like a complete response. But then its signature is missing.
    with pytest.raises(SyncError, match=r"transport\.broken|exchange\.(bad_signature|malformed)"):
        tablet.sync()


def settle(tablet: Tablet, wire: LineEmulator, jti: str) -> None:
    """Sync over an uncut connection: exactly the screening that was cut off gets a receipt."""
    wire.forget()
    reconnect(tablet)
    report = tablet.sync()
    assert report.waiting == 0
    assert [receipt.jti for receipt in report.receipts] == [jti]


def reconnect(tablet: Tablet) -> None:
    """Open a new connection, as after a walk to another hill."""
    tablet.transport.close()
    vars(tablet).pop("transport", None)
