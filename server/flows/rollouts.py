"""Form versions on their way to tablets, ring by ring: begun by hand or at a time, widened, halted, rolled back.

The people's door calls it, a job begins what is due and halts what tablets cannot work with. Each change is a new
manifest, made of the live rollouts alone, the newest first: whoever a halt leaves out has the version below again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from server.db import Connection, Db, apart
from server.flows import moves, publishing, recordings
from server.keys import ServerKeys
from server.problems import Problem
from server.store import audit, devices, rollouts, versions, worklist
from server.store.audit import SERVER
from server.store.rollouts import Rollout
from server.store.versions import Draft, Version
from sync import bundle
from sync.errors import SyncError
from sync.manifest import Entry
from sync.members import FORM_ID, LABEL, NAME, Members
from sync.signed import Document

MOVES = moves.read("rollout_states.csv", refused=lambda said, state: Problem("rollout.wrong_state", said, state=state))
VERSION_MOVES = moves.read(
    "version_states.csv", refused=lambda said, state: Problem("version.wrong_state", said, state=state)
)
WEEK = 7 * 24 * 3_600_000
"""What tablets could not work with longer ago halts nothing any more."""
OPEN = ("planned", "live", "halted")


@dataclass(frozen=True)
class Ring:
    """The tablets that get a version; None does not narrow them."""

    regions: tuple[str, ...] | None = None
    share_permille: int | None = None
    devices: tuple[str, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """Say whether every tablet gets it."""
        return self == Ring()


@dataclass(frozen=True)
class InForce:
    """A published version and the number of the manifest that puts it into use."""

    version: Version
    manifest: int


@dataclass(frozen=True)
class Standing:
    """A rollout, and how many tablets of its ring could not work with it since it began."""

    rollout: Rollout
    refused: int


def entries(live: Iterable[Rollout]) -> dict[str, tuple[Entry, ...]]:
    """Return what the manifest says of forms: the rings of each in order, down to the first that leaves nobody out."""
    found: dict[str, tuple[Entry, ...]] = {}
    for each in live:
        above = found.get(each.form, ())
        if not above or not _ring(above[-1]).is_whole:
            found[each.form] = (*above, _entry(each))
    return found


def _entry(rollout: Rollout) -> Entry:
    return Entry(rollout.sha, rollout.regions, rollout.devices, rollout.share_permille)


def _ring(of: Entry | Rollout) -> Ring:
    return Ring(of.regions, of.share_permille, of.devices)


def renew(w: Connection, keys: ServerKeys, now: int) -> int:
    """Put a manifest of the live rollouts in force; return its number."""
    held = publishing.manifest_in_force(w)
    return publishing.renew_manifest(w, keys, replace(held, forms=entries(rollouts.every(w, ("live",)))), now)


# Into use


def publish(db: Db, keys: ServerKeys, body: bytes, *, ring: Ring, actor: str, now: int) -> InForce:
    """Put a bundle that two persons signed elsewhere into use for a ring of tablets, now.

    SyncError when the signatures are not enough; Problem `form.version_exists` when other bytes have that name already.
    """
    document = Document.parse(body)
    with db.write() as w:
        bundle.accept(document, publishing.trust_in_force(w))
        id_ = _keep(w, described(document), actor=actor, now=now)
        rollout = _plan(w, id_, ring, starts=now, actor=actor, now=now)
        number = _begin(w, keys, rollout, actor=actor, now=now)
        version = versions.get(w, id_)
    assert version is not None
    return InForce(version, number)


def described(document: Document, source: bytes | None = None) -> Draft:
    """Return what compiled bytes say of themselves. Problem `publication.unknown_channel` if it is none."""
    members = Members(document.content, "bundle")
    channel = members.text("channel", NAME)
    if channel not in ("training", "field"):
        raise Problem("publication.unknown_channel", channel)
    form, version = members.text("form_id", FORM_ID), members.text("version", LABEL)
    used, policy = (_name(document.content.get(table)) for table in ("indicator_set", "policy"))
    return Draft(form, version, channel, document.sha256, used, policy, document.to_bytes(), source)


def _name(table: Any) -> str:
    return str(table.get("name", "")) if isinstance(table, Mapping) else ""


def _keep(w: Connection, offered: Draft, *, actor: str, now: int) -> int:
    """Return the number of the version that a signed bundle is; it may be here as a draft already.

    Its signatures may be renewed (SPEC 5.4): those that count today are handed out from now on.
    """
    held = versions.named(w, offered.form, offered.version, offered.channel)
    if held is None:
        return versions.add(w, offered, state="approved", author=actor, at=now)
    if held.sha != offered.sha:
        raise Problem("form.version_exists", f"{offered.form} {offered.version} ({offered.channel})")
    versions.sign(w, held.id, offered.body, reviewer=held.reviewer)
    if held.state in ("draft", "in_review"):
        versions.forget_trials(w, held.id)
        versions.move(w, held.id, state="approved", at=now)
    return held.id


def plan(db: Db, keys: ServerKeys, version: int, *, ring: Ring, starts: int | None, actor: str, now: int) -> Rollout:
    """Have an approved version go to a ring of tablets: now, or at a time (milliseconds) once that has come."""
    with db.write() as w:
        rollout = _plan(w, version, ring, starts=starts or now, actor=actor, now=now)
        if rollout.starts <= now:
            _begin(w, keys, rollout, actor=actor, now=now)
        else:
            _note(w, "form.planned", rollout, actor=actor, now=now)
        return found(w, rollout.id)


def _plan(w: Connection, id_: int, ring: Ring, *, starts: int, actor: str, now: int) -> Rollout:
    version = versions.get(w, id_)
    if version is None:
        raise Problem("version.unknown", str(id_))
    VERSION_MOVES.end("publish", version.state)
    _refuse_training_over_field(w, version.form, version.channel, ring)
    made = rollouts.add(w, id_, **vars(ring), starts=starts, at=now, by=actor)
    return found(w, made)


def _refuse_training_over_field(w: Connection, form: str, channel: str, ring: Ring) -> None:
    """A training version alarms nobody: only tablets that are named may have one in the place of a field version."""
    others = rollouts.every(w, ("live",), form=form) if channel == "training" and ring.devices is None else []
    if any(each.channel == "field" for each in others):
        raise Problem("rollout.training_over_field", form)


def _begin(w: Connection, keys: ServerKeys, rollout: Rollout, *, actor: str, now: int) -> int:
    """Bring a planned rollout into the manifest; the same version's former ring ends."""
    document = Document.parse(versions.signed(w, rollout.version))
    bundle.accept(document, publishing.trust_in_force(w))
    recordings.put_out(w, document, versions.source(w, rollout.version))
    for other in rollouts.every(w, ("live", "halted"), form=rollout.form):
        if other.version == rollout.version:
            rollouts.move(w, other.id, state=MOVES.end("end", other.state), since=other.since, reason=other.reason)
    version = versions.get(w, rollout.version)
    assert version is not None
    versions.move(w, version.id, state=VERSION_MOVES.end("publish", version.state), at=now)
    rollouts.move(w, rollout.id, state=MOVES.end("begin", rollout.state), since=now)
    return _changed(w, keys, "form.published", rollout, actor=actor, now=now)


