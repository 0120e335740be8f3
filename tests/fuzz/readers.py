"""What every reader of bytes promises, whatever it is given: it reads them or refuses them with a listed code, soon
and in little memory. The fuzzer (fuzz/run.py) looks for bytes that break it; the tests replay the corpus through it."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

import sync
from fuzz import form_readers, http_reader, intake, protocol_readers
from screening_forms.errors import AnswerError, FormError
from sync.errors import SyncError

CORPUS = Path(__file__).parent / "corpus"
READERS: dict[str, Callable[[bytes], None]] = {
    **protocol_readers.READERS,
    **form_readers.READERS,
    **intake.READERS,
    **http_reader.READERS,
}
SECONDS = 3.0
"""Processor time that one case may take: a hundred times what the slowest seed takes."""
MEGABYTES = 400
"""Memory that one case may add to a process."""

_SPEC = (Path(sync.__path__[0]) / "SPEC.md").read_text(encoding="utf-8")
LISTED = frozenset(re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \|", _SPEC, re.MULTILINE))
WORDS = sorted(set(re.findall(r"`([A-Za-z0-9_.+/-]{2,40})`", _SPEC)))
"""What the specification writes as code: the fuzzer's dictionary."""
_CODE = re.compile(r"[a-z_]+(\.[a-z_0-9]+)+")


class BrokenPromiseError(AssertionError):
    """A reader took too long or too much, or refused without a listed code."""


def run_reader(name: str, data: bytes) -> None:
    """Give bytes to a reader. Whatever it raises but a refusal with a listed code is a finding."""
    began, had = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        READERS[name](data)
    except SyncError as refused:
        if refused.code not in LISTED:
            raise BrokenPromiseError(f"{name}: {refused.code} is not in SPEC 14") from refused
    except FormError as refused:
        if not refused.problems or not all(_CODE.fullmatch(problem.code) for problem in refused.problems):
            raise BrokenPromiseError(f"{name}: a refusal without a code") from refused
    except AnswerError as refused:
        if not refused.why:
            raise BrokenPromiseError(f"{name}: a refusal that does not say why") from refused
    took, more = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - had
    if took > SECONDS or more > MEGABYTES * 1024:
        raise BrokenPromiseError(f"{name}: {took:.1f} s and {more / 1024:.0f} MB for {len(data)} bytes")
