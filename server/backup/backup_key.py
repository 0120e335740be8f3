"""The offline backup key: an age identity in a file, locked with six words. Only commands call it.

The serving process knows only the public key. It must not start with the secret one in its folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from server.backup import age_passphrase
from server.backup.archive import BackupError
from server.config import Config
from sync.errors import SyncError
from sync.keys.passphrases import generate_passphrase, normalize_phrase

_SECRET = "AGE-SECRET-KEY-"
_LIMIT = 64 * 1024


@dataclass(frozen=True)
class BackupKey:
    """A new key: its public half, and the passphrase of its file, which is stored nowhere else."""

    recipient: str
    phrase: str = field(repr=False)


def create_key(file: Path, *, now: int) -> BackupKey:
    """Write a new locked key file, readable only by its owner. It never overwrites a file or writes into a server's
    folder.

    The `age` program accepts the same words: lower-case letters without accents, separated by one space.
    """
    for folder in file.absolute().parents:
        server = Config(data=folder)
        if server.database.exists() or server.keys.is_dir():
            raise BackupError("backup.key_at_server", f"{folder} belongs to a server: keep the key on another machine")
    if file.exists():
        raise SyncError("key.file_exists", f"{file} is there already")
    identity, phrase = pyrage.x25519.Identity.generate(), normalize_phrase(generate_passphrase()).decode()
    recipient = str(identity.to_public())
    written = f"# made: {datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d}\n# public key: {recipient}\n{identity}\n"
    locked = age_passphrase.lock(written.encode(), phrase)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(locked)
        out.flush()
        os.fsync(out.fileno())
    return BackupKey(recipient, phrase)


def load_key(file: Path, ask: Callable[[], str]) -> list[pyrage.x25519.Identity]:
    """Read a key file of Chaski or of any age tool. `ask` returns the passphrase if the file is locked."""
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise SyncError("key.file_readable_by_others", f"{file}: run chmod 600 on it")
    content = file.read_bytes()[:_LIMIT]
    if not content.lstrip().startswith((b"#", _SECRET.encode())):
        content = _unlock(content, ask())
    lines = [line.strip() for line in content.decode("ascii", "replace").splitlines()]
    try:
        identities = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith(_SECRET)]
    except pyrage.IdentityError as error:
        raise _no_key(file) from error
    if not identities:
        raise _no_key(file)
    return identities


def _no_key(file: Path) -> BackupError:
    return BackupError("backup.no_key", f"{file} contains no X25519 age identity (AGE-SECRET-KEY-1...)")


def _unlock(content: bytes, phrase: str) -> bytes:
    """Try the six words in Chaski's spelling, then the text as typed, for a key that another tool locked.

    Only a wrong passphrase leads to the second try. Each other refusal is raised as it is.
    """
    spelling = normalize_phrase(phrase).decode()
    try:
        return age_passphrase.unlock(content, spelling)
    except SyncError:
        if phrase == spelling:
            raise
    return age_passphrase.unlock(content, phrase)
