"""Each tablet's chains: the number up to which no screening is missing, the gaps above it, and the last number of a
chain that the tablet left. Intake and the gap job use it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Gap:
    """Missing numbers of a chain: a later one is stored, or the tablet reported that it wrote them."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def advance_chain(w: Connection, dev: str, chain: str) -> tuple[int, list[Gap]]:
    """Advance a chain's contiguous number over the stored envelopes. Returns it, and the gaps above it in rising
    order."""
    known = w.row(
        "select contiguous, max(ended, promised) as ended from chains where dev = ? and chain = ?", [dev, chain]
    )
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


def list_overstated(c: Connection) -> list[tuple[str, str]]:
    """Return (tablet, chain) of each chain whose contiguous number is above what the stored envelopes show."""
    found = c.rows(
        "select dev, chain from chains c where contiguous > (select count(distinct seq) from envelopes e"
        " where e.dev = c.dev and e.chain = c.chain and seq between 1 and c.contiguous)"
    )
    return [(item["dev"], item["chain"]) for item in found]


def recompute_chain(w: Connection, dev: str, chain: str) -> None:
    """Let a chain count again from its stored envelopes. What it showed before stays promised, so that the numbers that
    are gone become a gap."""
    w.execute(
        "update chains set promised = max(promised, contiguous), contiguous = 0 where dev = ? and chain = ?",
        [dev, chain],
    )


def record_left_chain(w: Connection, dev: str, chain: str, written: int) -> bool:
    """Store the last number of a chain that a tablet reports as left. Returns True if the report is new."""
    known = w.row("select ended from chains where dev = ? and chain = ?", [dev, chain])
    if known is None or known["ended"] < written:
        w.execute(
            "insert into chains (dev, chain, contiguous, ended) values (?, ?, 0, ?)"
            " on conflict (dev, chain) do update set ended = excluded.ended",
            [dev, chain, written],
        )
    return known is None or known["ended"] == 0


def list_unfinished(c: Connection) -> list[tuple[str, str]]:
    """Return (tablet, chain) of each chain with a missing number or an open gap on the work list."""
    found = c.rows(
        "select c.dev, c.chain from chains c where max(c.ended, c.promised) > c.contiguous"
        " or exists (select 1 from envelopes e where e.dev = c.dev and e.chain = c.chain and e.seq > c.contiguous)"
        " union select dev, chain from work_items where kind = 'gap' and closed is null",
    )
    return [(item["dev"], item["chain"]) for item in found]
