"""What the database knows about itself."""

from __future__ import annotations

from server.database.sqlite import Connection, row


def generation(c: Connection) -> str:
    """The random name of this database, new after a restore, so that tablets offer again what a lost disk held."""
    found = row(c, "select value from meta where name = 'generation'")
    assert found is not None
    return str(found["value"])


def pulse(c: Connection) -> int | None:
    """When somebody last proved that the database can be written (milliseconds)."""
    found = row(c, "select value from meta where name = 'pulse'")
    return int(found["value"]) if found else None


def set_pulse(w: Connection, at: int) -> None:
    """Prove that the database can be written."""
    w.execute(
        "insert into meta (name, value) values ('pulse', ?) on conflict (name) do update set value = excluded.value",
        [str(at)],
    )


def room(w: Connection) -> int:
    """How many bytes more the database may hold by its own bound, which only the writing connection knows."""
    names = ("page_size", "max_page_count", "page_count", "freelist_count")
    size, most, used, free = (int(w.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return size * (most - used + free)
