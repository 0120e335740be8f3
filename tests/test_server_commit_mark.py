"""Tests of the mark beside the database: it names the last commit whatever write is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.database.commit_mark import CommitMark, MarkWriter, mark_file, read_mark, sync_mark


def mark(number: int, generation: str = "AAAAAAAAAAA") -> CommitMark:
    return CommitMark(generation, number, f"{number:064x}")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "chaski.db"


def test_the_newest_mark_is_read_and_the_file_does_not_grow(database: Path) -> None:
    assert read_mark(database) is None
    sizes = set()
    writer = MarkWriter(database)
    for number in range(1, 20):
        writer.write(mark(number))
        assert read_mark(database) == mark(number)
        sizes.add(mark_file(database).stat().st_size)
    assert len(sizes) == 1
    assert mark_file(database).stat().st_mode & 0o077 == 0


def test_an_older_mark_does_not_replace_a_newer_one(database: Path) -> None:
    """A database that went back while the server runs must not hide it."""
    writer = MarkWriter(database)
    for number in (5, 7, 6, 3):
        writer.write(mark(number))
    assert read_mark(database) == mark(7)
    writer.write(mark(2, "BBBBBBBBBBB"))
    assert read_mark(database) == mark(2, "BBBBBBBBBBB"), "a new generation may count from less"


def test_a_mark_that_was_deleted_is_written_again(database: Path) -> None:
    writer = MarkWriter(database)
    for number in (1, 2, 3):
        writer.write(mark(number))
        mark_file(database).unlink()
    writer.write(mark(4))
    assert read_mark(database) == mark(4)


@pytest.mark.parametrize("start", [0, 4096])
@pytest.mark.parametrize("cut", [0, 1, 20, 60, 127])
def test_a_mark_that_is_cut_off_leaves_the_one_before(database: Path, start: int, cut: int) -> None:
    writer = MarkWriter(database)
    for number in (1, 2, 3):
        writer.write(mark(number))
    file = mark_file(database)
    raw = bytearray(file.read_bytes())
    raw[start + cut : start + 128] = b"\0" * (128 - cut)
    file.write_bytes(raw)
    left = read_mark(database)
    assert left in (mark(2), mark(3))
    writer.write(mark(4))
    assert read_mark(database) == mark(4)


@pytest.mark.parametrize("raw", [b"", b"x", b"\xff" * 4224, b"AAAAAAAAAAA 1 " + b"0" * 64 + b" " + b"0" * 16 + b"\n"])
def test_a_file_without_a_whole_mark_counts_as_none_and_is_renewed(database: Path, raw: bytes) -> None:
    mark_file(database).write_bytes(raw)
    assert read_mark(database) is None
    MarkWriter(database).write(mark(1))
    sync_mark(database)
    assert read_mark(database) == mark(1)


def test_a_missing_mark_is_no_fault_when_it_is_flushed(database: Path) -> None:
    sync_mark(database)
    assert read_mark(database) is None
