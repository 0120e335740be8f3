"""Tests of the tablet's outbox: no number twice and no envelope lost, whatever is killed, copied or claimed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.programs import PROGRAMS
from sync.durations import DAY
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.exchange.messages import Event
from sync.tablet.line_capacity import bearable_bytes, measure_rate
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_database import SCHEMA
from sync.tablet.outbox_records import Batch, StatusUpdate, StoredEnvelope, SyncResult, TabletState


def sealed(place: ChainPosition) -> bytes:
    return f"{place.chain}.{place.seq}.{place.kseq}.{place.prev}".encode()


def add(outbox: Outbox, jti: str, keyring: str = "17-protection") -> StoredEnvelope:
    return outbox.envelopes.append(keyring, jti, sealed)


def news(
    *receipts: tuple[str, str], generation: str = "g1", at: int = 1_000, here: int | None = None, cursor: int = 0
) -> SyncResult:
    return SyncResult(generation, at, at if here is None else here, receipts, (), cursor)


def deliver(outbox: Outbox, *, generation: str = "g1", at: int = 1_000, here: int | None = None) -> Batch:
    batch = outbox.sync_state.next_batch(0)
    stored = [*batch.asked, *(kept.id for kept in batch.envelopes)]
    receipts = ((identity, "stored") for identity in stored)
    outbox.sync_state.record_answer(batch, news(*receipts, generation=generation, at=at, here=here))
    return batch


def erase(outbox: Outbox, *, at: int, here: int) -> int:
    """Answer a request with receipts for all that it wants to erase; return how many envelopes that erased."""
    batch = outbox.sync_state.next_batch(here)
    receipts = ((identity, "duplicate") for identity in batch.erasable)
    return outbox.sync_state.record_answer(batch, news(*receipts, at=at, here=here))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


def test_numbers_count_in_the_chain_and_apart_for_each_keyring(outbox: Outbox) -> None:
    places: list[ChainPosition] = []

    def seal(place: ChainPosition) -> bytes:
        places.append(place)
        return sealed(place)

    first = outbox.envelopes.append("17-child", "a", seal)
    second = outbox.envelopes.append("21-labour", "b", seal)
    outbox.envelopes.append("17-child", "c", seal)
    assert [(place.seq, place.kseq) for place in places] == [(1, 1), (2, 1), (3, 2)]
    assert [place.prev for place in places] == ["", first.id, second.id]
    assert len({place.chain for place in places}) == 1


def test_a_screening_that_cannot_be_sealed_takes_no_number(outbox: Outbox) -> None:
    def fail(place: ChainPosition) -> bytes:
        raise SyncError("seal.too_large")

    with pytest.raises(SyncError):
        outbox.envelopes.append("17-child", "a", fail)
    assert add(outbox, "b").seq == 1


def test_an_outbox_opened_again_goes_on_in_its_chain(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        first = add(outbox, "a")
    with Outbox(tmp_path / "outbox.db") as outbox:
        second = add(outbox, "b")
    assert (second.chain, second.seq) == (first.chain, 2)


@pytest.mark.parametrize("proof", [None, "", "nonsense", "AAAAAAAAAAA 0 0\n"])
def test_an_outbox_without_proof_of_its_past_begins_a_chain_and_keeps_its_envelopes(
    tmp_path: Path, proof: str | None
) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        first = add(outbox, "a")
    (tmp_path / "outbox.proof").unlink()
    if proof is not None:
        (tmp_path / "outbox.proof").write_text(proof)
    with Outbox(tmp_path / "outbox.db") as outbox:
        second = add(outbox, "b")
        assert [kept.id for kept in outbox.envelopes.list_stored()] == [first.id, second.id]
    assert second.chain != first.chain
    assert second.seq == 1


@given(steps=st.lists(st.sampled_from(["screen", "sync", "break", "backup", "restore", "reopen"]), max_size=25))
@settings(max_examples=40)
def test_no_number_is_used_twice_whatever_is_copied_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """At any moment a copy of the database is put back. Still (chain, seq) and request numbers never repeat."""
    folder = tmp_path_factory.mktemp("tablet")
    path, copy = folder / "outbox.db", folder / "backup.db"
    places: list[tuple[str, int]] = []
    requests: list[int] = []
    outbox = Outbox(path)
    for number, step in enumerate(steps):
        if step == "screen":
            kept = add(outbox, str(number))
            places.append((kept.chain, kept.seq))
        elif step == "sync":
            requests.append(deliver(outbox).number)
        elif step == "break":
            requests.append(outbox.sync_state.next_batch(0).number)
        else:
            outbox.close()
            if step == "backup":
                shutil.copy(path, copy)
            elif step == "restore" and copy.exists():
                shutil.copy(copy, path)
            outbox = Outbox(path)
    outbox.close()
    assert len(set(places)) == len(places)
    assert requests == sorted(set(requests))


@given(st.data())
@settings(max_examples=30)
def test_a_power_cut_at_any_write_loses_nothing_that_the_outbox_returned(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Every file is copied between the steps, as a power cut would leave them. The copy is opened and continues."""
    folder = tmp_path_factory.mktemp("tablet")
    (folder / "live").mkdir()
    outbox = Outbox(folder / "live" / "outbox.db")
    kept: list[StoredEnvelope] = []
    for number in range(data.draw(st.integers(1, 6))):
        kept.append(add(outbox, str(number)))
        if data.draw(st.booleans()):
            outbox.sync_state.next_batch(0)
    shutil.copytree(folder / "live", folder / "after")
    outbox.close()
    with Outbox(folder / "after" / "outbox.db") as revived:
        assert [item.id for item in revived.envelopes.list_stored()] == [item.id for item in kept]
        following = add(revived, "next")
        assert (following.chain, following.seq) == (kept[-1].chain, kept[-1].seq + 1)


