"""Every reader of bytes keeps its promise on every case of its corpus: seeds, and all that the fuzzer ever found."""

from __future__ import annotations

import pytest
from fuzz_readers import CORPUS, READERS, hold


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_refuses_with_a_listed_code_soon_and_in_little_memory(name: str) -> None:
    cases = sorted((CORPUS / name).iterdir())
    assert cases, f"no seed for {name}"
    for case in cases:
        try:
            hold(name, case.read_bytes())
        except Exception as wrong:
            raise AssertionError(f"{case}: {type(wrong).__name__}: {wrong}") from wrong


def test_the_corpus_holds_cases_of_known_readers_only() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(READERS)
