"""Rings that stop and go on: halted by a person, by what tablets tell, or after a restore; resumed by a person alone.

The people's door, the exchange, intake and restore call it, and a job that also begins what is due. No ring halts by
itself that would leave a tablet without the form, or with a version for training in the place of one for the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.database.connection import Connection, Database, savepoint
from server.flows.forms.rollouts import (
    TRANSITIONS,
    begin,
    changed,
    entries,
    entry_of,
    found,
    note,
    refuse_training_over_field,
    ring_of,
)
from server.flows.trust import documents as publishing
from server.problems import Problem
from server.server_keys import ServerKeys
from server.store import devices, rollouts, versions, worklist
from server.store.audit import SERVER
from server.store.rollouts import Refusal, Rollout
from sync.documents import bundle
from sync.documents.signed import Document
from sync.durations import WEEK
from sync.errors import SyncError

"""What tablets could not work with longer ago halts nothing any more."""
RESTORED = "database.restored"


@dataclass(frozen=True)
class Standing:
    """A rollout, and how many tablets of its ring could not work with it since it began."""

    rollout: Rollout
    refused: int


def listed(db: Database, form: str | None, *, now: int) -> list[Standing]:
    """Return all rollouts, or those of a form, in the order in which tablets try them."""
    connection = db.read()
    return [_standing(connection, each, now) for each in rollouts.every(connection, form=form)]


def standing(db: Database, id_: int, *, now: int) -> Standing:
    """Return a rollout, and how many tablets of its ring cannot work with it."""
    return _standing(db.read(), found(db.read(), id_), now)


def _standing(c: Connection, rollout: Rollout, now: int) -> Standing:
    return Standing(rollout, len(_against(c, rollout, now)) if rollout.state in ("live", "halted") else 0)


def halt(db: Database, keys: ServerKeys, id_: int, *, reason: str, actor: str, now: int) -> Rollout:
    """Take a ring out of the manifest: its tablets have the version below again, or none where there is none."""
    with db.write() as w:
        _halt(w, keys, found(w, id_), reason=reason, actor=actor, now=now)
        return found(w, id_)


def _halt(w: Connection, keys: ServerKeys, rollout: Rollout, *, reason: str, actor: str, now: int) -> None:
    state = TRANSITIONS.next_state("halt", rollout.state)
    rollouts.move(w, rollout.id, state=state, since=rollout.since, reason=reason)
    changed(w, keys, "form.halted", rollout, actor=actor, now=now)


def resume(db: Database, keys: ServerKeys, id_: int, *, actor: str, now: int) -> Rollout:
    """Bring a halted ring back; what tablets could not work with before counts no more."""
    with db.write() as w:
        rollout = found(w, id_)
        state = TRANSITIONS.next_state("resume", rollout.state)
        bundle.accept(Document.parse(versions.signed(w, rollout.version)), publishing.trust_in_force(w))
        refuse_training_over_field(w, rollout.form, rollout.channel, ring_of(rollout))
        rollouts.move(w, id_, state=state, since=now)
        worklist.settle(w, kind="rollout", dev="", chain=str(id_), by=actor, at=now)
        changed(w, keys, "form.resumed", rollout, actor=actor, now=now)
        return found(w, id_)


# What tablets tell


def refused(w: Connection, dev: str, codes: Mapping[str, str], *, now: int) -> None:
    """Note the versions (SHA-256 -> problem code) that a tablet could not take into use; part of its sync.

    That its screenings are rejected is not a tablet's to tell: the server sees it.
    """
    told = {sha: code for sha, code in codes.items() if not code.startswith("envelope.")}
    _refuse(w, dev, told, now)


def rejected(w: Connection, dev: str, code: str, *, now: int) -> None:
    """Note that an envelope of a tablet was rejected: any version on board may have made it."""
    device = devices.get(w, dev)
    if device is not None and device.state == "certified":
        _refuse(w, dev, dict.fromkeys(devices.stock(w, dev).values(), code), now)


def _refuse(w: Connection, dev: str, codes: Mapping[str, str], now: int) -> None:
    for sha, code in codes.items():
        if versions.standing(w, sha):
            rollouts.refuse(w, sha=sha, dev=dev, code=code, at=now)


# By itself


def watch(db: Database, keys: ServerKeys, *, halt_after: int, now: int) -> int:
    """Begin what is due and halt what too many tablets of a ring could not work with; return how many. A job."""
    connection = db.read()
    due = [each.id for each in rollouts.every(connection, ("planned",)) if each.starts <= now]
    failing = [each.id for each in rollouts.every(connection, ("live",)) if _fails(connection, each, halt_after, now)]
    done = 0
    for id_ in due:
        with db.write() as w:
            done += _begin_due(w, keys, found(w, id_), now)
    for id_ in failing:
        with db.write() as w:
            done += _halt_failing(w, keys, found(w, id_), halt_after, now)
    return done


def _begin_due(w: Connection, keys: ServerKeys, rollout: Rollout, now: int) -> int:
    if rollout.state != "planned":  # `chaski jobs run` beside the server has begun it meanwhile, or a person.
        return 0
    try:
        with savepoint(w):
            begin(w, keys, rollout, actor=SERVER, now=now)
    except (Problem, SyncError) as wrong:  # Since it was planned its author's key was revoked, or the version closed.
        _stop(w, rollout, wrong.code, now)
    return 1


def _halt_failing(w: Connection, keys: ServerKeys, rollout: Rollout, halt_after: int, now: int) -> int:
    """Halt a ring if each of its tablets has a version to fall back on; a form's only one a person has to judge."""
    if rollout.state != "live" or not _fails(w, rollout, halt_after, now):
        return 0
    codes = " ".join(sorted({each.code for each in _against(w, rollout, now)}))
    _tell(w, rollout, codes, now)
    if not _all_fall_back(w, rollout):
        return 0
    _halt(w, keys, rollout, reason=codes, actor=SERVER, now=now)
    return 1


