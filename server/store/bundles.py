"""Published form versions: the exact signed bytes, found by the hash of what was signed. Publishing puts them, tablets
and desks fetch them, intake asks whether a version is known. A version is never changed or replaced."""

from __future__ import annotations

from dataclasses import dataclass

from server.db import Connection, row, rows


@dataclass(frozen=True)
class Published:
    """One form version without its bytes. `sha` names it, `channel` is training or field, `published` in ms."""

    sha: str
    form: str
    version: str
    channel: str
    published: int
    published_by: str


def put(w: Connection, published: Published, body: bytes) -> None:
    """Keep a version. Raises sqlite3.IntegrityError when the form has that version on that channel already."""
    w.execute(
        "insert into bundles (sha, form, version, channel, body, published, published_by) values (?, ?, ?, ?, ?, ?, ?)",
        [
            published.sha,
            published.form,
            published.version,
            published.channel,
            body,
            published.published,
            published.published_by,
        ],
    )


def body(c: Connection, form: str, sha: str) -> bytes | None:
    """The signed bytes of a version, if there is one of this form by that hash."""
    found = row(c, "select body from bundles where sha = ? and form = ?", [sha, form])
    return found["body"] if found else None


def known(c: Connection, sha: str) -> bool:
    """Whether a form version was ever published here."""
    return row(c, "select 1 as found from bundles where sha = ?", [sha]) is not None


def every(c: Connection) -> list[Published]:
    """All versions, oldest first."""
    found = rows(c, "select sha, form, version, channel, published, published_by from bundles order by published, sha")
    return [Published(**item) for item in found]
