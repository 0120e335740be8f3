"""Hands out what was published, as the bytes that were signed. Both doors call it; it only reads."""

from __future__ import annotations

from server.db import Db
from server.problems import Problem
from server.store import bundles, documents, keyrings
from server.store.documents import Stored


def newest(db: Db, kind: str) -> Stored:
    """The newest trust, registry or manifest."""
    stored = documents.newest(db.read(), kind)
    if stored is None:
        raise Problem("server.not_ready", kind)
    return stored


def bundle(db: Db, form: str, sha: str) -> bytes:
    """A form version by its hash."""
    body = bundles.body(db.read(), form, sha)
    if body is None:
        raise Problem("form.unknown", f"{form} {sha}")
    return body


def public_key(db: Db, sha256: str) -> bytes:
    """A keyring's public key by its hash."""
    raw = keyrings.public_key(db.read(), sha256)
    if raw is None:
        raise Problem("key.unknown", sha256)
    return raw