def test_kill_minus_nine_reuses_no_number_and_loses_no_envelope(tmp_path: Path) -> None:
    promised: set[str] = set()
    requests: list[int] = []
    for round_number in range(5):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "append_envelopes.py"), str(tmp_path / "outbox.db"), str(round_number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(5 + 7 * round_number)]
        os.kill(process.pid, signal.SIGKILL)
        lines += [line.split() for line in process.stdout.read().splitlines()]
        process.wait()
        promised |= {line[1] for line in lines if line[0] == "kept" and len(line) == 4}
        requests += [int(line[1]) for line in lines if line[0] == "request" and len(line) == 2]
    with Outbox(tmp_path / "outbox.db") as outbox:
        kept = outbox.envelopes.list_stored()
        assert outbox.sync_state.next_batch(0).number > requests[-1]
    assert promised <= {item.id for item in kept}
    assert len({(item.chain, item.seq) for item in kept}) == len(kept)
    assert requests == sorted(set(requests))
    assert [item.seq for item in kept] == list(range(1, len(kept) + 1)), "a kill alone begins no new chain"


def test_a_store_that_an_older_program_made_goes_on_where_it_was(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        first = add(outbox, "a")
        now = outbox.connection.execute("SELECT chain, seq, prev, request FROM place").fetchone()
    (tmp_path / "outbox.db").unlink()
    old = sqlite3.connect(tmp_path / "outbox.db")
    old.executescript(f"{SCHEMA} PRAGMA user_version = 1")
    old.execute("UPDATE place SET chain = ?, seq = ?, prev = ?, request = ?", now)
    left = [(f"id{seq}", f"jti{seq}", "BBBBBBBBBBB", seq) for seq in (1, 2)]
    old.executemany("INSERT INTO envelope VALUES (NULL, ?, ?, ?, ?, x'', 'purged', '', 0)", left)
    old.commit()
    old.close()
    with Outbox(tmp_path / "outbox.db") as outbox:
        assert (add(outbox, "b").chain, outbox.envelopes.list_stored()[-1].seq) == (first.chain, 2)
        assert outbox.orders.tablet_state() == TabletState(0, 0, revoked=False, wiped=False, copied=False)
        assert outbox.sync_state.load().ended == {"BBBBBBBBBBB": 2}, "it had left this one before it could say so"


# Chains that the tablet left


def hears(outbox: Outbox, **seq: int) -> dict[str, int]:
    """Record a response with the server's `seq` of some chains; return what the next request reports."""
    told = outbox.sync_state.load()
    outbox.sync_state.record_answer(
        outbox.sync_state.next_batch(0), SyncResult(told.generation or "g1", 1, 1, (), (), 0, "", seq)
    )
    return dict(outbox.sync_state.load().ended)


def chain_of(outbox: Outbox) -> str:
    return add(outbox, f"screening {len(outbox.envelopes.screening_ids())}").chain


def test_a_chain_is_reported_with_its_highest_known_number_until_the_server_has_it(
    tmp_path: Path,
) -> None:
    path, copy, place = tmp_path / "outbox.db", tmp_path / "copy.db", tmp_path / "outbox.proof"
    with Outbox(path) as outbox:
        first = chain_of(outbox)
    shutil.copy(path, copy)
    with Outbox(path) as outbox:
        assert not outbox.sync_state.load().ended
        assert [chain_of(outbox) for _ in range(2)] == [first, first]
    shutil.copy(copy, path)
    with Outbox(path) as outbox:
        assert outbox.sync_state.load().ended == {first: 3}, "restored: the proof has seen more"
        second = chain_of(outbox)
    place.unlink()
    with Outbox(path) as outbox:
        assert outbox.sync_state.load().ended == {first: 3, second: 1}, "its proof was lost"
        third = chain_of(outbox)
        outbox.sync_state.renumber(outbox.sync_state.next_batch(0).number)
        assert outbox.sync_state.load().ended == {first: 3, second: 1, third: 1}, "its number was used"
    shutil.copy(copy, path)
    with Outbox(path) as outbox:
        assert outbox.sync_state.load().ended == {first: 1}, "all that this copy and the proof can tell"
        fourth = chain_of(outbox)
        assert hears(outbox, **{first: 0, fourth: 2}) == {first: 1}, "its own numbers were used, so the server has them"
        assert chain_of(outbox) != fourth
        assert hears(outbox, **{first: 1}) == {}


def test_a_restored_database_gets_the_former_chains_again(tmp_path: Path, outbox: Outbox) -> None:
    chain = chain_of(outbox)
    outbox.sync_state.renumber(outbox.sync_state.next_batch(0).number)
    assert hears(outbox, **{chain: 1}) == {}
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news(generation="g2"))
    assert outbox.sync_state.load().ended == {chain: 1}


