"""Tests of recordings: only complete, short Opus or MP3 sounds of a form's present texts are accepted."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import wave
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from screening_forms.checks.run import blocking_problems, check_form
from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import load_engine
from screening_forms.errors import FormError
from screening_forms.texts import sound_formats
from screening_forms.texts.audio import read_recording, recording_name
from screening_forms.workbook.resources import BUILT_IN, Resources, load_built_in
from server.cli.main import main
from support.forms import SMALL, compiled
from support.languages import compiled_in, drafted, edit, signed, trilingual
from support.recordings import CONTINUED, FIRST, LAST, SILENCE, ape, id3, information, mp3, opus, opus_headers, page
from sync.envelope.route import AUTHOR_FIELDS

OPUS = opus()
DANGER = "¿Hay peligro?"
LOUDER = b"\xff\xfb\x50\xc0" + bytes(204)
"""A frame like those of `mp3`, but of 64 kbit/s."""


def key(lang: str, item: str, text: str) -> str:
    return f"{lang}/{recording_name(item, text)}"


def problems(recordings: dict[str, bytes], locales: Path | None = None) -> list[tuple[str, int, str, str]]:
    resources = Resources(recordings=recordings).with_fallback(load_built_in(locales) if locales else BUILT_IN)
    found = check_form(trilingual(), AUTHOR_FIELDS, resources=resources)
    assert not blocking_problems(found)
    return [(each.sheet, each.row, each.column, each.code) for each in found if each.code.startswith("audio.")]


def test_the_kind_and_duration_of_a_recording_are_read_from_its_bytes() -> None:
    found = read_recording(OPUS)
    assert (found.type, found.size, found.milliseconds) == ("audio/ogg", len(OPUS), 1000)
    assert found.file_name == f"{hashlib.sha256(OPUS).hexdigest()}.ogg"
    found = read_recording(mp3(2))
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
def test_a_faulty_recording_is_reported_with_its_code(content: bytes, code: str) -> None:
    with pytest.raises(FormError) as caught:
        read_recording(content)
    assert [each.code for each in caught.value.problems] == [code]
    found = problems({key("es", "peligro", DANGER): content})
    assert found == [("survey", 2, "audio::Español (es)", code)]


@given(st.binary(max_size=300), st.sampled_from([b"", b"OggS", b"ID3\x04", b"\xff\xfb\x10\xc0", OPUS, mp3(0.3)]))
def test_the_reader_raises_only_form_errors_on_any_bytes(tail: bytes, head: bytes) -> None:
    with suppress(FormError):
        assert read_recording(head + tail).size == len(head + tail)


def in_pages(*packets: list[bytes], position: int, flags: int = LAST) -> bytes:
    """Make an Ogg Opus stream with these packets, a list for each page; the position is the last page's."""
    pages = opus_headers()
    for some in packets:
        last = some is packets[-1]
        pages.append(page(some, len(pages), 7, position if last else 0, flags=flags if last else 0))
    return b"".join(pages)


@pytest.mark.parametrize(
    ("content", "milliseconds"),
    [
        (opus(2.34), 2340),
        (opus(60), 60_000),
        (opus(2.34, pre_skip=312), 2333.5),
        (opus(2.34, claim=111_840), 2330),
        (opus(2.34, pre_skip=312, claim=111_840 + 312), 2330),
        (opus(2.34, began=480_000), 2340),
        (opus(1, claim=480_000), 1000),
        (opus(0.5, claim=12_000), 250),
        (in_pages([SILENCE] * 3, [], position=2880), 60),
        (mp3(2), 77 * 1152 / 44.1),
        (mp3(2) + LOUDER * 40, 117 * 1152 / 44.1),
        (mp3(2, header=b"\xff\xfa\x10\xc0"), 77 * 1152 / 44.1),
        (b"".join((b"\xff\xfb\x12\xc0" + bytes(101), b"\xff\xfb\x10\xc0" + bytes(100))) * 20, 40 * 1152 / 44.1),
        ((b"\xff\xfb\x54\x00" + bytes(188)) * 50, 50 * 1152 / 48),
        ((b"\xff\xfb\x58\x00" + bytes(284)) * 50, 50 * 1152 / 32),
        ((b"\xff\xf3\x40\xc0" + bytes(100)) * 50, 50 * 576 / 22.05),
        ((b"\xff\xe3\x18\xc0" + bytes(68)) * 50, 50 * 576 / 8),
        (id3() + mp3(2), 77 * 1152 / 44.1),
        (id3(0) + id3(127) + id3(128) + mp3(2), 77 * 1152 / 44.1),
        (mp3(2) + b"TAG".ljust(128, b"\0"), 77 * 1152 / 44.1),
        (mp3(2) + ape(), 77 * 1152 / 44.1),
        (mp3(2) + ape(header=True) + b"TAG".ljust(128, b"\0"), 77 * 1152 / 44.1),
        (information(frames=77, delay=576, padding=500) + mp3(2), (77 * 1152 - 1076) / 44.1),
        (
            id3() + information(b"Xing", frames=77, delay=1105, padding=0, by=b"Lavc60.31") + mp3(2),
            (77 * 1152 - 1105) / 44.1,
        ),
        (information(frames=77, delay=576, padding=500, by=b"?") + mp3(2), 77 * 1152 / 44.1),
        ((b"\xff\xfb\x50\xc0" + bytes(32) + b"VBRI").ljust(208, b"\0") + mp3(2), 77 * 1152 / 44.1),
    ],
)
def test_the_duration_of_a_recording_is_that_of_its_sound(content: bytes, milliseconds: float) -> None:
    assert abs(read_recording(content).milliseconds - milliseconds) <= 1


