"""How many items were turned away, per day, tablet and reason: the only trace a rejected envelope leaves."""

from __future__ import annotations

from dataclasses import dataclass

from server.db import Connection, rows

DAY = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Rejections:
    """`day` in days since 1970; `dev` is the tablet that sent them; `code` as in problems.csv and SPEC."""

    day: int
    dev: str
    code: str
    count: int


def reject(w: Connection, *, dev: str, code: str, at: int) -> None:
    """Count one rejected item."""
    w.execute(
        "insert into rejections (day, dev, code, count) values (?, ?, ?, 1)"
        " on conflict (day, dev, code) do update set count = count + 1",
        [at // DAY, dev, code],
    )


def rejections(c: Connection, *, since: int = 0) -> list[Rejections]:
    """The counts since a time in milliseconds."""
    found = rows(c, "select * from rejections where day >= ? order by day, dev, code", [since // DAY])
    return [Rejections(**item) for item in found]