def test_a_kill_between_a_new_chain_and_its_proof_forgets_no_chain(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        chain = chain_of(outbox)
        number = outbox.sync_state.next_batch(0).number
        before = (tmp_path / "outbox.proof").read_bytes()
        outbox.sync_state.renumber(number + 5)
    (tmp_path / "outbox.proof").write_bytes(before)
    with Outbox(tmp_path / "outbox.db") as outbox:
        assert outbox.sync_state.load().ended == {chain: 1}
        assert outbox.sync_state.next_batch(0).number == number + 6
        assert chain_of(outbox) != chain


def test_however_many_chains_were_left_a_request_names_64_and_each_has_its_turn(outbox: Outbox) -> None:
    left = set()
    for _ in range(70):
        left.add(chain_of(outbox))
        outbox.sync_state.renumber(outbox.sync_state.next_batch(0).number)
    named: set[str] = set()
    while named != left:
        now = outbox.sync_state.load().ended
        assert len(now) == 64
        named |= now.keys()


def test_a_number_that_is_too_high_goes_down_and_no_copy_is_reported(outbox: Outbox) -> None:
    chain = chain_of(outbox)
    for _ in range(5):
        outbox.sync_state.next_batch(0)
    outbox.sync_state.renumber(2)
    assert outbox.sync_state.next_batch(0).number == 3
    assert chain_of(outbox) == chain
    assert not outbox.orders.tablet_state().copied


def test_a_second_process_gets_outbox_in_use(tmp_path: Path, outbox: Outbox) -> None:
    with pytest.raises(SyncError, match=r"outbox\.in_use"):
        Outbox(tmp_path / "outbox.db")


@pytest.mark.parametrize("harm", ["file moved", "folder moved", "log deleted", "replaced by a copy"])
def test_no_sealing_is_acknowledged_in_a_store_that_the_next_start_does_not_open(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "tablet"
    folder.mkdir()
    path = folder / "outbox.db"
    outbox = Outbox(path)
    add(outbox, "a")
    if harm == "folder moved":
        folder.rename(tmp_path / "moved")
    elif harm == "log deleted":
        path.with_name("outbox.db-wal").unlink()
    else:
        path.rename(tmp_path / "moved.db")
    if harm == "replaced by a copy":
        shutil.copy(tmp_path / "moved.db", path)
    with pytest.raises(SyncError, match=r"outbox\.gone"):
        add(outbox, "b")
    with pytest.raises(SyncError, match=r"outbox\.gone"):
        outbox.sync_state.next_batch(0)
    outbox.close()


def test_only_the_owner_may_read_the_files(tmp_path: Path, outbox: Outbox) -> None:
    add(outbox, "a")
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_receipted_envelope_is_kept_thirty_days_and_then_purged(outbox: Outbox) -> None:
    add(outbox, "a")
    deliver(outbox, at=5 * DAY)
    add(outbox, "b")
    assert erase(outbox, at=35 * DAY, here=35 * DAY) == 0
    assert erase(outbox, at=35 * DAY + 1, here=35 * DAY + 1) == 1
    assert [kept.jti for kept in outbox.envelopes.list_stored()] == ["b"], "what has no receipt is never purged"


@pytest.mark.parametrize(
    ("receipted", "now"),
    [((5, 5), (900, 6)), ((5, 5), (6, 900)), ((0, 5), (6, 6)), ((5, 0), (6, 6))],
    ids=["server ahead", "tablet ahead", "server was behind", "tablet was behind"],
)
def test_one_clock_that_is_wrong_purges_nothing_too_early(
    outbox: Outbox, receipted: tuple[int, int], now: tuple[int, int]
) -> None:
    add(outbox, "a")
    deliver(outbox, at=receipted[0] * DAY, here=receipted[1] * DAY)
    assert erase(outbox, at=now[0] * DAY, here=now[1] * DAY) == 0
    assert erase(outbox, at=36 * DAY, here=36 * DAY) == 1


def test_after_a_request_without_answer_one_is_sent_with_the_question_for_others(outbox: Outbox) -> None:
    kept = [add(outbox, str(number)) for number in range(6)]
    assert [item.id for item in outbox.sync_state.next_batch(0).envelopes] == [item.id for item in kept]
    asking = outbox.sync_state.next_batch(0)
    assert [item.id for item in asking.envelopes] == [kept[0].id]
    assert asking.asked == tuple(item.id for item in kept[1:])
    outbox.sync_state.record_answer(asking, news((kept[0].id, "stored"), (kept[1].id, "duplicate")))
    sizes = []
    while outbox.sync_state.has_more(0):
        sizes.append(len(deliver(outbox).envelopes))
    assert sizes == [2, 2], "batches grow from one again, and what arrived is not sent again"
    assert outbox.envelopes.count_by_state() == {"waiting": 0, "receipted": 6, "rejected": 0}


def test_a_large_envelope_that_may_have_arrived_is_asked_for_first(outbox: Outbox) -> None:
    large = outbox.envelopes.append("17-protection", "a", lambda place: b"x" * 20_000)
    outbox.sync_state.next_batch(0)
    asking = outbox.sync_state.next_batch(0)
    assert (asking.envelopes, asking.asked) == ((), (large.id,))
    outbox.sync_state.record_answer(asking, news())
    assert [item.id for item in outbox.sync_state.next_batch(0).envelopes] == [large.id]


def test_no_more_is_asked_than_one_request_may_ask(outbox: Outbox) -> None:
    kept = [add(outbox, str(number)) for number in range(520)]
    outbox.envelopes.set_state("sent", [item.id for item in kept])
    asking = outbox.sync_state.next_batch(0)
    assert (len(asking.asked), len(asking.envelopes)) == (500, 1)
    assert deliver(outbox).asked
    while outbox.sync_state.has_more(0):
        deliver(outbox)
    assert outbox.envelopes.count_by_state()["receipted"] == 520


def screened(outbox: Outbox, *urgencies: str) -> list[str]:
    """The screenings' ids; each is called by its number and urgency."""
    return [
        outbox.envelopes.append("17-protection", f"{number} {urgency}", sealed, urgency=urgency).jti
        for number, urgency in enumerate(urgencies)
    ]


def sent_one_by_one(outbox: Outbox) -> list[str]:
    sent = []
    while outbox.sync_state.has_more(0):
        batch = outbox.sync_state.next_batch(0, most=1)
        sent += [item.jti for item in batch.envelopes]
        outbox.sync_state.record_answer(batch, news(*((item.id, "stored") for item in batch.envelopes)))
    return sent


def test_the_most_urgent_is_sent_first_and_then_the_oldest(outbox: Outbox) -> None:
    screened(outbox, "none", "routine", "immediate", "prompt", "routine", "immediate")
    assert sent_one_by_one(outbox) == [
        "2 immediate",
        "5 immediate",
        "3 prompt",
        "1 routine",
        "4 routine",
        "0 none",
    ]


def test_in_a_request_the_order_is_that_of_the_chain(outbox: Outbox) -> None:
    made = screened(outbox, "none", "routine", "immediate")
    assert [item.jti for item in outbox.sync_state.next_batch(0).envelopes] == made


def test_an_urgency_that_is_not_known_could_be_the_greatest(outbox: Outbox) -> None:
    screened(outbox, "prompt", "", "some_word_of_tomorrow", "immediate")
    assert sent_one_by_one(outbox) == ["1 ", "2 some_word_of_tomorrow", "3 immediate", "0 prompt"]


def test_the_store_shows_no_urgency_and_forgets_it_after_the_receipt(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        screened(outbox, "immediate", "immediate", "none")
        codes = [row[0] for row in outbox.connection.execute("SELECT urgency FROM envelope").fetchall()]
        assert len(set(codes)) == 3
        assert {len(code) for code in codes} == {29}
        deliver(outbox)
        assert outbox.connection.execute("SELECT DISTINCT urgency FROM envelope").fetchall() == [(b"",)]


@pytest.mark.parametrize("loss", ["restored", "single ones lost"])
def test_what_never_arrived_goes_before_what_a_server_had_and_lost(outbox: Outbox, loss: str) -> None:
    former = screened(outbox, "none", "immediate", "routine")
    deliver(outbox)
    chain = outbox.counters.latest().chain
    lost = news(generation="g2") if loss == "restored" else replace(news(), again={chain: ((1, 3),)})
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), lost)
    for jti, urgency in (("new", "immediate"), ("later", "none"), ("unknown", "")):
        outbox.envelopes.append("17-protection", jti, sealed, urgency=urgency)
    assert [item.jti for item in outbox.sync_state.next_batch(0, most=3).envelopes] == ["new", "later", "unknown"]
    outbox.sync_state.return_batch(outbox.sync_state.next_batch(0))
    assert sent_one_by_one(outbox) == ["new", "unknown", "later", *former]


def test_what_a_courier_delivered_goes_after_what_never_arrived(outbox: Outbox) -> None:
    old = add(outbox, "old")
    deliver(outbox)
    carried = add(outbox, "carried")
    outbox.envelopes.record_courier_receipts({carried.id: "stored"}, 1_000)
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news(generation="g2"))
    screened(outbox, "routine")
    assert sent_one_by_one(outbox) == ["0 routine", old.jti, "carried"]


