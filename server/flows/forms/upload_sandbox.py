"""Where the server has read what authors send: always in a process of its own, which can open nothing (apart.py).

Nothing here touches the database. What is wrong with a form becomes one problem that lists everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from screening_forms.checks import odk_validate
from screening_forms.errors import FormError
from screening_forms.rules.csv_table import table_family
from screening_forms.sandbox import client as apart
from server.problems import Problem
from sync.envelope.route import AUTHOR_FIELDS

MOST_CONCURRENT, PATIENCE = 2, 1.0
"""How many people have something read at the door at once, and how many seconds somebody waits for a place: the machine
is there to take in screenings, and the door's eight threads for desks too. Long tasks have workers of their own."""
Progress = Callable[[int, int], None]
Tables = Mapping[str, Mapping[str, str]]
"""`indicator_sets` and `policies` that authors published here: name -> CSV."""
_at_it: set[str] = set()
_left = threading.Condition()


@contextmanager
def slot(person: str) -> Iterator[None]:
    """Let a person have something read, one thing at a time, by ODK Validate too.

    Problem `server.busy` when her last is not over, or others have all the places.
    """
    with _left:
        if not _left.wait_for(lambda: person not in _at_it and len(_at_it) < MOST_CONCURRENT, PATIENCE):
            raise Problem("server.busy")
        _at_it.add(person)
    try:
        yield
    finally:
        with _left:
            _at_it.remove(person)
            _left.notify_all()


@dataclass(frozen=True)
class Compiled:
    """A draft as compiled: its bytes, its source with all that went into it, and what is still to put right though it
    stops nothing."""

    body: bytes
    source: bytes
    problems: list[dict[str, Any]]


def check(source: bytes, *, channel: str, tables: Tables) -> list[dict[str, Any]]:
    """Name everything that is wrong with a source package or a workbook, with `blocking` for each."""
    try:
        found: list[dict[str, Any]] = apart.ask("draft", source, _options(channel, tables))["problems"]
    except FormError as wrong:
        return _listed(wrong)
    return found


def draft(source: bytes, *, channel: str, tables: Tables) -> Compiled:
    """Compile a source package or a workbook. Problem `form.problems` names all that stops it."""
    return _compiled("draft", source, _options(channel, tables))


def _compiled(verb: str, source: bytes, options: Mapping[str, Any]) -> Compiled:
    answer = ask(verb, source, options)
    if "compiled" not in answer:
        raise Problem("form.problems", problems=answer["problems"])
    return Compiled(answer["compiled"], answer["source"], answer["problems"])


def difference(old: bytes, new: bytes) -> list[dict[str, Any]]:
    """Tell in an author's words what is different between two compiled forms."""
    found: list[dict[str, Any]] = ask("difference", new, {"old": old})
    return found


def impact(old: bytes, new: bytes, *, source: bytes | None, count: int, progress: Progress) -> dict[str, Any]:
    """Compare what two compiled forms find of made-up people, and of the author's own cases in the new one's source."""
    found: dict[str, Any] = ask("impact", new, {"old": old, "source": source, "count": count}, progress)
    return found


def validate(xform: str, source: bytes | None) -> str:
    """Have ODK Validate read an XForm; return its word. Problem `version.not_valid` with the rows of the workbook in
    `source` where it refuses the form, or does not run."""
    rows = ask("rows", source, {}) if source is not None else {}
    if found := odk_validate.validate(xform, rows):
        raise Problem("version.not_valid", problems=_listed(FormError(found)))
    return "accepted"


def ask(verb: str, content: bytes, options: Mapping[str, Any], progress: Progress | None = None) -> Any:
    """Have something read apart. Problem `form.problems` in the place of a FormError."""
    try:
        return apart.ask(verb, content, options, progress)
    except FormError as wrong:
        raise Problem("form.problems", problems=_listed(wrong)) from wrong


def family(name: str) -> str:
    """Return what all versions of a table have in their names; blank for a name that is none of a table's."""
    return table_family(name)


def vocabulary() -> dict[str, Any]:
    """Return the codes that a form may feed into each route field, as an option of what is asked."""
    return {"route_vocabulary": {name: sorted(codes) for name, codes in AUTHOR_FIELDS.items()}}


def _options(channel: str, tables: Tables) -> dict[str, Any]:
    return {"channel": channel, **vocabulary(), **tables}


def _listed(wrong: FormError) -> list[dict[str, Any]]:
    return [{**asdict(each), "blocking": True} for each in wrong.problems]
