"""Sealed screenings as they arrived, and their routes as far as the server could read them.

Intake writes them, desks read the bytes. This module must not decrypt an envelope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from server.database.connection import Connection, Row
from sync.envelope.route import VOCABULARY, Route
from sync.envelope.verify import Envelope

_FIELDS = tuple(VOCABULARY)
_PUT_ROUTE = (
    f"insert into routes (envelope, {', '.join(_FIELDS)}, received, digest)"  # noqa: S608 (names of the closed vocabulary)
    f" values (?{', ?' * len(_FIELDS)}, ?, ?) on conflict (envelope) do nothing"
)


@dataclass(frozen=True)
class EnvelopeRecord:
    """One stored envelope without its bytes. `arrival` is the server's own order; `outcome` is the one in the
    receipt."""

    arrival: int
    id: str
    dev: str
    jti: str
    chain: str
    seq: int
    kid: str
    outcome: str
    received: int


def put_envelope(w: Connection, envelope: Envelope, *, outcome: str, at: int) -> int:
    """Store an envelope and return the number of its arrival. Its bytes are stored exactly as they were signed."""
    header = envelope.header
    stored = w.execute(
        "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            envelope.id,
            header.dev,
            header.jti,
            header.chain,
            header.seq,
            header.kseq,
            header.prev,
            header.kid,
            outcome,
            envelope.raw,
            len(envelope.raw),
            at,
        ],
    )
    assert stored.lastrowid is not None, "a row was inserted"
    return stored.lastrowid


_COLUMNS = "arrival, id, dev, jti, chain, seq, kid, outcome, received"


def get_envelope(c: Connection, id_: str) -> EnvelopeRecord | None:
    """Return one envelope by the SHA-256 of its bytes, or None."""
    found = c.row(f"select {_COLUMNS} from envelopes where id = ?", [id_])  # noqa: S608 (a constant)
    return EnvelopeRecord(**found) if found else None


def same_identity(c: Connection, stored: EnvelopeRecord, *, most: int) -> list[EnvelopeRecord]:
    """Return an envelope and the first others with the same jti or the same place in the chain, by arrival."""
    # Each part walks an index in the order of arrival and ends early: a thief may have given thousands one name.
    part = f"select * from (select {_COLUMNS} from envelopes where {{}} and id <> ? order by arrival limit ?)"  # noqa: S608
    found = c.rows(
        f"{part.format('dev = ? and jti = ?')} union {part.format('dev = ? and chain = ? and seq = ?')}"
        " order by arrival limit ?",
        [stored.dev, stored.jti, stored.id, most, stored.dev, stored.chain, stored.seq, stored.id, most, most - 1],
    )
    return sorted([stored, *(EnvelopeRecord(**item) for item in found)], key=lambda each: each.arrival)


def get_body(c: Connection, id_: str) -> bytes | None:
    """Return the exact bytes of an envelope, or None."""
    found = c.row("select cast(body as blob) as body from envelopes where id = ?", [id_])
    return found["body"] if found else None


def repair_envelope(w: Connection, envelope: Envelope) -> bool:
    """Replace a stored envelope's damaged bytes and columns by those of the same envelope, and clear its mark. Returns
    False if the row has another id than its index entry says: it may be another screening's."""
    header = envelope.header
    done = w.execute(
        "update envelopes not indexed set dev = ?, jti = ?, chain = ?, seq = ?, kseq = ?, prev = ?, kid = ?, body = ?,"
        " size = ? where arrival = (select arrival from envelopes where id = ?) and id = ?",
        [
            header.dev,
            header.jti,
            header.chain,
            header.seq,
            header.kseq,
            header.prev,
            header.kid,
            envelope.raw,
            len(envelope.raw),
            envelope.id,
            envelope.id,
        ],
    )
    clear_damaged(w, envelope.id)
    return done.rowcount == 1


def mark_damaged(w: Connection, id_: str, *, at: int) -> None:
    """Remember that an envelope's stored bytes are damaged or gone, since `at` (ms)."""
    w.execute("insert into damaged_envelopes (envelope, found) values (?, ?) on conflict do nothing", [id_, at])


def clear_damaged(w: Connection, id_: str) -> None:
    """Forget that an envelope was damaged."""
    w.execute("delete from damaged_envelopes where envelope = ?", [id_])


def count_damaged(c: Connection) -> int:
    """Return how many envelopes are marked as damaged."""
    return int(c.execute("select count(*) from damaged_envelopes").fetchone()[0])


def has_damaged(c: Connection) -> bool:
    """Return True if an envelope is marked as damaged."""
    return c.row("select 1 from damaged_envelopes limit 1") is not None


def list_damaged(c: Connection) -> list[str]:
    """Return the ids of the envelopes that are marked as damaged, oldest finding first."""
    return [item["envelope"] for item in c.rows("select envelope from damaged_envelopes order by found, envelope")]


@dataclass(frozen=True)
class KnownParts:
    """Which parts of an arriving envelope are stored already: its id, its bytes and columns as they arrive (`intact`),
    its jti, its place in the tablet's chain. `damaged`: it is marked as damaged or gone."""

    id: bool
    intact: bool
    jti: bool
    seq: bool
    damaged: bool