@pytest.mark.parametrize("mode", range(32))
def test_the_duration_of_an_opus_packet_is_read_from_its_first_bytes(mode: int) -> None:
    frame = ([10, 20, 40, 60] * 3 + [10, 20] * 2 + [2.5, 5, 10, 20] * 4)[mode]
    most = int(120 / frame)
    packets = [bytes([mode << 3]), bytes([mode << 3 | 1, 0]), bytes([mode << 3 | 2, 0]), bytes([mode << 3 | 3, most])]
    lasts = [frame, 2 * frame, 2 * frame, most * frame]
    for packet, milliseconds in zip(packets, lasts, strict=True):
        content = in_pages([packet] * 7, position=round(7 * milliseconds * 48))
        assert sound_formats.read_opus(content) == sound_formats.Sound(7 * milliseconds / 1000, 1)
    for broken in (b"", bytes([mode << 3 | 3]), bytes([mode << 3 | 3, 0]), bytes([mode << 3 | 3, most + 1])):
        with pytest.raises(sound_formats.SoundError):
            sound_formats.read_opus(in_pages([SILENCE, broken], position=960))


def test_a_packet_may_span_several_pages() -> None:
    whole = SILENCE.ljust(700, b"\0")
    head = opus_headers()
    open_page, middle = (
        page([whole[:255]], 2, 7, -1, goes_on=True),
        page([whole[255:510]], 3, 7, -1, flags=1, goes_on=True),
    )
    rest = page([whole[510:], SILENCE], 4, 7, 1920, flags=CONTINUED | LAST)
    assert read_recording(b"".join([*head, open_page, middle, rest])).milliseconds == 40
    for damaged in (
        [*head, open_page, page([SILENCE], 3, 7, 960, flags=LAST)],
        [*head, page([SILENCE], 2, 7, 960, flags=CONTINUED | LAST)],
        [*head, page([whole[:255]], 2, 7, 960, flags=LAST, goes_on=True)],
    ):
        assert refused(b"".join(damaged)) == "audio.unreadable"


def refused(content: bytes) -> str:
    with pytest.raises(FormError) as caught:
        read_recording(content)
    return caught.value.problems[0].code


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 44_100, 0, "NONE", ""))
        writer.writeframes(bytes(88_200))
    return file.getvalue()


THEORA = page([b"\x80theora\x03\x02\x01"], 0, 9, 0, flags=FIRST)
TWO_SECONDS = opus(2)
BEFORE_SOUND, SOUND = (
    TWO_SECONDS[: TWO_SECONDS.index(b"OpusTags") + 18],
    TWO_SECONDS[TWO_SECONDS.index(b"OpusTags") + 18 :],
)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (mp3()[:-1], "audio.unreadable"),
        (mp3() + b"\0", "audio.unreadable"),
        (mp3() + b"<script>" + mp3(), "audio.unreadable"),
        (b"\0" + mp3(), "audio.unreadable"),
        (mp3() + b"TAG", "audio.unreadable"),
        (b"TAG", "audio.unreadable"),
        (mp3() + ape()[:-1], "audio.unreadable"),
        (ape(), "audio.unreadable"),
        (mp3() + ape(size=2**32 - 1), "audio.unreadable"),
        (mp3() + (b"\xff\xfb\x14\xc0" + bytes(92)) * 9, "audio.unreadable"),
        (id3(), "audio.unreadable"),
        (id3()[:9], "audio.unreadable"),
        (id3()[:-1], "audio.unreadable"),
        (b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mp3(), "audio.unreadable"),
        (information(frames=0), "audio.unreadable"),
        (b"\xff\xfb" * 500, "audio.unreadable"),
        ((b"\xff\xfb\x00\xc0" + bytes(100)) * 40, "audio.unreadable"),
        (wav(), "audio.unreadable"),
        (THEORA + OPUS, "audio.codec"),
        (opus_headers()[0] + THEORA + OPUS[OPUS.rindex(b"OggS", 0, 60) :], "audio.unreadable"),
        (OPUS + OPUS, "audio.unreadable"),
        (b"OggS", "audio.unreadable"),
        (BEFORE_SOUND + SOUND[SOUND.rindex(b"OggS") :], "audio.unreadable"),
        (opus_headers(version=16)[0] + OPUS[OPUS.index(b"OggS", 1) :], "audio.unreadable"),
        (page([b"OpusHead\x01\x01"], 0, 7, 0, flags=FIRST) + OPUS[OPUS.index(b"OggS", 1) :], "audio.unreadable"),
        (opus_headers()[0] + page([SILENCE], 1, 7, 960, flags=LAST), "audio.unreadable"),
        (opus(0.02, pre_skip=960), "audio.too_long"),
    ],
)
def test_a_recording_must_be_exactly_one_whole_stream(content: bytes, code: str) -> None:
    assert refused(content) == code


