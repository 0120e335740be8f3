"""Tests of the source package: author, reviewer and server compile the same bytes from it."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pytest

from screening_forms.compiler.compile_form import compile_form
from screening_forms.errors import FormError
from screening_forms.workbook.package import Package, load_package, pack_package, parse_package
from screening_forms.workbook.resources import BUILT_IN, CATALOGUE, Resources
from sync.envelope.route import AUTHOR_FIELDS

FORM = CATALOGUE / "pe_laboral_adulto" / "form.md"


def compiled(found: Package) -> bytes:
    form = compile_form(found.workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=found.resources)
    return form.to_bytes()


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_packed_form_compiles_to_the_same_bytes_after_unpacking(tmp_path: Path) -> None:
    here = load_package(FORM)
    packed = pack_package(here)
    there = parse_package(packed)
    assert {"ilo_delphi_2026_1"} == set(there.included.indicator_sets)
    assert {"quz", "ayr"} == set(there.included.catalogues)
    assert compiled(there) == compiled(here)
    assert pack_package(there) == packed, "packing again changes nothing"
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "NOTES.txt").write_text("an author's own notes are left aside", encoding="utf-8")
    assert pack_package(load_package(tmp_path)) == packed


def test_an_authors_own_tables_replace_those_of_the_release() -> None:
    changed = BUILT_IN.policies["pe_adult_2026_1"].replace("duty_to_report", "consent")
    own = parse_package(zipped(**{"form.md": FORM.read_bytes(), "policies/pe_adult_2026_1.csv": changed.encode()}))
    assert own.resources.policies["pe_adult_2026_1"] == changed
    assert own.resources.indicator_sets == BUILT_IN.indicator_sets
    assert Resources().with_fallback(BUILT_IN) == BUILT_IN


@pytest.mark.parametrize(
    "content",
    [
        zipped(**{"form.md": FORM.read_bytes(), "run.exe": b"MZ"}),
        zipped(**{"form.md": FORM.read_bytes(), "../form.md": b"| survey | type |"}),
        zipped(**{"form.md": FORM.read_bytes(), "form.xlsx": b""}),
        zipped(**{"quz.po": b""}),
        zipped(**{"form.md": FORM.read_bytes(), "quz.po": b"\xff\xfe"}),
        zipped(**{"form.md": FORM.read_bytes()})[:-30] + b"PK\x05\x06" + bytes(18),
    ],
)
def test_a_faulty_package_is_rejected_with_one_problem(content: bytes) -> None:
    with pytest.raises(FormError) as refused:
        parse_package(content)
    (problem,) = refused.value.problems
    assert problem.code == "package.unreadable"


def test_a_package_with_two_files_of_one_name_is_rejected() -> None:
    packed = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("form.md", FORM.read_bytes())
        archive.writestr("form.md", FORM.read_bytes())
    with pytest.raises(FormError, match="mismo nombre"):
        parse_package(packed.getvalue())


def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"audio/quz/q{number}.ogg", bytes(50 * 2**20))
    with pytest.raises(FormError, match="demasiado grande"):
        parse_package(bomb.getvalue())


def test_a_broken_po_text_is_a_problem_and_is_never_opened_as_a_path(tmp_path: Path) -> None:
    secret = tmp_path / "secret.po"
    secret.write_text('msgctxt "pe_laboral_adulto/peligro/label"\nmsgid "a"\nmsgstr "b"\n', encoding="utf-8")
    for text in (str(secret), "hello\n"):
        found = parse_package(zipped(**{"form.md": FORM.read_bytes(), "quz.po": text.encode()}))
        with pytest.raises(FormError, match=r"translation\.unreadable"):
            found.resources.catalogue("quz")
