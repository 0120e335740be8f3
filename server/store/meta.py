"""Data about the database itself: its generation, its newest time, its number of records."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.database.connection import Connection, DatabaseDamagedError

# As the first migrations and `start_generation` write them.
_GENERATION = re.compile(r"[A-Za-z0-9_-]{1,22}")
_NEEDED = {"generation": _GENERATION, "sign_in_pepper": re.compile(r"[0-9a-f]{64}")}
# A text that is not UTF-8 would stop the reading.
_AS_BYTES = "select cast(name as blob) as name, cast(value as blob) as value from meta"


@dataclass(frozen=True)
class Holdings:
    """The number of records in a database."""

    envelopes: int
    tablets: int
    people: int
    form_versions: int


def get_generation(c: Connection) -> str:
    """Return the generation: a random name of this database. It changes at a restore, so that tablets send again what
    the lost disk held. Raises DatabaseDamagedError if it is missing or damaged."""
    found = c.row("select cast(value as blob) as value from meta where name = 'generation'")
    value = (found["value"] or b"").decode("utf-8", "replace") if found else ""  # A changed bit can make a null of it.
    if not _GENERATION.fullmatch(value):
        raise DatabaseDamagedError("generation")
    return str(value)


def list_bad(c: Connection) -> list[tuple[str, bool]]:
    """Return the facts that every database has and this one lacks or holds damaged: name, and True if it is there."""
    held = {bytes(item["name"] or b""): bytes(item["value"] or b"") for item in c.rows(_AS_BYTES)}
    return [
        (name, name.encode() in held)
        for name, form in _NEEDED.items()
        if not form.fullmatch(held.get(name.encode(), b"").decode("utf-8", "replace"))
    ]


def last_write_check(c: Connection) -> int | None:
    """Return the time (ms) of the last proof that the database is writable, or None."""
    found = get_value(c, "pulse")
    return int(found) if found else None


def set_write_check(w: Connection, at: int) -> None:
    """Prove that the database is writable."""
    set_value(w, "pulse", str(at))


def get_value(c: Connection, name: str) -> str | None:
    """Return a job's own note, or None."""
    found = c.row("select value from meta where name = ?", [name])
    return str(found["value"]) if found and found["value"] is not None else None


def set_value(w: Connection, name: str, value: str) -> None:
    """Store a job's own note."""
    w.execute(
        "insert into meta (name, value) values (?, ?) on conflict (name) do update set value = excluded.value",
        [name, value],
    )


def left_generations(c: Connection) -> frozenset[str]:
    """Return the generations that this database had before, and those that it lost."""
    return frozenset((get_value(c, "left_generations") or "").split())


def record_left_generation(w: Connection, generation: str) -> None:
    """Record a generation that is over. Receipts of it say nothing about this database."""
    known = " ".join(sorted(left_generations(w) | {generation}))
    w.execute(
        "insert into meta (name, value) values ('left_generations', ?)"
        " on conflict (name) do update set value = excluded.value",
        [known],
    )


def has_mark(c: Connection) -> bool:
    """Return True if a mark was once written beside this database. Without its mark it is then an old copy."""
    return c.row("select 1 from meta where name = 'marked'") is not None


def record_mark(w: Connection) -> None:
    """Record that a mark is written beside this database."""
    w.execute("insert into meta (name, value) values ('marked', '1') on conflict (name) do nothing")


def count_holdings(c: Connection) -> Holdings:
    """Count envelopes, tablets, people and form versions."""
    counts = c.row(
        "select (select count(*) from envelopes) as envelopes, (select count(*) from devices) as tablets,"
        " (select count(*) from people) as people,"
        " (select count(*) from versions where state in ('published', 'closing', 'retired')) as form_versions",
    )
    assert counts is not None
    return Holdings(**counts)


def newest_time(c: Connection) -> int:
    """Return the newest time (ms) in a database, by the clock of the server that wrote it."""
    found = c.row(
        "select max(at) as at from (select max(at) as at from audit union all select max(received) from documents"
        " union all select max(received) from envelopes union all select max(seen) from devices)",
    )
    return int(found["at"]) if found and found["at"] else 0


def start_generation(w: Connection, generation: str) -> None:
    """Set a new generation, and end the lost database's sessions, tokens and open enrolment codes.

    Otherwise a token that was revoked after the backup would be valid again.
    """
    record_left_generation(w, get_generation(w))
    w.execute("update meta set value = ? where name = 'generation'", [generation])
    w.execute("delete from sessions")
    w.execute("delete from tokens")
    w.execute("update enrolment_codes set expires = 0 where used is null")