def _changed(w: Connection, keys: ServerKeys, action: str, rollout: Rollout, *, actor: str, now: int) -> int:
    number = renew(w, keys, now)
    _note(w, action, rollout, actor=actor, now=now, manifest=number)
    return number


def _note(w: Connection, action: str, rollout: Rollout, *, actor: str, now: int, **said: str | int) -> None:
    detail = {"form": rollout.form, "channel": rollout.channel, "rollout": rollout.id, **said}
    audit.append(w, at=now, action=action, actor=actor, subject=rollout.sha, detail=detail)


# Wider, halted, back


def found(c: Connection, id_: int) -> Rollout:
    """Return a rollout. Problem `rollout.unknown` when there is none."""
    rollout = rollouts.get(c, id_)
    if rollout is None:
        raise Problem("rollout.unknown", str(id_))
    return rollout


def listed(db: Db, form: str | None, *, now: int) -> list[Standing]:
    """Return all rollouts, or those of a form, in the order in which tablets try them."""
    connection = db.read()
    return [_standing(connection, each, now) for each in rollouts.every(connection, form=form)]


def standing(db: Db, id_: int, *, now: int) -> Standing:
    """Return a rollout, and how many tablets of its ring cannot work with it."""
    return _standing(db.read(), found(db.read(), id_), now)


