"""Has what came from outside read by a process of its own, which can spend little, open nothing and know nothing.

The server calls `ask` for every upload. What the other side does is in worker.py; a new verb is one line in VERBS.
"""

from __future__ import annotations

import base64
import json
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from screening_forms.errors import FormError, FormProblem

HERE = Path(__file__).parents[1]
Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""


@dataclass(frozen=True)
class Verb:
    """What can be asked: a function `(content, options, progress) -> answer` by module and name, and what it may cost.

    The answer is made of JSON's values and bytes.
    """

    function: str
    seconds: int
    megabytes: int = 1024


VERBS: dict[str, Verb] = {
    "rows": Verb("screening_forms.sandbox.form_tasks:rows", 20),
    "draft": Verb("screening_forms.sandbox.form_tasks:draft", 20),
    "again": Verb("screening_forms.sandbox.form_tasks:again", 20),
    "carried": Verb("screening_forms.sandbox.form_tasks:carried", 20),
    "difference": Verb("screening_forms.sandbox.form_tasks:difference", 20),
    "impact": Verb("screening_forms.sandbox.form_tasks:weigh", 60),
    "table": Verb("screening_forms.sandbox.table_tasks:table", 20),
    "effect": Verb("screening_forms.sandbox.table_tasks:effect", 300),
    "renewed": Verb("screening_forms.sandbox.table_tasks:renewed", 20),
}

_MOST_BYTES = 256 * 2**20
_BYTES, _MARK = "base64", "'"
_LENGTH = struct.Struct(">I")
WALL_SECONDS_PER_CPU_SECOND = 3
"""How many seconds of the clock a verb may take for each second of its processor time: the machine has other work."""


class _LostError(Exception):
    """The other side ended without an answer."""


def ask(verb: str, content: bytes, options: Mapping[str, Any], progress: Progress | None = None) -> Any:
    """Have `content` read apart and return the answer.

    Raises FormError: the reader's own, whole, or `workbook.too_expensive`, or `workbook.reader_failed`.
    """
    granted = VERBS[verb]
    limits = [granted.function, str(granted.seconds), str(granted.megabytes)]
    command = [sys.executable, "-s", "-X", "utf8", "-m", "screening_forms.sandbox.worker", *limits]
    with subprocess.Popen(
        command, cwd=HERE.parent, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        watch = threading.Timer(granted.seconds * WALL_SECONDS_PER_CPU_SECOND, process.kill)
        watch.start()
        try:
            return _talk(process, content, options, progress)
        except _LostError as error:
            raise _refusal(verb, options, process.wait(), error) from error
        finally:
            watch.cancel()
            process.kill()


def _talk(
    process: subprocess.Popen[bytes], content: bytes, options: Mapping[str, Any], progress: Progress | None
) -> Any:
    assert process.stdin
    assert process.stdout
    try:
        for part in (to_json(dict(options)), content):
            write(process.stdin, part)
        process.stdin.close()
    except BrokenPipeError as error:
        raise _LostError("it ended before it was asked") from error
    while True:
        kind, value = _heard(process.stdout)
        if kind == "answer":
            return value
        if kind == "refused":
            raise FormError(value)
        if kind == "failed":
            raise _LostError(value)
        if progress is not None:
            progress(*value)


def _heard(stream: IO[bytes]) -> tuple[str, Any]:
    """Read one thing that was said. Bytes that took the reader over could say anything."""
    try:
        kind, value = from_json(read(stream))
        if kind == "refused":
            return kind, [FormProblem(str(sheet), int(row), *map(str, rest)) for sheet, row, *rest in value]
        if kind == "progress":
            done, of = value
            return kind, (int(done), int(of))
    except (ValueError, TypeError, RecursionError) as error:
        raise _LostError(f"it said what makes no sense: {error}") from error
    return kind, value


def _refusal(verb: str, options: Mapping[str, Any], status: int, why: _LostError) -> FormError:
    """Name the end of a process: out of time, out of memory, or for a reason that is ours to find out."""
    if status in (-signal.SIGXCPU, -signal.SIGKILL) or "MemoryError" in str(why):
        code = "workbook.too_expensive"
        es = "leerlo cuesta demasiado: quite filas, columnas, hojas y formatos que no son del formulario"
        en = "reading it costs too much: remove rows, columns, sheets and styles that are no part of the form"
    else:
        code = "workbook.reader_failed"
        es = "el programa no pudo leerlo, y es culpa del programa: guárdelo otra vez, o envíelo a soporte"
        en = "the program could not read it, which is the program's fault: save it again, or send it to support"
    return FormError([FormProblem(str(options.get("name") or verb), 0, "", code, es, en)])


def write(stream: IO[bytes], part: bytes) -> None:
    """Write one part of a message: its length, itself."""
    stream.write(_LENGTH.pack(len(part)) + part)
    stream.flush()


def read(stream: IO[bytes]) -> bytes:
    """Read one part of a message."""
    head = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
    if not 0 <= length <= _MOST_BYTES:
        raise _LostError("it ended, or said something that is too long")
    part = stream.read(length)
    if len(part) != length:
        raise _LostError("it ended while it spoke")
    return part


def to_json(value: Any) -> bytes:
    """Write JSON in which bytes are objects with the one member `base64`; members that are called so get a mark."""
    return json.dumps(_packed(value)).encode()


def from_json(text: bytes) -> Any:
    """Read what `to_json` wrote."""
    return json.loads(text, object_hook=_unpacked)


def _packed(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name + _MARK if _is_marked(name) else name: _packed(each) for name, each in value.items()}
    return [_packed(each) for each in value] if isinstance(value, (list, tuple)) else value


def _unpacked(found: dict[str, Any]) -> Any:
    if found.keys() == {_BYTES}:
        return base64.b64decode(found[_BYTES])
    return {name.removesuffix(_MARK) if _is_marked(name) else name: each for name, each in found.items()}


def _is_marked(name: object) -> bool:
    """Whether a member is called like the one of bytes, apart from marks: questions may have any name."""
    return isinstance(name, str) and name.rstrip(_MARK) == _BYTES
