"""Runs a task on untrusted bytes in a child process with limits on CPU time, memory, files and system calls.

The server calls `run` for every upload. The child process is worker.py; the requests and their limits are in tasks.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, TypeVar

from screening_forms.errors import FormError, FormProblem
from screening_forms.sandbox.pipe import (
    LostWorkerError,
    answer_class,
    from_json,
    read_object,
    read_part,
    request_parts,
    write_part,
)
from screening_forms.sandbox.tasks import TASKS, Progress, Request, Task

A = TypeVar("A")
_PROJECT = Path(__file__).parents[2]
WALL_SECONDS_PER_CPU_SECOND = 3
"""The limit in elapsed seconds for each second of a task's CPU limit. Other work may keep the CPUs busy."""


def run(request: Request[A], progress: Progress | None = None) -> A:
    """Run a request's task in a child process and return the answer.

    Raises FormError: the task's own problems, or `workbook.too_expensive`, or `workbook.reader_failed`.
    """
    task = TASKS[type(request)]
    limits = [task.function, str(task.seconds), str(task.megabytes)]
    command = [sys.executable, "-s", "-X", "utf8", "-m", "screening_forms.sandbox.worker", *limits]
    with subprocess.Popen(
        command, cwd=_PROJECT, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        timer = threading.Timer(task.seconds * WALL_SECONDS_PER_CPU_SECOND, process.kill)
        timer.start()
        try:
            return _exchange(process, request, progress)
        except LostWorkerError as error:
            raise _end_error(task, request, process.wait(), error) from error
        finally:
            timer.cancel()
            process.kill()


def _exchange(process: subprocess.Popen[bytes], request: Request[A], progress: Progress | None) -> A:
    assert process.stdin
    assert process.stdout
    try:
        for part in request_parts(request):
            write_part(process.stdin, part)
        process.stdin.close()
    except BrokenPipeError as error:
        raise LostWorkerError("it ended before it read the request") from error
    while True:
        kind, value = _read_message(process.stdout, type(request))
        if kind == "answer":
            return value  # type: ignore[no-any-return]
        if kind == "refused":
            raise FormError(value)
        if kind == "failed":
            raise LostWorkerError(value)
        if progress is not None:
            progress(*value)


def _read_message(stream: IO[bytes], request: type[Request[Any]]) -> tuple[str, Any]:
    """Read one message of the worker. Raises LostWorkerError if it is invalid: an attacker may control the worker."""
    try:
        kind, value = from_json(read_part(stream))
        if kind == "answer":
            return kind, read_object(answer_class(request), value)
        if kind == "refused":
            return kind, [FormProblem(str(sheet), int(row), *map(str, rest)) for sheet, row, *rest in value]
        if kind == "progress":
            done, of = value
            return kind, (int(done), int(of))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LostWorkerError(f"it sent an invalid message: {error}") from error
    return kind, value


def _end_error(task: Task, request: Request[Any], status: int, why: LostWorkerError) -> FormError:
    """Return the error for a lost worker: too much time or memory, or a fault of this program."""
    if status in (-signal.SIGXCPU, -signal.SIGKILL) or "MemoryError" in str(why):
        code = "workbook.too_expensive"
        es = "leerlo cuesta demasiado: quite filas, columnas, hojas y formatos que no son del formulario"
        en = "it takes too much time or memory: remove rows, columns, sheets and styles that are not part of the form"
    else:
        code = "workbook.reader_failed"
        es = "el programa no pudo leerlo, y es culpa del programa: guárdelo otra vez, o envíelo a soporte"
        en = "the program could not read it because of its own fault: save it again, or send it to support"
    return FormError([FormProblem(str(getattr(request, "name", "") or task.name), 0, "", code, es, en)])
