"""Tablets: identity, state, document numbers, form inventory; and the one-time enrolment codes. Enrolment and the sync
request use it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields

from server.database.connection import Connection
from sync.durations import DAY


@dataclass(frozen=True)
class EnrolmentCode:
    """A one-time enrolment code. Only its hash is stored."""

    hash: str
    label: str
    region: str
    created: int
    expires: int
    used: int | None
    dev: str | None


@dataclass(frozen=True)
class Device:
    """One tablet. `state` is pending, certified or revoked. `trust`, `registry` and `manifest` are the document numbers
    it reported.

    `orders` is the number of the last order that it reported as carried out. `stored_bytes` is the size of the
    screenings that it sent or signed, `quarantined_bytes` of those since it was revoked.
    """

    dev: str
    key: bytes
    label: str
    region: str
    state: str
    certificate: bytes | None
    enrolled: int
    certified: int | None
    revoked: int | None
    seen: int | None
    clock_offset: int | None
    trust: int
    registry: int
    manifest: int
    last_n: int
    last_request: str
    orders: int
    stored_bytes: int
    quarantined_bytes: int


_SELECT = f"select {', '.join(column.name for column in fields(Device))} from devices"  # noqa: S608 (constants)


def add_code(w: Connection, code: EnrolmentCode, *, by: str) -> None:
    """Store a code's hash."""
    w.execute(
        "insert into enrolment_codes (hash, label, region, created, created_by, expires) values (?, ?, ?, ?, ?, ?)",
        [code.hash, code.label, code.region, code.created, by, code.expires],
    )


def get_code(c: Connection, hash_: str) -> EnrolmentCode | None:
    """Return the code with this hash, or None."""
    sql = "select hash, label, region, created, expires, used, dev from enrolment_codes where hash = ?"
    found = c.row(sql, [hash_])
    return EnrolmentCode(**found) if found else None


def mark_code_used(w: Connection, hash_: str, *, dev: str, at: int) -> None:
    """Mark a code as used by a tablet."""
    w.execute("update enrolment_codes set used = ?, dev = ? where hash = ?", [at, dev, hash_])


def add_device(w: Connection, *, dev: str, key: bytes, label: str, region: str, at: int) -> None:
    """Store a new tablet, which waits for its certificate."""
    w.execute(
        "insert into devices (dev, key, label, region, state, enrolled) values (?, ?, ?, ?, 'pending', ?)",
        [dev, key, label, region, at],
    )


def get_device(c: Connection, dev: str) -> Device | None:
    """Return one tablet, or None."""
    return list_by_id(c, [dev]).get(dev)


def list_by_id(c: Connection, devs: Collection[str]) -> dict[str, Device]:
    """Return these tablets by their ids, as far as they exist."""
    found = c.execute(f"{_SELECT} where dev in ({', '.join('?' * len(devs))})", [*devs]).fetchall()
    return {values[0]: Device(*values) for values in found}


def list_devices(c: Connection) -> list[Device]:
    """Return all tablets, newest first. Some thousand rows: not for a transaction that writes."""
    return [Device(*values) for values in c.execute(f"{_SELECT} order by enrolled desc, dev").fetchall()]


def list_certified(c: Connection) -> list[tuple[str, str]]:
    """Return (id, region) of each certified tablet."""
    return c.execute("select dev, region from devices where state = 'certified'").fetchall()


def list_page(c: Connection, *, after: Device | None, most: int) -> list[Device]:
    """Return a page of the tablets, newest first. `after` is the tablet before the page; None = the first page."""
    below = "where enrolled <= ? and (enrolled < ? or dev > ?)" if after else ""
    about = [after.enrolled, after.enrolled, after.dev] if after else []
    found = c.execute(f"{_SELECT} {below} order by enrolled desc, dev limit ?", [*about, most]).fetchall()
    return [Device(*values) for values in found]


def certify(w: Connection, dev: str, *, certificate: bytes, label: str, region: str, at: int) -> None:
    """Store a tablet's certificate with its label and region; from now on the tablet may sync. A revoked tablet stays
    revoked."""
    w.execute(
        "update devices set state = iif(state = 'revoked', 'revoked', 'certified'),"
        " certificate = ?, label = ?, region = ?, certified = ? where dev = ?",
        [certificate, label, region, at, dev],
    )