def known_parts(c: Connection, envelope: Envelope) -> KnownParts:
    """Compare an arriving envelope with the stored ones."""
    header, id_ = envelope.header, envelope.id
    # Each look-up ends at the first row, because a thief may have stored thousands with one name or number.
    found = c.execute(
        "select exists (select 1 from envelopes where id = ?),"
        " exists (select 1 from envelopes where dev = ? and jti = ?),"
        " exists (select 1 from envelopes where dev = ? and chain = ? and seq = ?),"
        " exists (select 1 from damaged_envelopes where envelope = ?)",
        [id_, header.dev, header.jti, header.dev, header.chain, header.seq, id_],
    ).fetchone()
    id_known, jti_known, seq_known, damaged = map(bool, found)
    return KnownParts(id_known, id_known and _is_intact(c, envelope), jti_known, seq_known, damaged)


def _is_intact(c: Connection, envelope: Envelope) -> bool:
    held = c.execute(
        "select dev = :dev and jti = :jti and chain = :chain and seq = :seq and kseq = :kseq and prev = :prev"
        " and kid = :kid and body = :raw and size = length(body) from envelopes where id = :id",
        {**vars(envelope.header), "raw": envelope.raw, "id": envelope.id},
    ).fetchone()
    return bool(held == (1,))


def put_route(w: Connection, id_: str, route: Route, *, at: int) -> bool:
    """Store the fields of an envelope's route that the server could read; `at` (ms) is when it arrived. Returns False
    if they are there, or were erased: they outlived an envelope that was lost."""
    columns = route_columns(route)
    values = [*(columns[name] for name in _FIELDS), at]
    return w.execute(_PUT_ROUTE, [id_, *values, digest_route(values)]).rowcount > 0


def digest_route(values: Iterable[str | int | None]) -> bytes:
    """Return the checksum of a route's stored facts and of its time, which notices a changed bit. Only the sealed route
    proves that a person did not change facts and checksum."""
    return hashlib.sha256("\n".join("-" if value is None else f"+{value}" for value in values).encode()).digest()[:8]


def has_own_digest(row: Row) -> bool:
    """Return True if a stored route has its checksum. An older row has none."""
    return row["digest"] is not None and row["digest"] == digest_route(row[name] for name in (*_FIELDS, "received"))


def get_route(c: Connection, id_: str) -> Route | None:
    """Return the route of an envelope, or None if it was unreadable."""
    return list_routes(c, [id_]).get(id_)


def list_routes(c: Connection, ids: Collection[str]) -> dict[str, Route]:
    """Return the routes of several envelopes by their ids, as far as they were readable and are not erased."""
    if not ids:
        return {}
    kept = f"envelope in ({', '.join('?' * len(ids))}) and received is not null"
    found = c.rows(f"select envelope, {', '.join(_FIELDS)} from routes where {kept}", [*ids])  # noqa: S608
    return {item["envelope"]: _read_route(item) for item in found}


def list_route_rows(c: Connection, first: int, last: int) -> list[Row]:
    """Return the stored routes of the envelopes that arrived as number `first` to `last`, as they are, each with its
    envelope's bytes as `body`. A damaged one is no Route."""
    return c.rows(
        "select t.*, e.body from envelopes e join routes t on t.envelope = e.id"
        " where e.arrival between ? and ? and (t.received is not null or t.digest is not null)",
        [first, last],
    )


def route_columns(route: Route) -> dict[str, str | None]:
    """Return a route as the table holds it."""
    kinds = None if route.queue_kinds is None else " ".join(route.queue_kinds)
    return {**vars(route), "queue_kinds": kinds}


def _read_route(found: Row) -> Route:
    kinds = found["queue_kinds"]
    return Route(
        **{name: found[name] for name in _FIELDS} | {"queue_kinds": None if kinds is None else tuple(kinds.split())}
    )


@dataclass(frozen=True)
class RoutePlace:
    """A place in the order in which routes are erased: when the screening arrived (ms), and the number of the row."""

    received: int
    number: int


FIRST = RoutePlace(-(2**63), 0)
# No work on the screening is open, and its last change, or its arrival, is old enough.
# The plus keeps SQLite from looking for old routes when it is given the numbers of some.
_IS_OVER = """
  +t.received <= :before
  and not exists (select 1 from referrals r where r.envelope = t.envelope
    and (r.state <> 'closed' or r.changed > :before))
  and not exists (select 1 from work_items i where i.envelope = t.envelope
    and (i.closed is null or i.closed > :before))
  and not exists (select 1 from deferred_items d where d.envelope = t.envelope)
"""


def list_old_routes(c: Connection, *, before: int, after: RoutePlace, most: int) -> list[tuple[RoutePlace, bool]]:
    """Return the places of the next routes that arrived before `before` (ms), each with True if the work on its
    screening ended before then: it may be erased."""
    found = c.rows(
        f"select number, received, {_IS_OVER} as is_over from routes t where received is not null"  # noqa: S608 (a constant)
        " and (received, number) > (:received, :number) and received <= :before order by received, number limit :most",
        {"before": before, "most": most, **vars(after)},
    )
    return [(RoutePlace(item["received"], item["number"]), bool(item["is_over"])) for item in found]


def erase_routes(w: Connection, numbers: Sequence[int], *, before: int) -> int:
    """Overwrite these routes where they stand, if the work on their screenings ended before `before` (ms); return how
    many. A deleted row would let SQLite move others, whose former bytes stay in a page."""
    blank = ", ".join(f"{name} = null" for name in (*_FIELDS, "received", "digest"))
    places = ", ".join(f":n{place}" for place in range(len(numbers)))
    named = {f"n{place}": number for place, number in enumerate(numbers)}
    return int(
        w.execute(
            f"update routes as t set {blank} where number in ({places}) and {_IS_OVER}",  # noqa: S608 (names of the closed vocabulary)
            {"before": before, **named},
        ).rowcount
    )