def stop_begun(w: Connection, *, since: int, now: int) -> None:
    """After a restore: stop what began since a time or is planned, for a person may have stopped it after the copy.

    What tablets have nothing in the place of goes on, and a person is told. The caller renews the manifest.
    """
    for rollout in rollouts.every(w, ("planned", "live")):
        if rollout.state == "planned" or ((rollout.since or 0) >= since and _all_fall_back(w, rollout)):
            _stop(w, rollout, RESTORED, now)
        elif (rollout.since or 0) >= since:
            _tell(w, rollout, RESTORED, now)


def _stop(w: Connection, rollout: Rollout, why: str, now: int) -> None:
    rollouts.move(w, rollout.id, state=TRANSITIONS.next_state("halt", rollout.state), since=rollout.since, reason=why)
    note(w, "form.halted", rollout, actor=SERVER, now=now, code=why)
    _tell(w, rollout, why, now)


def _tell(w: Connection, rollout: Rollout, codes: str, now: int) -> None:
    worklist.add(w, kind="rollout", dev="", chain=str(rollout.id), reason=f"{rollout.form} {codes}", at=now)


def _all_fall_back(c: Connection, rollout: Rollout) -> bool:
    """Whether every tablet of a ring would have another version if that ring were not; never training for the field."""
    others = [each for each in rollouts.every(c, ("live",), form=rollout.form) if each.id != rollout.id]
    fit = (each for each in others if rollout.channel == "training" or each.channel == "field")
    below, entry = entries(fit).get(rollout.form, ()), entry_of(rollout)
    tablets = [(each.dev, each.region) for each in devices.every(c) if each.state == "certified"]
    return bool(below) and all(any(other.takes(*each) for other in below) for each in tablets if entry.takes(*each))


def _fails(c: Connection, rollout: Rollout, halt_after: int, now: int) -> bool:
    return len(_against(c, rollout, now)) >= halt_after


def _against(c: Connection, rollout: Rollout, now: int) -> list[Refusal]:
    """The tablets of a ring that could not work with its version since it began, or in the last week."""
    entry, since = entry_of(rollout), max(rollout.since or 0, now - WEEK)
    return [each for each in rollouts.refusals(c, rollout.sha, since=since) if entry.takes(each.dev, each.region)]
