"""Tests of the words that put people in danger if they are wrong: the list, and the drafts that it speaks about."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

import polib
import pytest

from screening_forms.texts.glossary import Glossary
from screening_forms.texts.sign_off import lacking_fields
from screening_forms.workbook.resources import LOCALES

LANGUAGES = ("quz", "ayr")
ROWS = list(csv.DictReader((LOCALES / "dangerous_if_wrong.csv").read_text(encoding="utf-8").splitlines()))
CASES = [pytest.param(row, lang, id=f"{row['concept']}-{lang}") for row in ROWS for lang in LANGUAGES]


@cache
def entries(lang: str) -> dict[str, polib.POEntry]:
    """The entries of all catalogues of a language, by context, without those that no form has any more."""
    found = {}
    for path in sorted((LOCALES / lang / "LC_MESSAGES").glob("*.po")):
        found |= {entry.msgctxt: entry for entry in polib.pofile(str(path)) if not entry.obsolete}
    return found


def parts(cell: str) -> list[str]:
    return [part.casefold() for part in cell.split(" / ")]


def says(text: str, words: list[str]) -> list[str]:
    return [word for word in words if word in text.casefold()]


def named(row: dict[str, str], lang: str) -> Iterator[tuple[str, list[polib.POEntry]]]:
    """Yield each name in `used_in` with its entries; `*` stands for any form."""
    for name in row["used_in"].split():
        yield name, [entry for context, entry in entries(lang).items() if fnmatchcase(context, name)]


@pytest.mark.parametrize(("row", "lang"), CASES)
def test_a_listed_word_is_in_every_entry_that_the_list_names(row: dict[str, str], lang: str) -> None:
    for name, found in named(row, lang):
        assert found, f"no entry has the name {name}"
        for entry in found:
            assert says(entry.msgstr, parts(row[lang])), f"{entry.msgctxt}: {entry.msgstr}"


@pytest.mark.parametrize(("row", "lang"), CASES)
def test_no_text_about_the_concept_has_a_forbidden_word(row: dict[str, str], lang: str) -> None:
    about = [entry for entry in entries(lang).values() if says(entry.msgid, parts(row["es"]))]
    assert about, "no Spanish text has these words"
    found = [(entry.msgctxt, word) for entry in about for word in says(entry.msgstr, parts(row[f"{lang}_forbidden"]))]
    assert found == []


@pytest.mark.parametrize("row", ROWS, ids=[row["concept"] for row in ROWS])
def test_each_listed_word_is_explained_and_marked_as_unreviewed(row: dict[str, str]) -> None:
    assert [column for column, cell in row.items() if not cell.strip()] == []
    assert row["review"] == "borrador sin revisar"
    for lang in LANGUAGES:
        assert not says(" ".join(parts(row[lang])), parts(row[f"{lang}_forbidden"]))


def test_concepts_are_listed_once() -> None:
    concepts = [row["concept"] for row in ROWS]
    assert len(concepts) == len(set(concepts)) > 20


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("quz", ["mesa", "tableta", "tarjeta", "ayllu", "ñuqamanta", "manam imapas kan"]),
        ("ayr", ["mesa", "tableta", "tarjeta", "wila masi", "nayat yat", "jach’a jan walt’awi", "ñamäkiti"]),
    ],
)
def test_no_draft_at_all_has_a_word_that_was_found_dangerous(lang: str, words: list[str]) -> None:
    assert [(entry.msgctxt, found) for entry in entries(lang).values() if (found := says(entry.msgstr, words))] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_card_is_called_by_the_title_that_is_printed_on_it(lang: str) -> None:
    title = entries(lang)["card/title"].msgstr.casefold()
    row = next(row for row in ROWS if row["concept"] == "tarjeta neutral")
    assert f"«{title}»" in row[lang]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_draft_loses_its_mark_without_a_translators_four_lines(lang: str) -> None:
    unmarked = {context: entry for context, entry in entries(lang).items() if not entry.fuzzy}
    assert [context for context, entry in unmarked.items() if lacking_fields(entry.tcomment, lang)] == []


@pytest.mark.parametrize(("row", "lang"), CASES)
def test_the_glossary_agrees_with_the_list_on_every_concept_they_share(row: dict[str, str], lang: str) -> None:
    assert [term.spanish for term in Glossary.built_in().findings(row["concept"], row[lang], lang)] == []
