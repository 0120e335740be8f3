"""Detects that the database went back to an older state than the server has promised, and gives it a new generation.

`open_services` asks at start, by the mark beside the database; the sync request asks by a tablet's receipts (SPEC 11.3
rule 10). After a new generation tablets offer again what they keep. Restore starts its generation here too. No tablet's
word alone may start a generation: a thief of one key could force new ones for ever.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

from server.database import snapshot
from server.database.commit_mark import CommitMark, MarkWriter, read_mark
from server.database.connection import Connection, Database, DatabaseDamagedError
from server.flows.forms import halts, rollouts
from server.flows.operations import statistics
from server.server_keys import ServerKeys
from server.store import audit, meta, worklist
from server.store.audit import SERVER
from sync.documents.receipt import Receipts, shorten_head
from sync.durations import WEEK
from sync.exchange.messages import AuditRow

_log = logging.getLogger("chaski")


def keep_mark(database: Path, keys: ServerKeys, now: Callable[[], int]) -> Callable[[Connection], Callable[[], None]]:
    """Return the function for the database to call at each commit: its result writes the mark if the audit chain grew.

    If an older copy was written into the open file since the last commit, it first starts a new generation. The mark
    is read inside the transaction, where its pages are at hand; a query after the commit costs ten times more.
    """
    writer = MarkWriter(database)

    def read_next_mark(c: Connection) -> Callable[[], None]:
        last = writer.last
        try:
            held, number, head = audit.get_hash_and_head(c, last.number)
            if last.number == 0 or held == last.head:
                return partial(writer.write, CommitMark(meta.get_generation(c), number, head))
            why = _contradiction("mark", c, last.number, lambda head: head == last.head)
            _start_after_rollback(c, keys, why, last, now())
            return partial(writer.write, _current_mark(c))
        except DatabaseDamagedError:  # No receipt is signed then either. The report about the damage must be stored.
            return lambda: None

    return read_next_mark


def store_mark(db: Database, database: Path) -> None:
    """Write the mark of a database that is still open under another name."""
    MarkWriter(database).write(_current_mark(db.read()))


def _current_mark(c: Connection) -> CommitMark:
    return CommitMark(meta.get_generation(c), *audit.get_head(c))


def renew_if_behind(db: Database, database: Path, keys: ServerKeys, *, now: int) -> None:
    """Start a new generation if the database is behind its mark, or lost it. A database without one gets its first.

    A mark that is older than the database is harmless: the process ended between commit and mark. Raises
    DatabaseDamagedError if the database is behind and not sound: a log that lost its end after a part of it was merged
    leaves old and new pages side by side.
    """
    mark, marked = read_mark(database), meta.has_mark(db.read())
    if mark is None and not marked:
        store_mark(db, database)
    why = _why_behind(db.read(), mark) if mark is not None or marked else ""
    if why and (faults := snapshot.find_faults(db.read())):
        raise DatabaseDamagedError(f"page structure ({faults[0]})")
    if why or not marked:
        with db.write() as w:
            meta.record_mark(w)
            if why:
                _start_after_rollback(w, keys, why, mark, now)


def _why_behind(c: Connection, mark: CommitMark | None) -> str:
    if mark is None:
        return "mark.missing"
    if mark.generation != meta.get_generation(c):
        return "mark.other_generation"
    return _contradiction("mark", c, mark.number, lambda head: head == mark.head)


def _contradiction(source: str, c: Connection, number: int, is_same: Callable[[str], bool]) -> str:
    """Return a code if the audit chain does not have this row; empty if it has it."""
    head = audit.get_hash(c, number)
    if head is None:
        return f"{source}.newer" if number > audit.get_head(c)[0] else f"{source}.other_history"
    return "" if is_same(head) else f"{source}.other_history"


def contradicts(c: Connection, generation: str, told: AuditRow, *, own: str) -> bool:
    """Return True if this database, of the generation `own`, does not have the audit row that a tablet was told in a
    generation, or does not know the generation. Only the tablet's receipts prove it."""
    return bool(_why_contradicted(c, generation, told.number, lambda head: shorten_head(head) == told.head, own))


def renew_if_proved(w: Connection, keys: ServerKeys, proof: Receipts, *, now: int) -> None:
    """Start a new generation if these receipts, signed by a server of the trust, contradict the database.

    Receipts of a generation that it left prove nothing: the generation that followed has settled them.
    """
    if why := _why_contradicted(w, proof.generation, proof.number, lambda head: head == proof.head):
        _start_after_rollback(w, keys, why, CommitMark(proof.generation, proof.number, proof.head), now)


def _why_contradicted(
    c: Connection, generation: str, number: int, is_same: Callable[[str], bool], own: str = ""
) -> str:
    """Return a code if receipts name an audit row or a generation that is not there. An older server named no row."""
    if number == 0:
        return ""
    if generation == (own or meta.get_generation(c)):
        return _contradiction("receipts", c, number, is_same)
    return "" if generation in meta.left_generations(c) else "receipts.other_generation"


def _start_after_rollback(w: Connection, keys: ServerKeys, why: str, lost: CommitMark | None, now: int) -> None:
    """Start a new generation; tell administrators why. `lost` is the state that was promised, None = not known."""
    former, (number, _) = meta.get_generation(w), audit.get_head(w)
    manifest = start_generation(w, keys, copied=meta.newest_time(w), now=now)
    if lost is not None:
        meta.record_left_generation(w, lost.generation)
    known = lost.number if lost else 0
    detail: dict[str, str | int] = {"why": why, "number": number, "known": known, "manifest": manifest}
    audit.append(w, at=now, action="database.went_back", actor=SERVER, subject=former, detail=detail)
    worklist.add_item(w, kind="went_back", dev="", reason=f"{why} {number}.{known}", at=now, since=worklist.EVERY_TIME)
    _log.warning("database went back", extra={"fields": {"why": why, "number": number, "known": known}})


def start_generation(w: Connection, keys: ServerKeys, *, copied: int, now: int) -> int:
    """Give the database a new generation, so that tablets send again the screenings they keep (SPEC 11.3).

    `copied` is the time (ms) of its state. Returns the number of the new manifest.
    """
    # This machine's clock may be behind. The manifest's number must still be above all that the lost server used.
    after = max(now, meta.newest_time(w) + 1_000)
    meta.start_generation(w, secrets.token_urlsafe(8))
    meta.record_mark(w)
    # A rollout that was halted after the copy must not start again by itself.
    halts.stop_recent(w, since=copied - WEEK, now=now)
    statistics.settle_after_restore(w, copied=copied, now=now)
    return rollouts.renew_manifest(w, keys, after)
