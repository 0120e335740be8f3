"""Halts and resumes rollouts. The staff API, the sync request, intake, restore and a job call it.

A person halts a rollout, or reports from tablets do, or a restore. Only a person resumes one. The job also begins
rollouts that are due.

An automatic halt must not leave a tablet without the form, or replace a field version by a training version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.database.connection import Connection, Database, savepoint
from server.flows.forms.rollouts import (
    TRANSITIONS,
    audit_rollout,
    begin_rollout,
    get_rollout,
    manifest_entries,
    manifest_entry,
    publish_change,
    refuse_training_over_field,
    ring_of,
)
from server.flows.trust import documents as trust_documents
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import audit, devices, rollouts, versions, worklist
from server.store.audit import SERVER
from server.store.rollouts import Refusal, Rollout
from sync.documents import bundle
from sync.documents.signed import Document
from sync.durations import WEEK
from sync.errors import SyncError

RESTORED = "database.restored"


@dataclass(frozen=True)
class RolloutStatus:
    """A rollout, and how many tablets of its ring could not use it since it began."""

    rollout: Rollout
    refused: int


def list_rollouts(
    db: Database, form: str | None, *, before: int = 0, most: int = 1000, now: int
) -> list[RolloutStatus]:
    """Return a page of all rollouts, or of those of one form, in the order in which tablets try them: newest first.

    `before`: the last rollout of the page before; 0 = the first page.
    """
    connection = db.read()
    found = rollouts.list_rollouts(connection, form=form, before=before, most=most)
    return _rollout_statuses(connection, found, now)


def get_rollout_status(db: Database, id_: int, *, now: int) -> RolloutStatus:
    """Return a rollout, and how many tablets of its ring cannot use it."""
    return _rollout_statuses(db.read(), [get_rollout(db.read(), id_)], now)[0]


def _rollout_statuses(c: Connection, found: Sequence[Rollout], now: int) -> list[RolloutStatus]:
    begun = [each for each in found if each.state in ("live", "halted")]
    refusals = _list_refusals(c, begun, now)
    return [RolloutStatus(each, len(refusals.get(each.id, ()))) for each in found]


def halt_rollout(db: Database, keys: ServerKeys, id_: int, *, reason: str, actor: str, now: int) -> Rollout:
    """Remove a rollout from the manifest. Its tablets return to the version below, or have none if there is none."""
    with db.write() as w:
        rollout = get_rollout(w, id_)
        if rollout.reason == reason and _is_done(w, rollout, "halt", "form.halted", actor):
            return rollout
        _halt_rollout(w, keys, rollout, reason=reason, actor=actor, now=now)
        return get_rollout(w, id_)


def _halt_rollout(w: Connection, keys: ServerKeys, rollout: Rollout, *, reason: str, actor: str, now: int) -> None:
    state = TRANSITIONS.next_state("halt", rollout.state)
    rollouts.set_state(w, rollout.id, state=state, since=rollout.since, reason=reason)
    publish_change(w, keys, "form.halted", rollout, actor=actor, now=now)


def resume_rollout(db: Database, keys: ServerKeys, id_: int, *, actor: str, now: int) -> Rollout:
    """Put a halted rollout back into the manifest. Earlier refusals by tablets no longer count."""
    with db.write() as w:
        rollout = get_rollout(w, id_)
        if _is_done(w, rollout, "resume", "form.resumed", actor):
            return rollout
        state = TRANSITIONS.next_state("resume", rollout.state)
        bundle.accept(Document.parse(versions.get_signed_bytes(w, rollout.version)), trust_documents.trust_in_force(w))
        refuse_training_over_field(w, rollout.form, rollout.channel, ring_of(rollout))
        rollouts.set_state(w, id_, state=state, since=now)
        worklist.close_resolved(w, kind="rollout", dev="", chain=str(id_), by=actor, at=now)
        publish_change(w, keys, "form.resumed", rollout, actor=actor, now=now)
        return get_rollout(w, id_)


def _is_done(c: Connection, rollout: Rollout, action: str, audit_action: str, actor: str) -> bool:
    """Return True if this was the person's deed, and no other followed."""
    return TRANSITIONS.is_over(action, rollout.state) and audit.is_last_form_deed(
        c, rollout.sha, audit_action, actor, rollout=rollout.id
    )


# Reports from tablets


def record_refusals(w: Connection, dev: str, codes: Mapping[str, str], *, now: int) -> None:
    """Store the versions (SHA-256 -> problem code) that a tablet could not use; part of its sync request.

    A tablet cannot report that its screenings are rejected: the server records that itself.
    """
    codes_of_forms = {sha: code for sha, code in codes.items() if not code.startswith("envelope.")}
    _record(w, dev, codes_of_forms, now)


def record_rejection(w: Connection, dev: str, code: str, *, now: int) -> None:
    """Store that an envelope of a tablet was rejected. Any version on the tablet may be the cause."""
    device = devices.get_device(w, dev)
    if device is not None and device.state == "certified":
        _record(w, dev, dict.fromkeys(devices.get_inventory(w, dev).values(), code), now)


