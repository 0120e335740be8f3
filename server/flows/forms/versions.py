"""The life of a form version until it is approved: drafted, tried out, submitted, sent back, approved; later closed.

The people's door calls it. Author and reviewer sign on their own machines and hand in a signature; no key of theirs is
ever here. What each deed needs is said by version_states.csv, and every deed is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.database.connection import Connection, Database
from server.flows.forms import published_tables as known_tables
from server.flows.forms import rollouts
from server.flows.forms import upload_sandbox as workshop
from server.flows.forms.rollouts import VERSION_TRANSITIONS
from server.flows.forms.upload_sandbox import Compiled
from server.flows.trust import documents as publishing
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, versions
from server.store.people import Person
from server.store.versions import Trial, Version
from sync.documents import bundle
from sync.documents.signed import Document
from sync.documents.trust import keys_of

Validate = Callable[[str, bytes | None], str]
"""Given an XForm and its source package, ODK Validate's word on it; a Problem where it refuses the form."""
Carried = Callable[[bytes, Mapping[str, Any]], list[dict[str, str]]]
"""Given a source package and what tables are held against, the tables in it that nobody published; see `carried`."""
MOST_DRAFTS, MOST_TRIALS = 20, 100
"""How many drafts an author has at once, with those in review, and of how many made-up interviews a draft keeps what
came out: the newest. The database that holds them takes in screenings."""


@dataclass(frozen=True)
class Drafted:
    """A draft, and what is still to put right with it though it stops nothing."""

    version: Version
    problems: list[dict[str, Any]]


def draft(db: Database, source: bytes, *, channel: str, person: Person, now: int) -> Drafted:
    """Keep what a source package compiles to as a draft, in the place of the author's own draft of that name.

    Problem `form.problems` with everything that is wrong; nothing is kept then.
    """
    tables = known_tables.known(db.read(), now)
    return keep(db, workshop.draft(source, channel=channel, tables=tables), person=person, now=now)


def keep(db: Database, compiled: Compiled, *, person: Person, now: int) -> Drafted:
    """Keep what was compiled as a draft. Problem `version.too_many_drafts` when the author has as many as she may."""
    offered = rollouts.described(Document.parse(compiled.body, least=0), compiled.source)
    with db.write() as w:
        held = versions.named(w, offered.form, offered.version, offered.channel)
        if held is None:
            if versions.count_drafts(w, person.id) >= MOST_DRAFTS:
                raise Problem("version.too_many_drafts", str(MOST_DRAFTS))
            id_ = versions.add(w, offered, state="draft", author=person.id, at=now)
        elif held.state not in ("draft", "in_review"):
            raise Problem("form.version_exists", f"{offered.form} {offered.version} ({offered.channel})")
        else:
            _own(held, person)
            VERSION_TRANSITIONS.next_state("draft", held.state)
            versions.replace(w, id_ := held.id, offered, at=now)
        return Drafted(_done(w, id_, "form.drafted", person, now), compiled.problems)


def discard(db: Database, id_: int, *, person: Person, now: int) -> None:
    """Throw one's own draft away; a reviewer and an administrator anybody's, so that nobody keeps a name for ever."""
    with db.write() as w:
        held = found(w, id_)
        if not person.roles & {"reviewer", "administrator"}:
            _own(held, person)
        VERSION_TRANSITIONS.next_state("draft", held.state)
        _done(w, id_, "form.discarded", person, now)
        versions.discard(w, id_)


def try_out(db: Database, id_: int, trial: Trial, *, sha: str) -> None:
    """Keep what came out of a made-up interview with a draft; `sha` names the bytes that it was held with."""
    with db.write() as w:
        held = found(w, id_)
        VERSION_TRANSITIONS.next_state("try", held.state)
        if held.sha != sha:
            raise Problem("version.other_bytes", held.sha)
        versions.try_out(w, id_, trial, most=MOST_TRIALS)


# Signatures


def submit(db: Database, id_: int, signature: bytes, *, person: Person, validate: Validate, now: int) -> Version:
    """Put one's own draft before a reviewer, with the author's signature; ODK Validate must accept the form."""
    held = _own(found(db.read(), id_), person)
    VERSION_TRANSITIONS.next_state("submit", held.state)
    document = _with_one(db.read(), held, signature)
    document.require(bundle.TYP, keys_of(publishing.trust_in_force(db.read()).authors))
    validated = validate(str(document.content["xform"]), versions.source(db.read(), id_))
    with db.write() as w:
        _unchanged(w, held)
        versions.sign(w, id_, document.to_bytes(), validated=validated)
        return _move(w, held, "submit", "form.submitted", person, now)


def carried(source: bytes, known: Mapping[str, Any]) -> list[dict[str, str]]:
    """Read the tables that a source package brings along (`kind`, `name`, `text`), except those that are `known`.

    Problem `form.problems` for one that may not be published.
    """
    found: list[dict[str, str]] = workshop.ask("carried", source, known)
    return found


