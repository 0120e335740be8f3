"""How many items were turned away, per day, tablet and reason: the only trace a rejected envelope leaves. Intake adds,
reports read."""

from __future__ import annotations

from server.database.connection import Connection
from sync.durations import DAY


def add(w: Connection, *, dev: str, code: str, at: int) -> None:
    """Count one item that `dev` sent and that was rejected for the reason `code` (problems.csv, SPEC 14)."""
    w.execute(
        "insert into rejections (day, dev, code, count) values (?, ?, ?, 1)"
        " on conflict (day, dev, code) do update set count = count + 1",
        [at // DAY, dev, code],
    )


def by_tablet(c: Connection) -> dict[str, int]:
    """How many items of each tablet were rejected, ever."""
    return {
        item["dev"]: item["total"] for item in c.rows("select dev, sum(count) as total from rejections group by dev")
    }
