"""Rollouts: bring form versions to tablets ring by ring. Begin now or later, change the ring, roll back, end. The staff
API calls it.

halts.py halts and resumes them. Each change makes a new manifest from the live rollouts only, newest first. A tablet
that a halt leaves out returns to the version below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from server.database.connection import Connection, Database
from server.flows import state_table
from server.flows.forms import recordings
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, rollouts, versions
from server.store.rollouts import Rollout
from server.store.versions import FormVersion, NewVersion
from sync.documents import bundle
from sync.documents.manifest import VersionEntry
from sync.documents.signed import Document
from sync.documents.trust import keys_of
from sync.wire.json_object import FORM_ID, LABEL, NAME, JsonObject

TRANSITIONS = state_table.read(
    __package__,
    "rollout_states.csv",
    refused=lambda detail, state, first: Problem("rollout.wrong_state", detail, state=state, first=first),
)
VERSION_TRANSITIONS = state_table.read(
    __package__,
    "version_states.csv",
    refused=lambda detail, state, first: Problem("version.wrong_state", detail, state=state, first=first),
)
OPEN = ("planned", "live", "halted")


@dataclass(frozen=True)
class Ring:
    """The tablets that get a version. A field that is None does not limit them."""

    regions: tuple[str, ...] | None = None
    share_permille: int | None = None
    devices: tuple[str, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """Return True if every tablet gets the version."""
        return self == Ring()


@dataclass(frozen=True)
class Publication:
    """A published version, and the number of the manifest that brings it to tablets."""

    version: FormVersion
    manifest: int


def manifest_entries(live: Iterable[Rollout]) -> dict[str, tuple[VersionEntry, ...]]:
    """Return the manifest's entries: the rings of each form in order, up to the first ring with all tablets."""
    found: dict[str, tuple[VersionEntry, ...]] = {}
    for each in live:
        above = found.get(each.form, ())
        if not above or not ring_of(above[-1]).is_whole:
            found[each.form] = (*above, manifest_entry(each))
    return found


def manifest_entry(rollout: Rollout) -> VersionEntry:
    """Return the manifest's entry for a rollout."""
    return VersionEntry(rollout.sha, rollout.regions, rollout.devices, rollout.share_permille)


def ring_of(of: VersionEntry | Rollout) -> Ring:
    """Return the ring of an entry or a rollout."""
    return Ring(of.regions, of.share_permille, of.devices)


def renew_manifest(w: Connection, keys: ServerKeys, now: int) -> int:
    """Sign and store a manifest of the live rollouts; return its number."""
    existing = trust_documents.manifest_in_force(w)
    return trust_documents.renew_manifest(
        w, keys, replace(existing, forms=manifest_entries(rollouts.list_rollouts(w, ("live",)))), now
    )


# Publishing


def publish_bundle(db: Database, keys: ServerKeys, body: bytes, *, ring: Ring, actor: str, now: int) -> Publication:
    """Publish a bundle that an author and a reviewer signed offline, to a ring of tablets, now.

    A version that is closing or retired gets the signatures only: desks read with it, and no tablet gets it again.
    Raises SyncError if the signatures are not sufficient. Raises Problem `form.version_exists` if other bytes have that
    name.
    """
    document = Document.parse(body)
    with db.write() as w:
        bundle.accept(document, trust_documents.trust_in_force(w))
        id_ = _store_approved(w, document, actor=actor, now=now)
        version = versions.get_version(w, id_)
        if version is not None and version.state in ("closing", "retired"):
            audit.append(w, at=now, action="form.signed_again", actor=actor, subject=version.sha)
            return Publication(version, trust_documents.manifest_in_force(w).number)
        rollout = _add_plan(w, id_, ring, starts=now, actor=actor, now=now)
        number = begin_rollout(w, keys, rollout, actor=actor, now=now)
        version = versions.get_version(w, id_)
    assert version is not None
    return Publication(version, number)


def describe_bundle(document: Document, source: bytes | None = None) -> NewVersion:
    """Return the names in compiled bytes. Raises Problem `publication.unknown_channel` if the channel is unknown."""
    members = JsonObject(document.content, "bundle")
    channel = members.text("channel", NAME)
    if channel not in ("training", "field"):
        raise Problem("publication.unknown_channel", channel)
    form, version = members.text("form_id", FORM_ID), members.text("version", LABEL)
    used, policy = (_table_name(document.content.get(table)) for table in ("indicator_set", "policy"))
    return NewVersion(form, version, channel, document.sha256, used, policy, document.to_bytes(), source)


