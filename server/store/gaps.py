"""Chains of tablets in which a number is missing, as the stored envelopes show. The job that watches gaps reads it."""

from __future__ import annotations

from dataclasses import dataclass

from server.db import Connection, rows


@dataclass(frozen=True)
class Gap:
    """A chain whose `missing` number never came although later ones did; `opened` since when a person knows."""

    dev: str
    chain: str
    missing: int
    opened: int | None


def every(c: Connection) -> list[Gap]:
    """All gaps there are just now."""
    found = rows(
        c,
        "select c.dev, c.chain, c.contiguous + 1 as missing,"
        " (select min(i.opened) from work_items i where i.kind = 'gap' and i.dev = c.dev and i.chain = c.chain"
        "  and i.closed is null) as opened"
        " from chains c where exists (select 1 from envelopes e"
        "  where e.dev = c.dev and e.chain = c.chain and e.seq > c.contiguous)",
    )
    return [Gap(**item) for item in found]


def filled(c: Connection) -> list[tuple[str, str]]:
    """Chains that the work list still calls broken, and that are whole."""
    found = rows(
        c,
        "select distinct i.dev, i.chain from work_items i join chains c on c.dev = i.dev and c.chain = i.chain"
        " where i.kind = 'gap' and i.closed is null and not exists (select 1 from envelopes e"
        "  where e.dev = c.dev and e.chain = c.chain and e.seq > c.contiguous)",
    )
    return [(item["dev"], item["chain"]) for item in found]
