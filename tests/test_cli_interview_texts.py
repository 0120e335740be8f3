"""Tests of the interview's texts: Spanish throughout, only recordings that exist, and parts that fit the window."""

from __future__ import annotations

import ast
import errno
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import RenderableType
from rich.text import Text

from screening_forms.engine.evaluator import load_engine
from screening_forms.engine.interview import Interview
from screening_forms.errors import AnswerError
from server.cli.page_layout import Page, PageView
from server.cli.tablet.interview_pages import ENOUGH, numbered_list, page, question_page
from server.cli.tablet.spanish_errors import reason_in_spanish
from support.forms import compiled
from sync.envelope.seal import new_screening_id
from sync.errors import SyncError
from sync.tablet.outbox import Outbox
from sync.tablet.unshown_guidance import Guidance, UnshownGuidance

ROOT = Path(__file__).parent.parent
SHOWN = (
    *(ROOT / "server/cli/tablet" / f"{name}.py" for name in ("interview", "interview_pages", "interview_start")),
    *(ROOT / "server/cli/tablet" / f"{name}.py" for name in ("step_pages", "guidance", "spanish_errors")),
    ROOT / "server/cli/tablet/spanish_command.py",
    ROOT / "server/cli/page_layout.py",
    ROOT / "server/cli/private_terminal.py",
    ROOT / "screening_forms/engine/interview.py",
    ROOT / "screening_forms/engine/evaluator.py",
    ROOT / "sync/tablet/status.py",
)
ENGLISH = re.compile(
    r"\b(the|is|are|was|were|not|and|of|with|this|that|has|have|from|cannot|please|press|type|file|error of|draft|"
    r"sealed|kept|disk|tablet|answer|question|form|again|wrong|missing|failed|unknown|must|no such)\b",
    re.IGNORECASE,
)
CODES = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", (ROOT / "sync/SPEC.md").read_text(encoding="utf-8"), re.MULTILINE)


