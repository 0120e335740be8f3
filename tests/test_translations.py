"""Translations: nothing a translator wrote is lost, and no draft is ever taken for a reviewed text."""

from pathlib import Path

import polib
import pytest

from screening_forms import translations
from screening_forms.shelf import shipped
from screening_forms.translations import Translated
from screening_forms.workbook import Workbook, parse_markdown

FORM = """
| survey |
| | type | name | label::Español (es) | hint::Español (es) | label::Runasimi (quz) |
| | select_one si_no | cobra | {cobra} | Cada mes | {own} |
| | integer | dias | ¿Cuántos días trabaja ? | | |
| | calculate | c | | | |
| choices |
| | list_name | name | label::Español (es) |
| | si_no | yes | Sí |
| | distrito | 170204 | Huepetuhe |
| settings |
| | form_id | version | languages | ubigeo_lists |
| | f | 1 | es quz ayr | distrito |
"""


def form(cobra: str = "¿Le pagan?", own: str = "") -> Workbook:
    return parse_markdown(FORM.format(cobra=cobra, own=own))


def write(folder: Path, context: str, text: str, *, reviewed: bool) -> None:
    path = folder / "quz" / "LC_MESSAGES" / "forms.po"
    po = polib.pofile(str(path))
    entry = next(e for e in po if e.msgctxt == context)
    entry.msgstr, entry.flags = text, [] if reviewed else ["fuzzy"]
    po.save()


def test_every_text_but_place_names_is_extracted() -> None:
    assert [(e.context, e.text) for e in translations.extract(form())] == [
        ("f/cobra/label", "¿Le pagan?"),
        ("f/cobra/hint", "Cada mes"),
        ("f/dias/label", "¿Cuántos días trabaja ?"),
        ("f/si_no.yes/label", "Sí"),
    ]


def test_an_untranslated_text_falls_back_to_spanish_and_says_so(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    texts = translations.resolve(form(), "quz", shipped(tmp_path))
    assert texts["f/cobra/label"] == Translated("¿Le pagan?", "fallback")
    assert translations.coverage(form(), "quz", shipped(tmp_path)).missing[0] == "f/cobra/label"


def test_entries_are_born_as_drafts(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    po = polib.pofile(str(tmp_path / "quz" / "LC_MESSAGES" / "forms.po"))
    assert all(entry.fuzzy for entry in po)
    assert "unreviewed draft" in po.header
    assert po.metadata["Language"] == "quz"


def test_merging_again_keeps_translations_and_bytes(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    write(tmp_path, "f/cobra/label", "¿Qullqita qusunkichu?", reviewed=True)
    translations.merge(form(), "quz", tmp_path)
    first = (tmp_path / "quz" / "LC_MESSAGES" / "forms.po").read_bytes()
    translations.merge(form(), "quz", tmp_path)
    assert (tmp_path / "quz" / "LC_MESSAGES" / "forms.po").read_bytes() == first
    assert translations.resolve(form(), "quz", shipped(tmp_path))["f/cobra/label"].state == "reviewed"


def test_changed_spanish_makes_a_reviewed_translation_a_draft_before_and_after_the_merge(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    write(tmp_path, "f/cobra/label", "¿Qullqita qusunkichu?", reviewed=True)
    changed = form("¿Le pagan todo?")
    draft = Translated("¿Qullqita qusunkichu?", "draft", stale=True)
    assert translations.resolve(changed, "quz", shipped(tmp_path))["f/cobra/label"] == draft
    translations.merge(changed, "quz", tmp_path)
    assert translations.resolve(changed, "quz", shipped(tmp_path))["f/cobra/label"] == draft
    entry = polib.pofile(str(tmp_path / "quz" / "LC_MESSAGES" / "forms.po"))[0]
    assert entry.previous_msgid == "¿Le pagan?"


def test_a_question_that_leaves_and_returns_keeps_its_translation(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    write(tmp_path, "f/dias/label", "¿Hayk’a punchaw?", reviewed=False)
    full = form()
    without = Workbook(full.settings, full.survey[:1], full.choices, (), full.headings)
    translations.merge(without, "quz", tmp_path)
    assert "f/dias/label" not in translations.load("f", "quz", shipped(tmp_path))
    translations.merge(full, "quz", tmp_path)
    assert translations.load("f", "quz", shipped(tmp_path))["f/dias/label"][1].text == "¿Hayk’a punchaw?"


def test_another_forms_entries_are_left_alone(tmp_path: Path) -> None:
    other = Workbook({**form().settings, "form_id": "a"}, form().survey, (), (), {})
    translations.merge(form(), "quz", tmp_path)
    write(tmp_path, "f/cobra/hint", "Sapa killa", reviewed=False)
    translations.merge(other, "quz", tmp_path)
    assert translations.load("f", "quz", shipped(tmp_path))["f/cobra/hint"][1].text == "Sapa killa"


def test_a_text_in_the_workbooks_own_column_is_a_draft(tmp_path: Path) -> None:
    texts = translations.resolve(form(own="¿Qullqita qusunkichu?"), "quz", shipped(tmp_path))
    assert texts["f/cobra/label"] == Translated("¿Qullqita qusunkichu?", "draft")


def test_only_a_complete_and_reviewed_language_is_releasable(tmp_path: Path) -> None:
    translations.merge(form(), "quz", tmp_path)
    for entry in translations.extract(form()):
        assert not translations.coverage(form(), "quz", shipped(tmp_path)).releasable
        write(tmp_path, entry.context, "Arí", reviewed=True)
    assert translations.coverage(form(), "quz", shipped(tmp_path)).releasable


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("quz", "¿P’unchawnintin llank’ankichu? Arí, ch’usaq, Huepetuhe llaqtapi, Madre de Dios."),
        ("quz", "Qullqita qusunki, DNI kaqtin, contrato kaqtin."),
        ("ayr", "Jumax irnaqtati? Jïsa, ch’amaxa, sutïtaxa, Putina markanxa."),
    ],
)
def test_the_official_alphabets_are_accepted(lang: str, text: str) -> None:
    assert translations.spelling(text.replace("Arí", "Ari"), lang, frozenset({"contrato"})) == []


@pytest.mark.parametrize(
    ("lang", "text", "named"),
    [
        ("quz", "ch'usaq", "apóstrofo"),
        ("quz", "sutin ${nombre}", "${nombre}"),
        ("quz", "qolqe", "«qolqe»"),
        ("quz", "huq ñanta rinki vida", "«vida»"),
        ("ayr", "hilata", "«hilata»"),
        ("ayr", "suti\u0308taxa", "NFC"),
    ],
)
def test_other_spellings_are_named(lang: str, text: str, named: str) -> None:
    assert any(named in wrong for wrong in translations.spelling(text, lang))
