"""Tests of translations: a merge loses no text of a translator, and a draft never counts as reviewed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import polib
import pytest
from click.testing import CliRunner

from screening_forms.checks.run import check_form
from screening_forms.errors import FormError
from screening_forms.texts.glossary import Glossary
from screening_forms.texts.sign_off import SIGN_OFF_FIELDS, lacking_fields
from screening_forms.texts.translations import Translation, language_coverage, resolve_translations, translatable_texts
from screening_forms.translators.po_files import merge_into_file, write_template
from screening_forms.translators.status import translation_statuses
from screening_forms.workbook.package import load_package
from screening_forms.workbook.reader import Workbook, parse_markdown
from screening_forms.workbook.resources import CATALOGUE, LOCALES, load_built_in, parse_po
from server.cli.main import main
from support.forms import CATALOGUE_FORMS

FORM = """
| survey |
| | type | name | label::Español (es) | hint::Español (es) | relevant | label::Runasimi (quz) |
| | begin_group | g | Su trabajo | | | |
| | select_one si_no | cobra | {cobra} | Cada mes | | {own} |
| | integer | dias | ¿Cuántos días trabaja ? | | ${{cobra}}='yes' or ${{cobra}}='no' | |
| | end_group | | | | | |
| | calculate | c | | | | |
| choices |
| | list_name | name | label::Español (es) |
| | si_no | yes | Sí |
| | si_no | no | No |
| | distrito | 170204 | Huepetuhe |
| settings |
| | form_id | version | languages | ubigeo_lists |
| | {form_id} | 1 | es quz ayr | distrito |
"""
SIGNED = "Translator: RENITLI 321\nVariety: quz Cusco\nDate: 2026-11-20\nBack-translation: ¿Le dan su dinero?"


def form(cobra: str = "¿Le pagan?", own: str = "", form_id: str = "f") -> Workbook:
    return parse_markdown(FORM.format(cobra=cobra, own=own, form_id=form_id))


def po(folder: Path, lang: str = "quz") -> Path:
    return folder / lang / "LC_MESSAGES" / "forms.po"


def write(path: Path, context: str, text: str, *, fuzzy: bool = False, comments: str = SIGNED) -> None:
    entries = polib.pofile(str(path))
    entry = next(e for e in entries if e.msgctxt == context)
    entry.msgstr, entry.flags, entry.tcomment = text, ["fuzzy"] if fuzzy else [], comments
    entries.save()


def entry(folder: Path, context: str) -> polib.POEntry:
    return next(e for e in polib.pofile(str(po(folder))) if e.msgctxt == context)


def state(folder: Path, context: str, workbook: Workbook | None = None) -> Translation:
    return resolve_translations(workbook or form(), "quz", load_built_in(folder))[context]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    merge_into_file(form(), "quz", tmp_path)
    return tmp_path


def test_every_text_except_place_names_is_extracted() -> None:
    assert [(e.context, e.text) for e in translatable_texts(form())] == [
        ("f/g/label", "Su trabajo"),
        ("f/cobra/label", "¿Le pagan?"),
        ("f/cobra/hint", "Cada mes"),
        ("f/dias/label", "¿Cuántos días trabaja ?"),
        ("f/si_no.yes/label", "Sí"),
        ("f/si_no.no/label", "No"),
    ]


def test_an_untranslated_text_falls_back_to_spanish_with_that_state(folder: Path) -> None:
    assert state(folder, "f/cobra/label") == Translation("¿Le pagan?", "fallback")
    assert language_coverage(form(), "quz", load_built_in(folder)).missing[1] == "f/cobra/label"


def test_new_entries_are_drafts(folder: Path) -> None:
    entries = polib.pofile(str(po(folder)))
    assert all(entry.fuzzy for entry in entries)
    assert "unreviewed draft" in entries.header
    assert entries.metadata["Language"] == "quz"


def test_merging_again_keeps_translations_and_bytes(folder: Path) -> None:
    long = SIGNED + " Y si no, ¿qué pasa con su dinero, con sus papeles y con lo que le prometieron al venir hasta acá?"
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?", comments=long)
    merge_into_file(form(), "quz", folder)
    first = po(folder).read_bytes()
    merge_into_file(form(), "quz", folder)
    assert po(folder).read_bytes() == first
    assert state(folder, "f/cobra/label").state == "reviewed"


def test_each_entry_has_notes_with_its_place_group_choices_and_condition(folder: Path) -> None:
    assert entry(folder, "f/cobra/label").comment.split("\n") == [
        "texto que se lee; hoja survey, fila 3",
        "pregunta cobra, tipo select_one si_no",
        "grupo g: «Su trabajo»",
        "respuestas: yes «Sí», no «No»",
    ]
    assert entry(folder, "f/dias/label").comment.endswith("solo si «¿Le pagan?» es «Sí» o «¿Le pagan?» es «No»")
    assert entry(folder, "f/si_no.yes/label").comment.endswith("respuesta si_no.yes\nde: cobra «¿Le pagan?»")
    assert entry(folder, "f/dias/label").occurrences == [("f/survey", "4")]


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="GNU gettext is not installed")
def test_gnu_gettext_accepts_the_files(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?")
    for path in (po(folder), folder / "f.pot"):
        if path.suffix == ".pot":
            path.write_text(write_template(form()), encoding="utf-8")
        subprocess.run(["msgfmt", "--check", "-o", "/dev/null", str(path)], check=True, capture_output=True)


def test_only_a_text_with_a_sign_off_is_reviewed(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?", fuzzy=True)
    assert state(folder, "f/cobra/label") == Translation("¿Qullqita qusunkichu?", "draft")
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?", comments="")
    assert state(folder, "f/cobra/label").lacking == SIGN_OFF_FIELDS
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?")
    assert state(folder, "f/cobra/label") == Translation("¿Qullqita qusunkichu?", "reviewed")


@pytest.mark.parametrize(
    ("right", "wrong", "lacking"),
    [
        ("RENITLI 321", "RENITLI 000", "Translator"),
        ("RENITLI 321", "María", "Translator"),
        ("quz Cusco", "quy Ayacucho", "Variety"),
        ("2026-11-20", "20/11/2026", "Date"),
        ("2026-11-20", "2026-02-30", "Date"),
        ("2026-11-20", "20261120", "Date"),
        ("¿Le dan su dinero?", "", "Back-translation"),
    ],
)
def test_a_sign_off_must_be_complete_and_for_the_same_variety(
    folder: Path, right: str, wrong: str, lacking: str
) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?", comments=SIGNED.replace(right, wrong))
    assert state(folder, "f/cobra/label") == Translation("¿Qullqita qusunkichu?", "draft", lacking=(lacking,))
    assert language_coverage(form(), "quz", load_built_in(folder)).contexts_with("unsigned") == ("f/cobra/label",)
    named = [
        each for each in check_form(form(), {}, resources=load_built_in(folder)) if each.code == "translation.unsigned"
    ]
    assert [(each.row, lacking in each.advice_es) for each in named] == [(3, True)]


def test_a_changed_spanish_text_makes_its_translation_a_draft(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?")
    changed = form("¿Le pagan todo?")
    draft = Translation("¿Qullqita qusunkichu?", "draft", stale=True)
    assert state(folder, "f/cobra/label", changed) == draft
    merge_into_file(changed, "quz", folder)
    assert state(folder, "f/cobra/label", changed) == draft
    assert entry(folder, "f/cobra/label").previous_msgid == "¿Le pagan?"


def test_a_sign_off_for_the_former_spanish_text_is_void(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?")
    changed = form("¿Le pagan todo?")
    merge_into_file(changed, "quz", folder)
    voided = entry(folder, "f/cobra/label").tcomment
    assert "Former Translator: RENITLI 321" in voided
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?", comments=voided)
    assert state(folder, "f/cobra/label", changed).lacking == SIGN_OFF_FIELDS
    write(po(folder), "f/cobra/label", "¿Lliw qullqita qusunkichu?", comments=f"{voided}\n{SIGNED}")
    assert state(folder, "f/cobra/label", changed).state == "reviewed"


def test_a_question_that_is_removed_and_added_again_keeps_its_translation(folder: Path) -> None:
    write(po(folder), "f/dias/label", "¿Hayk’a punchaw?", fuzzy=True)
    full = form()
    without = Workbook(full.settings, full.survey[:2], full.choices, (), full.headings)
    merge_into_file(without, "quz", folder)
    assert "f/dias/label" not in load_built_in(folder).catalogue("quz")
    merge_into_file(full, "quz", folder)
    assert state(folder, "f/dias/label").text == "¿Hayk’a punchaw?"


def test_a_merge_does_not_change_the_entries_of_another_form(folder: Path) -> None:
    write(po(folder), "f/cobra/hint", "Sapa killa", fuzzy=True)
    merge_into_file(form(form_id="a"), "quz", folder)
    assert state(folder, "f/cobra/hint").text == "Sapa killa"


def test_a_new_text_gets_its_draft_from_an_equal_spanish_text(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿Qullqita qusunkichu?")
    done = merge_into_file(form(form_id="a"), "quz", folder)
    assert done.remembered == ("a/cobra/label",)
    remembered = entry(folder, "a/cobra/label")
    assert (remembered.msgstr, remembered.fuzzy) == ("¿Qullqita qusunkichu?", True)
    assert remembered.tcomment == "From memory: f/cobra/label"


def test_a_text_in_the_workbooks_own_column_is_a_draft_until_a_translator_signs_one(folder: Path) -> None:
    mine = form(own="¿Qullqita qusunkichu?")
    assert state(folder, "f/cobra/label", mine) == Translation("¿Qullqita qusunkichu?", "draft")
    merge_into_file(mine, "quz", folder)
    assert entry(folder, "f/cobra/label").msgstr == "¿Qullqita qusunkichu?"
    write(po(folder), "f/cobra/label", "¿Imatam?", fuzzy=True)
    assert state(folder, "f/cobra/label", mine).text == "¿Qullqita qusunkichu?"
    write(po(folder), "f/cobra/label", "¿Qullqita chaskinkichu?")
    assert state(folder, "f/cobra/label", mine) == Translation("¿Qullqita chaskinkichu?", "reviewed")


def test_a_text_that_had_no_translation_is_not_stale_when_its_spanish_changes(folder: Path) -> None:
    changed = form("¿Le pagan todo?")
    merge_into_file(changed, "quz", folder)
    write(po(folder), "f/cobra/label", "¿Lliw qullqita qusunkichu?")
    assert state(folder, "f/cobra/label", changed).state == "reviewed"


def test_only_a_complete_and_reviewed_language_ships_in_the_field(folder: Path) -> None:
    for each in translatable_texts(form()):
        assert language_coverage(form(), "quz", load_built_in(folder)).reasons_against("field")
        write(po(folder), each.context, "Ari")
    assert language_coverage(form(), "quz", load_built_in(folder)).reasons_against("field") == {}


def returned(folder: Path, **changes: object) -> str:
    """Return a translator's file: the extracted file with one more translation."""
    sent = folder / "sent.po"
    shutil.copy(po(folder), sent)
    write(sent, "f/cobra/label", **{"text": "¿Qullqita qusunkichu?", **changes})  # type: ignore[arg-type]
    return sent.read_text(encoding="utf-8")