def test_after_the_key_is_destroyed_the_oldest_is_sent_first(outbox: Outbox) -> None:
    made = screened(outbox, "none", "immediate")
    outbox.connection.execute("DELETE FROM draft_key")
    assert sent_one_by_one(outbox) == made
    assert outbox.connection.execute("SELECT count(*) FROM draft_key").fetchone() == (0,), "none is drawn for it"


def test_a_poor_line_gets_small_batches(outbox: Outbox) -> None:
    for number in range(9):
        outbox.envelopes.append("17-protection", str(number), lambda place: sealed(place) + b"x" * 4_000)
    batch = outbox.sync_state.next_batch(0, most=1)
    rate = measure_rate(0, 8_000, 10.0)
    receipts = ((item.id, "stored") for item in batch.envelopes)
    outbox.sync_state.record_answer(batch, replace(news(*receipts), rate=rate))
    assert outbox.sync_state.load().rate == 800
    assert len(outbox.sync_state.next_batch(0).envelopes) == 5, "16,000 bytes in 20 seconds"


def test_one_envelope_is_sent_however_poor_the_line_is(outbox: Outbox) -> None:
    outbox.envelopes.append("17-protection", "a", lambda place: b"x" * 300_000)
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), replace(news(), rate=1))
    assert len(outbox.sync_state.next_batch(0).envelopes) == 1


