"""What the database knows about itself: its generation, its newest time, how much is in it."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class Holdings:
    """How much is in a database."""

    envelopes: int
    tablets: int
    people: int
    form_versions: int


def get_generation(c: Connection) -> str:
    """The random name of this database, new after a restore, so that tablets offer again what a lost disk held."""
    found = c.row("select value from meta where name = 'generation'")
    assert found is not None
    return str(found["value"])


def last_write_check(c: Connection) -> int | None:
    """When somebody last proved that the database can be written (milliseconds)."""
    found = c.row("select value from meta where name = 'pulse'")
    return int(found["value"]) if found else None


def set_write_check(w: Connection, at: int) -> None:
    """Prove that the database can be written."""
    w.execute(
        "insert into meta (name, value) values ('pulse', ?) on conflict (name) do update set value = excluded.value",
        [str(at)],
    )


def count_holdings(c: Connection) -> Holdings:
    """Count what people ask for first."""
    counts = c.row(
        "select (select count(*) from envelopes) as envelopes, (select count(*) from devices) as tablets,"
        " (select count(*) from people) as people,"
        " (select count(*) from versions where state in ('published', 'closing', 'retired')) as form_versions",
    )
    assert counts is not None
    return Holdings(**counts)


def newest_time(c: Connection) -> int:
    """The newest time in a database, by the clock of the server that wrote it (milliseconds)."""
    found = c.row(
        "select max(at) as at from (select max(at) as at from audit union all select max(received) from documents"
        " union all select max(received) from envelopes union all select max(seen) from devices)",
    )
    return int(found["at"]) if found and found["at"] else 0


def start_generation(w: Connection, generation: str) -> None:
    """Give the database a new name, and end what belonged to the lost one: sessions, tokens and open enrolment codes.

    A token that was revoked after the copy was made would open the door again.
    """
    w.execute("update meta set value = ? where name = 'generation'", [generation])
    w.execute("delete from sessions")
    w.execute("delete from tokens")
    w.execute("update enrolment_codes set expires = 0 where used is null")
