"""Tests of drafts: encryption, power cuts, and deletion for age."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.programs import PROGRAMS
from sync.durations import DAY
from sync.envelope.seal import new_screening_id
from sync.errors import SyncError
from sync.tablet.drafts import LIFETIME, WARNING_PERIOD, Draft, Drafts
from sync.tablet.outbox import Outbox
from sync.wire.encoding import b64u

BEGUN = 1_795_000_000_000
CANARY = "Kanaryo-Qhilqasqa"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
contents = st.dictionaries(texts, texts, max_size=60).map(lambda answers: {"answers": answers})
drafts_of_any_kind = st.builds(
    Draft,
    id=st.binary(min_size=16, max_size=16).map(b64u),
    sha=st.text("0123456789abcdef", min_size=64, max_size=64),
    begun=st.integers(0, 2**50),
    saved=st.integers(0, 2**50),
    language=st.sampled_from(["es", "quz", "ayr"]),
    content=contents,
    warned=st.integers(0, 2**50),
)


@pytest.fixture(scope="module")
def outbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outbox]:
    with Outbox(tmp_path_factory.mktemp("tablet") / "outbox.db") as opened:
        yield opened


@pytest.fixture
def kept(tmp_path: Path, outbox: Outbox) -> Drafts:
    return Drafts(tmp_path / "drafts", outbox)


def draft(**changes: object) -> Draft:
    made = Draft(new_screening_id(), "a" * 64, BEGUN, BEGUN, "quz", {"answers": {"deuda": "yes", "nota": CANARY}})
    return replace(made, **changes)  # type: ignore[arg-type]


def file_of(drafts: Drafts, made: Draft) -> Path:
    drafts.save(made)
    return drafts.path_of(made.id)


@settings(max_examples=30)
@given(drafts_of_any_kind)
def test_a_draft_opens_as_it_was_saved(outbox: Outbox, made: Draft) -> None:
    with TemporaryDirectory() as folder:
        drafts = Drafts(Path(folder) / "drafts", outbox)
        drafts.save(made)
        assert drafts.load(made.id) == made
        assert drafts.list_all() == (made,)


@settings(max_examples=30)
@given(drafts_of_any_kind, st.data())
def test_any_flipped_bit_is_refused(outbox: Outbox, made: Draft, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        drafts = Drafts(Path(folder) / "drafts", outbox)
        path = file_of(drafts, made)
        body = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(body) * 8 - 1))
        body[place // 8] ^= 1 << place % 8
        path.write_bytes(body)
        with pytest.raises(SyncError, match=r"draft\.unopenable"):
            drafts.load(made.id)
        assert drafts.list_all() == ()
        assert drafts.list_damaged() == (path,)
        assert path.read_bytes() == body, "what does not open is kept"


def test_a_draft_opens_on_no_other_tablet_and_under_no_other_id_or_form(kept: Drafts, tmp_path: Path) -> None:
    made = draft()
    path = file_of(kept, made)
    body = path.read_bytes()
    with Outbox(tmp_path / "other.db") as other_outbox, pytest.raises(SyncError, match=r"draft\.unopenable"):
        Drafts(path.parent, other_outbox).load(made.id)
    other = new_screening_id()
    for changed in (body, body.replace(made.id.encode(), other.encode())):
        kept.path_of(other).write_bytes(changed)
        with pytest.raises(SyncError, match=r"draft\.unopenable"):
            kept.load(other)
    path.write_bytes(body.replace(made.sha.encode(), b"b" * 64))
    with pytest.raises(SyncError, match=r"draft\.unopenable"):
        kept.load(made.id)


def test_a_draft_file_shows_no_answer_has_one_length_and_mode_0600(kept: Drafts) -> None:
    sizes = set()
    for answers in ({}, {"deuda": CANARY}, {f"pregunta{n}": CANARY + str(n) for n in range(70)}):
        path = file_of(kept, draft(content={"answers": answers}))
        body = path.read_bytes()
        assert CANARY.encode() not in body
        assert b"deuda" not in body
        sizes.add(len(body))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(sizes) == 1
    assert CANARY not in repr(draft())


def test_the_same_draft_never_looks_the_same_twice(kept: Drafts) -> None:
    made = draft()
    assert file_of(kept, made).read_bytes() != file_of(kept, made).read_bytes()


def test_a_screening_sealed_before_a_power_cut_leaves_no_draft(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        drafts, made, other = Drafts(tmp_path / "drafts", outbox), draft(), draft()
        for each in (made, other):
            drafts.save(each)
        outbox.envelopes.append("17-protection", made.id, lambda place: b"sealed")
        assert drafts.list_all() == (other,)
        assert not drafts.path_of(made.id).exists()


def test_the_form_version_of_a_draft_is_known_without_opening_it(kept: Drafts) -> None:
    path = file_of(kept, draft(sha="c" * 64))
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.list_all() == ()
    assert kept.bundle_names() == {f"bundle/{'c' * 64}"}


# Age


def test_no_draft_is_destroyed_before_three_days_of_warning(kept: Drafts) -> None:
    made = draft()
    kept.save(made)
    assert kept.list_ending(BEGUN + LIFETIME - WARNING_PERIOD - 1) == ()
    late = BEGUN + 10 * LIFETIME
    assert kept.list_ending(late) == (made,)
    assert kept.destroy_expired(late) == (), "nobody has been warned"
    kept.record_warning(kept.list_ending(late), late)
    assert kept.destroy_expired(late + WARNING_PERIOD - 1) == ()
    assert [gone.id for gone in kept.destroy_expired(late + WARNING_PERIOD)] == [made.id]
    assert kept.list_all() == ()


def test_a_draft_in_use_is_not_destroyed(kept: Drafts) -> None:
    made = draft()
    kept.save(made)
    late = BEGUN + LIFETIME
    kept.record_warning(kept.list_ending(late), late)
    kept.save(replace(made, saved=late, warned=0))
    assert kept.destroy_expired(late + WARNING_PERIOD) == ()


@pytest.mark.parametrize("wrong", [0, 3_800_000_000_000])
def test_a_clock_of_1970_or_2090_destroys_nothing_at_once(kept: Drafts, wrong: int) -> None:
    kept.save(draft())
    kept.record_warning(kept.list_ending(wrong), wrong)
    assert kept.destroy_expired(wrong) == ()
    kept.record_warning(kept.list_ending(BEGUN + LIFETIME), BEGUN + LIFETIME)
    assert kept.destroy_expired(BEGUN + LIFETIME) == (), "a warning from the future is none"
    assert len(kept.destroy_expired(BEGUN + LIFETIME + 3 * DAY)) == 1


# Power cuts


def test_a_power_cut_at_any_moment_costs_at_most_the_answer_being_saved(tmp_path: Path) -> None:
    chance, reached = Random(20261121), 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "save_drafts.py"), str(tmp_path), str(reached + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout
        reached = int(writer.stdout.readline())
        time.sleep(chance.uniform(0, 0.03))
        writer.kill()
        reached = max([reached, *map(int, writer.communicate()[0].split())])
        with Outbox(tmp_path / "outbox.db") as outbox:
            [found] = Drafts(tmp_path / "drafts", outbox).list_all()
        assert found.saved in (reached, reached + 1)
        assert len(found.content["answers"]) == found.saved
        assert os.listdir(tmp_path / "drafts") == [f"{'A' * 22}.draft"]
