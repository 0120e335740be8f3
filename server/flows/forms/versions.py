"""The life of a form version until it is approved: drafted, tried out, submitted, sent back, approved; later closed.

The people's door calls it. Author and reviewer sign on their own machines and hand in a signature; no key of theirs is
ever here. What each deed needs is said by version_states.csv, and every deed is audited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from screening_forms.sandbox.tasks import FindUnpublishedTables, KnownTables
from server.database.connection import Connection, Database
from server.flows.forms import published_tables, rollouts, upload_sandbox
from server.flows.forms.rollouts import VERSION_TRANSITIONS
from server.flows.forms.upload_sandbox import Compiled
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, versions
from server.store.people import StaffAccount
from server.store.versions import FormVersion, TrialResult
from sync.documents import bundle
from sync.documents.signed import Document
from sync.documents.trust import keys_of

Validate = Callable[[str, bytes | None], str]
"""Given an XForm and its source package, ODK Validate's word on it; a Problem where it refuses the form."""
ListNewTables = Callable[[bytes, KnownTables], list[dict[str, str]]]
"""Given a source package and what tables are held against, the tables in it that nobody published; see `carried`."""
MOST_DRAFTS, MOST_TRIALS = 20, 100
"""How many drafts an author has at once, with those in review, and of how many made-up interviews a draft keeps what
came out: the newest. The database that holds them takes in screenings."""


@dataclass(frozen=True)
class DraftResult:
    """A draft, and what is still to put right with it though it stops nothing."""

    version: FormVersion
    problems: list[dict[str, Any]]


def compile_draft(db: Database, source: bytes, *, channel: str, person: StaffAccount, now: int) -> DraftResult:
    """Keep what a source package compiles to as a draft, in the place of the author's own draft of that name.

    Problem `form.problems` with everything that is wrong; nothing is kept then.
    """
    tables = published_tables.list_known(db.read(), now)
    return store_draft(db, upload_sandbox.compile_draft(source, channel=channel, tables=tables), person=person, now=now)


def store_draft(db: Database, compiled: Compiled, *, person: StaffAccount, now: int) -> DraftResult:
    """Keep what was compiled as a draft. Problem `version.too_many_drafts` when the author has as many as she may."""
    new = rollouts.describe_bundle(Document.parse(compiled.body, least=0), compiled.source)
    with db.write() as w:
        current = versions.find_version(w, new.form, new.version, new.channel)
        if current is None:
            if versions.count_drafts(w, person.id) >= MOST_DRAFTS:
                raise Problem("version.too_many_drafts", str(MOST_DRAFTS))
            id_ = versions.add_version(w, new, state="draft", author=person.id, at=now)
        elif current.state not in ("draft", "in_review"):
            raise Problem("form.version_exists", f"{new.form} {new.version} ({new.channel})")
        else:
            _require_own(current, person)
            VERSION_TRANSITIONS.next_state("draft", current.state)
            versions.replace_draft(w, id_ := current.id, new, at=now)
        return DraftResult(_audit(w, id_, "form.drafted", person, now), compiled.problems)


def discard_draft(db: Database, id_: int, *, person: StaffAccount, now: int) -> None:
    """Throw one's own draft away; a reviewer and an administrator anybody's, so that nobody keeps a name for ever."""
    with db.write() as w:
        current = get_version(w, id_)
        if not person.roles & {"reviewer", "administrator"}:
            _require_own(current, person)
        VERSION_TRANSITIONS.next_state("draft", current.state)
        _audit(w, id_, "form.discarded", person, now)
        versions.delete_draft(w, id_)


def add_trial(db: Database, id_: int, trial: TrialResult, *, sha: str) -> None:
    """Keep what came out of a made-up interview with a draft; `sha` names the bytes that it was held with."""
    with db.write() as w:
        current = get_version(w, id_)
        VERSION_TRANSITIONS.next_state("try", current.state)
        if current.sha != sha:
            raise Problem("version.other_bytes", current.sha)
        versions.add_trial(w, id_, trial, most=MOST_TRIALS)


# Signatures


def submit_draft(
    db: Database, id_: int, signature: bytes, *, person: StaffAccount, validate: Validate, now: int
) -> FormVersion:
    """Put one's own draft before a reviewer, with the author's signature; ODK Validate must accept the form."""
    current = _require_own(get_version(db.read(), id_), person)
    VERSION_TRANSITIONS.next_state("submit", current.state)
    document = _add_signature(db.read(), current, signature)
    document.require(bundle.TYP, keys_of(trust_documents.trust_in_force(db.read()).authors))
    validated = validate(str(document.content["xform"]), versions.get_source(db.read(), id_))
    with db.write() as w:
        _require_unchanged(w, current)
        versions.set_signatures(w, id_, document.to_bytes(), validated=validated)
        return _change_state(w, current, "submit", "form.submitted", person, now)


def list_new_tables(source: bytes, known: KnownTables) -> list[dict[str, str]]:
    """Read the tables that a source package brings along (`kind`, `name`, `text`), except those that are `known`.

    Problem `form.problems` for one that may not be published.
    """
    return upload_sandbox.run(FindUnpublishedTables(source, known)).tables


