"""Form versions from draft to retired, and the results of synthetic interviews with a draft.

The flows check permissions. Triggers of the table reject any change of an approved version. Tablets name a version by
the hash of its signed bytes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from server.database.connection import Connection
from sync.wire.encoding import MAX_INTEGER

IN_USE = ("published", "closing", "retired")
"""The states of a version that tablets may have on board."""


@dataclass(frozen=True)
class FormVersion:
    """One version without its bytes. `sha` is the hash of the signed bytes; `author` and `reviewer` are accounts.

    `source` is True if the source package is stored. A bundle that was signed offline has none.
    """

    id: int
    form: str
    version: str
    channel: str
    sha: str
    state: str
    author: str
    reviewer: str
    indicator_set: str
    policy: str
    validated: str
    reason: str
    created: int
    changed: int
    source: bool


@dataclass(frozen=True)
class NewVersion:
    """A version as compiled from a source package: its names, its hash, and the bytes of both. `body` is not signed
    yet."""

    form: str
    version: str
    channel: str
    sha: str
    indicator_set: str
    policy: str
    body: bytes
    source: bytes | None


@dataclass(frozen=True)
class TrialResult:
    """The result of a synthetic interview with a draft, without the answers. `fired` counts indicators."""

    outcome: str
    tier: str
    queue_kinds: str
    fired: int
    at: int
    by: str


_PLAIN = (
    "id, form, version, channel, sha, state, author, reviewer, indicator_set, policy, validated, reason, created,"
    " changed, source is not null as source"
)


def _read_version(found: dict[str, object] | None) -> FormVersion | None:
    return FormVersion(**{**found, "source": bool(found["source"])}) if found else None  # type: ignore[arg-type]


def add_version(w: Connection, draft: NewVersion, *, state: str, author: str, at: int) -> int:
    """Insert a version; return its number. Raises sqlite3.IntegrityError if its name is taken on this channel."""
    values = {**asdict(draft), "state": state, "author": author, "created": at, "changed": at}
    names, places = ", ".join(values), ", ".join("?" * len(values))
    created = w.row(f"insert into versions ({names}) values ({places}) returning id", [*values.values()])  # noqa: S608
    assert created is not None
    return int(created["id"])


def replace_draft(w: Connection, id_: int, draft: NewVersion, *, at: int) -> None:
    """Replace the bytes of a draft, and delete its trial results."""
    w.execute(
        "update versions set sha = ?, indicator_set = ?, policy = ?, body = ?, source = ?, validated = '', reason = '',"
        " changed = ? where id = ? and state = 'draft'",
        [draft.sha, draft.indicator_set, draft.policy, draft.body, draft.source, at, id_],
    )
    delete_trials(w, id_)


def delete_draft(w: Connection, id_: int) -> None:
    """Delete a draft with its trial results."""
    w.execute("delete from versions where id = ? and state = 'draft'", [id_])


def set_state(w: Connection, id_: int, *, state: str, at: int, reason: str = "") -> None:
    """Update a version's state and the reason."""
    w.execute("update versions set state = ?, reason = ?, changed = ? where id = ?", [state, reason, at, id_])


def set_signatures(w: Connection, id_: int, body: bytes, *, reviewer: str = "", validated: str | None = None) -> None:
    """Store the bytes with other signatures, and the message of ODK Validate."""
    w.execute(
        "update versions set body = ?, reviewer = ?, validated = coalesce(?, validated) where id = ?",
        [body, reviewer, validated, id_],
    )


def get_version(c: Connection, id_: int) -> FormVersion | None:
    """Return one version by its number, or None."""
    return _read_version(c.row(f"select {_PLAIN} from versions where id = ?", [id_]))  # noqa: S608


def find_version(c: Connection, form: str, version: str, channel: str) -> FormVersion | None:
    """Return one version by its name, or None."""
    sql = f"select {_PLAIN} from versions where form = ? and version = ? and channel = ?"  # noqa: S608
    return _read_version(c.row(sql, [form, version, channel]))


