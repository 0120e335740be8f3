"""Tests of a tablet whose disk changed bytes of its store: they hold up no other screening, and stay for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.flows.forms import halts
from server.flows.operations import reports
from support.clients import FORM, Office, answers
from sync.durations import DAY
from sync.errors import SyncError
from sync.tablet.client import Tablet, now_ms
from test_sync_deltas import in_use, publish_with_changes
from test_sync_device_orders import TAKEN, screen

SLOW = 150


def flip(raw: bytes) -> bytes:
    return raw[:2000] + bytes([raw[2000] ^ 1]) + raw[2001:]


def flip_high(raw: bytes) -> bytes:
    """Change a letter into a byte that is none: no request can name it as it is."""
    return raw[:40] + bytes([raw[40] ^ 0x80]) + raw[41:]


def empty(raw: bytes) -> bytes:
    return b""


def bytes_of(tablet: Tablet, jti: str) -> bytes:
    return next(kept.raw for kept in tablet.outbox.envelopes.list_stored() if kept.jti == jti)


def write(tablet: Tablet, jti: str, column: str, value: object) -> None:
    tablet.outbox.connection.execute(f"UPDATE envelope SET {column} = ? WHERE jti = ?", (value, jti))  # noqa: S608


def sync_slowly(tablet: Tablet, rate: int = SLOW) -> None:
    """Sync on a line that was measured at so many bytes per second; 0 = not measured."""
    tablet.outbox.connection.execute("UPDATE place SET rate = ?", (rate,))
    tablet.sync()


@pytest.mark.parametrize("rate", [0, SLOW])
@pytest.mark.parametrize("harm", [flip, flip_high, empty])
def test_a_damaged_envelope_holds_up_no_other_and_stays_for_people(
    office: Office, tablet: Tablet, harm: Callable[[bytes], bytes], rate: int
) -> None:
    tablet.sync()
    first, *others = [screen(tablet) for _ in range(4)]
    harmed = harm(bytes_of(tablet, first))
    write(tablet, first, "raw", harmed)
    for _ in range(4):
        sync_slowly(tablet, rate)
    assert office.stored() == others
    assert (tablet.status().waiting, tablet.status().rejected) == (0, 1)
    assert bytes_of(tablet, first) == harmed


@pytest.mark.parametrize("days", [0, 3])
def test_a_damaged_envelope_speaks_against_no_form_version(
    office: Office, tablet: Tablet, tmp_path: Path, days: int
) -> None:
    tablet.sync()
    rotten = screen(tablet)
    write(tablet, rotten, "raw", flip(bytes_of(tablet, rotten)))
    tablet.close()
    for day, version in enumerate("234"):
        publish_with_changes(office, version=version)
        with Tablet(tmp_path / "tablet", clock=lambda ahead=day * days: now_ms() + ahead * DAY) as opened:  # type: ignore[misc]
            opened.sync()
            opened.sync()
            assert opened.status().rejected == 1
    found = halts.list_rollouts(office.field.services.db, None, now=office.field.services.now())
    assert [each.refused for each in found] == [0] * len(found)


@pytest.mark.parametrize("while_open", [False, True])
def test_bytes_that_read_right_again_are_sent_the_next_day(
    office: Office, tablet: Tablet, tmp_path: Path, *, while_open: bool
) -> None:
    jti = screen(tablet)
    sound = bytes_of(tablet, jti)
    write(tablet, jti, "raw", flip(sound))
    tablet.sync()
    if while_open:
        tablet.sync()
    write(tablet, jti, "raw", sound)
    tablet.sync()
    assert office.stored() == []
    tablet.close()
    with Tablet(tmp_path / "tablet", clock=lambda: now_ms() + 2 * DAY) as opened:
        opened.sync()
        assert (office.stored(), opened.status().rejected) == ([jti], 0)


@pytest.mark.parametrize("state", ["pending", "sent", "receipted"])
@pytest.mark.parametrize("damage", ["another letter", "no letter of a hash", "cut off"])
def test_a_damaged_id_costs_no_screening_and_is_put_right(
    office: Office, tablet: Tablet, state: str, damage: str
) -> None:
    jti = screen(tablet)
    sound = tablet.outbox.envelopes.list_stored()[0].id
    if state == "sent":
        office.line.cut = frozenset({"/v1/sync"})
        with pytest.raises(SyncError, match=r"transport\.broken"):
            tablet.sync()
        office.line.cut = frozenset()
    elif state == "receipted":
        tablet.sync()
        write(tablet, jti, "at", 1)
    harmed = {"another letter": "0" + sound[1:] if sound[0] != "0" else "1" + sound[1:], "cut off": sound[:9]}
    write(tablet, jti, "id", harmed.get(damage, "ñ" + sound[1:]))
    other = screen(tablet)
    for _ in range(3):
        tablet.sync()
    assert sorted(office.stored()) == sorted([jti, other])
    status = tablet.status()
    assert (status.waiting, status.rejected) == (0, 0)
    ids = dict(tablet.outbox.connection.execute("SELECT jti, id FROM envelope"))
    assert ids[jti] == sound


@pytest.mark.parametrize("rate", [0, SLOW])
def test_an_envelope_that_was_damaged_after_it_arrived_is_settled_by_the_question(
    office: Office, tablet: Tablet, rate: int
) -> None:
    jti = screen(tablet)
    office.line.cut = frozenset({"/v1/sync"})
    with pytest.raises(SyncError, match=r"transport\.broken"):
        tablet.sync()
    office.line.cut = frozenset()
    write(tablet, jti, "raw", flip(bytes_of(tablet, jti)))
    sync_slowly(tablet, rate)
    status = tablet.status()
    assert (office.stored(), status.waiting, status.rejected, status.receipted) == ([jti], 0, 0, 1)
    dev = status.dev
    [report] = [each for each in reports.list_tablets(office.field.services.db) if each.device.dev == dev]
    assert report.rejected == 0


@pytest.mark.parametrize("chain", ["ñ", "A" * 12])
def test_a_damaged_name_of_a_chain_blocks_no_other_screening(office: Office, tablet: Tablet, chain: str) -> None:
    first = screen(tablet)
    tablet.sync()
    write(tablet, first, "chain", chain)
    other = screen(tablet)
    tablet.sync()
    assert office.stored() == [first, other]


@pytest.mark.parametrize("step", ["pull", "status", "sync", "screen"])
@pytest.mark.parametrize("listed", [b"\x00{", b"[]", b'{"%s":7}', b'{"%s":"../7"}', b'{"%s":[]}', b""])
def test_a_damaged_list_of_former_versions_stops_nothing(
    office: Office, tablet: Tablet, tmp_path: Path, listed: bytes, step: str
) -> None:
    tablet.sync()
    newest = publish_with_changes(office)
    tablet.outbox.documents.update({"former": listed.replace(b"%s", FORM.encode())})
    tablet.close()
    with Tablet(tmp_path / "tablet") as opened:
        assert opened.outbox.documents.former_versions() == {}
        if step == "screen":
            opened.screen(FORM, answers(), TAKEN)
        else:
            getattr(opened, step)()
        opened.sync()
        assert in_use(opened) == {FORM: newest}