def _table_name(table: Any) -> str:
    return str(table.get("name", "")) if isinstance(table, Mapping) else ""


def _store_approved(w: Connection, document: Document, *, actor: str, now: int) -> int:
    """Return the number of a signed bundle's version; its draft may be stored already.

    A signed bundle replaces another draft of its name, but never an approved version. Its signatures may be renewed
    (SPEC 5.4). From then on the server sends those that are valid today.
    """
    new = describe_bundle(document)
    existing = versions.find_version(w, new.form, new.version, new.channel)
    if existing is not None and existing.sha != new.sha and existing.state in ("draft", "in_review"):
        _discard(w, existing, actor=actor, now=now)
        existing = None
    if existing is None:
        id_ = versions.add_version(w, new, state="approved", author=actor, at=now)
        _note_approval(w, document, id_, actor=actor, now=now)
        return id_
    if existing.sha != new.sha:
        raise Problem("form.version_exists", f"{new.form} {new.version} ({new.channel})")
    versions.set_signatures(w, existing.id, new.body, reviewer=existing.reviewer)
    if existing.state in ("draft", "in_review"):
        versions.delete_trials(w, existing.id)
        versions.set_state(w, existing.id, state="approved", at=now)
        _note_approval(w, document, existing.id, actor=actor, now=now)
    return existing.id


def _discard(w: Connection, existing: FormVersion, *, actor: str, now: int) -> None:
    detail: dict[str, str | int] = {"form": existing.form, "channel": existing.channel, "version": existing.id}
    audit.append(w, at=now, action="form.discarded", actor=actor, subject=existing.sha, detail=detail)
    versions.set_state(w, existing.id, state="draft", at=now)  # A trigger lets only drafts be deleted.
    versions.delete_draft(w, existing.id)


def _note_approval(w: Connection, document: Document, id_: int, *, actor: str, now: int) -> None:
    """Audit the keys that approved a version offline: no reviewer's account is known."""
    version, trusted = versions.get_version(w, id_), trust_documents.trust_in_force(w)
    assert version is not None
    detail: dict[str, str | int] = {"form": version.form, "channel": version.channel, "version": id_}
    for name, office in (("author_key", trusted.authors), ("reviewer_key", trusted.reviewers)):
        detail |= _number_names(name, sorted(document.require(bundle.TYP, keys_of(office))))
    audit.append(w, at=now, action="form.approved", actor=actor, subject=version.sha, detail=detail)


def plan_rollout(
    db: Database, keys: ServerKeys, version: int, *, ring: Ring, starts: int | None, actor: str, now: int
) -> Rollout:
    """Roll an approved version out to a ring of tablets: now, or at the time `starts` (ms)."""
    with db.write() as w:
        rollout = _add_plan(w, version, ring, starts=starts or now, actor=actor, now=now)
        if rollout.starts <= now:
            begin_rollout(w, keys, rollout, actor=actor, now=now)
        else:
            audit_rollout(w, "form.planned", rollout, actor=actor, now=now)
        return get_rollout(w, rollout.id)


def _add_plan(w: Connection, id_: int, ring: Ring, *, starts: int, actor: str, now: int) -> Rollout:
    version = versions.get_version(w, id_)
    if version is None:
        raise Problem("version.unknown", str(id_))
    VERSION_TRANSITIONS.next_state("publish", version.state)
    refuse_training_over_field(w, version.form, version.channel, ring)
    made = rollouts.add_rollout(w, id_, **vars(ring), starts=starts, at=now, by=actor)
    return get_rollout(w, made)


def refuse_training_over_field(c: Connection, form: str, channel: str, ring: Ring) -> None:
    """Raise Problem if a training version would replace a field version. Only tablets listed by name may get one
    instead.

    A planned or halted field version counts too. It would later begin below the training version and reach no tablet.
    """
    others = rollouts.list_rollouts(c, OPEN, form=form) if channel == "training" and ring.devices is None else []
    if any(each.channel == "field" for each in others):
        raise Problem("rollout.training_over_field", form)