def list_versions(
    c: Connection, form: str | None = None, *, after: int = 0, most: int = MAX_INTEGER
) -> list[FormVersion]:
    """Return all versions, or those of one form, oldest first; with `after` and `most` a page of them."""
    narrowed, about = (" and form = ?", [form]) if form is not None else ("", [])
    sql = f"select {_PLAIN} from versions where id > ?{narrowed} order by id limit ?"  # noqa: S608
    found = c.rows(sql, [after, *about, most])
    return [version for each in found if (version := _read_version(each)) is not None]


def get_signed_bytes(c: Connection, id_: int) -> bytes:
    """Return the compiled bytes of a version with the present signatures."""
    found = c.row("select body from versions where id = ?", [id_])
    assert found is not None, "the version was looked up before"
    return bytes(found["body"])


def get_source(c: Connection, id_: int) -> bytes | None:
    """Return the source package of a version, or None."""
    found = c.row("select source from versions where id = ?", [id_])
    return found["source"] if found else None


def get_bytes_in_use(c: Connection, form: str, sha: str) -> bytes | None:
    """Return the signed bytes of this form's version with this hash, if tablets use or used it; otherwise None."""
    sql = "select body from versions where sha = ? and form = ? and state in ('published', 'closing', 'retired')"
    found = c.row(sql, [sha, form])
    return found["body"] if found else None


def find_bytes_in_use(c: Connection, sha: str) -> bytes | None:
    """Return the signed bytes of the version with this hash, of any form, if tablets use or used it."""
    found = c.row("select body from versions where sha = ? and state in ('published', 'closing', 'retired')", [sha])
    return found["body"] if found else None


def list_in_use(c: Connection, form: str, version: str) -> list[FormVersion]:
    """Return the versions with this name that tablets use or used: at most one per channel, that of the field first."""
    sql = (
        f"select {_PLAIN} from versions where form = ? and version = ?"  # noqa: S608
        " and state in ('published', 'closing', 'retired') order by channel"
    )
    return [found for each in c.rows(sql, [form, version]) if (found := _read_version(each)) is not None]


def get_state_in_use(c: Connection, sha: str) -> str:
    """Return the state of a version that tablets use or used; empty for any other."""
    sql = "select state from versions where sha = ? and state in ('published', 'closing', 'retired')"
    found = c.row(sql, [sha])
    return str(found["state"]) if found else ""


def count_drafts(c: Connection, author: str) -> int:
    """Return how many of an author's versions are drafts or in review."""
    found = c.row("select count(*) as n from versions where author = ? and state in ('draft', 'in_review')", [author])
    return int(found["n"]) if found else 0


def add_trial(w: Connection, id_: int, trial: TrialResult, *, most: int) -> None:
    """Store the result of a synthetic interview with a draft; only the newest `most` are kept."""
    values = [trial.outcome, trial.tier, trial.queue_kinds, trial.fired, trial.at, trial.by]
    w.execute(
        "insert into trials (version, outcome, tier, queue_kinds, fired, at, by) values (?, ?, ?, ?, ?, ?, ?)",
        [id_, *values],
    )
    newest = "select id from trials where version = ? order by id desc limit ?"
    w.execute(f"delete from trials where version = ? and id not in ({newest})", [id_, id_, most])  # noqa: S608


def list_trials(c: Connection, id_: int) -> list[TrialResult]:
    """Return the results of the synthetic interviews with a draft, oldest first."""
    sql = "select outcome, tier, queue_kinds, fired, at, by from trials where version = ? order by id"
    return [TrialResult(**each) for each in c.rows(sql, [id_])]


def delete_trials(w: Connection, id_: int) -> None:
    """Delete the results of the synthetic interviews with a draft."""
    w.execute("delete from trials where version = ?", [id_])