def test_a_merge_stores_the_texts_of_a_returned_file(folder: Path) -> None:
    done = merge_into_file(form(), "quz", folder, returned(folder))
    assert done.taken == ("f/cobra/label",)
    assert state(folder, "f/cobra/label").state == "reviewed"
    assert merge_into_file(form(), "quz", folder, returned(folder)).taken == ()


def test_loan_words_in_the_header_of_a_returned_file_are_merged(folder: Path) -> None:
    text = returned(folder, text="¿Sueldota chaskinkichu?")
    assert "translation.spelling" in codes_after_merge(folder, text)
    assert "translation.spelling" not in codes_after_merge(folder, text.replace("X-Loans: ", "X-Loans: sueldota "))


def codes_after_merge(folder: Path, text: str) -> set[str]:
    merge_into_file(form(), "quz", folder, text)
    return {each.code for each in check_form(form(), {}, resources=load_built_in(folder))}


@pytest.mark.parametrize("draft", [{"fuzzy": True}, {"comments": ""}])
def test_a_returned_draft_does_not_replace_a_reviewed_text(folder: Path, draft: dict[str, object]) -> None:
    sent = returned(folder, text="¿Imatam?", **draft)
    merge_into_file(form(), "quz", folder, returned(folder))
    assert merge_into_file(form(), "quz", folder, sent).kept == ("f/cobra/label",)
    assert state(folder, "f/cobra/label") == Translation("¿Qullqita qusunkichu?", "reviewed")


