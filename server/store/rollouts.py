"""Rollouts (which ring of tablets gets which form version), and the versions that tablets could not use.

Rows are in the order of their creation. The rollouts flow makes the manifest from the live ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from server.database.connection import Connection
from sync.wire.encoding import MAX_INTEGER

STATES = ("planned", "live", "halted", "ended")


@dataclass(frozen=True)
class Rollout:
    """A version on its way to a ring. `starts` (ms) is its planned begin, `since` (ms) when it last began."""

    id: int
    version: int
    form: str
    label: str
    channel: str
    sha: str
    regions: tuple[str, ...] | None
    devices: tuple[str, ...] | None
    share_permille: int | None
    state: str
    starts: int
    since: int | None
    reason: str
    created: int
    created_by: str


@dataclass(frozen=True)
class Refusal:
    """A tablet that could not use a version, or whose screenings were rejected while it held the version."""

    dev: str
    region: str
    code: str
    at: int


_WHOLE = (
    "select r.id, r.version, v.form, v.version as label, v.channel, v.sha, r.regions, r.devices, r.share_permille,"
    " r.state, r.starts, r.since, r.reason, r.created, r.created_by from rollouts r join versions v on v.id = r.version"
)


def _split_names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split())


def _join_names(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else " ".join(names)


def _read_rollout(found: dict[str, Any]) -> Rollout:
    return Rollout(**{**found, "regions": _split_names(found["regions"]), "devices": _split_names(found["devices"])})


def add_rollout(
    w: Connection,
    version: int,
    *,
    regions: tuple[str, ...] | None,
    devices: tuple[str, ...] | None,
    share_permille: int | None,
    starts: int,
    at: int,
    by: str,
) -> int:
    """Insert a planned rollout, ahead of all others of its form; return its number."""
    created = w.row(
        "insert into rollouts (version, regions, devices, share_permille, state, starts, created, created_by)"
        " values (?, ?, ?, ?, 'planned', ?, ?, ?) returning id",
        [version, _join_names(regions), _join_names(devices), share_permille, starts, at, by],
    )
    assert created is not None
    return int(created["id"])


def set_state(w: Connection, id_: int, *, state: str, since: int | None, reason: str = "") -> None:
    """Update a rollout's state, its last begin and the reason."""
    sql = "update rollouts set state = ?, since = ?, reason = ? where id = ?"
    w.execute(sql, [state, since, reason, id_])


def set_ring(
    w: Connection,
    id_: int,
    *,
    regions: tuple[str, ...] | None,
    devices: tuple[str, ...] | None,
    share_permille: int | None,
) -> None:
    """Replace the ring of a rollout."""
    sql = "update rollouts set regions = ?, devices = ?, share_permille = ? where id = ?"
    w.execute(sql, [_join_names(regions), _join_names(devices), share_permille, id_])


def get_rollout(c: Connection, id_: int) -> Rollout | None:
    """Return one rollout, or None."""
    found = c.row(f"{_WHOLE} where r.id = ?", [id_])
    return _read_rollout(found) if found else None


def list_rollouts(
    c: Connection,
    states: Collection[str] = STATES,
    *,
    form: str | None = None,
    before: int = 0,
    most: int = MAX_INTEGER,
) -> list[Rollout]:
    """Return rollouts in the given states, of all forms or of one. Newest first: the order in which tablets try
    them. With `before` (0 = none) and `most`: a page of them."""
    places = ", ".join("?" * len(states))
    narrowed = " and v.form = ?" if form is not None else ""
    sql = f"{_WHOLE} where r.state in ({places}){narrowed} and r.id < ? order by r.id desc limit ?"
    about = [*states, *([form] if form is not None else []), before or MAX_INTEGER, most]
    return [_read_rollout(each) for each in c.rows(sql, about)]


def record_refusal(w: Connection, *, sha: str, dev: str, code: str, at: int) -> None:
    """Store that a tablet could not use a version; a newer time and code replace the old ones."""
    w.execute(
        "insert into refusals (sha, dev, code, at) values (?, ?, ?, ?)"
        " on conflict (sha, dev) do update set code = excluded.code, at = excluded.at",
        [sha, dev, code, at],
    )


def list_refusals(c: Connection, shas: Collection[str], *, since: int) -> dict[str, list[Refusal]]:
    """Return, for each of these versions, the certified tablets that could not use it since `since` (ms), by their id.

    A tablet that holds the version by now no longer counts, unless its screenings were rejected.
    """
    found: dict[str, list[Refusal]] = {}
    sql = (
        "select f.sha, f.dev, d.region, f.code, f.at from refusals f join devices d on d.dev = f.dev"  # noqa: S608
        f" where d.state = 'certified' and f.sha in ({', '.join('?' * len(shas))}) and f.at >= ?"
        " and (f.code like 'envelope.%' or not exists"
        " (select 1 from inventories i where i.dev = f.dev and i.sha = f.sha)) order by f.dev"
    )
    for each in c.rows(sql, [*shas, since]):
        found.setdefault(each.pop("sha"), []).append(Refusal(**each))
    return found
