"""Tests of the neutral help card: it shows verified numbers, and a finder must not learn why a person has it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from click.testing import CliRunner

from screening_forms.errors import FormError
from screening_forms.help_card.content import CARD_TEXTS, DRAFT_MARK, OUTSIDE_TEXTS, Card, card_texts, make_card
from screening_forms.help_card.page import render_html, render_text
from screening_forms.texts.orthography import spelling_findings
from screening_forms.workbook.resources import LOCALES
from server.cli.main import main

SIGNED = "Translator: RENITLI 123\nVariety: {lang} Sur\nDate: 2026-11-20\nBack-translation: lo mismo"

# Words that the outside must not contain: they would show why a person has the card, or that there was an interview.
TELLING = re.compile(
    r"trata\b|v[ií]ctima|explota|delito|crimen|denuncia|violencia|abuso|amenaza|esclav|prostitu|sexual|peligro|polic[ií]a|"
    r"fiscal|tamizaje|entrevista|cuestionario|screening|chaski|traffick|"
    r"runa qhatu|chhiki|nanachi|manchachi|maqa|hucha|wichq’a|llulla|tapukuy|"
    r"jaqi alja|jucha|nuwa|axsar|usuchj|jan walt’awi|jist’ant|sallqa|jiskt’a",
    re.IGNORECASE,
)


class _Outline(HTMLParser):
    """Collects each text of the page with its language and its place (cover, notes, inside)."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.marked_texts: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag != "meta":
            inherited = self.open[-1] if self.open else ("", "", "")
            self.open.append((tag, given.get("lang") or inherited[1], given.get("class") or inherited[2]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, "an end tag does not match its start tag"

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1][0] != "style":
            self.marked_texts.append((self.open[-1][1], self.open[-1][2], data.strip()))


def outline(made: Card) -> _Outline:
    read = _Outline()
    read.feed(render_html(made))
    return read


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["forms", "card", *arguments])
    return done.exit_code, done.output


def test_every_number_has_its_day_of_verification_or_the_mark_pending() -> None:
    dated = "name,number,option,serves,regions,verified_on,source,provenance\na,105,,Ayuda,,2026-11-20,PNP,checked\n"
    for made in (make_card("17"), make_card("17", hotlines=dated)):
        for page in made.pages:
            dates = [text for lang, _, text in outline(made).marked_texts if text.startswith("(verificado: ")]
            assert len(dates) == len(made.hotlines) * len(made.pages)
            assert all(line.name in page.serves for line in made.hotlines)
        assert {line.verified for line in made.hotlines} <= {"verificado: pendiente", "verificado: 2026-11-20"}
        assert all(
            any(line.number in row and line.verified in row for row in render_text(made)) for line in made.hotlines
        )
    assert "verificado: 2026-11-20" in render_html(make_card("17", hotlines=dated))


def test_numbers_without_a_verification_call_have_the_provenance_unverified() -> None:
    assert [line.provenance for line in make_card("17").hotlines if not line.verified_on] == ["unverified"] * 5


def test_the_outside_of_the_card_does_not_show_its_purpose() -> None:
    made = make_card("21")
    page = outline(made)
    outside = [text for _, place, text in page.marked_texts if place in ("", "cover", "notes")]
    outside += [page.texts[name] for page in made.pages for name in OUTSIDE_TEXTS]
    assert "Números útiles" in outside
    assert [text for text in outside if TELLING.search(text)] == []


def test_the_whole_sheet_names_neither_trafficking_nor_screening() -> None:
    whole = re.compile(
        r"trata\b|v[ií]ctima|explota|delito|tamizaje|screening|chaski|runa qhatu|jaqi alja", re.IGNORECASE
    )
    assert not whole.search(render_html(make_card("17")))


def test_the_card_has_three_languages_with_tags_spanish_first() -> None:
    made = make_card("17")
    inside = [lang for lang, place, _ in outline(made).marked_texts if place not in ("", "cover", "notes")]
    assert [page.lang for page in made.pages] == ["es", "quz", "ayr"]
    assert list(dict.fromkeys(inside)) == ["es", "quz", "ayr"]
    for page in made.pages[1:]:
        same = [name for name in CARD_TEXTS if page.texts[name] == CARD_TEXTS[name]]
        assert same == ["option"], "a text has no translation"