def approve_version(
    db: Database, id_: int, signature: bytes, *, person: StaffAccount, carried: ListNewTables, now: int
) -> FormVersion:
    """Approve what somebody else submitted, with the reviewer's signature: from now on nothing of it changes, and the
    tables that it brought along are published with it.

    Problem `table.name_used` when another table has the name of one of these by now.
    SyncError `bundle.one_person` when author and reviewer are the same person under two keys.
    """
    current = get_version(db.read(), id_)
    VERSION_TRANSITIONS.next_state("approve", current.state)
    if current.author == person.id:
        raise Problem("version.own", str(id_))
    new_tables = carried(get_source(db, id_), published_tables.list_known(db.read(), now)) if current.source else []
    with db.write() as w:
        _require_unchanged(w, current)
        document = Document.parse(versions.get_signed_bytes(w, id_) + b"\n" + signature)
        bundle.accept(document, trust_documents.trust_in_force(w), current.sha)
        versions.set_signatures(w, id_, document.to_bytes(), reviewer=person.id)
        versions.delete_trials(w, id_)
        for each in new_tables:
            if published_tables.find_published(w, **each) is None:
                published_tables.add_table(w, **each, author=current.author, actor=person.id, now=now)
        return _change_state(w, current, "approve", "form.approved", person, now)


def send_back(db: Database, id_: int, *, reason: str, person: StaffAccount, now: int) -> FormVersion:
    """Give what was submitted back to its author, and say why."""
    with db.write() as w:
        current = get_version(w, id_)
        VERSION_TRANSITIONS.next_state("return", current.state)
        return _return_to_draft(w, current, "return", "form.returned", person, now, reason)


def withdraw_version(db: Database, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Take back what one submitted."""
    with db.write() as w:
        current = _require_own(get_version(w, id_), person)
        VERSION_TRANSITIONS.next_state("withdraw", current.state)
        return _return_to_draft(w, current, "withdraw", "form.withdrawn", person, now)


def _return_to_draft(
    w: Connection,
    current: FormVersion,
    action: str,
    audit_action: str,
    person: StaffAccount,
    now: int,
    reason: str = "",
) -> FormVersion:
    payload = Document.parse(versions.get_signed_bytes(w, current.id)).payload
    versions.set_signatures(w, current.id, Document(payload).to_bytes())
    return _change_state(w, current, action, audit_action, person, now, reason)


def _add_signature(c: Connection, current: FormVersion, signature: bytes) -> Document:
    return Document.parse(versions.get_signed_bytes(c, current.id) + b"\n" + signature)


def _require_unchanged(w: Connection, current: FormVersion) -> None:
    # It may have been replaced while it was read apart.
    if get_version(w, current.id) != current:
        raise Problem("version.other_bytes", current.sha)


# Out of use


def close_version(db: Database, keys: ServerKeys, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Send no tablet to a version any more; what was asked with it is accepted as before."""
    with db.write() as w:
        current = get_version(w, id_)
        closed = _change_state(w, current, "close", "form.closed", person, now)
        rollouts.end_all(w, keys, current, now=now)
        return closed


def retire_version(db: Database, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Mark what still comes in under a closed version; it is accepted all the same."""
    with db.write() as w:
        return _change_state(w, get_version(w, id_), "retire", "form.retired", person, now)


# Out again


def get_version(c: Connection, id_: int) -> FormVersion:
    """Return a version. Problem `version.unknown` when there is none."""
    version = versions.get_version(c, id_)
    if version is None:
        raise Problem("version.unknown", str(id_))
    return version


def list_versions(db: Database, form: str | None) -> list[FormVersion]:
    """Return all versions, or those of one form, oldest first."""
    return versions.list_versions(db.read(), form)


def get_details(db: Database, id_: int) -> tuple[FormVersion, list[TrialResult], FormVersion | None]:
    """Return a version, what was tried with it, and what tablets used before it."""
    connection = db.read()
    version = get_version(connection, id_)
    return version, versions.list_trials(connection, id_), previous_in_use(connection, version)


def get_compiled(db: Database, id_: int) -> tuple[FormVersion, bytes]:
    """Return a version, and its compiled bytes with the signatures so far."""
    return get_version(db.read(), id_), versions.get_signed_bytes(db.read(), id_)


def get_source(db: Database, id_: int) -> bytes:
    """Return the source package of a version. Problem `version.no_source` for a bundle that was signed elsewhere."""
    get_version(db.read(), id_)
    kept = versions.get_source(db.read(), id_)
    if kept is None:
        raise Problem("version.no_source", str(id_))
    return kept


def previous_in_use(c: Connection, version: FormVersion) -> FormVersion | None:
    """Return what tablets use now, or used last, of a version's form and channel: what it is to be compared with."""
    others = [each for each in versions.list_versions(c, version.form) if each.channel == version.channel]
    used = [each for each in others if each.state in versions.IN_USE and each.id != version.id]
    return max(used, key=lambda each: (each.state == "published", each.changed, each.id), default=None)


def _require_own(version: FormVersion, person: StaffAccount) -> FormVersion:
    if version.author != person.id:
        raise Problem("version.other_author", str(version.id))
    return version


def _change_state(
    w: Connection,
    current: FormVersion,
    action: str,
    audit_action: str,
    person: StaffAccount,
    now: int,
    reason: str = "",
) -> FormVersion:
    versions.set_state(
        w, current.id, state=VERSION_TRANSITIONS.next_state(action, current.state), at=now, reason=reason
    )
    return _audit(w, current.id, audit_action, person, now)


def _audit(w: Connection, id_: int, audit_action: str, person: StaffAccount, now: int) -> FormVersion:
    version = get_version(w, id_)
    detail: dict[str, str | int] = {"form": version.form, "channel": version.channel, "version": id_}
    audit.append(w, at=now, action=audit_action, actor=person.id, subject=version.sha, detail=detail)
    return version
