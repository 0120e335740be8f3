"""Queues: one per site and kind of work, and one national queue. Routing rules name them; people see those of their
desk groups."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Queue:
    """A desk's queue. `site` is a UBIGEO prefix, empty for the national queue. The keyring `keyring` opens its
    screenings."""

    id: str
    site: str
    kind: str
    keyring: str
    title: str


def put_queue(w: Connection, queue: Queue) -> None:
    """Insert a queue, or update its title and keyring."""
    w.execute(
        "insert into queues (id, site, kind, keyring, title) values (?, ?, ?, ?, ?)"
        " on conflict (id) do update set site = excluded.site, kind = excluded.kind,"
        " keyring = excluded.keyring, title = excluded.title",
        [queue.id, queue.site, queue.kind, queue.keyring, queue.title],
    )


def list_queues(c: Connection) -> list[Queue]:
    """Return all queues, by id."""
    return [Queue(**item) for item in c.rows("select * from queues order by id")]
