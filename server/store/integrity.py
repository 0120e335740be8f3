"""Rows with their own hashes, in slices, and joins of the audit chain with the tables. The checks for damage use it.

Each query may meet damaged pages and raise sqlite3.DatabaseError. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.database.connection import Connection, Row


@dataclass(frozen=True)
class HashedTable:
    """A table whose rows contain bytes and the SHA-256 of these bytes, or of their first line (`first_line`).

    `index` is one that holds the hash, for rows that cannot be read themselves.
    """

    name: str
    noun: str
    key: str
    body: str
    index: str
    first_line: bool = False


ENVELOPES = HashedTable("envelopes", "envelope", "id", "body", "sqlite_autoindex_envelopes_1")
HASHED = (
    ENVELOPES,
    HashedTable("documents", "document", "sha256", "body", "documents_copy", first_line=True),
    HashedTable("versions", "version", "sha", "body", "versions_copy", first_line=True),
    HashedTable("media", "recording", "sha256", "body", "media_copy"),
    HashedTable("keyring_keys", "key", "sha256", "public", "keyring_keys_copy"),
)

APART = ("held", "fork", "conflict", "quarantined")
"""The outcomes of envelopes that a person has to decide about."""
STORED_ACTIONS = tuple(f"envelope.{outcome}" for outcome in ("stored", *APART))


@dataclass(frozen=True)
class AuditedTable:
    """A table each of whose rows has an audit row: one of `actions` about its `key`. Rows of it are never deleted."""

    noun: str
    rows: str
    key: str
    actions: tuple[str, ...]


AUDITED = (
    AuditedTable("envelope", "envelopes", "id", STORED_ACTIONS),
    AuditedTable("referral", "referrals", "id", ("referral.opened",)),
    AuditedTable("device", "devices", "dev", ("device.enrolled", "device.readmitted")),
    AuditedTable("document", "documents where kind <> 'manifest'", "sha256", ("trust.changed", "registry.changed")),
    AuditedTable("table", "rule_tables", "name", ("indicator_set.published", "policy.published")),
)


def last_position(c: Connection, table: HashedTable) -> int:
    """Return the highest row number of a table, 0 if it is empty."""
    found = c.row(f"select max(rowid) as last from {table.name}")  # noqa: S608 (a constant)
    return int(found["last"] or 0) if found else 0


def list_rows(c: Connection, table: HashedTable, first: int, last: int) -> list[Row]:
    """Return the whole rows with numbers from `first` to `last`."""
    return c.rows(f"select * from {table.name} where rowid between ? and ?", [first, last])  # noqa: S608 (a constant)


def list_positions(c: Connection, table: HashedTable) -> dict[int, str]:
    """Return the keys of all rows by row number, read from the index, which may be whole where a row is not."""
    found = c.rows(f"select rowid as position, {table.key} as key from {table.name} indexed by {table.index}")  # noqa: S608 (a constant)
    return {item["position"]: item["key"] for item in found}


def list_absent_envelopes(c: Connection, ids: Sequence[str]) -> list[str]:
    """Return those of the ids that no stored envelope has."""
    return [id_ for id_ in ids if c.row("select 1 from envelopes where id = ?", [id_]) is None]


def list_missing(c: Connection, table: AuditedTable) -> list[str]:
    """Return the keys of rows that the audit names and that the table lacks."""
    marks = ", ".join("?" * len(table.actions))
    sql = (
        f"select distinct subject from audit where action in ({marks})"  # noqa: S608 (constants)
        f" and subject not in (select {table.key} from {table.rows})"
    )
    return [str(item["subject"]) for item in c.rows(sql, [*table.actions])]


def list_unaudited(c: Connection, table: AuditedTable) -> list[str]:
    """Return the keys of rows that no audit row names."""
    marks = ", ".join("?" * len(table.actions))
    sql = (
        f"select key from (select {table.key} as key from {table.rows})"  # noqa: S608 (constants)
        f" where key not in (select subject from audit where action in ({marks}))"
    )
    return [str(item["key"]) for item in c.rows(sql, [*table.actions])]


def list_misreported(c: Connection) -> list[str]:
    """Return the envelopes whose outcome or time of arrival is not the one in the audit chain."""
    # Each row is looked up once. Few are left: of an envelope that arrived again, one of several rows is right.
    marks = ", ".join("?" * len(STORED_ACTIONS))
    sql = (
        f"select a.subject from audit a cross join envelopes e on e.id = a.subject where a.action in ({marks})"  # noqa: S608 (constants)
        " group by a.subject having sum(a.action = 'envelope.' || e.outcome and a.at = e.received) = 0"
    )
    return [str(item["subject"]) for item in c.rows(sql, [*STORED_ACTIONS])]


_LAST_ACTIONS = (
    "select subject, action from (select subject, action, max(number) from audit where action in ({marks})"
    " group by subject)"
)
# What a row says after the last audited change of it.
_REFERRAL_STATES = {
    "referral.opened": "waiting",
    "referral.claimed": "claimed",
    "referral.lapsed": "waiting",
    "referral.accepted": "accepted",
    "referral.closed": "closed",
}
_DEVICE_STATES = {
    "device.enrolled": "pending",
    "device.certified": "certified",
    "device.readmitted": "certified",
    "device.revoked": "revoked",
}


def list_changed_referrals(c: Connection) -> list[str]:
    """Return the referrals whose state, queue, mode or deadline is not the audited one. Older rows of the audit name
    the queue alone."""
    found = _list_in_other_state(c, "referrals", "id", _REFERRAL_STATES)
    sql = (
        "select id from (select r.*, iif(json_valid(detail), detail, '{}') as said from referrals r"
        " join audit a on a.subject = r.id and a.action = 'referral.opened')"
        " where queue <> coalesce(said ->> 'queue', queue) or mode <> coalesce(said ->> 'mode', mode)"
        " or coalesce(deadline, 0) <> coalesce(said ->> 'deadline', deadline, 0)"
    )
    return sorted({*found, *(str(item["id"]) for item in c.rows(sql))})


def list_changed_devices(c: Connection) -> list[str]:
    """Return the tablets whose state is not the audited one."""
    return _list_in_other_state(c, "devices", "dev", _DEVICE_STATES)


def _list_in_other_state(c: Connection, table: str, key: str, states: Mapping[str, str]) -> list[str]:
    last = _LAST_ACTIONS.format(marks=", ".join("?" * len(states)))
    said = " ".join(f"when '{action}' then '{state}'" for action, state in states.items())
    differs = f"state is not case action {said} end"
    sql = f"select {key} as key from {table} join ({last}) a on a.subject = {key} where {differs}"  # noqa: S608 (constants)
    return [str(item["key"]) for item in c.rows(sql, [*states])]


def list_undecided(c: Connection) -> list[str]:
    """Return the envelopes that wait for a person's decision, and that no item of the work list names any more."""
    marks = ", ".join("?" * len(APART))
    sql = (
        f"select id from envelopes where outcome in ({marks})"  # noqa: S608 (constants)
        " and id not in (select envelope from work_items) and id not in (select envelope from deferred_items)"
    )
    return [str(item["id"]) for item in c.rows(sql, [*APART])]


def list_lost_routes(c: Connection) -> list[str]:
    """Return the envelopes in work whose readable route is gone. Retention erases none of these."""
    sql = (
        "select distinct envelope from referrals r where state <> 'closed'"
        " and not exists (select 1 from routes t where t.envelope = r.envelope and t.received is not null)"
        " and not exists (select 1 from work_items i where i.envelope = r.envelope and i.kind = 'route')"
        " and not exists (select 1 from deferred_items d where d.envelope = r.envelope and d.kind = 'route')"
    )
    return [str(item["envelope"]) for item in c.rows(sql)]