def _record(w: Connection, dev: str, codes: Mapping[str, str], now: int) -> None:
    for sha, code in codes.items():
        if versions.get_state_in_use(w, sha):
            rollouts.record_refusal(w, sha=sha, dev=dev, code=code, at=now)


# Automatic halts


def watch_rollouts(db: Database, keys: ServerKeys, *, halt_after: int, now: int) -> int:
    """Begin rollouts that are due, and halt those that too many tablets could not use; return how many. A job calls
    it."""
    connection = db.read()
    due = [each.id for each in rollouts.list_rollouts(connection, ("planned",)) if each.starts <= now]
    refusals = _list_refusals(connection, rollouts.list_rollouts(connection, ("live",)), now)
    failing = [id_ for id_, tablets in refusals.items() if len(tablets) >= halt_after]
    done = 0
    for id_ in due:
        with db.write() as w:
            done += _begin_due(w, keys, get_rollout(w, id_), now)
    for id_ in failing:
        with db.write() as w:
            done += _halt_failing(w, keys, get_rollout(w, id_), halt_after, now)
    return done


def _begin_due(w: Connection, keys: ServerKeys, rollout: Rollout, now: int) -> int:
    if rollout.state != "planned":  # Meanwhile `chaski jobs run` in another process, or a person, began it.
        return 0
    try:
        with savepoint(w):
            begin_rollout(w, keys, rollout, actor=SERVER, now=now)
    except (Problem, SyncError) as error:  # Its author's key was revoked since the plan, or the version closed.
        _stop_rollout(w, rollout, error.code, now)
    return 1


def _halt_failing(w: Connection, keys: ServerKeys, rollout: Rollout, halt_after: int, now: int) -> int:
    """Halt a rollout if each tablet of its ring has a version to fall back on. Otherwise a person must decide."""
    if rollout.state != "live" or not _is_failing(w, rollout, halt_after, now):
        return 0
    codes = " ".join(sorted({each.code for each in _list_refusals(w, [rollout], now)[rollout.id]}))
    _report_to_people(w, rollout, codes, now, since=rollout.since or 0)
    if not _have_fallback(w, rollout):
        return 0
    _halt_rollout(w, keys, rollout, reason=codes, actor=SERVER, now=now)
    return 1


def stop_recent(w: Connection, *, since: int, now: int) -> None:
    """After a restore: stop rollouts that are planned or began since `since` (ms). A person may have halted them after
    the backup.

    A rollout without a fallback version continues, and the work list gets an item. The caller renews the manifest.
    """
    for rollout in rollouts.list_rollouts(w, ("planned", "live")):
        if rollout.state == "planned" or ((rollout.since or 0) >= since and _have_fallback(w, rollout)):
            _stop_rollout(w, rollout, RESTORED, now)
        elif (rollout.since or 0) >= since:
            _report_to_people(w, rollout, RESTORED, now)


def _stop_rollout(w: Connection, rollout: Rollout, reason: str, now: int) -> None:
    rollouts.set_state(
        w, rollout.id, state=TRANSITIONS.next_state("halt", rollout.state), since=rollout.since, reason=reason
    )
    audit_rollout(w, "form.halted", rollout, actor=SERVER, now=now, code=reason)
    _report_to_people(w, rollout, reason, now)


def _report_to_people(
    w: Connection, rollout: Rollout, codes: str, now: int, *, since: int = worklist.EVERY_TIME
) -> None:
    """Add an item. `since`: when the rollout last began, for a report that a job repeats."""
    chain, reason = str(rollout.id), f"{rollout.form} {codes}"
    worklist.add_item(w, kind="rollout", dev="", chain=chain, reason=reason, at=now, since=since)


def _have_fallback(c: Connection, rollout: Rollout) -> bool:
    """Return True if every tablet in the ring still gets another version after the halt. A training version does not
    replace a field version."""
    others = [each for each in rollouts.list_rollouts(c, ("live",), form=rollout.form) if each.id != rollout.id]
    fit = (each for each in others if rollout.channel == "training" or each.channel == "field")
    below, entry = manifest_entries(fit).get(rollout.form, ()), manifest_entry(rollout)
    if not below or any(ring_of(other).is_whole for other in below):
        return bool(below)
    return all(
        any(other.applies_to(*each) for other in below) for each in devices.list_certified(c) if entry.applies_to(*each)
    )


def _is_failing(c: Connection, rollout: Rollout, halt_after: int, now: int) -> bool:
    return len(_list_refusals(c, [rollout], now)[rollout.id]) >= halt_after


def _list_refusals(c: Connection, found: Sequence[Rollout], now: int) -> dict[int, list[Refusal]]:
    """Return, by rollout, the tablets of its ring that could not use its version since it began, at most a week ago."""
    refusals = rollouts.list_refusals(c, {each.sha for each in found}, since=now - WEEK)
    return {each.id: _refusals_of_ring(each, refusals.get(each.sha, ())) for each in found}


def _refusals_of_ring(rollout: Rollout, refusals: Iterable[Refusal]) -> list[Refusal]:
    entry, since = manifest_entry(rollout), rollout.since or 0
    return [each for each in refusals if each.at >= since and entry.applies_to(each.dev, each.region)]
