"""The sandbox: a child process reads uploads with strict limits, and every failure becomes a problem with a code."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
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
    """Run a task of support/hostile_tasks.py in the sandbox."""

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


def test_the_sandbox_compiles_a_form_to_the_same_bytes_as_this_process() -> None:
    assert compile_sandboxed(SMALL.encode()).compiled == compiled("small").to_bytes()


def test_the_sandbox_returns_every_problem_with_its_cell() -> None:
    found = compile_sandboxed(SMALL.replace("integer | horas", "geopoint | horas").encode())
    assert found.compiled is None
    assert ("survey", 15, "type", "type.place", True) in {
        (each["sheet"], each["row"], each["column"], each["code"], each["blocking"]) for each in found.problems
    }


def test_the_sandbox_returns_the_readers_problems_unchanged() -> None:
    with pytest.raises(FormError) as here:
        parse_package(b"no table", "form.md")
    with pytest.raises(FormError) as there:
        compile_sandboxed(b"no table")
    assert there.value.problems == here.value.problems


def test_the_worker_cannot_open_a_file_or_socket_or_start_a_program(hostile: Hostile, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another account")
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = hostile("open_things", file=str(secret), port=server.getsockname()[1])
    assert "it worked" not in found.values(), found
    assert secret.read_text() == "of another account"


def test_the_worker_cannot_reach_its_parent_or_any_file_by_name(hostile: Hostile, tmp_path: Path) -> None:
    """Also as root: the parent's memory with its keys, its signals and limits, and names and modes of files."""
    file, secret = tmp_path / "chaski.db", ctypes.create_string_buffer(b"a key of the server")
    file.write_text("of the server")
    mode = file.stat().st_mode
    asked = {"file": str(file), "asker": os.getpid(), "address": ctypes.addressof(secret)}
    found = hostile("touch_things", **asked)
    assert set(found.values()) == {f"PermissionError {errno.EPERM}"}, found
    assert (file.read_text(), file.stat().st_mode) == ("of the server", mode)
    assert read_memory(os.getpid(), ctypes.addressof(secret)) == b"a key of", (
        "a process outside the sandbox can read this memory"
    )


def test_a_servers_memory_is_never_dumped_or_readable_by_other_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seccomp stops the worker; the dumpable flag stops other processes. PR_GET_DUMPABLE is 3, PR_SET_DUMPABLE 4."""
    libc, seen = ctypes.CDLL(None), []
    monkeypatch.setattr(admin, "serve", lambda _: seen.append(libc.prctl(3, 0, 0, 0, 0)))
    own = libc.prctl(3, 0, 0, 0, 0)  # 0 if a test in this process ran the command before.
    libc.prctl(4, 1, 0, 0, 0)
    before = libc.prctl(3, 0, 0, 0, 0)
    try:
        done = CliRunner().invoke(main, ["serve"], env={"CHASKI_DATA": str(tmp_path)})
    finally:
        libc.prctl(4, own, 0, 0, 0)
    assert (done.exit_code, before, seen) == (0, 1, [0])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such flag")
def test_the_workers_memory_is_closed_before_it_loads_the_task(hostile: Hostile) -> None:
    assert hostile("memory") == 0


def test_the_worker_has_no_environment_variable_of_the_server(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHASKI_PASSPHRASE", "of the server")
    assert [name for name in hostile("environment") if name != "LC_CTYPE"] == []


def test_requests_and_answers_keep_bytes_and_options_and_progress_is_reported(hostile: Hostile) -> None:
    told: list[tuple[int, int]] = []
    content = bytes(range(256)) * 4096
    answer = hostile("echo", content, lambda done, of: told.append((done, of)), why="á", deep={"raw": b"\0"})
    assert answer == [content, {"why": "á", "deep": {"raw": b"\0"}}]
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("name", ["base64", "base64'", "base64''"])
def test_a_question_may_be_named_like_the_marker_for_bytes(hostile: Hostile, name: str) -> None:
    answers = {name: "si", "deep": [{name: b"raw"}, {name: {name: "QUJD"}, "other": 1}]}
    assert hostile("echo", answers=answers)[1] == {"answers": answers}


@pytest.mark.parametrize("name", ["spin", "swallow"])
def test_a_task_over_its_time_or_memory_limit_is_stopped_with_a_problem(hostile: Hostile, name: str) -> None:
    assert code(hostile, name) == "workbook.too_expensive"


def test_a_task_that_only_waits_is_stopped_too(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WALL_SECONDS_PER_CPU_SECOND", 0.5)
    assert code(hostile, "sleep") == "workbook.too_expensive"


@pytest.mark.parametrize("name", ["crash", "stumble", "lie", "babble"])
def test_a_worker_that_fails_gives_a_problem_with_a_code(hostile: Hostile, name: str) -> None:
    assert code(hostile, name) == "workbook.reader_failed"
