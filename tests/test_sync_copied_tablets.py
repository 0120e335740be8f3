"""Tests of copied tablets that share one key (SPEC 11.3 rule 7).

No screening is lost, all are routed, the work list names the overlap, and later each copy has its own chain.
"""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.store import worklist
from support.clients import FORM, STORY, Office, answers
from sync.envelope.verify import ChainPosition
from sync.tablet.client import Tablet
from sync.tablet.outbox import Outbox
from sync.tablet.outbox_records import Batch, StoredEnvelope, SyncResult

TAKEN = date(2026, 11, 20)


def screen(tablet: Tablet) -> str:
    return tablet.screen(FORM, answers(STORY[0]), TAKEN).jti


def copied(office: Office) -> tuple[Tablet, Tablet]:
    """A tablet that has delivered one screening, and a copy of its whole folder."""
    with office.tablet() as tablet:
        screen(tablet)
        tablet.sync()
    shutil.copytree(office.folder / "tablet", office.folder / "copy")
    return Tablet(office.folder / "tablet"), Tablet(office.folder / "copy")


def stored(office: Office) -> dict[str, tuple[str, str, int]]:
    """Outcome, chain and number by jti."""
    found = office.field.rows("SELECT jti, outcome, chain, seq FROM envelopes")
    return {jti: (outcome, chain, seq) for jti, outcome, chain, seq in found}


def queued(office: Office) -> Counter[str]:
    return Counter(
        jti for (jti,) in office.field.rows("SELECT jti FROM referrals r JOIN envelopes e ON e.id = r.envelope")
    )


def work(office: Office) -> list[str]:
    return sorted(item.kind for item in worklist.list_open(office.field.services.db.read()))


def test_two_copies_that_both_sync_lose_nothing_and_get_chains_of_their_own(office: Office) -> None:
    one, other = copied(office)
    with one, other:
        screened = [screen(one), screen(other)]
        one.sync()
        assert other.sync().copied, "its request number was somebody else's"
        assert [stored(office)[jti][0] for jti in screened] == ["stored", "fork"]
        assert work(office) == ["copied", "fork"]
        for tablet in (one, other, one, other):
            screened.append(screen(tablet))
            assert tablet.sync().waiting == 0
        found = stored(office)
        assert set(screened) <= found.keys()
        assert all(queued(office)[jti] == 1 for jti in screened)
        assert work(office).count("fork") == 1, "only the first overlap is one"
        assert found[screened[2]][1] != found[screened[3]][1]
        assert one.status().copied
        assert other.status().copied


def test_a_copy_that_is_behind_in_requests_delivers_and_both_report_the_copy(office: Office) -> None:
    """The copy is ahead in numbers. The tablet learns it from the server's `seq` for its chain."""
    one, other = copied(office)
    with one, other:
        screened = [screen(other) for _ in range(3)]
        other.sync()
        for _ in range(3):  # Its request numbers pass those of the copy, so that the server refuses none of them.
            one.outbox.sync_state.next_batch(0)
            one.outbox.sync_state.record_answer(Batch(0, (), ()), _nothing(one))
        screened.append(screen(one))
        report = one.sync()
        assert report.copied
        assert report.waiting == 0
        screened.append(screen(one))
        one.sync()
        assert stored(office)[screened[-2]][0] == "fork"
        assert stored(office)[screened[-1]][0] == "stored"
        assert set(screened) <= stored(office).keys()
        assert all(queued(office)[jti] == 1 for jti in screened)
        assert work(office) == ["fork"]


def _nothing(tablet: Tablet) -> SyncResult:
    told = tablet.outbox.sync_state.load()
    return SyncResult(told.generation, 0, 0, (), (), told.cursor, told.inventory)


def test_a_database_older_than_its_rollback_proof_makes_no_fork_and_loses_nothing(office: Office) -> None:
    with office.tablet() as tablet:
        screened = [screen(tablet)]
        tablet.sync()
    folder = office.folder / "tablet"
    shutil.copy(folder / "outbox.db", folder / "old.db")
    with Tablet(folder) as tablet:
        screened.append(screen(tablet))
        tablet.sync()
    for left in folder.glob("outbox.db*"):
        left.unlink()
    (folder / "old.db").rename(folder / "outbox.db")
    with Tablet(folder) as restored:
        screened.append(screen(restored))
        assert restored.sync().waiting == 0
        assert not restored.status().copied
    assert {stored(office)[jti][0] for jti in screened} == {"stored"}
    assert len({stored(office)[jti][1] for jti in screened}) == 2
    assert work(office) == ["copied"]


