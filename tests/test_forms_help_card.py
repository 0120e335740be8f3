"""What the neutral help card promises to the person who carries it, and to whoever finds it."""

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

# What a cover must not say: why the card was given, or that its owner was asked anything.
TELLING = re.compile(
    r"trata\b|v[ií]ctima|explota|delito|crimen|denuncia|violencia|abuso|amenaza|esclav|prostitu|sexual|peligro|polic[ií]a|"
    r"fiscal|tamizaje|entrevista|cuestionario|screening|chaski|traffick|"
    r"runa qhatu|chhiki|manchachi|maqa|hucha|wichq’a|llulla|tapukuy|"
    r"jaqi alja|jucha|nuwa|axsar|jan walt’awi|jist’ant|sallqa|jiskt’a",
    re.IGNORECASE,
)


class _Outline(HTMLParser):
    """The page's texts with the language each is marked with, by whether they show outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag != "meta":
            inherited = self.open[-1] if self.open else ("", "", "")
            self.open.append((tag, given.get("lang") or inherited[1], given.get("class") or inherited[2]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, "the page's tags do not close as they opened"

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1][0] != "style":
            self.said.append((self.open[-1][1], self.open[-1][2], data.strip()))


def outline(made: Card) -> _Outline:
    read = _Outline()
    read.feed(render_html(made))
    return read


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["forms", "card", *arguments])
    return done.exit_code, done.output


def test_every_number_says_when_it_was_verified_or_that_nobody_did() -> None:
    dated = "name,number,option,serves,regions,verified_on,source,provenance\na,105,,Ayuda,,2026-11-20,PNP,checked\n"
    for made in (make_card("17"), make_card("17", hotlines=dated)):
        for page in made.pages:
            said = [text for lang, _, text in outline(made).said if text.startswith("(verificado: ")]
            assert len(said) == len(made.hotlines) * len(made.pages)
            assert all(line.name in page.serves for line in made.hotlines)
        assert {line.verified for line in made.hotlines} <= {"verificado: pendiente", "verificado: 2026-11-20"}
        assert all(
            any(line.number in row and line.verified in row for row in render_text(made)) for line in made.hotlines
        )
    assert "verificado: 2026-11-20" in render_html(make_card("17", hotlines=dated))


def test_what_nobody_verified_does_not_look_verified() -> None:
    assert [line.provenance for line in make_card("17").hotlines if not line.verified_on] == ["unverified"] * 5


def test_nothing_outside_tells_why_the_card_was_given() -> None:
    made = make_card("21")
    page = outline(made)
    outside = [text for _, place, text in page.said if place in ("", "cover", "notes")]
    outside += [page.texts[name] for page in made.pages for name in OUTSIDE_TEXTS]
    assert "Números útiles" in outside
    assert [text for text in outside if TELLING.search(text)] == []


def test_the_whole_sheet_says_nothing_of_trafficking_or_of_being_asked() -> None:
    whole = re.compile(
        r"trata\b|v[ií]ctima|explota|delito|tamizaje|screening|chaski|runa qhatu|jaqi alja", re.IGNORECASE
    )
    assert not whole.search(render_html(make_card("17")))


def test_the_card_speaks_three_languages_spanish_first_each_marked_with_its_tag() -> None:
    made = make_card("17")
    inside = [lang for lang, place, _ in outline(made).said if place not in ("", "cover", "notes")]
    assert [page.lang for page in made.pages] == ["es", "quz", "ayr"]
    assert list(dict.fromkeys(inside)) == ["es", "quz", "ayr"]
    for page in made.pages[1:]:
        same = [name for name in CARD_TEXTS if page.texts[name] == CARD_TEXTS[name]]
        assert same == ["option"], "a text was left in Spanish"


def reviewed(folder: Path, *languages: str, comment: str) -> Path:
    """The card's translations without the mark of drafts, with these translator comments."""
    for lang in languages:
        held = polib.pofile(str(LOCALES / lang / "LC_MESSAGES" / "card.po"))
        for entry in held:
            entry.flags, entry.tcomment = [], comment.format(lang=lang)
        (folder / lang / "LC_MESSAGES").mkdir(parents=True)
        held.save(str(folder / lang / "LC_MESSAGES" / "card.po"))
    return folder