def reviewed(folder: Path, *languages: str, comment: str) -> Path:
    """Write the card's translations as reviewed texts with these translator comments; return the folder."""
    for lang in languages:
        catalogue = polib.pofile(str(LOCALES / lang / "LC_MESSAGES" / "card.po"))
        for entry in catalogue:
            entry.flags, entry.tcomment = [], comment.format(lang=lang)
        (folder / lang / "LC_MESSAGES").mkdir(parents=True)
        catalogue.save(str(folder / lang / "LC_MESSAGES" / "card.po"))
    return folder


def test_a_draft_has_a_mark_and_a_signed_language_has_none(tmp_path: Path) -> None:
    assert [page.draft for page in make_card("17").pages] == [False, True, True]
    assert render_html(make_card("17")).count(DRAFT_MARK) >= 4
    unsigned = reviewed(tmp_path / "unsigned", "quz", "ayr", comment="")
    assert [page.draft for page in make_card("17", locales=unsigned).pages] == [False, True, True]
    signed = reviewed(tmp_path / "signed", "quz", "ayr", comment=SIGNED)
    assert DRAFT_MARK not in render_html(make_card("17", locales=signed))


def test_a_text_without_a_translation_is_spanish_with_a_mark(tmp_path: Path) -> None:
    page = make_card("17", locales=tmp_path).pages[1]
    assert (page.draft, page.texts["title"]) == (True, "Números útiles")


def test_a_translation_whose_spanish_changed_is_a_draft_again(tmp_path: Path) -> None:
    other = "name,number,option,serves,regions,verified_on,source,provenance\npolicia,105,,Otra cosa,,,PNP,unverified\n"
    signed = reviewed(tmp_path, "quz", comment=SIGNED)
    assert [make_card("17", locales=signed, hotlines=rows).pages[1].draft for rows in (None, other)] == [False, True]


def test_every_text_of_the_card_has_a_draft_in_the_official_orthography() -> None:
    spanish = card_texts(make_card("17").hotlines)
    for lang in ("quz", "ayr"):
        catalogue = polib.pofile(str(LOCALES / lang / "LC_MESSAGES" / "card.po"))
        loans = frozenset(catalogue.metadata["X-Loans"].split())
        assert {entry.msgctxt: entry.msgid for entry in catalogue} == spanish
        assert [entry.msgctxt for entry in catalogue if not entry.fuzzy] == []
        assert [spelling_findings(entry.msgstr, lang, loans) for entry in catalogue] == [[]] * len(catalogue)


def test_an_unknown_region_is_rejected_with_a_list_of_the_known_ones() -> None:
    code, output = run("--region", "99")
    assert code == 1
    assert "card.unknown_region" in output
    assert all(name in " ".join(output.split()) for name in ("17 Madre de Dios", "21 Puno", "15 Lima"))


def test_a_number_of_one_region_is_only_on_that_regions_card() -> None:
    rows = "name,number,option,serves,regions,verified_on,source,provenance\na,105,,Ayuda,17 21,,PNP,unverified\n"
    assert [len(make_card(code, hotlines=rows).hotlines) for code in ("17", "21", "08")] == [1, 1, 0]


def test_problems_of_a_hotline_list_name_row_and_column() -> None:
    rows = "name,number,option,serves,regions,verified_on,source,provenance\na,,,Ayuda,99,ayer,PNP,unverified\n"
    with pytest.raises(FormError) as caught:
        make_card("17", hotlines=rows)
    assert {(p.row, p.column, p.code) for p in caught.value.problems} == {
        (2, "number", "hotlines.empty"),
        (2, "regions", "hotlines.bad_region"),
        (2, "verified_on", "hotlines.bad_date"),
    }


def test_the_page_has_no_script_and_loads_no_file(tmp_path: Path) -> None:
    assert run("--region", "17", "--html", str(tmp_path / "card.html"))[0] == 0
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|https?:|url\(|src=|href=|@import", text)
    named = {tag for tag, _ in outline(make_card("17")).tags}
    assert not named & {"script", "img", "link", "iframe", "a", "form", "object"}
    assert 'name="viewport" content="width=device-width' in text


def test_the_card_is_available_as_json() -> None:
    code, output = run("--region", "04", "--json")
    data = json.loads(output)
    assert (code, data["region_name"], len(data["pages"])) == (0, "Arequipa", 3)
    assert data["hotlines"][0] | {"provenance": "", "serves": "", "source": ""} == {
        **{"name": "policia", "number": "105", "option": "", "regions": [], "verified_on": ""},
        **{"provenance": "", "serves": "", "source": ""},
    }
