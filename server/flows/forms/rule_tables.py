"""Indicator sets and policies as things that authors publish: checked apart, kept under a name never used again,
with the forms that use an earlier version of the same family, and drafts of those with the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server.database.connection import Connection, Database
from server.flows.forms import published_tables as known_tables
from server.flows.forms import upload_sandbox as workshop
from server.flows.forms import versions
from server.flows.forms.upload_sandbox import Progress
from server.problems import Problem
from server.store import rule_tables
from server.store import versions as store
from server.store.people import Person
from server.store.rule_tables import RuleTable
from server.store.versions import Version

WORDS = {"indicator_set": "set", "policy": "policy"}
"""What the kinds are called apart."""


@dataclass(frozen=True)
class Put:
    """A published table: the one before it, what is different from that, and the form versions that use the family."""

    table: RuleTable
    former: str
    changes: list[dict[str, Any]]
    users: list[Version]


def put(db: Database, kind: str, name: str, content: bytes, *, person: Person, now: int) -> Put:
    """Publish a table, from CSV or an .xlsx sheet; the same again changes nothing.

    Problem `form.problems` for one that cannot be read, is too large, uses a code in another sense or a name again.
    """
    filename = f"{name}.xlsx" if content.startswith(b"PK") else f"{name}.csv"
    options = {"kind": WORDS[kind], "name": name, "filename": filename, **known_tables.known(db.read(), now)}
    read = workshop.ask("table", content, options)
    if read["problems"]:
        raise Problem("form.problems", problems=[{**each, "blocking": True} for each in read["problems"]])
    with db.write() as w:
        table = known_tables.held(w, kind, name, read["text"])  # Another may have come while this one was read.
        if table is None:
            known_tables.refuse_many(w, person, now)
            table = known_tables.add(w, kind, name, read["text"], author=person.id, actor=person.id, now=now)
        return Put(table, read["former"], read["changes"], users(w, kind, name))


def listed(db: Database, kind: str) -> list[RuleTable]:
    """Return the tables that authors published here, oldest first."""
    return rule_tables.every(db.read(), kind)


def text(db: Database, kind: str, name: str) -> str:
    """Return a table as CSV. Problem `table.unknown` when none of that name was published here."""
    found = rule_tables.body(db.read(), kind, name)
    if found is None:
        raise Problem("table.unknown", name)
    return found


def users(c: Connection, kind: str, name: str) -> list[Version]:
    """Return the newest version of each form and channel, if it uses another table of the same family."""
    newest = {(each.form, each.channel): each for each in store.every(c) if each.state not in ("closing", "retired")}
    used = ((each, str(getattr(each, kind))) for each in newest.values())
    return [each for each, other in used if other != name and workshop.family(other) == workshop.family(name) != ""]


def effect(db: Database, kind: str, name: str, *, count: int) -> Callable[[Progress], Any]:
    """Return the work of finding out what a table would change in each form that uses its family."""
    connection = db.read()
    found = {
        f"{each.form} ({each.channel})": source
        for each in users(connection, kind, name)
        if (source := store.source(connection, each.id)) is not None
    }
    options = {"kind": WORDS[kind], "name": name, "sources": found, "count": count}
    content = text(db, kind, name).encode()
    return lambda progress: workshop.ask("effect", content, {**options, **workshop.vocabulary()}, progress)


def drafts(db: Database, kind: str, name: str, *, person: Person, now: int) -> Callable[[Progress], Any]:
    """Return the work of compiling each form that uses a table's family with this table, as the person's drafts."""
    body, wanted = text(db, kind, name), users(db.read(), kind, name)

    def work(progress: Progress) -> list[dict[str, Any]]:
        done = []
        for number, version in enumerate(wanted, start=1):
            done.append(_drafted(db, version, {"kind": WORDS[kind], "name": name, "text": body}, person, now))
            progress(number, len(wanted))
        return done

    return work


def _drafted(db: Database, version: Version, table: Mapping[str, Any], person: Person, now: int) -> dict[str, Any]:
    """Tell the draft's number, or the problem for which there is none."""
    said: dict[str, Any] = {"form": version.form, "channel": version.channel, "former": version.id}
    label = _next_label(db.read(), version, now)
    try:
        source = versions.source(db, version.id)
        renewed = workshop.ask("renewed", source, {**table, "version": label})["source"]
        made = versions.draft(db, renewed, channel=version.channel, person=person, now=now)
    except Problem as wrong:
        return {**said, "draft": None, "code": wrong.code, "problems": wrong.members.get("problems", [])}
    return {**said, "draft": made.version.id, "code": "", "problems": made.problems}


def _next_label(c: Connection, version: Version, now: int) -> str:
    """Return today's first version label that the form has not used: the date and two digits."""
    used = {each.version for each in store.every(c, version.form)}
    today = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d")
    return next(label for number in range(1, 1000) if (label := f"{today}{number:02}") not in used)
