"""Staff accounts: logins, keys, roles and desk groups.

Flows call this inside their own transaction. The server stores public keys and *locked* secrets only. It must not
receive a passphrase, a lock key or an unlocked secret.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.database.connection import Connection


@dataclass(frozen=True)
class StaffAccount:
    """One account. `id` is the kid of her signing key. Only her passphrase opens the two locked secrets."""

    id: str
    login: str
    name: str
    seal_public: bytes
    sign_public: bytes
    locked_seal: str
    locked_sign: str
    roles: frozenset[str]
    groups: frozenset[str]


@dataclass(frozen=True)
class SignInRecord:
    """The data for checking a sign-in: the salt for the client, and a salted hash of the client's `auth`."""

    person: str
    salt: bytes
    auth_salt: bytes
    auth_hash: bytes


def add_account(connection: Connection, person: StaffAccount, record: SignInRecord, *, at: int) -> None:
    """Insert an account with its roles and desk groups. Raises sqlite3.IntegrityError if the login is taken."""
    connection.execute(
        "insert into people (id, login, name, seal_public, sign_public, locked_seal, locked_sign, salt, auth_salt,"
        " auth_hash, created) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (person.id, person.login, person.name, person.seal_public, person.sign_public, person.locked_seal,
         person.locked_sign, record.salt, record.auth_salt, record.auth_hash, at),
    )  # fmt: skip
    for role in sorted(person.roles):
        connection.execute("insert into person_roles (person, role) values (?, ?)", (person.id, role))
    for group in sorted(person.groups):
        connection.execute("insert into memberships (person, desk_group) values (?, ?)", (person.id, group))


def get_account(connection: Connection, person_id: str) -> StaffAccount | None:
    """Return the account with this id, or None."""
    found = connection.row(
        "select id, login, name, seal_public, sign_public, locked_seal, locked_sign from people where id = ?",
        (person_id,),
    )
    if found is None:
        return None
    roles = connection.rows("select role from person_roles where person = ?", (person_id,))
    groups = connection.rows("select desk_group from memberships where person = ?", (person_id,))
    return StaffAccount(
        **found,
        roles=frozenset(each["role"] for each in roles),
        groups=frozenset(each["desk_group"] for each in groups),
    )


def get_sign_in_record(connection: Connection, login: str) -> SignInRecord | None:
    """Return the sign-in record of a login, or None for an unknown login."""
    found = connection.row("select id as person, salt, auth_salt, auth_hash from people where login = ?", (login,))
    return SignInRecord(**found) if found else None


def list_logins(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the login of each of these accounts, by id."""
    if not ids:
        return {}
    sql = f"select id, login from people where id in ({', '.join('?' * len(ids))})"  # noqa: S608 (places)
    return {each["id"]: each["login"] for each in connection.rows(sql, [*ids])}


def get_pepper(connection: Connection) -> bytes:
    """Return the database's own secret, from which the salts of unknown logins are computed."""
    found = connection.row("select value from meta where name = 'sign_in_pepper'")
    return bytes.fromhex(found["value"]) if found else b""


def list_visible_queues(connection: Connection, person_id: str) -> frozenset[str]:
    """Return the queues that the person's desk groups may see and work (table `queue_groups`)."""
    found = connection.rows(
        "select distinct q.queue from queue_groups q join memberships m on m.desk_group = q.desk_group"
        " where m.person = ?",
        (person_id,),
    )
    return frozenset(each["queue"] for each in found)


def grant_queue(connection: Connection, queue: str, desk_group: str) -> None:
    """Let a desk group see and work a queue. A repeated call changes nothing."""
    connection.execute(
        "insert into queue_groups (queue, desk_group) values (?, ?) on conflict (queue, desk_group) do nothing",
        (queue, desk_group),
    )
