"""Trust, registry and manifest, as the exact signed bytes. Publishing stores them; both APIs return the newest."""

from __future__ import annotations

from dataclasses import dataclass

from server.database.connection import Connection

KINDS = ("trust", "registry", "manifest")
# One seek for each kind: a grouped query would walk over all manifests.
_HIGHEST = " union all ".join(
    f"select '{kind}' as kind, max(number) as number from documents"  # noqa: S608 (constants)
    f" where kind = '{kind}' having max(number) is not null"
    for kind in KINDS
)


@dataclass(frozen=True)
class StoredDocument:
    """One signed document. `kind` is trust, registry or manifest. The document with the highest number is in force."""

    kind: str
    number: int
    sha256: str
    body: bytes


def put_document(w: Connection, *, kind: str, number: int, sha256: str, body: bytes, at: int) -> None:
    """Store a document. No document of this kind and number may exist yet."""
    w.execute(
        "insert into documents (kind, number, sha256, body, received) values (?, ?, ?, ?, ?)",
        [kind, number, sha256, body, at],
    )


def get_newest(c: Connection, kind: str, *, above: int = 0) -> StoredDocument | None:
    """Return the document of this kind with the highest number, if it is above `above`; otherwise None."""
    sql = "select kind, number, sha256, body from documents where kind = ? and number > ? order by number desc limit 1"
    found = c.row(sql, [kind, above])
    return StoredDocument(**found) if found else None


def highest_numbers(c: Connection) -> dict[str, int]:
    """Return the highest stored number of each kind."""
    return {item["kind"]: item["number"] for item in c.rows(_HIGHEST)}


def list_above(c: Connection, kind: str, number: int) -> list[StoredDocument]:
    """Return the documents of this kind above a number, in order. A tablet must follow each change of roots."""
    sql = "select kind, number, sha256, body from documents where kind = ? and number > ? order by number"
    return [StoredDocument(**item) for item in c.rows(sql, [kind, number])]


def list_documents(c: Connection, kind: str) -> list[tuple[int, bytes]]:
    """Return (time in ms when it came into force, bytes) of each document of a kind, newest first."""
    found = c.rows("select received, body from documents where kind = ? order by number desc", [kind])
    return [(item["received"], item["body"]) for item in found]
