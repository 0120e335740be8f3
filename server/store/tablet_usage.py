"""How many bytes of screenings each tablet has stored: a counter, so that intake never adds them up."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class TabletUsage:
    """The bytes that a tablet has sent and the server stored; `quarantined` of them since the tablet was revoked."""

    bytes: int
    quarantined: int


def get(c: Connection, dev: str) -> TabletUsage:
    """Return what a tablet has stored."""
    found = c.row("select bytes, quarantined from tablet_usage where dev = ?", [dev])
    return TabletUsage(**found) if found else TabletUsage(0, 0)


def add(w: Connection, dev: str, size: int, *, quarantined: int) -> None:
    """Count stored bytes, `quarantined` of them from a revoked tablet."""
    w.execute(
        "insert into tablet_usage as u (dev, bytes, quarantined) values (?, ?, ?) on conflict (dev) do update"
        " set bytes = u.bytes + excluded.bytes, quarantined = u.quarantined + excluded.quarantined",
        [dev, size, quarantined],
    )