@pytest.mark.parametrize("proof", [True, False])
def test_a_new_chain_hides_no_screening_that_was_lost_after_its_receipt(office: Office, proof: bool) -> None:
    """Its own store no longer knows the lost screening.

    The checkpoint beside it does, or the copy that was put back.
    """
    folder = office.folder / "tablet"
    with office.tablet() as tablet:
        screen(tablet)
        lost = [screen(tablet)] if not proof else []
        tablet.sync()
    shutil.copy(folder / "outbox.db", folder / "old.db")
    with Tablet(folder) as tablet:
        lost += [screen(tablet)] if proof else []
        tablet.sync()
    with office.field.services.db.write() as w:
        for table in ("referrals", "routes"):
            w.execute(f"DELETE FROM {table} WHERE envelope IN (SELECT id FROM envelopes WHERE jti = ?)", lost)  # noqa: S608
        w.execute("DELETE FROM envelopes WHERE jti = ?", lost)
        w.execute("DELETE FROM chains")
    for left in folder.glob("outbox.db*"):
        left.unlink()
    (folder / "old.db").rename(folder / "outbox.db")
    if not proof:
        (folder / "outbox.proof").unlink()
    with Tablet(folder) as restored:
        screen(restored)
        # A server asks again for what a tablet keeps; this one has erased it.
        restored.outbox.connection.executemany("UPDATE envelope SET state = 'purged' WHERE jti = ?", [lost])
        restored.sync()
        found = [item for item in worklist.list_open(office.field.services.db.read()) if item.kind == "gap"]
        assert [(item.reason, item.dev) for item in found] == [("seq.2", restored.status().dev)]
        assert restored.outbox.sync_state.load().ended == {found[0].chain: 2}, "told until the server has it"


def test_a_server_that_lost_a_tablet_gets_its_certificate_and_all_screenings(office: Office) -> None:
    with office.tablet() as tablet:
        delivered = screen(tablet)
        tablet.sync()
        waiting, dev = screen(tablet), tablet.status().dev
        with office.field.services.db.write() as w:
            w.execute("PRAGMA defer_foreign_keys = ON")
            for table in ("referrals", "routes", "chains", "status_events", "inventories", "envelopes", "devices"):
                w.execute(f"DELETE FROM {table}")  # noqa: S608 (a constant)
            w.execute("UPDATE meta SET value = 'BBBBBBBBBBB' WHERE name = 'generation'")
        office.line.asked.clear()
        assert tablet.sync().waiting == 0
        assert office.line.asked.count(f"PUT /v1/enrolments/{dev}") == 1
        assert set(stored(office)) == {delivered, waiting}


# Random actions of two copies in random order


class Shore:
    """A minimal server for rule 7: stored envelopes by chain, the last request number, and `seq` of each chain."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[str, int]] = {}
        self.last = 0

    def sync(self, outbox: Outbox) -> None:
        """One sync, as sync.tablet.sync_client makes it."""
        while True:
            batch = outbox.sync_state.next_batch(0)
            if batch.number <= self.last:
                outbox.sync_state.renumber(self.last)
                batch = outbox.sync_state.next_batch(0)
            self.last = batch.number
            self.stored |= {kept.id: (kept.chain, kept.seq) for kept in batch.envelopes}
            receipts = [
                *(known for known in batch.asked if known in self.stored),
                *(kept.id for kept in batch.envelopes),
            ]
            news = ((identity, "stored") for identity in receipts)
            outbox.sync_state.record_answer(
                batch, SyncResult("g", 1, 1, tuple(news), (), 0, "", self._reached(batch.envelopes))
            )
            if not outbox.sync_state.has_more(0):
                return

    def _reached(self, envelopes: tuple[StoredEnvelope, ...]) -> dict[str, int]:
        places = set(self.stored.values())
        reached = {}
        for chain in {kept.chain for kept in envelopes}:
            seq = 0
            while (chain, seq + 1) in places:
                seq += 1
            reached[chain] = seq
        return reached


@given(
    before=st.integers(0, 3), steps=st.lists(st.tuples(st.booleans(), st.sampled_from(["screen", "sync"])), max_size=10)
)
@settings(max_examples=12)
def test_screenings_of_two_copies_arrive_once_and_their_chains_separate(
    tmp_path_factory: pytest.TempPathFactory, before: int, steps: list[tuple[bool, str]]
) -> None:
    folder, shore = tmp_path_factory.mktemp("clones"), Shore()
    made: list[str] = []

    def add(outbox: Outbox) -> None:
        jti = str(len(made))
        made.append(outbox.envelopes.append("17-child", jti, lambda place: _sealed(place, jti)).id)

    with Outbox(_place(folder / "one")) as first:
        for _ in range(before):
            add(first)
        shore.sync(first)
    shutil.copytree(folder / "one", folder / "other")
    with Outbox(folder / "one" / "outbox.db") as one, Outbox(folder / "other" / "outbox.db") as other:
        for is_one, step in steps:
            add(one if is_one else other) if step == "screen" else shore.sync(one if is_one else other)
        for outbox in (one, other, one, other):
            shore.sync(outbox)
        met = len(made)
        for outbox in (one, other, one, other):
            add(outbox)
            shore.sync(outbox)
        assert set(made) <= shore.stored.keys()
        assert one.envelopes.count_by_state()["waiting"] == other.envelopes.count_by_state()["waiting"] == 0
        assert one.orders.tablet_state().copied
        assert other.orders.tablet_state().copied
        places = [shore.stored[identity] for identity in made[met:]]
        assert len(set(places)) == len(places)
        assert not set(places) & {shore.stored[identity] for identity in made[:met]}


def _place(folder: Path) -> Path:
    folder.mkdir()
    return folder / "outbox.db"


def _sealed(place: ChainPosition, jti: str) -> bytes:
    return f"{jti}.{place.chain}.{place.seq}.{place.kseq}.{place.prev}".encode()