def test_a_sign_off_of_another_text_does_not_count(folder: Path) -> None:
    merge_into_file(form(), "quz", folder, returned(folder))
    done = merge_into_file(form(), "quz", folder, returned(folder, text="¿Imatam?"))
    assert done.unsigned == done.kept == ("f/cobra/label",)
    newly = SIGNED.replace("2026-11-20", "2026-11-20 15:30")
    merge_into_file(form(), "quz", folder, returned(folder, text="¿Imatam?", comments=newly))
    assert state(folder, "f/cobra/label") == Translation("¿Imatam?", "reviewed")


def test_a_returned_translation_of_an_older_spanish_text_is_stale(folder: Path) -> None:
    old = returned(folder)
    changed = form("¿Le pagan todo?")
    merge_into_file(changed, "quz", folder, old)
    assert state(folder, "f/cobra/label", changed) == Translation("¿Qullqita qusunkichu?", "draft", stale=True)


def test_a_file_in_another_variety_is_rejected(folder: Path) -> None:
    ayacucho = returned(folder).replace('"Language: quz', '"Language: quy')
    with pytest.raises(FormError) as caught:
        merge_into_file(form(), "quz", folder, ayacucho)
    assert caught.value.problems[0].code == "translation.other_language"


@pytest.mark.parametrize("text", ["msgid", '"\\', "/etc/passwd", 'msgid "a"\nmsgid "b"\n', "\x00"])
def test_a_text_that_is_not_a_po_file_is_reported_and_never_opened_as_a_path(text: str) -> None:
    with pytest.raises(FormError) as caught:
        parse_po(text)
    assert caught.value.problems[0].code == "translation.unreadable"


