"""Tests of the courier file and of the tablet's side: nothing is lost by damage, and no old receipt counts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.small_disk import mounted
from sync.atomic_file import create_file
from sync.documents import courier_receipt, trust
from sync.documents.courier_receipt import CourierReceipts
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import Document
from sync.envelope.verify import ChainPosition, envelope_id
from sync.errors import SyncError
from sync.exchange.courier_bundle import (
    MAX_FILE_BYTES,
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_NAMED,
    CarriedEnvelope,
    Unread,
    collect_files,
    create_courier_file,
    open_file,
    read_envelopes,
    read_receipts,
    receipts_line,
)
from sync.tablet.courier import TakenReceipts, hand_over, take_receipts
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import SyncResult
from vector_makers.fixed_inputs import DEVICE, NOW, SERVER, STRANGER, TRUST

PIN = "ab" * 32
FIRST, SECOND, THIRD = "AAAAAAAAAAA", "BBBBBBBBBBB", "CCCCCCCCCCC"
TRUSTED = trust.reopen(TRUST)
envelopes = st.builds(
    CarriedEnvelope,
    st.sampled_from([PIN, "cd" * 32]),
    st.text("abcXYZ019_-.", min_size=1, max_size=40).map(str.encode),
)


def written(*carried: CarriedEnvelope) -> bytes:
    return b"".join(each.to_line() for each in carried)


def read(file: bytes) -> tuple[list[CarriedEnvelope], Unread]:
    unread = Unread()
    return list(read_envelopes(BytesIO(file), unread)), unread


def code_of(path: Path) -> str:
    with pytest.raises(SyncError) as refused, open_file(path) as file:
        list(read_envelopes(file, Unread()))
    return refused.value.code


# The file


@given(st.lists(st.lists(envelopes, max_size=5), min_size=1, max_size=4))
def test_every_screening_of_joined_files_is_read_once_for_each_pin(files: list[list[CarriedEnvelope]]) -> None:
    together = [each for file in files for each in file]
    if together:
        found, unread = read(b"".join(written(*file) for file in files))
        assert set(found) == set(together)
        assert len(found) == len(set(together))
        assert unread == Unread()


@given(st.lists(envelopes, min_size=2, max_size=5, unique_by=lambda each: each.raw), st.data())
def test_a_file_that_was_cut_off_loses_the_last_line_at_most(carried: list[CarriedEnvelope], data: Any) -> None:
    whole = written(*carried)
    at = data.draw(st.integers(len(carried[0].to_line()), len(whole)))
    found, unread = read(whole[:at])
    complete = [each for number, each in enumerate(carried, 1) if len(written(*carried[:number])) - 1 <= at]
    assert found == complete
    assert unread.damaged <= 1


@given(st.lists(envelopes, min_size=3, max_size=5, unique_by=lambda each: each.raw), st.data())
def test_a_rotten_byte_costs_its_line_and_never_invents_a_screening(carried: list[CarriedEnvelope], data: Any) -> None:
    rotten = bytearray(written(*carried))
    at = data.draw(st.integers(0, len(rotten) - 1))
    rotten[at] ^= data.draw(st.integers(1, 255))
    found, unread = read(bytes(rotten))
    assert set(map(CarriedEnvelope.to_line, found)) <= set(map(CarriedEnvelope.to_line, carried))
    assert len(found) >= len(carried) - 2
    assert 1 <= unread.damaged <= 2 or at == len(rotten) - 1


def test_a_damaged_file_says_which_lines_to_ask_for_again() -> None:
    good = CarriedEnvelope(PIN, b"good")
    found, unread = read(written(good) + b"\x1b[2Jrotten\n" + written(good) + b"x" * (MAX_LINE_BYTES + 5) + b"\n")
    assert found == [good]
    assert (unread.damaged, unread.numbers) == (2, [2, 4])


def test_a_reader_of_screenings_leaves_receipts_alone_and_the_other_way_round() -> None:
    carried, document = CarriedEnvelope(PIN, b"one"), signed_receipts("e1" * 32)
    mixed = written(carried) + receipts_line(document)
    found, unread = read(mixed)
    assert (found, unread.other, unread.damaged) == ([carried], 1, 0)
    assert [each.to_bytes() for each in read_receipts(BytesIO(mixed), Unread())] == [document.to_bytes()]


def test_a_hostile_file_of_ten_million_lines_ends_the_reading_early(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.courier"
    hostile.write_bytes(written(CarriedEnvelope(PIN, b"one")) + b"\n" * 10_000_000)
    found, unread = [], Unread()
    with open_file(hostile) as file, pytest.raises(SyncError, match=r"courier\.too_large"):
        found.extend(read_envelopes(file, unread))
    assert len(found) == 1, "what came before counts"
    assert unread.damaged == MAX_LINES - 1
    assert len(unread.numbers) == MAX_NAMED


def test_a_hostile_file_of_one_endless_line_is_never_held_in_memory(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.courier"
    hostile.touch()
    os.truncate(hostile, MAX_FILE_BYTES + 1_000_000)
    assert code_of(hostile) == "courier.too_large"


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04", b'{"protocol":"chaski-1"}\n', bytes(5000), b"\n" * 50])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, body: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(body)
    assert code_of(other) == "courier.malformed"


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "pipe") == "courier.malformed"


# Writing


def test_collecting_the_files_of_a_camp_keeps_each_screening_once_and_names_damage(tmp_path: Path) -> None:
    one, two, three = (CarriedEnvelope(PIN, name) for name in (b"one", b"two", b"three"))
    (tmp_path / "a").write_bytes(written(one, two))
    (tmp_path / "b").write_bytes(b"rotten\n" + written(two, three))
    collected = collect_files(tmp_path / "all", [tmp_path / "a", tmp_path / "b"])
    assert (tmp_path / "all").read_bytes() == written(one, two, three)
    assert collected.envelopes == 3
    assert [each.damaged for each in collected.unread.values()] == [0, 1]
    assert (tmp_path / "all").stat().st_mode & 0o777 == 0o600


def test_a_line_with_another_pin_never_takes_the_place_of_a_tablets_own_line(tmp_path: Path) -> None:
    own, copied = CarriedEnvelope(PIN, b"one"), CarriedEnvelope("cd" * 32, b"one")
    (tmp_path / "a").write_bytes(written(copied, copied))
    (tmp_path / "b").write_bytes(written(own))
    assert collect_files(tmp_path / "all", [tmp_path / "a", tmp_path / "b", tmp_path / "b"]).envelopes == 1
    assert (tmp_path / "all").read_bytes() == written(copied, own)
    assert read(written(copied, own, copied, own))[0] == [copied, own]


@pytest.mark.parametrize("name", ["camp.new", "camp.courier.new", "camp"])
def test_collecting_reads_and_keeps_a_file_whatever_its_name(tmp_path: Path, name: str) -> None:
    content = written(CarriedEnvelope(PIN, b"one"))
    (tmp_path / name).write_bytes(content)
    assert collect_files(tmp_path / "camp.courier", [tmp_path / name]).envelopes == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: content, "camp.courier": content}


def test_a_hand_over_leaves_every_other_file_on_the_stick_alone(outbox: Outbox, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "camp.new").write_bytes(b"a report")
    add(outbox)
    give(outbox, stick / "camp.courier")
    assert (stick / "camp.new").read_bytes() == b"a report"


def test_a_courier_file_is_never_written_over_another_file(tmp_path: Path) -> None:
    taken, dangling = tmp_path / "taken", tmp_path / "dangling"
    taken.write_bytes(b"a report")
    dangling.symlink_to(tmp_path / "elsewhere")
    for path in (taken, dangling):
        with pytest.raises(SyncError, match=r"courier\.file_exists"):
            create_courier_file(path, [b"line\n"])
    assert taken.read_bytes() == b"a report"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_on_a_hostile_stick_does_not_lead_the_bytes_into_another_file(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_bytes(b"mine")
    (tmp_path / "camp.new").symlink_to(own)
    create_courier_file(tmp_path / "camp.courier", [b"line\n"])
    assert own.read_bytes() == b"mine"
    assert (tmp_path / "camp.courier").read_bytes() == b"line\n"


def test_a_stick_without_links_gets_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # What FAT answers.

    monkeypatch.setattr(os, "link", no_links)
    create_file(tmp_path / "camp.courier", [b"one", b"two"])
    assert (tmp_path / "camp.courier").read_bytes() == b"onetwo"
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "camp.courier", [b"three"])
    assert [path.name for path in tmp_path.iterdir()] == ["camp.courier"]


def test_a_full_stick_keeps_no_half_file_and_the_tablet_is_as_before(tmp_path: Path) -> None:
    with mounted(tmp_path / "stick", 1) as stick, Outbox(tmp_path / "outbox.db") as outbox:
        add(outbox, 3)
        stick.fill()
        with pytest.raises(OSError, match="No space left"):
            give(outbox, stick.folder / "camp.courier")
        assert sorted(path.name for path in stick.folder.iterdir()) == ["filler"]
        assert outbox.envelopes.last_handed_over() == (0, 0)


def test_a_source_that_is_no_courier_file_leaves_no_collection(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(written(CarriedEnvelope(PIN, b"one")))
    (tmp_path / "b").write_bytes(b"holiday photo")
    with pytest.raises(SyncError, match=r"courier\.malformed"):
        collect_files(tmp_path / "all", [tmp_path / "a", tmp_path / "b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


# The tablet


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


def add(outbox: Outbox, count: int = 1) -> list[str]:
    """Store that many envelopes; return their ids."""

    def sealed(place: ChainPosition) -> bytes:
        return f"{place.chain}.{place.seq}".encode()

    before = len(outbox.envelopes.screening_ids())
    return [outbox.envelopes.append("desk", f"jti {before + each}", sealed).id for each in range(count)]


def states(outbox: Outbox) -> list[str]:
    return [each.state for each in outbox.envelopes.list_stored()]


def give(outbox: Outbox, path: Path) -> int:
    return hand_over(outbox, path, dev=DEVICE.kid, pin=PIN, now=NOW).envelopes


def signed_receipts(*ids: str, key: Any = SERVER, **changes: Any) -> Document:
    items = tuple(ReceiptItem(identity, "stored", number) for number, identity in enumerate(ids, 1))
    plain = CourierReceipts(DEVICE.kid, NOW, FIRST, (), "", 0, items)
    return courier_receipt.make(key, replace(plain, **changes))


def take(outbox: Outbox, path: Path, *documents: Document) -> TakenReceipts:
    path.write_bytes(b"".join(map(receipts_line, documents)))
    return take_receipts(outbox, path, dev=DEVICE.kid, trust=TRUSTED, now=NOW)


def sync_answer(outbox: Outbox, generation: str, *ids: str, **said: Any) -> None:
    """Let the tablet sync once; the server receipts these envelopes."""
    batch = outbox.sync_state.next_batch(NOW)
    receipts = tuple((identity, "stored") for identity in ids)
    outbox.sync_state.record_answer(batch, SyncResult(generation, NOW, NOW, receipts, (), 0, **said))


def test_a_handed_over_screening_stays_on_the_tablet_until_its_receipt(outbox: Outbox, tmp_path: Path) -> None:
    ids = add(outbox, 3)
    before = outbox.envelopes.list_stored()
    assert give(outbox, tmp_path / "camp.courier") == 3
    assert outbox.envelopes.list_stored() == before
    assert outbox.envelopes.last_handed_over() == (3, NOW)
    with open_file(tmp_path / "camp.courier") as file:
        assert [(each.pin, each.id) for each in read_envelopes(file, Unread())] == [(PIN, each) for each in ids]
    assert take(outbox, tmp_path / "back", signed_receipts(*ids[:2])) == TakenReceipts(2, 0, (), 0)
    assert states(outbox) == ["receipted", "receipted", "pending"]
    assert outbox.envelopes.last_handed_over() == (1, NOW)


def test_a_folder_gets_a_file_of_its_own_and_nothing_waiting_gets_none(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    assert hand_over(outbox, tmp_path / "stick", dev=DEVICE.kid, pin=PIN, now=NOW).path is None
    add(outbox)
    assert give(outbox, tmp_path / "stick") == 1
    assert give(outbox, tmp_path / "other") == 1, "a second courier gets it too, until there is a receipt"
    (file,) = (tmp_path / "stick").iterdir()
    assert re.fullmatch(rf"chaski-{re.escape(DEVICE.kid[:8])}-\d{{8}}-\d{{6}}\.courier", file.name)


def test_a_lost_stick_loses_nothing(outbox: Outbox, tmp_path: Path) -> None:
    ids = add(outbox, 2)
    give(outbox, tmp_path / "camp.courier")
    (tmp_path / "camp.courier").unlink()
    batch = outbox.sync_state.next_batch(NOW)
    assert [each.id for each in batch.envelopes] == ids


def test_receipts_twice_or_lost_change_nothing(outbox: Outbox, tmp_path: Path) -> None:
    (identity,) = add(outbox)
    for settled in (1, 0):
        assert take(outbox, tmp_path / "back", signed_receipts(identity)).settled == settled
    add(outbox)
    sync_answer(outbox, FIRST)
    assert states(outbox) == ["receipted", "pending"]


def test_a_tablet_takes_its_own_receipts_and_leaves_the_others(outbox: Outbox, tmp_path: Path) -> None:
    (identity,) = add(outbox)
    others = signed_receipts("e1" * 32, dev=STRANGER.kid)
    assert take(outbox, tmp_path / "back", others, signed_receipts(identity), others) == TakenReceipts(1, 2, (), 0)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (lambda id_: signed_receipts(id_, key=STRANGER), "signed.too_few"),
        (
            lambda id_: Document(signed_receipts(id_).payload, signed_receipts("e1" * 32).signatures),
            "signed.bad_signature",
        ),
        (lambda id_: signed_receipts(id_, generation="short"), "document.malformed"),
    ],
    ids=["by a stranger", "another document's signature", "malformed"],
)
def test_forged_receipts_settle_nothing(outbox: Outbox, tmp_path: Path, document: Any, code: str) -> None:
    first, second = add(outbox, 2)
    taken = take(outbox, tmp_path / "back", document(first), signed_receipts(second))
    assert taken == TakenReceipts(1, 0, (code,), 0)
    assert states(outbox) == ["pending", "receipted"]


def test_a_rejection_in_a_file_changes_nothing(outbox: Outbox, tmp_path: Path) -> None:
    (identity,) = add(outbox)
    rejected = (ReceiptItem(identity, "rejected", code="envelope.unknown_device"),)
    assert take(outbox, tmp_path / "back", signed_receipts(items=rejected)).settled == 0
    assert states(outbox) == ["pending"]
    take(outbox, tmp_path / "back", signed_receipts(identity))
    take(outbox, tmp_path / "back", signed_receipts(items=rejected))
    assert states(outbox) == ["receipted"]


def test_receipts_from_before_a_restore_settle_nothing(outbox: Outbox, tmp_path: Path) -> None:
    first, second = add(outbox, 2)
    sync_answer(outbox, SECOND, first)
    assert take(outbox, tmp_path / "back", signed_receipts(second)).refused == ("receipt.other_generation",)
    assert states(outbox) == ["receipted", "pending"]


def test_receipts_from_after_a_restore_void_those_from_before(outbox: Outbox, tmp_path: Path) -> None:
    first, second = add(outbox, 2)
    sync_answer(outbox, FIRST, first)
    after = signed_receipts(second, generation=SECOND, left=(FIRST, THIRD))
    assert take(outbox, tmp_path / "back", after, signed_receipts(first)).refused == ("receipt.other_generation",)
    assert states(outbox) == ["pending", "receipted"]
    assert outbox.sync_state.load().generation == SECOND
    assert outbox.sync_state.load().told.number == 0
    sync_answer(outbox, SECOND, first)
    assert states(outbox) == ["receipted", "receipted"]


def test_a_tablet_that_never_synced_finds_out_later_that_its_receipts_were_old(outbox: Outbox, tmp_path: Path) -> None:
    (identity,) = add(outbox)
    assert take(outbox, tmp_path / "back", signed_receipts(identity)).settled == 1
    sync_answer(outbox, SECOND)
    assert states(outbox) == ["pending"], "the server was restored since; the screening is sent again"


def test_an_old_file_does_not_settle_what_the_server_lost_since(outbox: Outbox, tmp_path: Path) -> None:
    (identity,) = add(outbox)
    file, chain = signed_receipts(identity), outbox.envelopes.list_stored()[0].chain
    take(outbox, tmp_path / "back", file)
    sync_answer(outbox, FIRST, again={chain: [(1, 1)]})
    assert take(outbox, tmp_path / "back", file).settled == 0
    assert states(outbox) == ["pending"]
    sync_answer(outbox, FIRST, identity)
    assert states(outbox) == ["receipted"], "a sync settles it"


@settings(max_examples=25)
@given(data=st.data())
def test_whatever_files_come_in_whatever_order_only_the_newest_generation_counts(
    data: Any, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("tablet")
    order = (FIRST, SECOND, THIRD)  # Each database left those before it.
    with Outbox(folder / "outbox.db") as outbox:
        ids = add(outbox, 4)
        seen = -1
        expected: set[str] = set()
        for _ in range(data.draw(st.integers(1, 6))):
            at, chosen = data.draw(st.integers(0, 2)), data.draw(st.sets(st.sampled_from(ids), max_size=3))
            take(outbox, folder / "back", signed_receipts(*sorted(chosen), generation=order[at], left=order[:at]))
            if at >= seen:
                expected = chosen | (expected if at == seen else set())
                seen = at
        done = {each.id for each in outbox.envelopes.list_stored() if each.state == "receipted"}
        assert done == expected


def test_an_envelope_in_a_file_is_the_very_bytes_of_the_tablet(outbox: Outbox, tmp_path: Path) -> None:
    add(outbox, 2)
    give(outbox, tmp_path / "camp.courier")
    found, _ = read((tmp_path / "camp.courier").read_bytes())
    assert [each.raw for each in found] == [each.raw for each in outbox.envelopes.list_stored()]
    assert [each.id for each in found] == [envelope_id(each.raw) for each in found]
