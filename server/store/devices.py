"""Tablets: who they are, whether they may speak, what they hold, and the one-time codes that let them in. Enrolment and
the exchange use it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class EnrolmentCode:
    """A one-time enrolment code, known by its hash only."""

    hash: str
    label: str
    region: str
    created: int
    expires: int
    used: int | None
    dev: str | None


@dataclass(frozen=True)
class Device:
    """One tablet. `state` is pending, certified or revoked; the three numbers are the documents it said it holds.

    `orders` is the number of the last order that it said it carried out.
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


def add_code(w: Connection, code: EnrolmentCode, *, by: str) -> None:
    """Keep a code's hash."""
    w.execute(
        "insert into enrolment_codes (hash, label, region, created, created_by, expires) values (?, ?, ?, ?, ?, ?)",
        [code.hash, code.label, code.region, code.created, by, code.expires],
    )


def get_code(c: Connection, hash_: str) -> EnrolmentCode | None:
    """The code with this hash."""
    sql = "select hash, label, region, created, expires, used, dev from enrolment_codes where hash = ?"
    found = c.row(sql, [hash_])
    return EnrolmentCode(**found) if found else None


def mark_code_used(w: Connection, hash_: str, *, dev: str, at: int) -> None:
    """Mark a code as used by a tablet."""
    w.execute("update enrolment_codes set used = ?, dev = ? where hash = ?", [at, dev, hash_])


def add_device(w: Connection, *, dev: str, key: bytes, label: str, region: str, at: int) -> None:
    """Keep a new tablet, which waits for its certificate."""
    w.execute(
        "insert into devices (dev, key, label, region, state, enrolled) values (?, ?, ?, ?, 'pending', ?)",
        [dev, key, label, region, at],
    )


def get_device(c: Connection, dev: str) -> Device | None:
    """One tablet."""
    found = c.row("select * from devices where dev = ?", [dev])
    return Device(**found) if found else None


def list_devices(c: Connection) -> list[Device]:
    """All tablets, newest first."""
    return [Device(**item) for item in c.rows("select * from devices order by enrolled desc, dev")]


def certify(w: Connection, dev: str, *, certificate: bytes, label: str, region: str, at: int) -> None:
    """Keep a tablet's certificate and what it says; from now on the tablet may speak. A revoked one stays revoked."""
    w.execute(
        "update devices set state = iif(state = 'revoked', 'revoked', 'certified'),"
        " certificate = ?, label = ?, region = ?, certified = ? where dev = ?",
        [certificate, label, region, at, dev],
    )


def revoke(w: Connection, dev: str, *, at: int) -> None:
    """Mark a tablet as revoked; what it sends from now on waits for a person's decision."""
    w.execute("update devices set state = 'revoked', revoked = ? where dev = ?", [at, dev])


def record_request(
    w: Connection, dev: str, *, at: int, offset: int, n: int, request: str, numbers: Mapping[str, int]
) -> None:
    """Note a request: when, its number and hash, how far the tablet's clock is off, and the documents it holds."""
    w.execute(
        "update devices set seen = ?, clock_offset = ?, last_n = ?, last_request = ?, trust = ?, registry = ?,"
        " manifest = ? where dev = ?",
        [at, offset, n, request, *(numbers[kind] for kind in ("trust", "registry", "manifest")), dev],
    )


def replace_inventory(w: Connection, dev: str, inventory: Mapping[str, str], *, at: int) -> None:
    """Note which version of each form a tablet has on board."""
    w.execute("delete from inventories where dev = ?", [dev])
    for form, sha in inventory.items():
        w.execute("insert into inventories (dev, form, sha, told) values (?, ?, ?, ?)", [dev, form, sha, at])


def get_inventory(c: Connection, dev: str) -> dict[str, str]:
    """The version on board of each form, as a tablet told it."""
    return {item["form"]: item["sha"] for item in c.rows("select form, sha from inventories where dev = ?", [dev])}


def list_inventories(c: Connection) -> dict[str, dict[str, str]]:
    """For each tablet that told it, the version on board of each form."""
    found: dict[str, dict[str, str]] = {}
    for item in c.rows("select dev, form, sha from inventories order by dev, form"):
        found.setdefault(item["dev"], {})[item["form"]] = item["sha"]
    return found


def highest_number(c: Connection, kind: str, up_to: int, excluded: Collection[str] = ()) -> int:
    """The highest number of a trust, registry or manifest, up to a limit, that a certified tablet, but for some, said
    it holds."""
    sql = f"select dev, {kind} as number from devices where state = 'certified' and {kind} between 1 and ?"  # noqa: S608
    found = c.rows(sql, [up_to])
    return max((int(item["number"]) for item in found if item["dev"] not in excluded), default=0)


def list_silent(c: Connection, since: int, until: int) -> list[tuple[str, int]]:
    """Certified tablets not heard from since a time, and when they were last.

    Nor is it known of those heard after `until`, in the future: the clock has been put right since.
    """
    sql = "select dev, coalesce(seen, certified) as last from devices where state = 'certified'"
    sql += " and (last < ? or last > ?)"
    return [(item["dev"], item["last"]) for item in c.rows(sql, [since, until])]