def revoke(w: Connection, dev: str, *, at: int) -> None:
    """Mark a tablet as revoked. Screenings it sends from now on wait for a person's decision."""
    w.execute("update devices set state = 'revoked', revoked = ? where dev = ?", [at, dev])


@dataclass(frozen=True)
class TabletReport:
    """What a request says about its tablet: its time (ms), the tablet's clock offset (ms), its number and hash, and
    the numbers of the documents that the tablet holds."""

    dev: str
    at: int
    offset: int
    n: int
    request: str
    trust: int
    registry: int
    manifest: int


def record_requests(w: Connection, reports: Iterable[TabletReport]) -> None:
    """Store what requests say about their tablets."""
    w.executemany(
        "update devices set seen = ?, clock_offset = ?, last_n = ?, last_request = ?, trust = ?, registry = ?,"
        " manifest = ? where dev = ?",
        [(r.at, r.offset, r.n, r.request, r.trust, r.registry, r.manifest, r.dev) for r in reports],
    )


def count_stored(w: Connection, stored: Iterable[tuple[str, int, int]]) -> None:
    """Count stored bytes: tablet, bytes, and how many of them from a revoked one. Intake never adds up what is
    stored."""
    w.executemany(
        "update devices set stored_bytes = stored_bytes + ?, quarantined_bytes = quarantined_bytes + ? where dev = ?",
        [(size, quarantined, dev) for dev, size, quarantined in stored],
    )


def recount_stored(w: Connection) -> None:
    """Count the stored bytes anew, after a restore that could not read them. What a tablet delivered for others is not
    known any more."""
    w.execute(
        "update devices set (stored_bytes, quarantined_bytes) = (select coalesce(sum(size), 0),"
        " coalesce(sum(size) filter (where outcome = 'quarantined'), 0) from envelopes e where e.dev = devices.dev)"
        " where stored_bytes = 0"
    )


def replace_inventory(w: Connection, dev: str, inventory: Mapping[str, str], *, at: int) -> None:
    """Store which version of each form a tablet holds."""
    w.execute("delete from inventories where dev = ?", [dev])
    for form, sha in inventory.items():
        w.execute("insert into inventories (dev, form, sha, told) values (?, ?, ?, ?)", [dev, form, sha, at])


def get_inventory(c: Connection, dev: str) -> dict[str, str]:
    """Return the version of each form that a tablet reported."""
    return {item["form"]: item["sha"] for item in c.rows("select form, sha from inventories where dev = ?", [dev])}


def list_inventories(c: Connection, devs: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """Return, for each tablet with a report, the version of each form. `devs`: of these tablets alone."""
    found: dict[str, dict[str, str]] = {}
    narrowed = f"where dev in ({', '.join('?' * len(devs))})" if devs else ""
    sql = f"select dev, form, sha from inventories {narrowed} order by dev, form"  # noqa: S608 (places)
    for item in c.rows(sql, [*(devs or ())]):
        found.setdefault(item["dev"], {})[item["form"]] = item["sha"]
    return found


def highest_number(c: Connection, kind: str, up_to: int, excluded: Collection[str] = ()) -> int:
    """Return the highest number of a trust, registry or manifest that a certified tablet reported, up to a limit.
    Tablets in `excluded` do not count."""
    sql = f"select dev, {kind} as number from devices where state = 'certified' and {kind} between 1 and ?"  # noqa: S608
    found = c.execute(sql, [up_to]).fetchall()
    return max((number for dev, number in found if dev not in excluded), default=0)


def list_last_seen(c: Connection, *, after: str, most: int) -> list[tuple[str, int]]:
    """Return the next certified tablets by id, each with the time of its last request (ms), or of its certificate."""
    sql = (
        "select dev, coalesce(seen, certified) from devices where state = 'certified' and dev > ? order by dev limit ?"
    )
    return c.execute(sql, [after, most]).fetchall()


def get_last_seen(c: Connection, dev: str) -> int | None:
    """Return the same time of one certified tablet; None for another one."""
    sql = "select coalesce(seen, certified) from devices where state = 'certified' and dev = ?"
    found = c.execute(sql, [dev]).fetchone()
    return int(found[0]) if found else None


def is_silent(last: int, *, now: int, days: int) -> bool:
    """Return True if a tablet sent no request for `days` days. One from the future does not count: it was recorded
    while the clock was wrong."""
    return not now - days * DAY <= last <= now + DAY