def approve(db: Database, id_: int, signature: bytes, *, person: Person, carried: Carried, now: int) -> Version:
    """Approve what somebody else submitted, with the reviewer's signature: from now on nothing of it changes, and the
    tables that it brought along are published with it.

    Problem `table.name_used` when another table has the name of one of these by now.
    SyncError `bundle.one_person` when author and reviewer are the same person under two keys.
    """
    held = found(db.read(), id_)
    VERSION_TRANSITIONS.next_state("approve", held.state)
    if held.author == person.id:
        raise Problem("version.own", str(id_))
    brought = carried(source(db, id_), known_tables.known(db.read(), now)) if held.source else []
    with db.write() as w:
        _unchanged(w, held)
        document = Document.parse(versions.signed(w, id_) + b"\n" + signature)
        bundle.accept(document, publishing.trust_in_force(w), held.sha)
        versions.sign(w, id_, document.to_bytes(), reviewer=person.id)
        versions.forget_trials(w, id_)
        for each in brought:
            if known_tables.held(w, **each) is None:
                known_tables.add(w, **each, author=held.author, actor=person.id, now=now)
        return _move(w, held, "approve", "form.approved", person, now)


def send_back(db: Database, id_: int, *, reason: str, person: Person, now: int) -> Version:
    """Give what was submitted back to its author, and say why."""
    with db.write() as w:
        held = found(w, id_)
        VERSION_TRANSITIONS.next_state("return", held.state)
        return _back(w, held, "return", "form.returned", person, now, reason)


def withdraw(db: Database, id_: int, *, person: Person, now: int) -> Version:
    """Take back what one submitted."""
    with db.write() as w:
        held = _own(found(w, id_), person)
        VERSION_TRANSITIONS.next_state("withdraw", held.state)
        return _back(w, held, "withdraw", "form.withdrawn", person, now)


def _back(w: Connection, held: Version, action: str, deed: str, person: Person, now: int, reason: str = "") -> Version:
    payload = Document.parse(versions.signed(w, held.id)).payload
    versions.sign(w, held.id, Document(payload).to_bytes())
    return _move(w, held, action, deed, person, now, reason)


def _with_one(c: Connection, held: Version, signature: bytes) -> Document:
    return Document.parse(versions.signed(c, held.id) + b"\n" + signature)


def _unchanged(w: Connection, held: Version) -> None:
    # It may have been replaced while it was read apart.
    if found(w, held.id) != held:
        raise Problem("version.other_bytes", held.sha)


# Out of use


def close(db: Database, keys: ServerKeys, id_: int, *, person: Person, now: int) -> Version:
    """Send no tablet to a version any more; what was asked with it is accepted as before."""
    with db.write() as w:
        held = found(w, id_)
        closed = _move(w, held, "close", "form.closed", person, now)
        rollouts.end_all(w, keys, held, now=now)
        return closed


def retire(db: Database, id_: int, *, person: Person, now: int) -> Version:
    """Mark what still comes in under a closed version; it is accepted all the same."""
    with db.write() as w:
        return _move(w, found(w, id_), "retire", "form.retired", person, now)


# Out again


def found(c: Connection, id_: int) -> Version:
    """Return a version. Problem `version.unknown` when there is none."""
    version = versions.get(c, id_)
    if version is None:
        raise Problem("version.unknown", str(id_))
    return version


def listed(db: Database, form: str | None) -> list[Version]:
    """Return all versions, or those of one form, oldest first."""
    return versions.every(db.read(), form)


def look(db: Database, id_: int) -> tuple[Version, list[Trial], Version | None]:
    """Return a version, what was tried with it, and what tablets used before it."""
    connection = db.read()
    version = found(connection, id_)
    return version, versions.trials(connection, id_), before(connection, version)


def compiled(db: Database, id_: int) -> tuple[Version, bytes]:
    """Return a version, and its compiled bytes with the signatures so far."""
    return found(db.read(), id_), versions.signed(db.read(), id_)


def source(db: Database, id_: int) -> bytes:
    """Return the source package of a version. Problem `version.no_source` for a bundle that was signed elsewhere."""
    found(db.read(), id_)
    kept = versions.source(db.read(), id_)
    if kept is None:
        raise Problem("version.no_source", str(id_))
    return kept


def before(c: Connection, version: Version) -> Version | None:
    """Return what tablets use now, or used last, of a version's form and channel: what it is to be compared with."""
    others = [each for each in versions.every(c, version.form) if each.channel == version.channel]
    used = [each for each in others if each.state in versions.IN_USE and each.id != version.id]
    return max(used, key=lambda each: (each.state == "published", each.changed, each.id), default=None)


def _own(version: Version, person: Person) -> Version:
    if version.author != person.id:
        raise Problem("version.other_author", str(version.id))
    return version


def _move(w: Connection, held: Version, action: str, deed: str, person: Person, now: int, reason: str = "") -> Version:
    versions.move(w, held.id, state=VERSION_TRANSITIONS.next_state(action, held.state), at=now, reason=reason)
    return _done(w, held.id, deed, person, now)


def _done(w: Connection, id_: int, deed: str, person: Person, now: int) -> Version:
    version = found(w, id_)
    detail: dict[str, str | int] = {"form": version.form, "channel": version.channel, "version": id_}
    audit.append(w, at=now, action=deed, actor=person.id, subject=version.sha, detail=detail)
    return version