def _standing(c: Connection, rollout: Rollout, now: int) -> Standing:
    return Standing(rollout, len(_against(c, rollout, now)) if rollout.state in ("live", "halted") else 0)


def widen(db: Db, keys: ServerKeys, id_: int, *, ring: Ring, actor: str, now: int) -> Rollout:
    """Give a rollout another ring, wider or narrower, in its place."""
    with db.write() as w:
        rollout = found(w, id_)
        MOVES.end("widen", rollout.state)
        _refuse_training_over_field(w, rollout.form, rollout.channel, ring)
        rollouts.widen(w, id_, **vars(ring))
        _changed(w, keys, "form.widened", rollout, actor=actor, now=now)
        return found(w, id_)


def halt(db: Db, keys: ServerKeys, id_: int, *, reason: str, actor: str, now: int) -> Rollout:
    """Take a ring out of the manifest: its tablets have the version below again, or none where there is none."""
    with db.write() as w:
        _halt(w, keys, found(w, id_), reason=reason, actor=actor, now=now)
        return found(w, id_)


def _halt(w: Connection, keys: ServerKeys, rollout: Rollout, *, reason: str, actor: str, now: int) -> None:
    state = MOVES.end("halt", rollout.state)
    rollouts.move(w, rollout.id, state=state, since=rollout.since, reason=reason)
    _changed(w, keys, "form.halted", rollout, actor=actor, now=now)


def resume(db: Db, keys: ServerKeys, id_: int, *, actor: str, now: int) -> Rollout:
    """Bring a halted ring back; what tablets could not work with before counts no more."""
    with db.write() as w:
        rollout = found(w, id_)
        state = MOVES.end("resume", rollout.state)
        bundle.accept(Document.parse(versions.signed(w, rollout.version)), publishing.trust_in_force(w))
        _refuse_training_over_field(w, rollout.form, rollout.channel, _ring(rollout))
        rollouts.move(w, id_, state=state, since=now)
        worklist.settle(w, kind="rollout", dev="", chain=str(id_), by=actor, at=now)
        _changed(w, keys, "form.resumed", rollout, actor=actor, now=now)
        return found(w, id_)


def roll_back(db: Db, keys: ServerKeys, version: int, *, reason: str, actor: str, now: int) -> Rollout:
    """Give every tablet an earlier version again, in a new manifest; all other rollouts of the form end."""
    with db.write() as w:
        rollout = _plan(w, version, Ring(), starts=now, actor=actor, now=now)
        for other in rollouts.every(w, OPEN, form=rollout.form):
            if other.id != rollout.id:
                rollouts.move(w, other.id, state=MOVES.end("end", other.state), since=other.since, reason=reason)
        _begin(w, keys, rollout, actor=actor, now=now)
        _note(w, "form.rolled_back", rollout, actor=actor, now=now)
        return found(w, rollout.id)


def end_all(w: Connection, keys: ServerKeys, version: Version, *, now: int) -> None:
    """End every rollout of a version that is closing: no tablet is sent to it any more."""
    for each in rollouts.every(w, OPEN, form=version.form):
        if each.version == version.id:
            rollouts.move(w, each.id, state=MOVES.end("end", each.state), since=each.since, reason=each.reason)
    renew(w, keys, now)


