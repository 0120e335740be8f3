"""The audit chain: who did what to which id, each row hashed over the one before it. Flows append in the same
transaction as the deed. Rows carry ids and codes only; a value that could be a sentence is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.db import Connection, Row, row, rows

# Long enough for a SHA-256 in hex and a dotted action, too narrow for anything a person said.
_ID = re.compile(r"[A-Za-z0-9_.:@-]{0,80}")
START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One deed. `at` in milliseconds; `prev` and `hash` in hex."""

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
    """Add a row and return the chain's new head. Raises ValueError when a value is more than an id or a code."""
    detail = dict(detail or {})
    for value in (action, actor, subject, *detail, *detail.values()):
        if isinstance(value, str) and not _ID.fullmatch(value):
            raise ValueError(f"{action}: an audit row holds ids and codes only")
    last, prev = head(w)
    number = last + 1
    digest = link(number, at, action, actor, subject, detail, prev)
    w.execute(
        "insert into audit (number, at, action, actor, subject, detail, prev, hash) values (?, ?, ?, ?, ?, ?, ?, ?)",
        [number, at, action, actor, subject, json.dumps(detail, sort_keys=True), prev, digest],
    )
    return digest


def link(
    number: int, at: int, action: str, actor: str, subject: str, detail: Mapping[str, str | int], prev: str
) -> str:
    """The hash of a row: SHA-256 in hex over its fields and its predecessor's hash, as one JSON array."""
    fields = [number, at, action, actor, subject, dict(detail), prev]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def head(c: Connection) -> tuple[int, str]:
    """The last row's number and hash; (0, sixty-four zeros) before the first."""
    last = row(c, "select number, hash from audit order by number desc limit 1")
    return (last["number"], last["hash"]) if last else (0, START)


def entries(c: Connection, *, after: int = 0, limit: int = 500, subject: str | None = None) -> list[Entry]:
    """Rows in order, above a number; only one subject's when given."""
    where = "number > ?" + (" and subject = ?" if subject is not None else "")
    given = [after] + ([subject] if subject is not None else [])
    found = rows(c, f"select * from audit where {where} order by number limit ?", [*given, limit])  # noqa: S608 (no input in the text)
    return [_entry(item) for item in found]


def every(c: Connection) -> Iterator[Entry]:
    """The whole chain, a page at a time."""
    after = 0
    while page := entries(c, after=after):
        yield from page
        after = page[-1].number


def _entry(item: Row) -> Entry:
    return Entry(**{**item, "detail": json.loads(item["detail"])})
