"""Uploads are read in a process apart: it can spend little, it can open nothing, and whatever becomes of it, whoever
asked gets an answer or a problem with a code."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from screening_forms.errors import FormError
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import TASKS, CompiledDraft, CompileDraft, KnownTables, Progress, Task
from screening_forms.workbook.package import parse_package
from server.cli.admin import server as admin
from server.cli.main import main
from support.forms import SMALL, compiled
from support.hostile_tasks import HostileRequest, read_memory
from sync.envelope.route import AUTHOR_FIELDS

VOCABULARY = {field: sorted(codes) for field, codes in AUTHOR_FIELDS.items()}
Hostile = Callable[..., Any]


@pytest.fixture(name="hostile")
def _hostile(monkeypatch: pytest.MonkeyPatch) -> Hostile:
    """Ask for something that support/hostile_tasks.py does."""

    def ask_for(name: str, content: bytes = b"", progress: Progress | None = None, **options: Any) -> Any:
        task = Task(name, f"tests.support.hostile_tasks:{name}", seconds=1, megabytes=256)
        monkeypatch.setitem(TASKS, HostileRequest, task)
        return sandbox.run(HostileRequest(content, options), progress).value

    return ask_for


def compile_sandboxed(content: bytes) -> CompiledDraft:
    return sandbox.run(CompileDraft(content, "training", VOCABULARY, KnownTables({}, {}, 2026)))


def code(hostile: Hostile, name: str) -> str:
    with pytest.raises(FormError) as refused:
        hostile(name)
    assert refused.value.problems[0].advice_es
    return refused.value.problems[0].code


def test_a_form_is_compiled_apart_to_the_same_bytes_as_here() -> None:
    assert compile_sandboxed(SMALL.encode()).compiled == compiled("small").to_bytes()


def test_a_form_is_checked_apart_and_every_problem_comes_back_with_its_place() -> None:
    found = compile_sandboxed(SMALL.replace("integer | horas", "geopoint | horas").encode())
    assert found.compiled is None
    assert ("survey", 15, "type", "type.place", True) in {
        (each["sheet"], each["row"], each["column"], each["code"], each["blocking"]) for each in found.problems
    }


def test_what_the_reader_refuses_comes_back_whole() -> None:
    with pytest.raises(FormError) as here:
        parse_package(b"no table", "form.md")
    with pytest.raises(FormError) as there:
        compile_sandboxed(b"no table")
    assert there.value.problems == here.value.problems


def test_nothing_can_be_opened_there_neither_file_nor_socket_nor_program(hostile: Hostile, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of somebody else")
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = hostile("open_things", file=str(secret), port=server.getsockname()[1])
    assert "it worked" not in found.values(), found
    assert secret.read_text() == "of somebody else"


def test_who_asked_is_out_of_reach_there_and_so_is_every_file_by_its_name(hostile: Hostile, tmp_path: Path) -> None:
    """By root too: the memory that holds the server's keys, its signals and limits, its files' names and modes."""
    file, secret = tmp_path / "chaski.db", ctypes.create_string_buffer(b"a key of the server")
    file.write_text("of the server")
    mode = file.stat().st_mode
    asked = {"file": str(file), "asker": os.getpid(), "address": ctypes.addressof(secret)}
    found = hostile("touch_things", **asked)
    assert set(found.values()) == {f"PermissionError {errno.EPERM}"}, found
    assert (file.read_text(), file.stat().st_mode) == ("of the server", mode)
    assert read_memory(os.getpid(), ctypes.addressof(secret)) == b"a key of", "who is not kept away could"


def test_a_servers_memory_is_never_dumped_nor_shown_to_its_accounts_other_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the process apart is kept from by seccomp, any other is by this: PR_GET_DUMPABLE is 3, PR_SET_DUMPABLE 4."""
    libc, seen = ctypes.CDLL(None), []
    monkeypatch.setattr(admin, "serve", lambda _: seen.append(libc.prctl(3, 0, 0, 0, 0)))
    before = libc.prctl(3, 0, 0, 0, 0)
    try:
        done = CliRunner().invoke(main, ["serve"], env={"CHASKI_DATA": str(tmp_path)})
    finally:
        libc.prctl(4, before, 0, 0, 0)
    assert (done.exit_code, before, seen) == (0, 1, [0])


def test_no_variable_of_the_server_is_known_there(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHASKI_PASSPHRASE", "of the server")
    assert [name for name in hostile("environment") if name != "LC_CTYPE"] == []


def test_bytes_and_options_go_there_and_come_back_and_progress_is_told(hostile: Hostile) -> None:
    told: list[tuple[int, int]] = []
    content = bytes(range(256)) * 4096
    answer = hostile("echo", content, lambda done, of: told.append((done, of)), why="á", deep={"raw": b"\0"})
    assert answer == [content, {"why": "á", "deep": {"raw": b"\0"}}]
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("name", ["base64", "base64'", "base64''"])
def test_a_question_may_have_the_name_that_bytes_have_between_the_two(hostile: Hostile, name: str) -> None:
    answers = {name: "si", "deep": [{name: b"raw"}, {name: {name: "QUJD"}, "other": 1}]}
    assert hostile("echo", answers=answers)[1] == {"answers": answers}


@pytest.mark.parametrize("name", ["spin", "swallow"])
def test_what_costs_too_much_time_or_memory_is_ended_and_told(hostile: Hostile, name: str) -> None:
    assert code(hostile, name) == "workbook.too_expensive"


def test_a_reader_that_only_waits_is_ended_too(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WALL_SECONDS_PER_CPU_SECOND", 0.5)
    assert code(hostile, "sleep") == "workbook.too_expensive"


@pytest.mark.parametrize("name", ["crash", "stumble", "lie", "babble"])
def test_a_reader_that_breaks_is_a_problem_with_a_code_and_nothing_else(hostile: Hostile, name: str) -> None:
    assert code(hostile, name) == "workbook.reader_failed"
