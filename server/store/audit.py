"""The audit chain: which actor did what to which id. Each row contains the hash of the row before it.

Flows append in the same transaction as the change they audit. Rows hold ids and codes only; `append` rejects a value
that could be a sentence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from server.database.connection import Connection, Row

# Long enough for a SHA-256 in hex and a dotted action; without spaces, so that it cannot hold a sentence.
_ID_LETTERS = re.compile(r"[A-Za-z0-9_.:@-]*")
_MOST_LETTERS = 80
START = "0" * 64
LOWEST = -(2**63)
"""Below every row: a tampered chain may have rows with negative numbers."""
DAMAGE_ACCEPTED = "damage.accepted"
SERVER = "server"
"""The actor of an action that no person and no tablet caused."""
_DETAIL = json.JSONEncoder(sort_keys=True)
_FIELDS = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_INSERT = "insert into audit (number, at, action, actor, subject, detail, prev, hash) values (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class AuditEvent:
    """An event to append: actor, action, subject id and details."""

    action: str
    actor: str
    subject: str
    detail: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditEntry:
    """One row. `at` is in milliseconds; `prev` and `hash` are in hex."""

    number: int
    at: int
    action: str
    actor: str
    subject: str
    detail: Mapping[str, str | int]
    prev: str
    hash: str


def append(
    w: Connection, *, at: int, action: str, actor: str, subject: str, detail: Mapping[str, str | int] | None = None
) -> str:
    """Append a row and return the chain's new head. Raises ValueError if a value is not an id or a code."""
    return append_all(w, [AuditEvent(action, actor, subject, detail or {})], at=at)


def append_all(w: Connection, events: Sequence[AuditEvent], *, at: int) -> str:
    """Append a row for each event, in order, and return the chain's new head. Raises ValueError as `append` does."""
    appender = Appender(w)
    appender.add(events, at=at)
    appender.write()
    return appender.head[1]


class Appender:
    """Appends to the chain, which it reads once and writes once. Nothing else may append before `write`; if something
    did, the numbers are taken, and `write` raises the database's error."""

    def __init__(self, w: Connection) -> None:
        self._w, self._rows = w, list[tuple[int, int, str, str, str, str, str, str]]()
        self.head = get_head(w)

    def add(self, events: Iterable[AuditEvent], *, at: int) -> None:
        """Add events, in order. Raises ValueError if a value is not an id or a code."""
        last, prev = self.head
        for number, event in enumerate(events, last + 1):
            texts = _id_texts(event)
            if max(map(len, texts)) > _MOST_LETTERS or not _ID_LETTERS.fullmatch("".join(texts)):
                raise ValueError(f"{event.action}: an audit row holds ids and codes only")
            digest = hash_entry(number, at, event.action, event.actor, event.subject, event.detail, prev)
            detail = _DETAIL.encode(dict(event.detail)) if event.detail else "{}"
            self._rows.append((number, at, event.action, event.actor, event.subject, detail, prev, digest))
            last, prev = number, digest
        self.head = (last, prev)

    def mark(self) -> tuple[int, tuple[int, str]]:
        """Return the present state, for `return_to`."""
        return len(self._rows), self.head

    def return_to(self, mark: tuple[int, tuple[int, str]]) -> None:
        """Forget the events that were added since `mark`."""
        del self._rows[mark[0] :]
        self.head = mark[1]

    def write(self) -> None:
        """Write the rows."""
        self._w.executemany(_INSERT, self._rows)
        self._rows.clear()


def _id_texts(event: AuditEvent) -> list[str]:
    texts = [event.action, event.actor, event.subject, *event.detail]
    return texts + [value for value in event.detail.values() if isinstance(value, str)]


def hash_entry(
    number: int, at: int, action: str, actor: str, subject: str, detail: Mapping[str, str | int], prev: str
) -> str:
    """Return the hash of a row: SHA-256 in hex over its fields and the previous row's hash, as one JSON array."""
    fields = [number, at, action, actor, subject, dict(detail), prev]
    return hashlib.sha256(_FIELDS.encode(fields).encode()).hexdigest()


def get_head(c: Connection) -> tuple[int, str]:
    """Return the last row's number and hash; (0, sixty-four zeros) if the chain is empty."""
    last = c.row("select number, hash from audit order by number desc limit 1")
    return (last["number"], last["hash"]) if last else (0, START)


def get_hash(c: Connection, number: int) -> str | None:
    """Return the hash of a row, or None if the chain has no row of this number."""
    found = c.row("select hash from audit where number = ?", [number])
    return str(found["hash"]) if found else None


