"""What a version would change: its differences from another, and whose outcome would move. Both are found apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.database.connection import Connection, Database
from server.flows.forms import upload_sandbox as workshop
from server.flows.forms import versions
from server.flows.forms.upload_sandbox import Progress
from server.problems import Problem
from server.store import versions as store
from sync.documents.signed import Document


def difference(db: Database, id_: int, old: int | None) -> list[dict[str, Any]]:
    """Tell what is different from an older version; from the one that tablets used before when none is named."""
    return workshop.difference(*_both(db.read(), id_, old))


def impact(db: Database, id_: int, old: int | None, *, count: int) -> Callable[[Progress], dict[str, Any]]:
    """Return the work of comparing what two versions find of made-up people and of the author's cases."""
    before, after = _both(db.read(), id_, old)
    source = store.source(db.read(), id_)
    return lambda progress: workshop.impact(before, after, source=source, count=count, progress=progress)


def _both(c: Connection, id_: int, old: int | None) -> tuple[bytes, bytes]:
    new = versions.found(c, id_)
    former = versions.found(c, old) if old is not None else versions.before(c, new)
    if former is None:
        raise Problem("version.no_former", f"{new.form} {new.version}")
    before, after = (Document.parse(store.signed(c, each.id), least=0).payload for each in (former, new))
    return before, after