def test_a_line_is_measured_by_requests_that_fill_it() -> None:
    assert measure_rate(0, 1_000, 2.0) == 0
    assert measure_rate(0, 8_000, 2.0) == 4_000
    assert measure_rate(4_000, 8_000, 4.0) == 3_000
    assert measure_rate(4_000, 3_000, 4.0) == 4_000
    assert measure_rate(500, 8_000, 0.0) == 500, "a clock that stands still measures nothing"
    assert (bearable_bytes(0), bearable_bytes(3_000), bearable_bytes(10**6)) == (0, 60_000, 0)


def test_batches_double_while_they_succeed(outbox: Outbox) -> None:
    for number in range(20):
        add(outbox, str(number))
    outbox.sync_state.next_batch(0)
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news())
    assert [len(deliver(outbox).envelopes) for _ in range(4)] == [2, 4, 8, 6]


def test_what_may_have_arrived_goes_before_what_was_never_sent(outbox: Outbox) -> None:
    lost = add(outbox, "a")
    outbox.sync_state.next_batch(0)
    add(outbox, "b")
    outbox.sync_state.return_batch(outbox.sync_state.next_batch(0))
    again = outbox.sync_state.next_batch(0)
    assert [item.id for item in again.envelopes] == [lost.id], "b before a would be a gap on the server's work list"


