"""Every reader of bytes keeps its promise on every case of its corpus: seeds, and all that the fuzzer ever found."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fuzz.readers import CORPUS, READERS, BrokenPromiseError, run_reader
from screening_forms.errors import FormError
from sync.errors import SyncError


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_refuses_with_a_listed_code_soon_and_in_little_memory(name: str) -> None:
    cases = sorted((CORPUS / name).iterdir())
    assert cases, f"no seed for {name}"
    for case in cases:
        try:
            run_reader(name, case.read_bytes())
        except Exception as wrong:
            raise AssertionError(f"{case}: {type(wrong).__name__}: {wrong}") from wrong


def test_the_corpus_holds_cases_of_known_readers_only() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(READERS)


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: refuse(SyncError("no.such_code")),
        lambda data: refuse(FormError([])),
        lambda data: {}["missing"],
        lambda data: spend(0.1),
    ],
    ids=["an unlisted code", "a refusal without a problem", "another exception", "too long"],
)
def test_a_reader_that_breaks_its_promise_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[bytes], object]
) -> None:
    monkeypatch.setitem(READERS, "broken", broken)
    monkeypatch.setattr("fuzz.readers.SECONDS", 0.05)
    with pytest.raises((BrokenPromiseError, KeyError)):
        run_reader("broken", b"")


def spend(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def refuse(wrong: Exception) -> None:
    raise wrong
