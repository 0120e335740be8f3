"""Reads the word lists of the checks, and compares Spanish texts without accents and capital letters.

The lists are data: people who know the interviews can change them without reading Python. Each pattern is a regular
expression for a folded text.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent
WordRow = tuple[re.Pattern[str], Mapping[str, str]]
"""A pattern, and the row of its list."""

_NO_WORD = re.compile(r"[^a-z0-9]+")


def fold(text: str) -> str:
    """Return the words of a text in small letters, without accents, with single blanks between them."""
    letters = unicodedata.normalize("NFD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _NO_WORD.sub(" ", plain).strip()


def _read(name: str) -> tuple[WordRow, ...]:
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as rows:
        return tuple((re.compile(row["pattern"]), row) for row in csv.DictReader(rows))


def _read_words(name: str) -> frozenset[str]:
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as rows:
        return frozenset(row["word"] for row in csv.DictReader(rows))


ACCUSING_QUESTIONS = _read("accusing_questions")
IDENTIFYING_WORDS = _read("identifying_words")
METHOD_TOPICS = _read("method_topics")
EMPTY_REASON_WORDS = _read_words("empty_reason_words")
"""Read at import: the sandbox, in which uploads are checked, opens no file."""
