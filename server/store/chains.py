"""Each tablet's chains: the number up to which no screening is missing, the gaps above it, and the last number of a
chain that the tablet left. Intake and the gap job use it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

# So many numbers below the highest receipted one are compared with the rows at each sync. A tablet keeps what it
# delivered for 30 days, which is fewer; the limit makes the time for a request constant.
CHECKED_BACK = 1_000


@dataclass(frozen=True)
class Gap:
    """Missing numbers of a chain: a later one is stored, or the tablet reported that it wrote them."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def list_missing(c: Connection, dev: str, chain: str, last: int) -> list[Gap]:
    """Return what a chain lacks among its newest CHECKED_BACK numbers up to `last`, in rising order.

    It reads the rows: what was deleted by hand is missing, whatever the chain's contiguous number says. This is the
    only query that says whether a tablet has to send an envelope again.
    """
    first = max(1, last - CHECKED_BACK + 1)
    within = "from envelopes where dev = ? and chain = ? and seq between ? and ?"
    about = [dev, chain, first, last]
    counted = c.row(f"select count(distinct seq) as stored {within}", about)
    if counted and counted["stored"] == last - first + 1:
        return []
    missing: list[Gap] = []
    for (seq,) in [*c.execute(f"select distinct seq {within} order by seq", about).fetchall(), (last + 1,)]:
        if seq > first:
            missing.append(Gap(first, seq - 1))
        first = seq + 1
    return missing


def take_back(w: Connection, dev: str, chain: str, missing: Gap) -> bool:
    """Lower a contiguous number that covers a missing one; return True if it did.

    The tablet was told the former number. It stays in `promised`, so that a lost end of the chain is a gap too.
    """
    lowered = w.execute(
        "update chains set promised = max(promised, contiguous), contiguous = ?"
        " where dev = ? and chain = ? and contiguous >= ?",
        [missing.first - 1, dev, chain, missing.first],
    )
    return lowered.rowcount > 0


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
        "select c.dev, c.chain from chains c where max(c.ended, c.promised) > c.contiguous or exists ("
        "  select 1 from envelopes e where e.dev = c.dev and e.chain = c.chain and e.seq > c.contiguous)"
        " union select dev, chain from work_items where kind = 'gap' and closed is null",
    )
    return [(item["dev"], item["chain"]) for item in found]