def begin_rollout(w: Connection, keys: ServerKeys, rollout: Rollout, *, actor: str, now: int) -> int:
    """Put a planned rollout into the manifest. The former rollout of the same version ends."""
    document = Document.parse(versions.get_signed_bytes(w, rollout.version))
    bundle.accept(document, trust_documents.trust_in_force(w))
    recordings.store_recordings(w, document, versions.get_source(w, rollout.version))
    for other in rollouts.list_rollouts(w, ("live", "halted"), form=rollout.form):
        if other.version == rollout.version:
            rollouts.set_state(
                w, other.id, state=TRANSITIONS.next_state("end", other.state), since=other.since, reason=other.reason
            )
    version = versions.get_version(w, rollout.version)
    assert version is not None
    versions.set_state(w, version.id, state=VERSION_TRANSITIONS.next_state("publish", version.state), at=now)
    rollouts.set_state(w, rollout.id, state=TRANSITIONS.next_state("begin", rollout.state), since=now)
    return publish_change(w, keys, "form.published", rollout, actor=actor, now=now)


def publish_change(w: Connection, keys: ServerKeys, action: str, rollout: Rollout, *, actor: str, now: int) -> int:
    number = renew_manifest(w, keys, now)
    audit_rollout(w, action, rollout, actor=actor, now=now, manifest=number)
    return number


def audit_rollout(w: Connection, action: str, rollout: Rollout, *, actor: str, now: int, **extra: str | int) -> None:
    """Audit a change of a rollout, with its ring."""
    detail = {"form": rollout.form, "channel": rollout.channel, "rollout": rollout.id, **_describe_ring(rollout)}
    audit.append(w, at=now, action=action, actor=actor, subject=rollout.sha, detail={**detail, **extra})


def _describe_ring(rollout: Rollout) -> dict[str, str | int]:
    share = {} if rollout.share_permille is None else {"share_permille": rollout.share_permille}
    return {**_number_names("region", rollout.regions), **_number_names("device", rollout.devices), **share} or {
        "ring": "all"
    }


def _number_names(name: str, values: Iterable[str] | None) -> dict[str, str]:
    # An audit row cannot hold a list: each value gets a numbered name.
    return {f"{name}.{number}": each for number, each in enumerate(values or (), 1)}


# Change, roll back, end


def get_rollout(c: Connection, id_: int) -> Rollout:
    """Return a rollout. Raises Problem `rollout.unknown` if it does not exist."""
    rollout = rollouts.get_rollout(c, id_)
    if rollout is None:
        raise Problem("rollout.unknown", str(id_))
    return rollout


def change_ring(db: Database, keys: ServerKeys, id_: int, *, ring: Ring, actor: str, now: int) -> Rollout:
    """Replace the ring of a rollout, by a larger or a smaller one."""
    with db.write() as w:
        rollout = get_rollout(w, id_)
        TRANSITIONS.next_state("widen", rollout.state)
        refuse_training_over_field(w, rollout.form, rollout.channel, ring)
        rollouts.set_ring(w, id_, **vars(ring))
        widened = get_rollout(w, id_)
        publish_change(w, keys, "form.widened", widened, actor=actor, now=now)
        return widened


def roll_back(db: Database, keys: ServerKeys, version: int, *, reason: str, actor: str, now: int) -> Rollout:
    """Send an earlier version to every tablet, in a new manifest. All other rollouts of the form end."""
    with db.write() as w:
        rollout = _add_plan(w, version, Ring(), starts=now, actor=actor, now=now)
        for other in rollouts.list_rollouts(w, OPEN, form=rollout.form):
            if other.id != rollout.id:
                rollouts.set_state(
                    w, other.id, state=TRANSITIONS.next_state("end", other.state), since=other.since, reason=reason
                )
        begin_rollout(w, keys, rollout, actor=actor, now=now)
        audit_rollout(w, "form.rolled_back", rollout, actor=actor, now=now)
        return get_rollout(w, rollout.id)


def end_all(w: Connection, keys: ServerKeys, version: FormVersion, *, now: int) -> None:
    """End every rollout of a version that closes; no tablet gets it from now on."""
    for each in rollouts.list_rollouts(w, OPEN, form=version.form):
        if each.version == version.id:
            rollouts.set_state(
                w, each.id, state=TRANSITIONS.next_state("end", each.state), since=each.since, reason=each.reason
            )
    renew_manifest(w, keys, now)
