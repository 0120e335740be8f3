"""Each tablet's chains: up to which number every screening is here, what is missing above it, and how far a chain was
written that the tablet left. Intake and the job that watches gaps use it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Gap:
    """Numbers of a chain that are missing although a later one is here, or is known to have been written."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def advance_chain(w: Connection, dev: str, chain: str) -> tuple[int, list[Gap]]:
    """Move a chain's contiguous number over what has arrived; return it, and the gaps above it, rising."""
    known = w.row("select contiguous, ended from chains where dev = ? and chain = ?", [dev, chain])
    held, ended = (known["contiguous"], known["ended"]) if known else (0, 0)
    sql = "select distinct seq from envelopes where dev = ? and chain = ? and seq > ? order by seq"
    reached = last = held
    gaps: list[Gap] = []
    for seq in (item["seq"] for item in w.rows(sql, [dev, chain, held])):
        if seq > last + 1:
            gaps.append(Gap(last + 1, seq - 1))
        last = seq
        reached = reached if gaps else seq
    if ended > last:
        gaps.append(Gap(last + 1, ended))
    if known is None or reached > held:
        w.execute(
            "insert into chains (dev, chain, contiguous) values (?, ?, ?)"
            " on conflict (dev, chain) do update set contiguous = excluded.contiguous",
            [dev, chain, reached],
        )
    return reached, gaps


def record_left_chain(w: Connection, dev: str, chain: str, written: int) -> bool:
    """Note up to which number a tablet says it wrote a chain that it left; return whether that it left is news."""
    known = w.row("select ended from chains where dev = ? and chain = ?", [dev, chain])
    if known is None or known["ended"] < written:
        w.execute(
            "insert into chains (dev, chain, contiguous, ended) values (?, ?, 0, ?)"
            " on conflict (dev, chain) do update set ended = excluded.ended",
            [dev, chain, written],
        )
    return known is None or known["ended"] == 0


def list_unfinished(c: Connection) -> list[tuple[str, str]]:
    """Tablet and chain wherever a number is missing, or the work list still says so."""
    found = c.rows(
        "select c.dev, c.chain from chains c where c.ended > c.contiguous or exists (select 1 from envelopes e"
        "  where e.dev = c.dev and e.chain = c.chain and e.seq > c.contiguous)"
        " union select dev, chain from work_items where kind = 'gap' and closed is null",
    )
    return [(item["dev"], item["chain"]) for item in found]