def get_hash_and_head(c: Connection, number: int) -> tuple[str | None, int, str]:
    """Return the hash of a row as `get_hash` does, and number and hash of the last row as `get_head` does, by one
    query: each commit asks."""
    found = c.execute(
        "select number, hash from audit where number = ?"
        " union all select * from (select number, hash from audit order by number desc limit 1)",
        [number],
    ).fetchall()
    last, head = found[-1] if found else (0, START)
    return found[0][1] if len(found) == 2 else None, last, head


def list_entries(c: Connection, *, after: int = 0, limit: int = 500) -> list[AuditEntry]:
    """Return rows above a number, in order."""
    return [_read_entry(item) for item in list_rows(c, after=after, limit=limit)]


def is_last_form_deed(c: Connection, subject: str, action: str, actor: str, **detail: str | int) -> bool:
    """Return True if the newest row about a form version has this action and actor, and these details among its own:
    the actor's first request arrived, and its answer got lost."""
    # In the words of a partial index: one over all subjects would cost intake a page for each screening.
    found = c.row(
        "select * from audit where subject = ? and action >= 'form.' and action < 'form/' order by number desc limit 1",
        [subject],
    )
    last = _read_entry(found) if found else None
    return last is not None and (last.action, last.actor) == (action, actor) and last.detail.items() >= detail.items()


def list_rows(c: Connection, *, after: int, limit: int = 500) -> list[Row]:
    """Return rows above a number, in order, as they are stored: a damaged one is no AuditEntry."""
    return c.rows("select * from audit where number > ? order by number limit ?", [after, limit])


def iterate_rows(c: Connection, *, after: int = LOWEST) -> Iterator[Row]:
    """Yield all stored rows above a number, one page of rows at a time."""
    while page := list_rows(c, after=after):
        yield from page
        after = page[-1]["number"]


def is_authentic(row: Row) -> bool:
    """Return True if a stored row has the types of an entry and its own hash. Any content may be in it."""
    if not all(isinstance(row[name], str) for name in ("action", "actor", "subject", "detail", "prev", "hash")):
        return False
    if type(row["number"]) is not int or type(row["at"]) is not int:
        return False
    if row["hash"] == _hash_as_written(row):
        return True
    try:
        detail = dict(json.loads(row["detail"]))
        entry = (row["number"], row["at"], row["action"], row["actor"], row["subject"], detail, row["prev"])
        return bool(row["hash"] == hash_entry(*entry))
    except (ValueError, TypeError, RecursionError):
        return False


def _hash_as_written(row: Row) -> str:
    """Return the hash of a row whose texts are ids and codes, which stand in JSON as they are: it takes a fifth of the
    time. No other row has it: a text with a quotation mark would give this array one field more."""
    detail = str(row["detail"]).replace('": ', '":').replace(', "', ',"')
    texts = '","'.join((row["action"], row["actor"], row["subject"]))
    fields = f'[{row["number"]},{row["at"]},"{texts}",{detail},"{row["prev"]}"]'
    return hashlib.sha256(fields.encode("utf-8", "surrogatepass")).hexdigest()


def list_accepted_damage(c: Connection) -> set[tuple[str, str]]:
    """Return (code, subject) of all damage that a person accepted at a restore.

    An envelope that arrived again since is whole: what happens to it later was accepted by no person.
    """
    # In the words of two partial indexes. An envelope that was stored again lost its mark, which is as old as this row.
    found = c.rows(
        "select subject, at, detail, exists (select 1 from damaged_envelopes d where d.envelope = a.subject"  # noqa: S608
        f" and d.found <= a.at) as marked from audit a where action = '{DAMAGE_ACCEPTED}' and not exists"
        " (select 1 from audit b where b.subject = a.subject and b.number > a.number"
        " and b.action in ('envelope.repaired', 'envelope.released', 'envelope.kept_apart'))"
    )
    accepted = [(str(_read_detail(item["detail"]).get("fault")), item) for item in found]
    return {
        (code, str(item["subject"]))
        for code, item in accepted
        if item["marked"] or code not in ("envelope.changed", "envelope.missing")
    }


def _read_entry(item: Row) -> AuditEntry:
    return AuditEntry(**{**item, "detail": _read_detail(item["detail"])})


def _read_detail(text: str) -> dict[str, str | int]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):  # A damaged row is shown; `chaski audit verify` reports it.
        return {"unreadable": len(text)}
