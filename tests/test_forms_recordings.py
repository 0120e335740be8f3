"""Recordings: only whole, short ones of two kinds, each of a text that the form has today, and none invented."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.checks.run import blocking, check
from screening_forms.compiled_form import CompiledForm
from screening_forms.engine import evaluator as engine
from screening_forms.errors import FormError
from screening_forms.texts import audio
from screening_forms.workbook.resources import SHIPPED, Shelf, shipped
from server.cli.main import main
from support.forms import SMALL, compiled
from support.languages import compiled_in, drafted, edit, signed, trilingual
from support.recordings import mp3, opus
from sync.envelope.route import AUTHOR_FIELDS

OPUS = opus()
DANGER = "¿Hay peligro?"


def key(lang: str, item: str, text: str) -> str:
    return f"{lang}/{audio.name_for(item, text)}"


def problems(recordings: dict[str, bytes], locales: Path | None = None) -> list[tuple[str, int, str, str]]:
    shelf = Shelf(recordings=recordings).over(shipped(locales) if locales else SHIPPED)
    found = check(trilingual(), AUTHOR_FIELDS, shelf=shelf)
    assert not blocking(found)
    return [(each.sheet, each.row, each.column, each.code) for each in found if each.code.startswith("audio.")]


def test_what_a_recording_is_is_read_from_its_bytes() -> None:
    found = audio.read(OPUS)
    assert (found.type, found.size, found.milliseconds) == ("audio/ogg", len(OPUS), 1000)
    assert found.file_name == f"{hashlib.sha256(OPUS).hexdigest()}.ogg"
    found = audio.read(mp3(2))
    assert (found.type, found.milliseconds // 100, found.file_name[-4:]) == ("audio/mpeg", 20, ".mp3")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "audio.unreadable"),
        (b"<html>no sound</html>", "audio.unreadable"),
        (OPUS[:-1], "audio.unreadable"),
        (OPUS[: OPUS.rindex(b"OggS")], "audio.unreadable"),
        (OPUS[:200] + b"\0" + OPUS[201:], "audio.unreadable"),
        (OPUS + b"<script>", "audio.unreadable"),
        (OPUS + opus(serial=8), "audio.unreadable"),
        (mp3(0.06), "audio.unreadable"),
        (opus(head=b"\x01vorbis\x00"), "audio.codec"),
        (mp3(header=b"\xff\xfd\x10\xc0"), "audio.codec"),
        (opus(0), "audio.unreadable"),
        (opus(60.02), "audio.too_long"),
        (mp3(61), "audio.too_long"),
        (opus(channels=3), "audio.channels"),
        (mp3() + bytes(2**20), "audio.too_large"),
    ],
)
def test_what_is_no_short_recording_of_an_allowed_kind_is_named(content: bytes, code: str) -> None:
    with pytest.raises(FormError) as caught:
        audio.read(content)
    assert [each.code for each in caught.value.problems] == [code]
    found = problems({key("es", "peligro", DANGER): content})
    assert found == [("survey", 2, "audio::Español (es)", code)]


@given(st.binary(max_size=300), st.sampled_from([b"", b"OggS", b"ID3\x04", b"\xff\xfb\x10\xc0", OPUS, mp3(0.3)]))
def test_no_bytes_break_the_reader(tail: bytes, head: bytes) -> None:
    with suppress(FormError):
        assert audio.read(head + tail).size == len(head + tail)


def test_a_recording_is_of_one_text_and_falls_silent_when_the_text_changes() -> None:
    assert problems({key("es", "peligro", DANGER): OPUS}) == []
    assert problems({key("es", "peligro", "¿Hay mucho peligro?"): OPUS}) == [
        ("survey", 2, "audio::Español (es)", "audio.stale")
    ]
    assert problems({"es/peligro": OPUS}) == [("survey", 2, "audio::Español (es)", "audio.unbound")]
    assert problems({key("es", "ynd.yes", "Sí"): OPUS}) == []
    for unknown in (key("es", "nadie", "x"), key("quy", "peligro", DANGER), key("es", "adulto", "Trabajo")):
        assert [code for *_, code in problems({unknown: OPUS})] == ["audio.unknown"]


def test_the_bundle_lists_every_recording_by_its_hash_and_the_form_plays_it(tmp_path: Path) -> None:
    text, louder = "rimay small/deuda/label", opus(1.5)
    recordings = {
        key("es", "peligro", DANGER): OPUS,
        key("quz", "deuda", text): louder,
        key("quz", "ynd.yes", "rimay small/ynd.yes/label"): mp3(),
        key("quz", "oferta", "other words"): OPUS,
    }
    form = compiled_in("training", drafted(tmp_path), recordings)
    assert {lang: list(found) for lang, found in form.audio.items()} == {
        "es": ["small/peligro/label"],
        "quz": ["small/deuda/label", "small/ynd.yes/label"],
    }
    sha = hashlib.sha256(louder).hexdigest()
    assert form.audio["quz"]["small/deuda/label"] == {
        **{"sha256": sha, "type": "audio/ogg", "size": len(louder), "milliseconds": 1500}
    }
    assert CompiledForm.from_bytes(form.to_bytes()) == form
    assert sounds(form, "Runasimi (quz)") == {f"{sha}.ogg", f"{hashlib.sha256(mp3()).hexdigest()}.mp3"}
    assert engine.load(form.xform).nodes["deuda"].label["quz"] == f"[borrador] {text}"


def sounds(form: CompiledForm, language: str) -> set[str]:
    texts = form.xform.split(f'lang="{language}"')[1].split("</translation>")[0]
    return set(re.findall(r'<value form="audio">jr://audio/([^<]+)</value>', texts))


def test_where_spanish_stands_in_its_recording_does_too(tmp_path: Path) -> None:
    form = compiled_in("training", drafted(tmp_path), {key("es", "peligro", DANGER): OPUS})
    assert sounds(form, "Aymar aru (ayr)") == {audio.read(OPUS).file_name}
    assert sounds(form, "Runasimi (quz)") == set()
    assert form.audio.keys() == {"es"}


def test_a_language_that_is_left_out_brings_no_recordings(tmp_path: Path) -> None:
    recordings = {key("quz", "deuda", "rimay small/deuda/label"): OPUS}
    assert compiled_in("field", drafted(tmp_path), recordings).audio == {}
    edit(tmp_path, "quz", signed("quz"))
    assert compiled_in("field", tmp_path, recordings).audio.keys() == {"quz"}


def test_no_recording_is_invented() -> None:
    assert compiled("pe_laboral_adulto").audio == {}
    assert "jr://" not in compiled("pe_laboral_adulto").xform


def chaski(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["forms", "translations", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_whoever_reads_aloud_is_told_what_and_how_to_name_it_and_status_counts_it(tmp_path: Path) -> None:
    (tmp_path / "form.md").write_text(SMALL, encoding="utf-8")
    listed = tmp_path / "prompts.csv"
    chaski("extract", str(tmp_path), "--prompts", "--lang", "es", "--out", str(listed))
    rows = list(csv.DictReader(listed.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == {"file": f"audio/{key('es', 'peligro', DANGER)}.ogg", "recorded": "no", "text": DANGER}
    made = tmp_path / rows[0]["file"]
    made.parent.mkdir(parents=True)
    made.write_bytes(OPUS)
    found = json.loads(chaski("status", str(tmp_path), "--json"))[str(tmp_path)]["es"]
    assert (found["recorded"], found["prompts"]) == (1, len(rows))
    assert found["findings"] == []
