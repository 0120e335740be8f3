"""Indicator sets and policies that authors publish. The sandbox checks them; a name is never used again.

It also lists the forms that use an earlier table of the same family, and compiles drafts of them with the new table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from screening_forms.sandbox.tasks import CheckTable, FindTableEffects, Progress, ReplaceTable
from server.database.connection import Connection, Database
from server.flows.forms import published_tables, upload_sandbox, versions
from server.problems import Problem
from server.store import rule_tables
from server.store import versions as version_store
from server.store.people import StaffAccount
from server.store.rule_tables import RuleTable
from server.store.versions import FormVersion

WORDS = {"indicator_set": "set", "policy": "policy"}
"""The word for each kind."""


@dataclass(frozen=True)
class PublishedTable:
    """A published table, its predecessor, the differences, and the form versions that use the family."""

    table: RuleTable
    former: str
    changes: list[dict[str, Any]]
    users: list[FormVersion]


def publish_table(
    db: Database, kind: str, name: str, content: bytes, *, person: StaffAccount, now: int
) -> PublishedTable:
    """Publish a table from CSV or an .xlsx sheet. Publishing the same bytes again changes nothing.

    Raises Problem `form.problems` if a table is unreadable or too large, or uses a code or a name with another meaning.
    """
    filename = f"{name}.xlsx" if content.startswith(b"PK") else f"{name}.csv"
    known = published_tables.list_known(db.read(), now)
    checked = upload_sandbox.run(CheckTable(content, WORDS[kind], name, filename, known))
    if checked.problems:
        raise Problem("form.problems", problems=[{**each, "blocking": True} for each in checked.problems])
    with db.write() as w:
        table = published_tables.find_published(
            w, kind, name, checked.text
        )  # Another may have been published during the check.
        if table is None:
            published_tables.limit_publications(w, person, now)
            table = published_tables.add_table(w, kind, name, checked.text, author=person.id, actor=person.id, now=now)
        return PublishedTable(table, checked.former, checked.changes, list_users(w, kind, name))


def list_tables(db: Database, kind: str) -> list[RuleTable]:
    """Return the tables that authors published on this server, oldest first."""
    return rule_tables.list_tables(db.read(), kind)


def get_text(db: Database, kind: str, name: str) -> str:
    """Return a table as CSV. Raises Problem `table.unknown` if no table has that name."""
    found = rule_tables.get_text(db.read(), kind, name)
    if found is None:
        raise Problem("table.unknown", name)
    return found


def list_users(c: Connection, kind: str, name: str) -> list[FormVersion]:
    """Return the newest version of each form and channel that uses another table of the same family."""
    newest = {
        (each.form, each.channel): each
        for each in version_store.list_versions(c)
        if each.state not in ("closing", "retired")
    }
    used = ((each, str(getattr(each, kind))) for each in newest.values())
    return [
        each
        for each, other in used
        if other != name and upload_sandbox.family(other) == upload_sandbox.family(name) != ""
    ]


def prepare_effect(db: Database, kind: str, name: str, *, count: int) -> Callable[[Progress], Any]:
    """Return a task that finds what a table would change in each form that uses its family."""
    connection = db.read()
    found = {
        f"{each.form} ({each.channel})": source
        for each in list_users(connection, kind, name)
        if (source := version_store.get_source(connection, each.id)) is not None
    }
    content, vocabulary = get_text(db, kind, name).encode(), upload_sandbox.route_vocabulary()
    request = FindTableEffects(content, WORDS[kind], name, found, count, vocabulary)
    return lambda progress: upload_sandbox.run(request, progress).effects


def prepare_drafts(db: Database, kind: str, name: str, *, person: StaffAccount, now: int) -> Callable[[Progress], Any]:
    """Return a task that compiles each form of a table's family with this table, as drafts of the person."""
    body, wanted = get_text(db, kind, name), list_users(db.read(), kind, name)

    def work(progress: Progress) -> list[dict[str, Any]]:
        done = []
        for number, version in enumerate(wanted, start=1):
            done.append(_draft_one(db, version, (WORDS[kind], name, body), person, now))
            progress(number, len(wanted))
        return done

    return work


def _draft_one(
    db: Database, version: FormVersion, table: tuple[str, str, str], person: StaffAccount, now: int
) -> dict[str, Any]:
    """Compile one draft. Returns its number, or the problem that prevented it."""
    result: dict[str, Any] = {"form": version.form, "channel": version.channel, "former": version.id}
    label = _next_label(db.read(), version, now)
    try:
        source = versions.get_source(db, version.id)
        renewed = upload_sandbox.run(ReplaceTable(source, *table, version=label)).source
        made = versions.compile_draft(db, renewed, channel=version.channel, person=person, now=now)
    except Problem as error:
        return {**result, "draft": None, "code": error.code, "problems": error.members.get("problems", [])}
    return {**result, "draft": made.version.id, "code": "", "problems": made.problems}


def _next_label(c: Connection, version: FormVersion, now: int) -> str:
    """Return today's first unused version label of the form: the date and two digits."""
    used = {each.version for each in version_store.list_versions(c, version.form)}
    today = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d")
    return next(label for number in range(1, 1000) if (label := f"{today}{number:02}") not in used)
