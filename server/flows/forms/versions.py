"""The states of a form version: draft, in review, approved, later closing and retired. The staff API calls it.

Author and reviewer sign on their own machines and upload the signature. This module must not hold their keys.
version_states.csv lists the allowed changes, and every change is audited.
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
"""A function that runs ODK Validate on an XForm and its source package. Returns its message; raises Problem if it
rejects the form."""
ListNewTables = Callable[[bytes, KnownTables], list[dict[str, str]]]
"""A function that returns the unpublished tables of a source package, given the known tables; see `carried`."""
MOST_DRAFTS, MOST_TRIALS = 20, 100
"""How many drafts an author may have at once, including those in review; and how many trial results a draft keeps (the
newest).

They are limited because the same database takes in screenings.
"""


@dataclass(frozen=True)
class DraftResult:
    """A draft and its warnings."""

    version: FormVersion
    problems: list[dict[str, Any]]


def compile_draft(db: Database, source: bytes, *, channel: str, person: StaffAccount, now: int) -> DraftResult:
    """Compile a source package and store it as a draft. It replaces the author's own draft of that name.

    Raises Problem `form.problems` with all problems; then nothing is stored.
    """
    tables = published_tables.list_known(db.read(), now)
    return store_draft(db, upload_sandbox.compile_draft(source, channel=channel, tables=tables), person=person, now=now)


def store_draft(db: Database, compiled: Compiled, *, person: StaffAccount, now: int) -> DraftResult:
    """Store a compiled draft. Raises Problem `version.too_many_drafts` if the author has the maximum."""
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
    """Delete an author's own draft. A reviewer or an administrator may delete any draft, so that no author blocks a
    name."""
    with db.write() as w:
        current = get_version(w, id_)
        if not person.roles & {"reviewer", "administrator"}:
            _require_own(current, person)
        VERSION_TRANSITIONS.next_state("draft", current.state)
        _audit(w, id_, "form.discarded", person, now)
        versions.delete_draft(w, id_)


def add_trial(db: Database, id_: int, trial: TrialResult, *, sha: str) -> None:
    """Store the result of a synthetic interview with a draft. `sha` names the draft's bytes at the interview."""
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
    """Submit an author's own draft to review, with her signature. ODK Validate must accept the form."""
    current = _require_own(get_version(db.read(), id_), person)
    if _is_done(db.read(), current, "submit", "form.submitted", person, signature):
        return current
    VERSION_TRANSITIONS.next_state("submit", current.state)
    document = _add_signature(db.read(), current, signature)
    document.require(bundle.TYP, keys_of(trust_documents.trust_in_force(db.read()).authors))
    validated = validate(str(document.content["xform"]), versions.get_source(db.read(), id_))
    with db.write() as w:
        _require_unchanged(w, current)
        versions.set_signatures(w, id_, document.to_bytes(), validated=validated)
        return _change_state(w, current, "submit", "form.submitted", person, now)


def list_new_tables(source: bytes, known: KnownTables) -> list[dict[str, str]]:
    """Return the tables in a source package (`kind`, `name`, `text`) that are not in `known`.

    Raises Problem `form.problems` if a table may not be published.
    """
    return upload_sandbox.run(FindUnpublishedTables(source, known)).tables


def approve_version(
    db: Database, id_: int, signature: bytes, *, person: StaffAccount, carried: ListNewTables, now: int
) -> FormVersion:
    """Approve another person's version with the reviewer's signature. It never changes after that, and its own tables
    are published.

    Raises Problem `table.name_used` if another table has one of their names by now. Raises SyncError
    `bundle.one_person` if author and reviewer are the same person with two keys.
    """
    current = get_version(db.read(), id_)
    if _is_done(db.read(), current, "approve", "form.approved", person, signature):
        return current
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
    """Return a submitted version to its author, with a reason."""
    with db.write() as w:
        current = get_version(w, id_)
        if current.reason == reason and _is_done(w, current, "return", "form.returned", person):
            return current
        VERSION_TRANSITIONS.next_state("return", current.state)
        return _return_to_draft(w, current, "return", "form.returned", person, now, reason)


def withdraw_version(db: Database, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Withdraw a version that the same author submitted."""
    with db.write() as w:
        current = _require_own(get_version(w, id_), person)
        if _is_done(w, current, "withdraw", "form.withdrawn", person):
            return current
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
    # Another request may have replaced it while the sandbox read it.
    if get_version(w, current.id) != current:
        raise Problem("version.other_bytes", current.sha)


# Closing


def close_version(db: Database, keys: ServerKeys, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Stop sending a version to tablets. The server still accepts screenings made with it."""
    with db.write() as w:
        current = get_version(w, id_)
        if _is_done(w, current, "close", "form.closed", person):
            return current
        closed = _change_state(w, current, "close", "form.closed", person, now)
        rollouts.end_all(w, keys, current, now=now)
        return closed


def retire_version(db: Database, id_: int, *, person: StaffAccount, now: int) -> FormVersion:
    """Retire a closing version. The server still accepts its screenings, and marks them."""
    with db.write() as w:
        current = get_version(w, id_)
        if _is_done(w, current, "retire", "form.retired", person):
            return current
        return _change_state(w, current, "retire", "form.retired", person, now)


# Reading


def get_version(c: Connection, id_: int) -> FormVersion:
    """Return a version. Raises Problem `version.unknown` if it does not exist."""
    version = versions.get_version(c, id_)
    if version is None:
        raise Problem("version.unknown", str(id_))
    return version


def list_versions(db: Database, form: str | None, *, after: int, most: int) -> list[FormVersion]:
    """Return a page of all versions, or of those of one form, oldest first. `after`: the last version before it."""
    return versions.list_versions(db.read(), form, after=after, most=most)


def list_in_use(db: Database, form: str, version: str) -> list[FormVersion]:
    """Return the versions with this name that tablets use or used, retired ones among them."""
    return versions.list_in_use(db.read(), form, version)


def get_details(db: Database, id_: int) -> tuple[FormVersion, list[TrialResult], FormVersion | None]:
    """Return a version, its trial results, and the version that tablets used before it."""
    connection = db.read()
    version = get_version(connection, id_)
    return version, versions.list_trials(connection, id_), previous_in_use(connection, version)


def get_compiled(db: Database, id_: int) -> tuple[FormVersion, bytes]:
    """Return a version, and its compiled bytes with the present signatures."""
    return get_version(db.read(), id_), versions.get_signed_bytes(db.read(), id_)


def get_source(db: Database, id_: int) -> bytes:
    """Return the source package of a version. Raises Problem `version.no_source` for a bundle that was signed
    offline."""
    get_version(db.read(), id_)
    kept = versions.get_source(db.read(), id_)
    if kept is None:
        raise Problem("version.no_source", str(id_))
    return kept


def previous_in_use(c: Connection, version: FormVersion) -> FormVersion | None:
    """Return the version of the same form and channel that tablets use now or used last. Comparisons use it."""
    others = [each for each in versions.list_versions(c, version.form) if each.channel == version.channel]
    used = [each for each in others if each.state in versions.IN_USE and each.id != version.id]
    return max(used, key=lambda each: (each.state == "published", each.changed, each.id), default=None)


def _is_done(
    c: Connection, current: FormVersion, action: str, audit_action: str, person: StaffAccount, signature: bytes = b""
) -> bool:
    """Return True if this was the person's deed, with this signature, and no other followed."""
    return (
        VERSION_TRANSITIONS.is_over(action, current.state)
        and audit.is_last_form_deed(c, current.sha, audit_action, person.id, version=current.id)
        and signature in versions.get_signed_bytes(c, current.id)
    )


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
