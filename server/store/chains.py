"""Each tablet's chains: the number up to which no screening is missing, the gaps above it, and the last number of a
chain that the tablet left. Intake and the gap job use it.

Gaps are rows, so that a sync costs the same however many numbers are stored or missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    It reads the rows: what was deleted by hand or is damaged is missing, whatever the chain claims. This is the
    only query that says whether a tablet has to send an envelope again.
    """
    first = max(1, last - CHECKED_BACK + 1)
    within = "from envelopes where dev = ? and chain = ? and seq between ? and ?"
    about = [dev, chain, first, last]
    some_damaged = "exists (select 1 from damaged_envelopes)"
    stored, has_damaged = c.execute(f"select count(distinct seq), {some_damaged} {within}", about).fetchone()
    # Of two envelopes with one number, the damaged one must come again: the other does not stand in for it.
    damaged = _list_damaged(c, within, about) if has_damaged else set[int]()
    if stored == last - first + 1 and not damaged:  # Nearly always; the index alone answers.
        return []
    missing: list[Gap] = []
    for (seq,) in [*c.execute(f"select distinct seq {within} order by seq", about).fetchall(), (last + 1,)]:
        if seq in damaged:
            continue
        if seq > first:
            missing.append(Gap(first, seq - 1))
        first = seq + 1
    return missing


def _list_damaged(c: Connection, within: str, about: Sequence[object]) -> set[int]:
    # One look-up for each row of the chain: the cost is bounded, however many envelopes of other tablets are damaged.
    each_damaged = "exists (select 1 from damaged_envelopes where envelope = envelopes.id)"
    return {seq for (seq,) in c.execute(f"select seq {within} and {each_damaged}", about).fetchall()}


def is_known(c: Connection, dev: str, chain: str) -> bool:
    """Return True if the server tracks this chain."""
    return c.row("select 1 from chains where dev = ? and chain = ?", [dev, chain]) is not None


def count_chains(c: Connection, dev: str) -> int:
    """Return how many of a tablet's chains the server tracks."""
    return int(c.execute("select count(*) from chains where dev = ?", [dev]).fetchone()[0])


def advance_chain(w: Connection, dev: str, chain: str, arrived: Iterable[int] = ()) -> tuple[int, bool]:
    """Record the numbers of stored envelopes. Returns the number up to which none is missing, and True if none is
    missing above it either.

    A chain that is not tracked yet is counted from the stored envelopes.
    """
    known = w.row(
        "select contiguous, highest, max(ended, promised) as written from chains where dev = ? and chain = ?",
        [dev, chain],
    )
    if known is None:
        reached = recount_chain(w, dev, chain)
        return reached, not list_gaps(w, dev, chain, most=1)
    highest, has_gaps = known["highest"], known["contiguous"] < known["highest"]
    for seq in sorted(set(arrived)):
        if seq <= highest:
            _fill_gap(w, dev, chain, seq)
            continue
        if seq > highest + 1:
            has_gaps = True
            _put_gap(w, dev, chain, Gap(highest + 1, seq - 1))
        highest = seq
    reached = _first_missing(w, dev, chain, highest) - 1 if has_gaps else highest
    if (reached, highest) != (known["contiguous"], known["highest"]):
        w.execute(
            "update chains set contiguous = ?, highest = ? where dev = ? and chain = ?", [reached, highest, dev, chain]
        )
    return reached, reached >= max(highest, known["written"])


def recount_chain(w: Connection, dev: str, chain: str) -> int:
    """Find the gaps of one chain anew, from all of its stored envelopes. Returns the number as `advance_chain` does."""
    w.execute("delete from chain_gaps where dev = ? and chain = ?", [dev, chain])
    about = [dev, chain]
    highest = int(
        w.execute("select coalesce(max(seq), 0) from envelopes where dev = ? and chain = ?", about).fetchone()[0]
    )
    w.execute(
        "insert into chains (dev, chain, contiguous, highest) values (?, ?, 0, ?)"
        " on conflict (dev, chain) do update set highest = excluded.highest",
        [*about, highest],
    )
    w.execute(
        "insert into chain_gaps (dev, chain, first, last) select ?, ?, former + 1, seq - 1 from"
        " (select seq, lag(seq, 1, 0) over (order by seq) as former from envelopes where dev = ? and chain = ?) n"
        " where seq > former + 1",
        [*about, *about],
    )
    reached = _first_missing(w, dev, chain, highest) - 1
    w.execute("update chains set contiguous = ? where dev = ? and chain = ?", [reached, *about])
    return reached


def list_gaps(c: Connection, dev: str, chain: str, *, most: int) -> list[Gap]:
    """Return the lowest `most` gaps of a tracked chain, in rising order."""
    sql = "select first, last from chain_gaps where dev = ? and chain = ? order by first limit ?"
    gaps = [Gap(**item) for item in c.rows(sql, [dev, chain, most])]
    known = c.row(
        "select highest, max(ended, promised) as written from chains where dev = ? and chain = ?", [dev, chain]
    )
    if len(gaps) < most and known is not None and known["written"] > known["highest"]:
        gaps.append(Gap(known["highest"] + 1, known["written"]))
    return gaps


ChainName = tuple[str, str]
"""A tablet and its chain."""
FIRST: ChainName = ("", "")
"""Before the name of every chain: where a list begins."""
_CLAIMS_TOO_MUCH = (
    "max(contiguous, highest) - (select coalesce(sum(last - first + 1), 0) from chain_gaps g"
    " where g.dev = c.dev and g.chain = c.chain)"
    " > (select count(distinct seq) from envelopes e where e.dev = c.dev and e.chain = c.chain)"
)