# By itself


def refused(w: Connection, dev: str, codes: Mapping[str, str], *, now: int) -> None:
    """Note the versions (SHA-256 -> problem code) that a tablet could not take into use; part of its sync."""
    for sha, code in codes.items():
        if versions.standing(w, sha):
            rollouts.refuse(w, sha=sha, dev=dev, code=code, at=now)


def rejected(w: Connection, dev: str, code: str, *, now: int) -> None:
    """Note that an envelope of a tablet was rejected: any version on board may have made it."""
    if devices.get(w, dev) is not None:
        refused(w, dev, dict.fromkeys(devices.stock(w, dev).values(), code), now=now)


def watch(db: Db, keys: ServerKeys, *, halt_after: int, now: int) -> int:
    """Begin what is due and halt what too many tablets of a ring could not work with; return how many. A job."""
    connection = db.read()
    due = [each.id for each in rollouts.every(connection, ("planned",)) if each.starts <= now]
    failing = [each.id for each in rollouts.every(connection, ("live",)) if _fails(connection, each, halt_after, now)]
    done = 0
    for id_, act in [*((id_, _begin_due) for id_ in due), *((id_, _halt_failing) for id_ in failing)]:
        with db.write() as w:
            rollout = found(w, id_)
            if rollout.state in ("planned", "live"):
                done += act(w, keys, rollout, now)
    return done


def _begin_due(w: Connection, keys: ServerKeys, rollout: Rollout, now: int) -> int:
    try:
        with apart(w):
            _begin(w, keys, rollout, actor=SERVER, now=now)
    except (Problem, SyncError) as wrong:  # Since it was planned its author's key was revoked, or the version closed.
        rollouts.move(w, rollout.id, state=MOVES.end("halt", rollout.state), since=None, reason=wrong.code)
        _note(w, "form.halted", rollout, actor=SERVER, now=now, code=wrong.code)
        _tell(w, rollout, wrong.code, now)
    return 1


def _halt_failing(w: Connection, keys: ServerKeys, rollout: Rollout, now: int) -> int:
    """Halt a ring if each of its tablets has a version to fall back on; a form's only one a person has to judge."""
    codes = sorted({each.code for each in _against(w, rollout, now)})
    _tell(w, rollout, " ".join(codes), now)
    if not _all_fall_back(w, rollout):
        return 0
    _halt(w, keys, rollout, reason=" ".join(codes), actor=SERVER, now=now)
    return 1


def _all_fall_back(c: Connection, rollout: Rollout) -> bool:
    """Whether no tablet of a ring would be without the form if that ring were not."""
    others = entries(each for each in rollouts.every(c, ("live",), form=rollout.form) if each.id != rollout.id)
    below, entry = others.get(rollout.form, ()), _entry(rollout)
    tablets = [(each.dev, each.region) for each in devices.every(c) if each.state == "certified"]
    return all(any(other.takes(*each) for other in below) for each in tablets if entry.takes(*each))


def _tell(w: Connection, rollout: Rollout, codes: str, now: int) -> None:
    worklist.add(w, kind="rollout", dev="", chain=str(rollout.id), reason=f"{rollout.form} {codes}", at=now)


def _fails(c: Connection, rollout: Rollout, halt_after: int, now: int) -> bool:
    return len(_against(c, rollout, now)) >= halt_after


def _against(c: Connection, rollout: Rollout, now: int) -> list[rollouts.Refusal]:
    """The tablets of a ring that could not work with its version since it began, or in the last week."""
    entry, since = _entry(rollout), max(rollout.since or 0, now - WEEK)
    return [each for each in rollouts.refusals(c, rollout.sha, since=since) if entry.takes(each.dev, each.region)]