def test_the_status_of_a_language_agrees_with_the_compiler(folder: Path) -> None:
    write(po(folder), "f/cobra/label", "¿qolqe?")
    write(po(folder), "f/cobra/hint", "Sapa killa", fuzzy=True)
    write(po(folder), "f/si_no.yes/label", "Ari", comments="")
    spanish, quz, ayr = translation_statuses(
        form("¿Le pagan todo?"), load_built_in(folder), Glossary("es,quz,note\nmes,phaxsi,\n")
    )
    assert quz.counts() == {
        **{"texts": 6, "reviewed": 0, "draft": 1, "stale": 1, "unsigned": 1, "missing": 3},
        **{"spelling": 1, "glossary": 1, "recorded": 0, "prompts": 4},
    }
    assert quz.as_dict()["why_not"] == {
        "training": {},
        "field": {"draft": 1, "missing": 3, "stale": 1, "unsigned": 1},
    }
    assert spanish.as_dict()["ships"] == {"training": True, "field": True}
    assert ayr.as_dict()["why_not"]["training"] == {"none": 6}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["forms", "translations", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def source(folder: Path) -> Path:
    (folder / "form.md").write_text(FORM.format(cobra="¿Le pagan?", own="", form_id="f"), encoding="utf-8")
    return folder


def test_an_authors_folder_exports_and_merges_translations(tmp_path: Path) -> None:
    mine, sent = source(tmp_path), tmp_path / "sent.po"
    run("extract", str(mine), "--lang", "quz", "--out", str(sent))
    write(sent, "f/cobra/label", "¿Qullqita qusunkichu?")
    assert "f/cobra/label" in json.loads(run("merge", str(mine), str(sent), "--json"))["quz"]["taken"]
    found = json.loads(run("status", str(mine), "--json"))[str(mine)]
    assert (found["quz"]["reviewed"], found["quz"]["ships"]["field"]) == (1, False)
    assert load_package(mine).resources.catalogue("quz")["f/cobra/label"].msgstr == "¿Qullqita qusunkichu?"


def test_a_source_package_merges_translations_too(tmp_path: Path) -> None:
    mine, sent = tmp_path / "mine.zip", tmp_path / "sent.po"
    with ZipFile(mine, "w") as packed:
        packed.writestr("form.md", FORM.format(cobra="¿Le pagan?", own="", form_id="f"))
    run("extract", str(mine), "--lang", "ayr", "--out", str(sent))
    write(sent, "f/cobra/label", "¿Payllapxtamti?", comments=SIGNED.replace("quz Cusco", "ayr Puno"))
    run("merge", str(mine), str(sent))
    found = load_package(mine)
    assert resolve_translations(found.workbook, "ayr", found.resources)["f/cobra/label"].state == "reviewed"


@pytest.mark.parametrize(
    ("name", "language", "message"),
    [("form.md", "quz", "is a single workbook"), ("", "quy", "needs quz, ayr besides Spanish, not 'quy'")],
)
def test_translations_that_a_form_cannot_store_are_rejected(
    tmp_path: Path, name: str, language: str, message: str
) -> None:
    mine, sent = source(tmp_path), tmp_path / "sent.po"
    run("extract", str(mine), "--lang", "quz", "--out", str(sent))
    sent.write_text(sent.read_text("utf-8").replace('"Language: quz', f'"Language: {language}'), encoding="utf-8")
    result = CliRunner().invoke(main, ["forms", "translations", "merge", str(mine / name), str(sent)])
    assert (result.exit_code, message in result.output) == (1, True)


def test_the_status_of_the_catalogue_lists_quechua_and_aymara_as_drafts() -> None:
    found = json.loads(run("status", "pe_laboral_adulto", "--json"))["pe_laboral_adulto"]
    for lang in ("quz", "ayr"):
        assert found[lang]["reviewed"] == found[lang]["recorded"] == 0
        assert found[lang]["ships"] == {"training": True, "field": False}
    assert "quz does not ship on field:" in run("status", "pe_laboral_adulto")


README = (LOCALES / "README.md").read_text(encoding="utf-8")


def test_the_commands_and_the_example_in_the_translators_readme_work() -> None:
    signed = README.split("```\n")[1]
    assert lacking_fields(signed, "quz") == ()
    commands = re.findall(r"chaski forms translations (\w+)([^`\n]*)", README)
    assert {name for name, _ in commands} == {"extract", "merge", "status"}
    for name, arguments in commands:
        offered = run(name, "--help")
        assert all(option in offered for option in re.findall(r"--\w+", arguments))


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_every_catalogue_text_has_a_draft_of_todays_spanish_in_official_letters(name: str) -> None:
    read = load_package(CATALOGUE / name)
    for each in translation_statuses(read.workbook, read.resources, Glossary("es,quz,ayr,note\n")):
        assert [str(problem) for problem in each.problems] == []
        assert each.coverage.missing == ()
