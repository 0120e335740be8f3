"""Compares two form versions: their differences, and the synthetic respondents whose outcome changes. Both run in the
sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from screening_forms.sandbox.tasks import CompareForms, CompareOutcomes, Progress
from server.database.connection import Connection, Database
from server.flows.forms import upload_sandbox, versions
from server.problems import Problem
from server.store import versions as version_store
from sync.documents.signed import Document


def list_differences(db: Database, id_: int, old: int | None) -> list[dict[str, Any]]:
    """Return the differences from version `old`. None means: the version that tablets used before."""
    before, after = _read_pair(db.read(), id_, old)
    return upload_sandbox.run(CompareForms(after, before)).changes


def prepare_impact(db: Database, id_: int, old: int | None, *, count: int) -> Callable[[Progress], dict[str, Any]]:
    """Return a task that compares the outcomes of two versions for synthetic respondents and the author's test
    cases."""
    before, after = _read_pair(db.read(), id_, old)
    source = version_store.get_source(db.read(), id_)
    request = CompareOutcomes(after, before, source, count)
    return lambda progress: upload_sandbox.run(request, progress).impact


def _read_pair(c: Connection, id_: int, old: int | None) -> tuple[bytes, bytes]:
    new = versions.get_version(c, id_)
    former = versions.get_version(c, old) if old is not None else versions.previous_in_use(c, new)
    if former is None:
        raise Problem("version.no_former", f"{new.form} {new.version}")
    before, after = (
        Document.parse(version_store.get_signed_bytes(c, each.id), least=0).payload for each in (former, new)
    )
    return before, after
