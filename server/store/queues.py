"""Queues, one per site and kind of work, and one for the country. Routing rules name them; people see those of their
desk group."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Queue:
    """A desk's list. `site` is a UBIGEO prefix, empty for the country; `keyring` opens what is in it."""

    id: str
    site: str
    kind: str
    keyring: str
    title: str


def put_queue(w: Connection, queue: Queue) -> None:
    """Make a queue, or bring its title and keyring up to date."""
    w.execute(
        "insert into queues (id, site, kind, keyring, title) values (?, ?, ?, ?, ?)"
        " on conflict (id) do update set site = excluded.site, kind = excluded.kind,"
        " keyring = excluded.keyring, title = excluded.title",
        [queue.id, queue.site, queue.kind, queue.keyring, queue.title],
    )


def list_queues(c: Connection) -> list[Queue]:
    """All queues, by id."""
    return [Queue(**item) for item in c.rows("select * from queues order by id")]
