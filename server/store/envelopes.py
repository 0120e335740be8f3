"""Sealed screenings as they arrived, and their routes as far as the server could read them.

Intake writes them, desks read the bytes. This module must not decrypt an envelope.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection
from sync.envelope.route import VOCABULARY, Route
from sync.envelope.verify import Envelope

_FIELDS = tuple(VOCABULARY)
_PUT_ROUTE = (
    f"insert into routes (envelope, {', '.join(_FIELDS)}) values (?{', ?' * len(_FIELDS)})"  # noqa: S608 (names of the closed vocabulary)
    " on conflict (envelope) do nothing"
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


def put_envelope(w: Connection, envelope: Envelope, *, outcome: str, at: int) -> None:
    """Store an envelope. Its bytes are stored exactly as they were signed."""
    header = envelope.header
    w.execute(
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


_COLUMNS = "arrival, id, dev, jti, chain, seq, kid, outcome, received"


def get_envelope(c: Connection, id_: str) -> EnvelopeRecord | None:
    """Return one envelope by the SHA-256 of its bytes, or None."""
    found = c.row(f"select {_COLUMNS} from envelopes where id = ?", [id_])  # noqa: S608 (a constant)
    return EnvelopeRecord(**found) if found else None


def same_identity(c: Connection, stored: EnvelopeRecord) -> list[EnvelopeRecord]:
    """Return an envelope and those with the same jti or the same place in the chain, in order of arrival."""
    sql = f"select {_COLUMNS} from envelopes where dev = ? and (jti = ? or (chain = ? and seq = ?)) order by arrival"  # noqa: S608 (a constant)
    return [EnvelopeRecord(**item) for item in c.rows(sql, [stored.dev, stored.jti, stored.chain, stored.seq])]


def get_body(c: Connection, id_: str) -> bytes | None:
    """Return the exact bytes of an envelope, or None."""
    found = c.row("select body from envelopes where id = ?", [id_])
    return found["body"] if found else None


@dataclass(frozen=True)
class KnownParts:
    """Which parts of an arriving envelope are stored already: its bytes, its jti, its place in the tablet's chain."""

    bytes: bool
    jti: bool
    seq: bool


def known_parts(c: Connection, envelope: Envelope) -> KnownParts:
    """Compare an arriving envelope with the stored ones."""
    header = envelope.header
    found = c.execute(
        "select id, jti, chain, seq from envelopes"
        " where id = ? or (dev = ? and jti = ?) or (dev = ? and chain = ? and seq = ?)",
        [envelope.id, header.dev, header.jti, header.dev, header.chain, header.seq],
    ).fetchall()
    return KnownParts(
        any(id_ == envelope.id for id_, _, _, _ in found),
        any(jti == header.jti for _, jti, _, _ in found),
        any((chain, seq) == (header.chain, header.seq) for _, _, chain, seq in found),
    )


def put_route(w: Connection, id_: str, route: Route) -> bool:
    """Store the fields of an envelope's route that the server could read. Returns False if they are there: they
    outlived an envelope that was lost."""
    kinds = None if route.queue_kinds is None else " ".join(route.queue_kinds)
    stored = w.execute(_PUT_ROUTE, [id_, *({**vars(route), "queue_kinds": kinds}[name] for name in _FIELDS)])
    return stored.rowcount > 0


def get_route(c: Connection, id_: str) -> Route | None:
    """Return the route of an envelope, or None if it was unreadable."""
    found = c.row("select * from routes where envelope = ?", [id_])
    if found is None:
        return None
    kinds = found["queue_kinds"]
    return Route(
        **{name: found[name] for name in _FIELDS} | {"queue_kinds": None if kinds is None else tuple(kinds.split())}
    )


# No work on the screening is open, and its last change, or its arrival, is old enough.
_ERASE_ROUTES = """
delete from routes where envelope in (
  select e.id from routes t join envelopes e on e.id = t.envelope
  where e.received <= :before
    and not exists (select 1 from referrals r where r.envelope = e.id and (r.state <> 'closed' or r.changed > :before))
    and not exists (
      select 1 from work_items i where i.envelope = e.id and (i.closed is null or i.closed > :before))
  limit :most)
"""


def erase_routes(w: Connection, *, before: int, most: int) -> int:
    """Erase the routes of at most `most` screenings closed before `before` (ms); return how many."""
    return int(w.execute(_ERASE_ROUTES, {"before": before, "most": most}).rowcount)
