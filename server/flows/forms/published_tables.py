"""The indicator sets and policies that authors published on this server: what exists, and how a new one is added.

Authors publish a table by name. A table inside a form's package is published with the form's approval. A table is never
changed or removed, so the number per person and the size are limited (succession.py).
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
"""How many tables one person may publish in a year."""


def list_known(c: Connection, now: int) -> KnownTables:
    """Return the published tables and the current year: the sandbox checks a new table against them."""
    return KnownTables(
        indicator_sets=rule_tables.get_texts(c, "indicator_set"),
        policies=rule_tables.get_texts(c, "policy"),
        year=datetime.fromtimestamp(now / 1000, UTC).year,
    )


def find_published(c: Connection, kind: str, name: str, text: str) -> RuleTable | None:
    """Return a published table. Raises Problem `table.name_used` if the name belongs to another table."""
    existing = rule_tables.get_text(c, kind, name)
    if existing is not None and existing.splitlines() != text.splitlines():
        raise Problem("table.name_used", name)
    return next((each for each in rule_tables.list_tables(c, kind) if each.name == name), None)


def add_table(w: Connection, kind: str, name: str, text: str, *, author: str, actor: str, now: int) -> RuleTable:
    """Publish an author's table under an unused name."""
    table = RuleTable(kind, name, upload_sandbox.family(name), now, author)
    rule_tables.add_table(w, table, text)
    audit.append(w, at=now, action=f"{kind}.published", actor=actor, subject=name)
    return table


def limit_publications(c: Connection, person: StaffAccount, now: int) -> None:
    """Raise Problem `table.too_many` if a person has published this year's maximum of tables."""
    if rule_tables.count_published_by(c, person.id, since=now - YEAR) >= MOST_A_YEAR:
        raise Problem("table.too_many", f"{MOST_A_YEAR} a year")