def test_a_request_that_was_not_sent_needs_no_query(outbox: Outbox) -> None:
    add(outbox, "a")
    batch = outbox.sync_state.next_batch(0)
    outbox.sync_state.return_batch(batch)
    again = outbox.sync_state.next_batch(0)
    assert (len(again.envelopes), again.asked, again.number) == (1, (), batch.number + 1)


def test_a_rejected_envelope_stays_on_board_and_is_offered_again_the_next_day(outbox: Outbox) -> None:
    kept = add(outbox, "a")
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news((kept.id, "rejected"), at=DAY))
    assert outbox.envelopes.count_by_state() == {"waiting": 0, "receipted": 0, "rejected": 1}
    assert not outbox.sync_state.has_more(2 * DAY)
    assert outbox.sync_state.next_batch(100 * DAY).erasable == ()
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news((kept.id, "rejected"), at=DAY))
    assert [item.id for item in outbox.sync_state.next_batch(2 * DAY + 1).envelopes] == [kept.id]


def test_a_new_generation_voids_receipts_resets_the_cursor_and_offers_all_again(outbox: Outbox) -> None:
    kept = [add(outbox, str(number)) for number in range(2)]
    outbox.sync_state.record_answer(
        outbox.sync_state.next_batch(0), news(*((item.id, "stored") for item in kept), cursor=7)
    )
    assert outbox.sync_state.load().cursor == 7
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news(generation="g2", cursor=9))
    assert (outbox.sync_state.load().generation, outbox.sync_state.load().cursor) == ("g2", 0)
    assert outbox.envelopes.count_by_state() == {"waiting": 2, "receipted": 0, "rejected": 0}
    assert len(deliver(outbox, generation="g2").envelopes) == 2