@pytest.mark.parametrize(
    "content",
    [
        opus(62, claim=48_000),
        opus(62, claim=0),
        opus(62, claim=-1),
        opus(62, began=480_000, claim=528_000),
        opus(2, claim=61 * 48_000),
        opus(2, claim=2**63 - 1),
        information(frames=40, delay=576, padding=500) + mp3(62),
        information(b"Xing", frames=40) + mp3(62),
        (b"\xff\xfb\x50\xc0" + bytes(32) + b"VBRI" + (40).to_bytes(18, "big")).ljust(208, b"\0") + mp3(62),
        (b"\xff\xfb\xe0\xc0" + bytes(1040)) * 9 + mp3(62),
        information(frames=2373, delay=4095, padding=4095) + mp3(62),
    ],
)
def test_a_false_header_does_not_get_a_long_recording_past_the_limit(content: bytes) -> None:
    assert refused(content) == "audio.too_long"


def test_a_header_that_claims_more_frames_than_there_are_adds_no_time() -> None:
    assert read_recording(information(frames=9999, delay=576, padding=500) + mp3(2)).milliseconds == 2011


PAGES = st.lists(
    st.tuples(
        st.lists(st.binary(max_size=260), max_size=4),
        st.integers(0, 4),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
    ),
    max_size=4,
)


@given(PAGES, st.booleans())
def test_pages_with_valid_checksums_raise_only_sound_errors(
    listed: list[tuple[list[bytes], int, int, bool]], begun: bool
) -> None:
    pages = opus_headers() if begun else []
    for packets, flags, position, goes_on in listed:
        pages.append(page(packets, len(pages), 7, position, flags=flags, goes_on=goes_on))
    with suppress(sound_formats.SoundError):
        sound_formats.read_opus(b"".join(pages))


@given(st.data())
def test_damaged_recordings_raise_only_sound_errors(data: st.DataObject) -> None:
    read, whole = data.draw(
        st.sampled_from(
            [
                (sound_formats.read_opus, opus(0.3)),
                (sound_formats.read_mp3, id3(9) + information(frames=6) + mp3(0.15)),
                (sound_formats.read_mp3, b""),
                (sound_formats.read_opus, b""),
            ]
        )
    )
    content = bytearray(whole)
    for at, byte in data.draw(
        st.lists(st.tuples(st.integers(0, max(0, len(whole) - 1)), st.binary(max_size=4)), max_size=5)
    ):
        content[at : at + data.draw(st.integers(0, 5))] = byte
    with suppress(sound_formats.SoundError):
        assert read(bytes(content)).channels in range(256)


def test_a_recording_belongs_to_one_text_and_is_stale_after_a_change_of_the_text() -> None:
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
    assert load_engine(form.xform).nodes["deuda"].label["quz"] == f"[borrador] {text}"


def sounds(form: CompiledForm, language: str) -> set[str]:
    texts = form.xform.split(f'lang="{language}"')[1].split("</translation>")[0]
    return set(re.findall(r'<value form="audio">jr://audio/([^<]+)</value>', texts))


def test_a_text_that_falls_back_to_spanish_plays_the_spanish_recording(tmp_path: Path) -> None:
    form = compiled_in("training", drafted(tmp_path), {key("es", "peligro", DANGER): OPUS})
    assert sounds(form, "Aymar aru (ayr)") == {read_recording(OPUS).file_name}
    assert sounds(form, "Runasimi (quz)") == set()
    assert form.audio.keys() == {"es"}


def test_a_form_has_no_recordings_of_a_language_left_out(tmp_path: Path) -> None:
    recordings = {key("quz", "deuda", "rimay small/deuda/label"): OPUS}
    assert compiled_in("field", drafted(tmp_path), recordings).audio == {}
    edit(tmp_path, "quz", signed("quz"))
    assert compiled_in("field", tmp_path, recordings).audio.keys() == {"quz"}


def test_a_form_without_recordings_names_no_sound() -> None:
    assert compiled("pe_laboral_adulto").audio == {}
    assert "jr://" not in compiled("pe_laboral_adulto").xform


def chaski(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["forms", "translations", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_extract_lists_the_texts_to_record_with_file_names_and_status_counts_them(tmp_path: Path) -> None:
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
