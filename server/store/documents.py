"""Trust, registry and manifest, as the bytes that were signed. Publishing puts them; both doors hand out the newest."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

KINDS = ("trust", "registry", "manifest")
_HIGHEST = "select kind, max(number) as number from documents group by kind"


@dataclass(frozen=True)
class StoredDocument:
    """One signed document: `kind` is trust, registry or manifest; the highest number counts."""

    kind: str
    number: int
    sha256: str
    body: bytes


def put_document(w: Connection, *, kind: str, number: int, sha256: str, body: bytes, at: int) -> None:
    """Keep a document; one of this kind and number must not be there yet."""
    w.execute(
        "insert into documents (kind, number, sha256, body, received) values (?, ?, ?, ?, ?)",
        [kind, number, sha256, body, at],
    )


def get_newest(c: Connection, kind: str, *, above: int = 0) -> StoredDocument | None:
    """The document of this kind with the highest number, if that is above the one given."""
    sql = "select kind, number, sha256, body from documents where kind = ? and number > ? order by number desc limit 1"
    found = c.row(sql, [kind, above])
    return StoredDocument(**found) if found else None


def highest_numbers(c: Connection) -> dict[str, int]:
    """The highest number of each kind that there is here."""
    return {item["kind"]: item["number"] for item in c.rows(_HIGHEST)}


def list_above(c: Connection, kind: str, number: int) -> list[StoredDocument]:
    """The documents of this kind above a number, in order: each step of a change of roots has to be followed."""
    sql = "select kind, number, sha256, body from documents where kind = ? and number > ? order by number"
    return [StoredDocument(**item) for item in c.rows(sql, [kind, number])]


def list_documents(c: Connection, kind: str) -> list[tuple[int, bytes]]:
    """When each document of a kind came in force, and its bytes; the newest first."""
    found = c.rows("select received, body from documents where kind = ? order by number desc", [kind])
    return [(item["received"], item["body"]) for item in found]