def test_the_newest_status_of_a_screening_stays_after_its_envelope_is_purged(outbox: Outbox) -> None:
    kept = add(outbox, "a")
    outbox.sync_state.record_answer(outbox.sync_state.next_batch(0), news((kept.id, "stored")))
    assert erase(outbox, at=99 * DAY, here=99 * DAY) == 1
    for status, at in (("accepted", 5), ("closed", 9)):
        outbox.sync_state.record_answer(
            outbox.sync_state.next_batch(0), SyncResult("g1", at, at, (), (Event(kept.id, status, at),), at)
        )
    assert outbox.envelopes.list_stored() == ()
    assert outbox.sync_state.list_statuses() == (StatusUpdate("a", "closed", 9),)


def test_documents_are_stored_together_or_not_at_all(outbox: Outbox) -> None:
    outbox.documents.update({"trust": b"1", "bundle/a": b"2"})
    with pytest.raises(sqlite3.ProgrammingError):
        outbox.documents.update({"trust": b"new", "registry": object()})  # type: ignore[dict-item]
    outbox.documents.update({"bundle/b": b"3"}, remove=["bundle/a"])
    assert outbox.documents.get("trust") == b"1"
    assert outbox.documents.list_names() == {"trust", "bundle/b"}


class Shore:
    """A minimal server: its stored envelopes, and the random name of its database."""

    def __init__(self) -> None:
        self.stored: set[str] = set()
        self.generation = 0

    def take(self, batch: Batch, most: int = 1_000) -> SyncResult:
        known = [(identity, "duplicate") for identity in batch.asked if identity in self.stored]
        arrived = [kept.id for kept in batch.envelopes][:most]
        self.stored.update(arrived)
        receipts = (*known, *((identity, "stored") for identity in arrived))
        return news(*receipts, generation=f"g{self.generation}")


STEPS = ["screen", "ok", "some", "no_answer", "not_sent", "unreachable", "restored", "reopen"]


@given(steps=st.lists(st.sampled_from(STEPS), max_size=30))
@settings(max_examples=60)
def test_with_any_faults_on_the_way_every_envelope_arrives_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path, shore = tmp_path_factory.mktemp("tablet") / "outbox.db", Shore()
    outbox, screened = Outbox(path), set[str]()
    for number, step in enumerate(steps):
        if step == "screen":
            screened.add(add(outbox, str(number)).id)
        elif step == "restored":
            shore.stored, shore.generation = set(), shore.generation + 1
        elif step == "reopen":
            outbox.close()
            outbox = Outbox(path)
        else:
            batch = outbox.sync_state.next_batch(0)
            if step == "unreachable":
                outbox.sync_state.return_batch(batch)
            elif step == "no_answer":
                shore.take(batch)
            elif step != "not_sent":
                outbox.sync_state.record_answer(batch, shore.take(batch, most=1 if step == "some" else 1_000))
    for _ in range(60):
        batch = outbox.sync_state.next_batch(0)
        outbox.sync_state.record_answer(batch, shore.take(batch))
        if not outbox.sync_state.has_more(0):
            break
    assert shore.stored == screened
    assert outbox.envelopes.count_by_state() == {"waiting": 0, "receipted": len(screened), "rejected": 0}
    outbox.close()