def list_claims(c: Connection, *, after: ChainName, most: int) -> list[tuple[ChainName, bool]]:
    """Return the next chains by name, each with True if it claims more numbers than the stored envelopes show."""
    found = c.execute(
        f"select dev, chain, {_CLAIMS_TOO_MUCH} from chains c where (dev, chain) > (?, ?)"  # noqa: S608 (a constant)
        " order by dev, chain limit ?",
        [*after, most],
    )
    return [((dev, chain), bool(claims)) for dev, chain, claims in found.fetchall()]


def reopen_gaps(w: Connection, dev: str, chain: str, missing: Sequence[Gap]) -> None:
    """Let a tracked chain show as missing the numbers up to its highest one that `list_missing` found. What it showed
    stays promised. The cost does not grow with the chain."""
    known = w.row("select contiguous, highest from chains where dev = ? and chain = ?", [dev, chain])
    shown = max(known["contiguous"], known["highest"]) if known else 0
    lost = [Gap(gap.first, min(gap.last, shown)) for gap in missing if gap.first <= shown]
    fresh = [gap for gap in lost if not _is_gap(w, dev, chain, gap)]
    for gap in fresh:
        _merge_gap(w, dev, chain, gap)
    if fresh:
        reached = _first_missing(w, dev, chain, shown) - 1
        w.execute(
            "update chains set promised = max(promised, ?), highest = ?, contiguous = ? where dev = ? and chain = ?",
            [shown, shown, reached, dev, chain],
        )


def promise(w: Connection, dev: str, chain: str, last: int) -> None:
    """Let a chain show its numbers up to `last` as missing until they arrive. A new chain is counted first."""
    advance_chain(w, dev, chain)
    w.execute("update chains set promised = max(promised, ?) where dev = ? and chain = ?", [last, dev, chain])


def recompute_chain(w: Connection, dev: str, chain: str) -> None:
    """Let a chain count again from its stored envelopes. What it showed before stays promised, so that the numbers that
    are gone become a gap."""
    w.execute(
        "update chains set promised = max(promised, contiguous, highest) where dev = ? and chain = ?", [dev, chain]
    )
    recount_chain(w, dev, chain)


def record_left_chain(w: Connection, dev: str, chain: str, written: int) -> bool:
    """Store the last number of a chain that a tablet reports as left. Returns True if the report is new."""
    advance_chain(w, dev, chain)
    known = w.row("select ended from chains where dev = ? and chain = ?", [dev, chain])
    assert known is not None, "a chain that was advanced is tracked"
    if known["ended"] < written:
        w.execute("update chains set ended = ? where dev = ? and chain = ?", [written, dev, chain])
    return bool(known["ended"] == 0)


def list_unfinished(c: Connection, *, after: ChainName, most: int) -> list[ChainName]:
    """Return the next chains by name that have a missing number or an open gap on the work list."""
    # Two short lists, each in the order of a partial index; its condition stands here in the same words.
    page = "(dev, chain) > (?, ?) order by dev, chain limit ?"
    found = c.execute(
        "select dev, chain from (select dev, chain from chains indexed by chains_unfinished"  # noqa: S608 (a constant)
        f" where contiguous < max(ended, promised, highest) and {page})"
        " union select dev, chain from (select dev, chain from work_items indexed by work_items_open"
        f" where kind = 'gap' and closed is null and {page}) order by dev, chain limit ?",
        [*after, most, *after, most, most],
    )
    return [(dev, chain) for dev, chain in found.fetchall()]


def _first_missing(c: Connection, dev: str, chain: str, highest: int) -> int:
    lowest = c.execute("select min(first) from chain_gaps where dev = ? and chain = ?", [dev, chain]).fetchone()[0]
    return int(highest + 1 if lowest is None else lowest)


def _fill_gap(w: Connection, dev: str, chain: str, seq: int) -> None:
    """Remove one number from the gap that contains it, if any. What is left of the gap stays."""
    sql = "select first, last from chain_gaps where dev = ? and chain = ? and first <= ? order by first desc limit 1"
    found = w.row(sql, [dev, chain, seq])
    if found is None or found["last"] < seq:
        return
    w.execute("delete from chain_gaps where dev = ? and chain = ? and first = ?", [dev, chain, found["first"]])
    for rest in (Gap(found["first"], seq - 1), Gap(seq + 1, found["last"])):
        if rest.first <= rest.last:
            _put_gap(w, dev, chain, rest)


def _is_gap(c: Connection, dev: str, chain: str, gap: Gap) -> bool:
    sql = "select last from chain_gaps where dev = ? and chain = ? and first <= ? order by first desc limit 1"
    found = c.row(sql, [dev, chain, gap.first])
    return found is not None and found["last"] >= gap.last


def _merge_gap(w: Connection, dev: str, chain: str, gap: Gap) -> None:
    """Store a gap together with those that it overlaps, as one."""
    about = [dev, chain, gap.last, gap.first]
    overlap = "from chain_gaps where dev = ? and chain = ? and first <= ? and last >= ?"
    found = w.rows(f"select first, last {overlap}", about)
    w.execute(f"delete {overlap}", about)
    firsts, lasts = [each["first"] for each in found], [each["last"] for each in found]
    _put_gap(w, dev, chain, Gap(min([gap.first, *firsts]), max([gap.last, *lasts])))


def _put_gap(w: Connection, dev: str, chain: str, gap: Gap) -> None:
    sql = "insert into chain_gaps (dev, chain, first, last) values (?, ?, ?, ?)"
    w.execute(sql, [dev, chain, gap.first, gap.last])
