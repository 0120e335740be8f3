"""Tests of what a tablet erases: only what the server, asked once more, says that it has.

A server may have lost many screenings, and tells of some of them only. What it did not tell of must stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from server.store import chains
from support.clients import Office, PassingAnswer
from sync.durations import DAY
from sync.exchange.courier_delivery import deliver_file
from sync.exchange.messages import MAX_RANGES, MAX_RECEIPTED
from sync.exchange.transport import Transport
from sync.tablet.client import Tablet
from sync.tablet.outbox_database import transaction
from test_flow_went_back import ALL, delete
from test_sync_device_orders import give, screen
from test_sync_tablet import resigned

HALF = "seq % 2 = 0"
TAKEN = date(2026, 11, 20)


def fill(tablet: Tablet, count: int, *, chain_of: int = 10_000) -> list[str]:
    """Make screenings, in chains of so many; return their ids."""
    made = []
    for number in range(count):
        if number and number % chain_of == 0:
            with transaction(tablet.outbox.connection):
                tablet.outbox.counters.begin_chain()
        made.append(screen(tablet))
    return made


def age(tablet: Tablet, days: int = 31) -> None:
    """Let so many days pass since the receipts."""
    tablet.outbox.connection.execute("UPDATE envelope SET at = at - ? WHERE state = 'receipted'", (days * DAY,))


def on_board(tablet: Tablet) -> set[str]:
    return {kept.jti for kept in tablet.outbox.envelopes.list_stored()}


def send(office: Office, tablet: Tablet, tmp_path: Path, made: list[str]) -> None:
    assert tablet.sync().sent == len(made)


def carry(office: Office, tablet: Tablet, tmp_path: Path, made: list[str]) -> None:
    file, receipts = tablet.hand_over(tmp_path / "a.courier").path, tmp_path / "a.receipts"
    assert file is not None
    assert deliver_file(file, receipts, Transport(office.line.url), lambda done, all_: None).is_complete
    assert tablet.take_receipts(receipts).settled == len(made)


@pytest.mark.parametrize("deliver", [send, carry])
@pytest.mark.parametrize(
    ("count", "chain_of", "lost"),
    [(140, 140, HALF), (140, 70, HALF), (2 * MAX_RECEIPTED + 12, 2, "seq = 1"), (60, 60, "seq <= 30")],
    ids=["scattered", "two chains", "many chains", "far below the newest"],
)
def test_a_screening_that_the_server_lost_is_not_erased_after_thirty_days(
    office: Office,
    tablet: Tablet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deliver: Callable[[Office, Tablet, Path, list[str]], None],
    count: int,
    chain_of: int,
    lost: str,
) -> None:
    monkeypatch.setattr(chains, "CHECKED_BACK", 20 if "<=" in lost else 1_000)
    made = fill(tablet, count, chain_of=chain_of)
    deliver(office, tablet, tmp_path, made)
    delete(office, *ALL, where=lost)
    age(tablet)
    gone, syncs = set(made) - set(office.stored()), 0
    assert len(gone) >= 30
    while len(on_board(tablet)) > len(gone) and (syncs := syncs + 1) < 5:
        tablet.sync()
        assert set(made) <= {*office.stored(), *on_board(tablet)}
    assert set(office.stored()) == set(made)
    assert on_board(tablet) == gone, "what came again stays for thirty days more; all others are erased"


@pytest.mark.parametrize(("count", "lost"), [(140, HALF), (60, "seq <= 30")], ids=["scattered", "far below the newest"])
def test_a_wipe_destroys_no_screening_that_the_server_lost(
    office: Office, tablet: Tablet, monkeypatch: pytest.MonkeyPatch, count: int, lost: str
) -> None:
    monkeypatch.setattr(chains, "CHECKED_BACK", 20 if "<=" in lost else 1_000)
    made = fill(tablet, count)
    tablet.sync()
    delete(office, *ALL, where=lost)
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    assert set(office.stored()) == set(made)
    assert on_board(tablet) == set()


@pytest.mark.parametrize("count", [1, 150])
def test_a_wipe_with_nothing_missing_is_complete_in_one_sync(office: Office, tablet: Tablet, count: int) -> None:
    fill(tablet, count)
    tablet.sync()
    waiting = screen(tablet)
    give(office, tablet, "wipe")
    report = tablet.sync()
    assert (report.wiped, report.wiping, report.purged) == (True, False, count + 1)
    assert [each.jti for each in report.receipts] == [waiting], "what was receipted before is no news"
    assert report.requests <= 3
    assert len(office.stored()) == count + 1


@pytest.mark.parametrize("count", [2, 2 * MAX_RANGES + 10])
def test_losses_that_nobody_can_repair_keep_no_wipe_and_no_envelope_for_ever(
    office: Office, tablet: Tablet, count: int
) -> None:
    fill(tablet, count)
    tablet.sync()
    age(tablet)
    tablet.sync()
    assert on_board(tablet) == set(), "all are erased on the tablet"
    delete(office, *ALL, where=HALF)
    kept = screen(tablet)
    tablet.sync()
    age(tablet)
    assert (tablet.sync().purged, on_board(tablet)) == (1, set())
    last = screen(tablet)
    give(office, tablet, "wipe")
    assert tablet.sync().wiped
    assert {kept, last} <= set(office.stored())


@pytest.mark.parametrize("cause", ["wipe", "age"])
def test_without_an_answer_nothing_is_erased_and_the_next_sync_asks_again(
    office: Office, tablet: Tablet, tmp_path: Path, cause: str
) -> None:
    made = fill(tablet, 3)
    tablet.sync()
    age(tablet) if cause == "age" else give(office, tablet, "wipe")
    replies: list[PassingAnswer] = []

    def cut_second(answer: PassingAnswer) -> None:
        replies.append(answer)
        if len(replies) == (1 if cause == "age" else 2):
            office.line.cut = frozenset({"/v1/sync"})

    office.line.answer = cut_second
    with pytest.raises(Exception, match=r"transport\.broken"):
        tablet.sync()
    assert on_board(tablet) == set(made)
    assert (tablet.status().wiping, tablet.status().wiped) == (cause == "wipe", False)
    tablet.close()
    office.line.cut = frozenset()
    with Tablet(tmp_path / "tablet") as again:
        assert on_board(again) == set(made), "opening the tablet destroys nothing either"
        assert again.sync().purged == (3 if cause == "wipe" else 1)
        again.sync()
        assert again.status().wiped == (cause == "wipe")
        assert on_board(again) == set()


@pytest.mark.parametrize("rate", [150, 600])
def test_on_a_slow_line_envelopes_are_erased_in_small_portions(office: Office, tablet: Tablet, rate: int) -> None:
    fill(tablet, 40)
    tablet.sync()
    age(tablet)
    purged = []
    while on_board(tablet) and len(purged) < 40:
        tablet.outbox.connection.execute("UPDATE place SET rate = ?", (rate,))
        screen(tablet) if len(purged) < 2 else None
        purged.append(tablet.sync().purged)
        if len(purged) == 2:
            age(tablet)
    assert 0 < purged[0] < 40, "beside a screening only some are asked for"
    assert sum(purged) == 42


def test_a_line_that_does_not_bear_the_questions_gets_few_of_them_next(office: Office, tablet: Tablet) -> None:
    fill(tablet, 100)
    tablet.sync()
    age(tablet)
    asked = []

    def cut_long(answer: PassingAnswer) -> None:
        asked.append(len(answer.request))
        office.line.cut = frozenset({"/v1/sync"}) if len(answer.request) > 1_000 else frozenset()

    office.line.answer = cut_long
    with pytest.raises(Exception, match=r"transport\.broken"):
        tablet.sync()
    assert tablet.sync().purged == 1
    assert tablet.sync().purged == 2
    assert asked[1] < 1_000 < asked[0]


@pytest.mark.parametrize("cause", ["wipe", "age"])
def test_a_server_that_says_nothing_about_an_envelope_gets_it_again(office: Office, tablet: Tablet, cause: str) -> None:
    """Its row is there, and its bytes are damaged: the numbers of the chain show no loss."""
    made = fill(tablet, 3)
    tablet.sync()
    [(body,)] = office.field.rows("SELECT body FROM envelopes WHERE seq = 2")
    with office.field.services.db.write() as w:
        w.execute("UPDATE envelopes SET body = ? WHERE seq = 2", [bytes(body[:-1]) + b"!"])
    age(tablet) if cause == "age" else give(office, tablet, "wipe")
    tablet.sync()
    assert office.field.rows("SELECT body FROM envelopes WHERE seq = 2") == [(body,)], "repaired before it is erased"
    assert on_board(tablet) == ({made[1]} if cause == "age" else set())


@pytest.mark.parametrize("count", [1, 5])
def test_a_server_that_never_says_what_it_has_keeps_no_sync_from_ending(
    office: Office, tablet: Tablet, count: int
) -> None:
    fill(tablet, count)
    tablet.sync()
    give(office, tablet, "wipe")
    server = office.field.services.keys.signing
    office.line.answer = resigned(office, server, lambda answer: replace(answer, receipts=None))
    report = tablet.sync()
    assert report.requests < 6
    assert (report.purged, report.waiting, len(on_board(tablet))) == (0, count, count)
    office.line.answer = lambda answer: None
    assert (tablet.sync().waiting, len(office.stored())) == (0, count)
