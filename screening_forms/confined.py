"""The process that reads what came from outside: apart.py starts it. Everything that a verb needs is imported first;
then it can open no file and no socket, write nothing but its answer, and spend no more than the verb is granted."""

from __future__ import annotations

import codecs
import resource
import sys
import traceback
from dataclasses import astuple
from importlib import import_module
from typing import IO, Any

from screening_forms import apart
from screening_forms.errors import FormError

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "latin-1", "cp437", "cp1252")
"""Python loads an encoding when it first meets it: those of workbooks, zip files, tables and canonical JSON."""


def main(path: str, seconds: int, megabytes: int) -> None:
    """Answer one question that comes over standard input."""
    module, _, name = path.partition(":")
    function = getattr(import_module(module), name)
    _give_up_what_is_not_needed(seconds, megabytes)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    options, content = apart.from_json(apart.read(stdin)), apart.read(stdin)
    try:
        answer = function(content, options, lambda done, of: _say(stdout, "progress", [done, of]))
        _say(stdout, "answer", answer)
    except FormError as error:
        _say(stdout, "refused", [astuple(problem) for problem in error.problems])
    except MemoryError:
        _say(stdout, "failed", "MemoryError")  # to tell more would take more
    except Exception:  # noqa: BLE001 (the other side learns of it, and says that it failed)
        _say(stdout, "failed", traceback.format_exc())


def _give_up_what_is_not_needed(seconds: int, megabytes: int) -> None:
    """Load what is loaded late, then set the limits.

    No new descriptor means no file and no socket; those of the conversation are open already.
    """
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    for limit, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, megabytes * 2**20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (most, most))


def _say(stream: IO[bytes], kind: str, value: Any) -> None:
    apart.write(stream, apart.to_json([kind, value]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
