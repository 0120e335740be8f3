"""Follows the file of receipts of a delivery: cut, full of zeros, used twice at once, or another file altogether."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from support.backups import run_chaski, run_for_json
from support.clients import FORM, Office, answers
from sync.errors import SyncError
from sync.exchange.courier_bundle import Unread, open_file, read_receipts
from sync.exchange.courier_delivery import Delivery, deliver_file
from sync.exchange.transport import Transport
from sync.tablet.client import Tablet

DAY_OF_INTERVIEW = date(2026, 11, 20)


@pytest.fixture
def camp(tablet: Tablet, tmp_path: Path) -> Path:
    """A courier file with three screenings."""
    return hand_over(tablet, tmp_path / "camp.courier")


def hand_over(tablet: Tablet, path: Path) -> Path:
    for _ in range(3):
        tablet.screen(FORM, answers(), DAY_OF_INTERVIEW)
    tablet.hand_over(path)
    return path


def deliver(office: Office, file: Path, out: Path, then: Callable[[], None] = lambda: None) -> Delivery:
    """Deliver; do `then` after each piece."""
    with closing(Transport(office.line.url)) as transport:
        return deliver_file(file, out, transport, lambda done, total: then())


def receipted(path: Path) -> set[str]:
    with open_file(path) as file:
        return {item["id"] for each in read_receipts(file, Unread()) for item in each.content["items"]}


# A file that was cut


@pytest.mark.parametrize(
    "left",
    [
        lambda line: line[:-1],
        lambda line: line[:300],
        lambda line: line[:5],
        lambda line: bytes(len(line)),
        lambda line: bytes(1_000_000),
        lambda line: line[:300] + bytes(3_796),
    ],
    ids=["all but its end", "a half", "five bytes", "zeros", "many zeros", "a half and zeros"],
)
def test_a_delivery_that_was_cut_in_its_first_receipts_goes_on(
    office: Office, camp: Path, tmp_path: Path, left: Callable[[bytes], bytes]
) -> None:
    out = tmp_path / "back"
    deliver(office, camp, out)
    first = out.read_bytes().partition(b"\n")[0] + b"\n"
    out.write_bytes(left(first))
    done = deliver(office, camp, out)
    assert (done.is_complete, done.before + done.receipted) == (True, 3)
    assert len(receipted(out)) == 3
    with open_file(out) as file:
        unread = Unread()
        list(read_receipts(file, unread))
    assert not unread.damaged, "nobody is asked for another copy"


@pytest.mark.parametrize(
    "content",
    [
        b"a report",
        b"chaski-1/envelope abc",
        bytes(100) + b"a report",
        b"chaski-1/receipts of March\nand of April\n",
        b"chaski-1/receipts " + bytes(500_000) + b"x",
    ],
    ids=["words", "an envelope", "zeros and words", "lines", "words after zeros"],
)
def test_a_file_that_is_no_beginning_of_receipts_stays_as_it_is(
    office: Office, camp: Path, tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "back"
    out.write_bytes(content)
    with pytest.raises(SyncError, match=r"courier\.file_exists"):
        deliver(office, camp, out)
    assert out.read_bytes() == content
    assert office.stored() == []


def test_people_are_told_that_the_file_of_receipts_is_another_file(office: Office, camp: Path, tmp_path: Path) -> None:
    out = tmp_path / "notes"
    out.write_bytes(b"a report")
    refused = run_chaski("courier", "deliver", camp, "--server", office.line.url, "--receipts", out)
    assert refused.exit_code == 1
    assert "courier.file_exists" in refused.stderr
    assert f"{out} no es un archivo de recibos" in refused.stderr
    assert "Lo que ya tiene recibo" not in refused.stderr


# Two deliveries at once


def test_a_second_delivery_into_the_same_receipts_is_refused_and_loses_none(
    office: Office, camp: Path, tmp_path: Path
) -> None:
    out, refused = tmp_path / "back", list[str]()

    def deliver_too() -> None:
        with pytest.raises(SyncError) as problem:
            deliver(office, camp, out)
        shown = run_chaski("courier", "deliver", camp, "--server", office.line.url, "--receipts", out)
        refused.extend((problem.value.code, shown.stderr.partition(";")[0]))

    done = deliver(office, camp, out, then=deliver_too)
    assert set(refused) == {
        "courier.in_use",
        "chaski: courier.in_use: otra entrega está usando ese archivo de recibos",
    }
    assert done.is_complete
    assert len(receipted(out)) == 3
    assert deliver(office, camp, out).before == 3, "afterwards the file is free"


def test_a_delivery_that_failed_removes_no_receipts_of_the_next_one(
    office: Office, camp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one removes its empty file just after the second one has opened it."""
    out, opened = tmp_path / "back", os.open

    def open_and_lose(path: str | Path, *how: int) -> int:
        descriptor = opened(path, *how)
        if path == out:
            out.unlink()
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_and_lose)
        with pytest.raises(SyncError, match=r"courier\.in_use"):
            deliver(office, camp, out)
    assert office.stored() == [], "nothing is sent whose receipts would be lost"
    assert deliver(office, camp, out).is_complete


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK])
def test_a_stick_whose_file_system_knows_no_locks_takes_receipts_too(
    office: Office, camp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*asked: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    out = tmp_path / "back"
    assert deliver(office, camp, out).is_complete
    assert len(receipted(out)) == 3


# Names


@pytest.mark.parametrize("name", ["camp.courier", "camp.receipts", "camp", ".courier"])
def test_no_courier_file_is_its_own_file_of_receipts(office: Office, tablet: Tablet, tmp_path: Path, name: str) -> None:
    file = hand_over(tablet, tmp_path / name)
    told = run_for_json("courier", "deliver", file, "--server", office.line.url)
    assert (told["complete"], told["receipts"]) == (True, f"{file}.receipts")
    assert tablet.take_receipts(Path(told["receipts"])).settled == 3


@pytest.mark.parametrize("name", [".", "/", "", "..", "missing/"])
def test_a_path_without_a_name_is_refused_in_spanish(office: Office, name: str) -> None:
    refused = run_chaski("courier", "deliver", name, "--server", office.line.url)
    assert refused.exit_code in (1, 2)
    assert isinstance(refused.exception, SystemExit), refused.exception
    assert "chaski: " in refused.stderr
