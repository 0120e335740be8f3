"""Where the server has read what authors send: always in a process of its own, which can open nothing (the sandbox).

Nothing here touches the database. What is wrong with a form becomes one problem that lists everything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from screening_forms.checks import odk_validate
from screening_forms.errors import FormError
from screening_forms.rules.csv_table import table_family
from screening_forms.sandbox import client as sandbox
from screening_forms.sandbox.tasks import CompileDraft, FindNodeRows, KnownTables, Progress, Request
from server.problems import Problem
from sync.envelope.route import AUTHOR_FIELDS

A = TypeVar("A")
MOST_CONCURRENT, PATIENCE = 2, 1.0
"""How many people have something read at the door at once, and how many seconds somebody waits for a place: the machine
is there to take in screenings, and the door's eight threads for desks too. Long tasks have workers of their own."""
_busy_people: set[str] = set()
_slot_freed = threading.Condition()


@contextmanager
def slot(person: str) -> Iterator[None]:
    """Let a person have something read, one thing at a time, by ODK Validate too.

    Problem `server.busy` when her last is not over, or others have all the places.
    """
    with _slot_freed:
        if not _slot_freed.wait_for(
            lambda: person not in _busy_people and len(_busy_people) < MOST_CONCURRENT, PATIENCE
        ):
            raise Problem("server.busy")
        _busy_people.add(person)
    try:
        yield
    finally:
        with _slot_freed:
            _busy_people.remove(person)
            _slot_freed.notify_all()


@dataclass(frozen=True)
class Compiled:
    """A draft as compiled: its bytes, its source with all that went into it, and what is still to put right though it
    stops nothing."""

    body: bytes
    source: bytes
    problems: list[dict[str, Any]]


def check(source: bytes, *, channel: str, tables: KnownTables) -> list[dict[str, Any]]:
    """Name everything that is wrong with a source package or a workbook, with `blocking` for each."""
    try:
        return sandbox.run(CompileDraft(source, channel, route_vocabulary(), tables)).problems
    except FormError as error:
        return _list_problems(error)


def compile_draft(source: bytes, *, channel: str, tables: KnownTables) -> Compiled:
    """Compile a source package or a workbook. Problem `form.problems` names all that stops it."""
    answer = run(CompileDraft(source, channel, route_vocabulary(), tables))
    if answer.compiled is None or answer.source is None:
        raise Problem("form.problems", problems=answer.problems)
    return Compiled(answer.compiled, answer.source, answer.problems)


def validate(xform: str, source: bytes | None) -> str:
    """Have ODK Validate read an XForm; return its word. Problem `version.not_valid` with the rows of the workbook in
    `source` where it refuses the form, or does not run."""
    rows = run(FindNodeRows(source)).rows if source is not None else {}
    if found := odk_validate.validate(xform, rows):
        raise Problem("version.not_valid", problems=_list_problems(FormError(found)))
    return "accepted"


def run(request: Request[A], progress: Progress | None = None) -> A:
    """Run a request in the sandbox. Problem `form.problems` in the place of a FormError."""
    try:
        return sandbox.run(request, progress)
    except FormError as error:
        raise Problem("form.problems", problems=_list_problems(error)) from error


def family(name: str) -> str:
    """Return what all versions of a table have in their names; blank for a name that is none of a table's."""
    return table_family(name)


def route_vocabulary() -> dict[str, list[str]]:
    """Return the codes that a form may feed into each route field."""
    return {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}


def _list_problems(error: FormError) -> list[dict[str, Any]]:
    return [{**asdict(each), "blocking": True} for each in error.problems]