def shown_literals(path: Path) -> list[str]:
    """Return the texts in a module's code with a blank: no docstrings, no names and no codes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    docs |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    return [node.value for node in found if isinstance(node.value, str) and re.search(r"\w \w", node.value)]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_no_text_that_an_inspector_can_read_is_english(path: Path) -> None:
    # Exceptions for programmers, which no page shows, and the style names of the library.
    internal = ("every question had its turn", "dim italic", "dim underline")
    texts = [text.replace("--tablet", "") for text in shown_literals(path) if text not in internal]
    assert [text for text in texts if ENGLISH.search(text)] == []


def test_the_search_for_english_finds_english_and_spares_spanish() -> None:
    assert ENGLISH.search("The draft cannot be read")
    assert not ENGLISH.search("No se pudo sellar, y nada se perdió")
    assert sum(len(shown_literals(path)) for path in SHOWN) > 80


@pytest.mark.parametrize("code", [*CODES, "new.code"])
def test_every_error_of_the_tablet_has_a_spanish_reason(code: str) -> None:
    detail = "una razón" if code in ("tablet.revoked", "tablet.wiped") else "this is an English detail"
    told = reason_in_spanish(SyncError(code, detail))
    assert told
    assert not ENGLISH.search(told)


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "No space left on device") for number in sorted(errno.errorcode)),
        OSError("disk I/O error"),
        sqlite3.OperationalError("database is locked"),
        RuntimeError("something is wrong"),
    ],
)
def test_an_error_of_the_system_is_told_in_spanish(error: Exception) -> None:
    assert not ENGLISH.search(reason_in_spanish(error))


def test_a_missing_answer_is_named_by_its_question_and_not_by_its_code() -> None:
    nodes = load_engine(compiled("pe_laboral_adulto").xform).nodes
    told = reason_in_spanish(AnswerError("edad, distrito", "falta una respuesta obligatoria"), nodes)
    assert told.startswith("¿Qué edad")
    assert "¿En qué distrito" in told


# Recordings


def words_of(page: Page) -> str:
    return " ".join(str(each) for each in (*page.head, *page.body, *page.foot) if isinstance(each, Text))


@pytest.mark.parametrize(
    ("language", "recorded", "heard"),
    [("es", {"a" * 64}, True), ("es", set(), False), ("quz", {"a" * 64}, False), ("es", {"b" * 64}, False)],
)
def test_audio_is_named_only_where_the_tablet_has_it_in_this_language(
    language: str, recorded: set[str], heard: bool
) -> None:
    form = compiled("pe_laboral_adulto")
    entry = {"sha256": "a" * 64, "type": "audio/ogg", "size": 1, "milliseconds": 1}
    form = replace(form, audio={"es": {"pe_laboral_adulto/peligro/label": entry}})
    interview = Interview(load_engine(form.xform))
    assert interview.question
    page = question_page(form, interview, interview.question, language, "", frozenset(recorded))
    assert ("Hay audio" in words_of(page)) is heard


def test_a_question_stands_dim_and_below_the_keys_and_shows_no_earlier_answer() -> None:
    form = compiled("pe_laboral_adulto")
    interview = Interview(load_engine(form.xform)).answer("no").go_back(1)
    assert interview.question
    page = question_page(form, interview, interview.question, "es", "", frozenset())
    assert [each for each in page.body if isinstance(each, Text) and "dim" not in str(each.style)] == []
    assert "actual" not in words_of(page)
    assert ENOUGH not in words_of(page)


# Pages in parts

texts = st.lists(st.text("abc ñ", max_size=90), min_size=1, max_size=30)


def page_of(head: list[str], body: list[str], foot: list[str]) -> Page:
    def shown(lines: list[str]) -> list[RenderableType]:
        return [Text(line) for line in lines]

    return Page(shown(head), shown(body), shown(foot))


@settings(max_examples=60, deadline=None)
@given(texts, texts, texts, st.integers(10, 100), st.integers(3, 40))
def test_a_part_fits_the_window_and_the_end_counts_as_shown_only_after_all_parts(
    head: list[str], body: list[str], foot: list[str], columns: int, lines: int
) -> None:
    view, shown = PageView(page_of(head[:3], body, foot[:2])), []
    while True:
        part = view.lay_out(columns, lines)
        assert len(part) <= lines - 1
        if view.too_small:
            assert not view.shown_to_end
            assert not view.takes("1")
            return
        assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= columns for line in part)
        shown += part
        if view.is_at_end:
            break
        assert not view.shown_to_end
        view.turn()
    assert view.shown_to_end
    letters = re.sub(r"\s|\x1b\[[0-9;]*m", "", "".join(shown))
    for line in body:
        for word in line.split():
            assert len(word) > columns or word in letters


@pytest.mark.parametrize("columns", [12, 13, 17, 20, 26])
@pytest.mark.parametrize("count", [9, 12, 40])
def test_a_long_word_in_a_list_of_choices_is_folded_and_not_cut_off(columns: int, count: int) -> None:
    words = [f"{number}manchay" + "llamk'apakuy" * 3 for number in range(count)]
    view = PageView(page([numbered_list(words)], "Enter"))
    view.lay_out(columns, 500)
    assert view.is_at_end
    shown = re.sub(r"\s|\x1b\[[0-9;]*m", "", "".join(view.parts[0]))
    assert [word for word in words if word not in shown] == []


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(12, 60), st.integers(4, 12), st.integers(12, 60), st.integers(4, 12))
def test_a_new_size_never_makes_an_unread_page_read(
    body: list[str], columns: int, lines: int, later_columns: int, later_lines: int
) -> None:
    view = PageView(page_of(["1 de 2"], body, ["Enter"]))
    view.lay_out(columns, lines)
    if not view.is_at_end:
        view.turn()
        view.lay_out(columns, lines)
    before, parts = view.shown_to_end, view.parts
    view.lay_out(later_columns, later_lines)
    if before:
        assert view.shown_to_end
        assert view.is_at_end is not view.too_small
    elif view.parts != parts:
        assert view.part == 0
        assert view.shown_to_end == (len(view.parts) == 1)


# Guidance on the disk


def test_guidance_is_kept_encrypted_in_one_length_and_named_only_after_the_sealing(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        kept = UnshownGuidance(tmp_path / "drafts", outbox)
        notes = ("guidance_protection", "guidance_none", "g" * 60)
        made = [Guidance(new_screening_id(), "a" * 64, note, open_consent=True) for note in notes]
        for each in made:
            kept.save(each)
        assert kept.list_all() == (), "an interview that is not sealed has no guidance yet"
        bodies = [path.read_bytes() for path in (tmp_path / "drafts").iterdir()]
        assert {len(body) for body in bodies} == {len(bodies[0])}
        assert not any(b"guidance_" in body for body in bodies)
        outbox.envelopes.append("17-protection", made[0].id, lambda place: b"sealed")
        assert kept.list_all() == (made[0],)
        assert kept.shas() == {"a" * 64}
        [path] = (tmp_path / "drafts").glob(f"{made[0].id}.*")
        path.write_bytes(path.read_bytes()[:-1])
        assert kept.list_all() == (Guidance(made[0].id, "", ""),), "a damaged file still says that there was guidance"
        kept.destroy(made[0].id)
        assert kept.list_all() == ()