def test_a_draft_is_marked_and_a_language_that_a_translator_signed_is_not(tmp_path: Path) -> None:
    assert [page.draft for page in make_card("17").pages] == [False, True, True]
    assert render_html(make_card("17")).count(DRAFT_MARK) >= 4
    unsigned = reviewed(tmp_path / "unsigned", "quz", "ayr", comment="")
    assert [page.draft for page in make_card("17", locales=unsigned).pages] == [False, True, True]
    signed = reviewed(tmp_path / "signed", "quz", "ayr", comment=SIGNED)
    assert DRAFT_MARK not in render_html(make_card("17", locales=signed))


def test_a_text_without_a_translation_stays_spanish_and_marked(tmp_path: Path) -> None:
    page = make_card("17", locales=tmp_path).pages[1]
    assert (page.draft, page.texts["title"]) == (True, "Números útiles")


def test_a_translation_whose_spanish_changed_is_a_draft_again(tmp_path: Path) -> None:
    other = "name,number,option,serves,regions,verified_on,source,provenance\npolicia,105,,Otra cosa,,,PNP,unverified\n"
    signed = reviewed(tmp_path, "quz", comment=SIGNED)
    assert [make_card("17", locales=signed, hotlines=rows).pages[1].draft for rows in (None, other)] == [False, True]


def test_every_text_of_the_card_has_a_draft_in_the_official_orthography() -> None:
    spanish = card_texts(make_card("17").hotlines)
    for lang in ("quz", "ayr"):
        held = polib.pofile(str(LOCALES / lang / "LC_MESSAGES" / "card.po"))
        loans = frozenset(held.metadata["X-Loans"].split())
        assert {entry.msgctxt: entry.msgid for entry in held} == spanish
        assert [entry.msgctxt for entry in held if not entry.fuzzy] == []
        assert [spelling_findings(entry.msgstr, lang, loans) for entry in held] == [[]] * len(held)


def test_an_unknown_region_is_refused_with_those_there_are() -> None:
    code, said = run("--region", "99")
    assert code == 1
    assert "card.unknown_region" in said
    assert all(name in " ".join(said.split()) for name in ("17 Madre de Dios", "21 Puno", "15 Lima"))


def test_a_number_for_one_region_is_on_that_regions_card_alone() -> None:
    rows = "name,number,option,serves,regions,verified_on,source,provenance\na,105,,Ayuda,17 21,,PNP,unverified\n"
    assert [len(make_card(code, hotlines=rows).hotlines) for code in ("17", "21", "08")] == [1, 1, 0]


def test_a_faulty_list_of_numbers_is_told_by_row_and_column() -> None:
    rows = "name,number,option,serves,regions,verified_on,source,provenance\na,,,Ayuda,99,ayer,PNP,unverified\n"
    with pytest.raises(FormError) as caught:
        make_card("17", hotlines=rows)
    assert {(p.row, p.column, p.code) for p in caught.value.problems} == {
        (2, "number", "hotlines.empty"),
        (2, "regions", "hotlines.bad_region"),
        (2, "verified_on", "hotlines.bad_date"),
    }


def test_the_page_runs_nothing_and_loads_nothing(tmp_path: Path) -> None:
    assert run("--region", "17", "--html", str(tmp_path / "card.html"))[0] == 0
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|https?:|url\(|src=|href=|@import", text)
    named = {tag for tag, _ in outline(make_card("17")).tags}
    assert not named & {"script", "img", "link", "iframe", "a", "form", "object"}
    assert 'name="viewport" content="width=device-width' in text


def test_programs_get_the_card_as_data() -> None:
    code, said = run("--region", "04", "--json")
    data = json.loads(said)
    assert (code, data["region_name"], len(data["pages"])) == (0, "Arequipa", 3)
    assert data["hotlines"][0] | {"provenance": "", "serves": "", "source": ""} == {
        **{"name": "policia", "number": "105", "option": "", "regions": [], "verified_on": ""},
        **{"provenance": "", "serves": "", "source": ""},
    }
