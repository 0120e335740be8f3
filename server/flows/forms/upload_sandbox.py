"""Runs every task on an author's upload in the sandbox: a child process without access to files.

This module must not use the database. All problems of a form become one Problem that lists them.
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
"""How many people may run a sandbox task of the staff API at once, and how many seconds a request waits for a place.

Both are low because the machine must take in screenings, and the API's eight threads also serve desks. Background tasks
have their own workers.
"""
_busy_people: set[str] = set()
_slot_freed = threading.Condition()


@contextmanager
def slot(person: str) -> Iterator[None]:
    """Hold one of the places for expensive requests. A person has one place at a time, also for ODK Validate.

    Raises Problem `server.busy` if her last request still runs, or if other people hold all places.
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
    """A compiled draft: its bytes, its source with everything used to compile it, and its warnings."""

    body: bytes
    source: bytes
    problems: list[dict[str, Any]]


def check(source: bytes, *, channel: str, tables: KnownTables) -> list[dict[str, Any]]:
    """Return all problems of a source package or a workbook, each with `blocking`."""
    try:
        return sandbox.run(CompileDraft(source, channel, route_vocabulary(), tables)).problems
    except FormError as error:
        return _list_problems(error)


def compile_draft(source: bytes, *, channel: str, tables: KnownTables) -> Compiled:
    """Compile a source package or a workbook. Raises Problem `form.problems` with all blocking problems."""
    answer = run(CompileDraft(source, channel, route_vocabulary(), tables))
    if answer.compiled is None or answer.source is None:
        raise Problem("form.problems", problems=answer.problems)
    return Compiled(answer.compiled, answer.source, answer.problems)


def validate(xform: str, source: bytes | None) -> str:
    """Run ODK Validate on an XForm; return its message. Raises Problem `version.not_valid` if it rejects the form or
    does not run. The problem names the rows of the workbook in `source`."""
    rows = run(FindNodeRows(source)).rows if source is not None else {}
    if found := odk_validate.validate(xform, rows):
        raise Problem("version.not_valid", problems=_list_problems(FormError(found)))
    return "accepted"


def run(request: Request[A], progress: Progress | None = None) -> A:
    """Run a request in the sandbox. Raises Problem `form.problems` instead of a FormError."""
    try:
        return sandbox.run(request, progress)
    except FormError as error:
        raise Problem("form.problems", problems=_list_problems(error)) from error


def family(name: str) -> str:
    """Return the family of a table's name: the part all its versions share. Empty if the name is not a table's."""
    return table_family(name)


def route_vocabulary() -> dict[str, list[str]]:
    """Return the codes that a form may write into each route field."""
    return {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}


def _list_problems(error: FormError) -> list[dict[str, Any]]:
    return [{**asdict(each), "blocking": True} for each in error.problems]
