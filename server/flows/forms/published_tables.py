"""The indicator sets and policies that authors published here: what a new one is held against, and how one gets in.

Authors publish them by name, and what comes inside a form's package is published with the form's approval. None is ever
changed or removed, so nobody publishes many at once and none is large (succession.py).
"""

from __future__ import annotations

from datetime import UTC, datetime

from screening_forms.sandbox.tasks import KnownTables
from server.database.connection import Connection
from server.flows.forms import upload_sandbox
from server.problems import Problem
from server.store import audit, rule_tables
from server.store.people import StaffAccount
from server.store.rule_tables import RuleTable
from sync.durations import YEAR

MOST_A_YEAR = 24
"""How many tables one person publishes in a year."""


def list_known(c: Connection, now: int) -> KnownTables:
    """What a table is held against, as options of what is asked apart: those published here, and the year."""
    return KnownTables(
        indicator_sets=rule_tables.get_texts(c, "indicator_set"),
        policies=rule_tables.get_texts(c, "policy"),
        year=datetime.fromtimestamp(now / 1000, UTC).year,
    )


def find_published(c: Connection, kind: str, name: str, text: str) -> RuleTable | None:
    """Return a table that is published already. Problem `table.name_used` when its name is another's."""
    existing = rule_tables.get_text(c, kind, name)
    if existing is not None and existing.splitlines() != text.splitlines():
        raise Problem("table.name_used", name)
    return next((each for each in rule_tables.list_tables(c, kind) if each.name == name), None)


def add_table(w: Connection, kind: str, name: str, text: str, *, author: str, actor: str, now: int) -> RuleTable:
    """Publish a table of an author's under a name that nothing else has."""
    table = RuleTable(kind, name, upload_sandbox.family(name), now, author)
    rule_tables.add_table(w, table, text)
    audit.append(w, at=now, action=f"{kind}.published", actor=actor, subject=name)
    return table


def limit_publications(c: Connection, person: StaffAccount, now: int) -> None:
    """Problem `table.too_many` when a person published as many this year as one person may."""
    if rule_tables.count_published_by(c, person.id, since=now - YEAR) >= MOST_A_YEAR:
        raise Problem("table.too_many", f"{MOST_A_YEAR} a year")
